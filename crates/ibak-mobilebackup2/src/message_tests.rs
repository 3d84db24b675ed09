use super::{Message, listing, nothing, process, status, status_ok};
use crate::{Entry, EntryKind};
use ibak_core::plist_guard::Limits;
use plist::{Dictionary, Value};
use proptest::prelude::*;
use std::io::Cursor;
use std::time::{Duration, SystemTime};

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.to_writer_binary(&mut out).unwrap();
    out
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn dictionary<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<Dictionary>()
        .into()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn messages() {
    let s = |text: &str| Value::from(text);
    let texts = |items: &[&str]| list(items.iter().map(|item| s(item)));
    let ok = |message| Ok::<_, String>(message);
    let malformed = |name: &str| Err(format!("the phone sent a malformed {name}"));
    let cases = vec![
        (
            list([s("DLMessageVersionExchange"), 400.into(), 0.into()]),
            ok(Message::VersionExchange { major: 400 }),
        ),
        (list([s("DLMessageDeviceReady")]), ok(Message::DeviceReady)),
        (
            list([s("DLMessageGetFreeDiskSpace")]),
            ok(Message::FreeSpace),
        ),
        (
            list([
                s("DLMessagePurgeDiskSpace"),
                26_418_026_591_u64.into(),
                4.into(),
            ]),
            ok(Message::Purge {
                amount: 26_418_026_591,
                urgency: 4,
            }),
        ),
        (
            list([
                s("DLMessageUploadFiles"),
                nothing(),
                0.979_702_214_546_108_2.into(),
                0.into(),
            ]),
            ok(Message::Upload {
                percent: 0.979_702_214_546_108_2,
                bytes: 0,
            }),
        ),
        (
            list([
                s("DLMessageDownloadFiles"),
                texts(&["a", "b"]),
                nothing(),
                0.into(),
                0.into(),
            ]),
            ok(Message::Download {
                paths: vec!["a".into(), "b".into()],
                percent: 0.0,
            }),
        ),
        (
            list([
                s("DLMessageMoveItems"),
                dictionary([("a", s("b"))]),
                nothing(),
                97.0.into(),
            ]),
            ok(Message::Move {
                pairs: vec![("a".into(), "b".into())],
                percent: 97.0,
            }),
        ),
        (
            list([s("DLMessageRemoveFiles"), texts(&[]), nothing(), 1.5.into()]),
            ok(Message::Remove {
                paths: vec![],
                percent: 1.5,
            }),
        ),
        (
            list([s("DLMessageCopyItem"), s("a"), s("b")]),
            ok(Message::Copy {
                from: "a".into(),
                to: "b".into(),
                percent: 0.0,
            }),
        ),
        (
            list([s("DLContentsOfDirectory"), s("a")]),
            ok(Message::Contents { path: "a".into() }),
        ),
        (
            list([s("DLMessageCreateDirectory"), s("a")]),
            ok(Message::CreateDirectory { path: "a".into() }),
        ),
        (
            list([s("DLMessageDisconnect"), s(super::EMPTY)]),
            ok(Message::Disconnect),
        ),
        (
            list([s("DLMessage\u{1b}New")]),
            ok(Message::Unknown("DLMessage\u{fffd}New".into())),
        ),
        (
            list([s("DLMessageVersionExchange")]),
            malformed("DLMessageVersionExchange"),
        ),
        (
            list([s("DLMessageDownloadFiles"), list([1.into()])]),
            malformed("DLMessageDownloadFiles"),
        ),
        (
            list([s("DLMessageMoveFiles"), dictionary([("a", 1.into())])]),
            malformed("DLMessageMoveFiles"),
        ),
        (
            list([s("DLMessageRemoveItems"), s("a")]),
            malformed("DLMessageRemoveItems"),
        ),
        (
            list([s("DLMessagePurgeDiskSpace"), (-1_i64).into()]),
            malformed("DLMessagePurgeDiskSpace"),
        ),
        (
            list([s("DLMessageProcessMessage"), s("a")]),
            malformed("DLMessageProcessMessage"),
        ),
        (
            list([s("Hello")]),
            Err("the phone sent something that is no DeviceLink message".into()),
        ),
        (
            list([]),
            Err("the phone sent a message without a name".into()),
        ),
        (
            s("DLMessageDeviceReady"),
            Err("the phone sent a message that is no list".into()),
        ),
    ];
    for (value, want) in cases {
        assert_eq!(
            Message::parse(&encode(&value), &Limits::MESSAGE),
            want,
            "{value:?}"
        );
    }
    let xml =
        b"<plist version=\"1.0\"><array><string>DLMessageDeviceReady</string></array></plist>";
    assert_eq!(
        Message::parse(xml, &Limits::MESSAGE),
        Err("the phone sent an XML message".into())
    );
}

