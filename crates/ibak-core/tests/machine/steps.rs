//! What may happen, and how often.

use ibak_core::*;
use proptest::prelude::*;

/// So many phones, so that they meet.
const PHONES: u8 = 4;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass(u32),
    Jump(i32),
    Deadline,
    Plug(u8, Transport, bool),
    Trust(u8, Option<bool>),
    Power(u8, Option<bool>),
    Wifi(u8, Option<bool>),
    Locked(u8, Option<bool>),
    Edge(u8, Option<bool>),
    Bed(u8),
    Night(u8),
    Evening(u8),
    Host(bool, bool),
    DataUsed(u8, u8),
    Version(u8, u8),
    Store(Option<u8>),
    Muxer(MuxerState),
    BackUp(u8, When),
    Pair(u8),
    Errand(u8, Errand),
    Cancel(u8),
    Pause(Option<u16>),
    Resume,
    Automatic(u8, Automatic),
    Phase(u8, Phase),
    End(u8, u8),
    EndUnknown(u8),
    Look(u8),
    Slots(u8),
    Quota(u8, Option<u8>),
    Retire(u8, bool),
    Forget(u8),
    Replace(u8, u8),
    MoveStore,
    Recover,
    Crowd(u8),
    MadeRoom(u8, u8),
    Damage(u8),
    Pin(u8, u8),
    List(u8, bool),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let phone = 0..PHONES;
    let told = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let transport = prop_oneof![3 => Just(Transport::Usb), 1 => Just(Transport::Wifi)];
    let phase = prop::sample::select(vec![
        Phase::Asking,
        Phase::Receiving,
        Phase::Verifying,
        Phase::Committing,
    ]);
    let muxer = prop::sample::select(vec![MuxerState::Absent, MuxerState::Mute, MuxerState::Up]);
    prop_oneof![
        6 => (1_u32..400).prop_map(Step::Pass),
        2 => (1_u32..100_000).prop_map(Step::Pass),
        1 => (-200_000_i32..200_000).prop_map(Step::Jump),
        6 => Just(Step::Deadline),
        3 => (phone.clone(), transport, prop::bool::weighted(0.7)).prop_map(|(p, t, on)| Step::Plug(p, t, on)),
        2 => (phone.clone(), told.clone()).prop_map(|(p, it)| Step::Trust(p, it)),
        2 => (phone.clone(), told.clone()).prop_map(|(p, it)| Step::Power(p, it)),
        2 => (phone.clone(), told.clone()).prop_map(|(p, it)| Step::Wifi(p, it)),
        2 => (phone.clone(), told).prop_map(|(p, it)| Step::Locked(p, it)),
        1 => (phone.clone(), any::<Option<bool>>()).prop_map(|(p, it)| Step::Edge(p, it)),
        8 => phone.clone().prop_map(Step::Bed),
        6 => phone.clone().prop_map(Step::Night),
        3 => phone.clone().prop_map(Step::Evening),
        1 => (prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(|(b, a)| Step::Host(b, a)),
        2 => (phone.clone(), 1_u8..60).prop_map(|(p, it)| Step::DataUsed(p, it)),
        1 => (phone.clone(), 0_u8..3).prop_map(|(p, it)| Step::Version(p, it)),
        3 => prop::option::weighted(0.9, 0_u8..200).prop_map(Step::Store),
        1 => phone.clone().prop_map(Step::Crowd),
        1 => muxer.prop_map(Step::Muxer),
        2 => (phone.clone(), prop::sample::select(vec![When::AtOnce, When::Ready])).prop_map(|(p, w)| Step::BackUp(p, w)),
        1 => phone.clone().prop_map(Step::Pair),
        3 => (phone.clone(), prop::sample::select(Errand::ALL.to_vec())).prop_map(|(p, it)| Step::Errand(p, it)),
        // Of phones that never come, too.
        2 => (0..PHONES + 2).prop_map(|p| Step::Errand(p, Errand::Adopt)),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => prop::option::of(1_u16..2000).prop_map(Step::Pause),
        2 => Just(Step::Resume),
        1 => (phone.clone(), prop::sample::select(vec![Automatic::On, Automatic::On, Automatic::Off])).prop_map(|(p, a)| Step::Automatic(p, a)),
        2 => (any::<u8>(), phase).prop_map(|(n, p)| Step::Phase(n, p)),
        6 => (any::<u8>(), 0_u8..8).prop_map(|(n, o)| Step::End(n, o)),
        1 => any::<u8>().prop_map(Step::EndUnknown),
        1 => (-6_000_000_i32..6_000_000).prop_map(Step::Jump),
        1 => (phone.clone(), prop::option::of(0_u8..200)).prop_map(|(p, it)| Step::Quota(p, it)),
        2 => (phone.clone(), prop::bool::weighted(0.6)).prop_map(|(p, it)| Step::Retire(p, it)),
        1 => phone.clone().prop_map(Step::Forget),
        1 => (phone.clone(), phone.clone()).prop_map(|(old, new)| Step::Replace(old, new)),
        1 => Just(Step::MoveStore),
        1 => Just(Step::Recover),
        2 => (phone.clone(), 1_u8..9).prop_map(|(p, it)| Step::MadeRoom(p, it)),
        1 => phone.clone().prop_map(Step::Damage),
        1 => (phone.clone(), any::<u8>()).prop_map(|(p, it)| Step::Pin(p, it)),
        3 => (phone.clone(), any::<bool>()).prop_map(|(p, it)| Step::List(p, it)),
        1 => phone.prop_map(Step::Look),
        1 => (1_u8..4).prop_map(Step::Slots),
    ]
}
