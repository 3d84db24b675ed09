//! The law: a mirror built late equals one built early, also when its snapshot was taken while
//! things changed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use ibak_dbus::{Change, Effect, MirrorState, Properties};
use proptest::prelude::*;
use std::collections::BTreeMap;
use zbus::wire::OwnedVariant;

type Objects = BTreeMap<String, BTreeMap<String, Properties>>;

/// What a daemon does to one of a few objects; the server below tells it to clients as signals.
#[derive(Clone, Debug)]
enum Op {
    Add {
        object: u8,
        interface: u8,
        value: u64,
    },
    Set {
        object: u8,
        interface: u8,
        property: u8,
        value: u64,
    },
    Remove {
        object: u8,
        interface: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let object = 0_u8..4;
    let interface = 0_u8..2;
    prop_oneof![
        2 => (object.clone(), interface.clone(), any::<u64>()).prop_map(|(object, interface, value)| Op::Add { object, interface, value }),
        5 => (object.clone(), interface.clone(), 0_u8..3, any::<u64>())
            .prop_map(|(object, interface, property, value)| Op::Set { object, interface, property, value }),
        1 => (object, interface).prop_map(|(object, interface)| Op::Remove { object, interface }),
    ]
}

fn path(object: u8) -> String {
    format!("/org/ibak/Ibak1/jobs/{object}")
}

fn interface_name(interface: u8) -> String {
    format!("org.ibak.Ibak1.I{interface}")
}

/// The daemon's side: does the deed and returns the signal it sends, if it sends one.
fn serve(objects: &mut Objects, op: &Op) -> Option<Change> {
    match op {
        Op::Add {
            object,
            interface,
            value,
        } => {
            let properties: Properties = (0..3)
                .map(|n| (format!("P{n}"), OwnedVariant::from(value.wrapping_add(n))))
                .collect();
            objects
                .entry(path(*object))
                .or_default()
                .insert(interface_name(*interface), properties.clone());
            Some(Change::Added {
                path: path(*object),
                interfaces: BTreeMap::from([(interface_name(*interface), properties)]),
            })
        }
        Op::Set {
            object,
            interface,
            property,
            value,
        } => {
            let there = objects
                .get_mut(&path(*object))?
                .get_mut(&interface_name(*interface))?;
            let changed = Properties::from([(format!("P{property}"), OwnedVariant::from(*value))]);
            there.extend(changed.clone());
            Some(Change::Properties {
                path: path(*object),
                interface: interface_name(*interface),
                changed,
                invalidated: Vec::new(),
            })
        }
        Op::Remove { object, interface } => {
            let there = objects.get_mut(&path(*object))?;
            there.remove(&interface_name(*interface))?;
            if there.is_empty() {
                objects.remove(&path(*object));
            }
            Some(Change::Removed {
                path: path(*object),
                interfaces: vec![interface_name(*interface)],
            })
        }
    }
}

/// A snapshot as a daemon takes it that goes on meanwhile: each object is read at its own moment
/// between `from` and `to`.
fn torn_snapshot(moments: &[Objects], from: usize, to: usize, at: &[u8]) -> MirrorState {
    let mut taken = Objects::new();
    for object in 0_u8..4 {
        let moment = from + usize::from(at[usize::from(object)]) % (to - from + 1);
        if let Some(interfaces) = moments[moment].get(&path(object)) {
            taken.insert(path(object), interfaces.clone());
        }
    }
    MirrorState::from_snapshot(taken)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn late_equals_early(ops in proptest::collection::vec(op(), 0..60), from: u16, length: u16, at: [u8; 4]) {
        let mut objects = Objects::new();
        let mut moments = vec![objects.clone()];
        let mut signals = Vec::new();
        for op in &ops {
            signals.push(serve(&mut objects, op));
            moments.push(objects.clone());
        }
        let mut early = MirrorState::default();
        for change in signals.iter().flatten() {
            prop_assert_eq!(early.apply(change.clone()), Effect::None);
            early.verify_invariants();
        }
        // The late one subscribes at `from`, has its snapshot read until `to`, and applies every
        // signal since `from`.
        let from = usize::from(from) % moments.len();
        let to = from + usize::from(length) % (moments.len() - from);
        let mut late = torn_snapshot(&moments, from, to, &at);
        for change in signals[from..].iter().flatten() {
            prop_assert_eq!(late.apply(change.clone()), Effect::None);
            late.verify_invariants();
        }
        prop_assert_eq!(&late, &early);
        prop_assert_eq!(early, MirrorState::from_snapshot(objects));
    }
}

#[test]
fn an_invalidated_property_asks_for_a_snapshot_only_when_the_object_is_there() {
    let change = Change::Properties {
        path: path(0),
        interface: interface_name(0),
        changed: Properties::new(),
        invalidated: vec!["P0".into()],
    };
    let mut state = MirrorState::default();
    assert_eq!(state.apply(change.clone()), Effect::None);
    let added = Change::Added {
        path: path(0),
        interfaces: BTreeMap::from([(interface_name(0), Properties::new())]),
    };
    assert_eq!(state.apply(added), Effect::None);
    assert_eq!(state.apply(change), Effect::Resync);
}