/// Sizes seen on the wire: corpus `messages/04`, `08` and `01`.
#[test]
fn sizes_on_the_wire() {
    let udid = "0123456789abcdef0123456789abcdef01234567";
    let backup = process([
        ("MessageName", "Backup".into()),
        ("SourceIdentifier", udid.into()),
        ("TargetIdentifier", udid.into()),
    ]);
    assert_eq!(encode(&backup).len(), 184);
    assert_eq!(encode(&status_ok(super::EMPTY.into())).len(), 106);
    assert_eq!(
        encode(&list([
            "DLMessageVersionExchange".into(),
            400.into(),
            0.into()
        ]))
        .len(),
        80
    );
    assert_eq!(
        encode(&status(-6, "x", nothing())).len(),
        encode(&status(-7, "y", nothing())).len()
    );
}

#[test]
fn a_listing_names_types_sizes_and_dates() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 900);
    let entry = |name: &str, kind, size, modified| Entry {
        name: name.into(),
        kind,
        size,
        modified,
    };
    let value = listing(vec![
        entry("00", EntryKind::Directory, 0, SystemTime::UNIX_EPOCH),
        entry(
            "f",
            EntryKind::Regular,
            7,
            SystemTime::UNIX_EPOCH - Duration::from_secs(9),
        ),
        entry("?", EntryKind::Unknown, 1, far),
    ]);
    let line = |kind: &str, size: u64, secs: u64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        dictionary([
            ("DLFileType", kind.into()),
            ("DLFileSize", size.into()),
            ("DLFileModificationDate", Value::Date(time.into())),
        ])
    };
    let want = dictionary([
        ("00", line("DLFileTypeDirectory", 0, 0)),
        ("f", line("DLFileTypeRegular", 7, 0)),
        ("?", line("DLFileTypeUnknown", 1, 4_102_444_800)),
    ]);
    assert_eq!(value, want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// What the guard lets through must not hurt the parser behind it.
    #[test]
    fn damaged_plists_hurt_nobody(changes in proptest::collection::vec((0..400_usize, any::<u8>()), 1..6), is_xml: bool) {
        let value = dictionary([
            ("list", list([1.into(), (-1).into(), 2.5.into(), "text".into(), "ünï".into(), true.into()])),
            ("date", Value::Date(SystemTime::UNIX_EPOCH.into())),
            ("data", Value::Data(vec![7; 40])),
            ("inner", dictionary([("list", list([list([nothing()])]))])),
        ]);
        let mut bytes = Vec::new();
        if is_xml {
            value.to_writer_xml(&mut bytes).unwrap();
        } else {
            value.to_writer_binary(&mut bytes).unwrap();
        }
        prop_assert!(ibak_core::plist_guard::check(&bytes, &Limits::MESSAGE).is_ok());
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let limits = Limits { nodes_max: 1_000, expanded_bytes_max: 10_000, ..Limits::MESSAGE };
        if ibak_core::plist_guard::check(&bytes, &limits).is_ok()
            && let Ok(value) = Value::from_reader(Cursor::new(&bytes))
        {
            let shown = format!("{value:?}");
            prop_assert!(shown.len() < 100_000);
        }
    }
}
