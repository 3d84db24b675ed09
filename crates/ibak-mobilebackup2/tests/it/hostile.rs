//! Phones that lie, never end, or stop in the middle.

use crate::phone::{
    Rig, Setup, UDID, assert_tidy, block, file, frame, greeting, list, name, own, recorded, replay,
    texts, upload,
};
use crate::vault::DirVault;
use ibak_mobilebackup2::{Ended, Limits, Outcome, Phase};
use plist::Value;
use tokio::task::JoinSet;

fn greeted_bytes() -> Vec<u8> {
    greeting().iter().flat_map(frame).collect()
}

async fn protocol(after_greeting: Vec<u8>, limits: &Limits) -> (Phase, String) {
    let ended = replay(
        [greeted_bytes(), after_greeting].concat(),
        DirVault::new(),
        limits,
    )
    .await;
    assert_tidy(&ended);
    match ended.outcome {
        Outcome::Protocol { phase, what } => (phase, what),
        other => panic!("{other:?}"),
    }
}

/// 9 lists of 16 references to the next: 16^8 values from about 220 bytes.
fn bomb() -> Vec<u8> {
    let mut body = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 1..=9_u8 {
        offsets.push(u8::try_from(body.len()).unwrap());
        match level {
            9 => body.extend([0x51, b'x']),
            _ => body.extend([&[0xaf, 0x10, 0x10][..], &[level; 16]].concat()),
        }
    }
    let table = body.len() as u64;
    body.extend(&offsets);
    body.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for number in [offsets.len() as u64, 0, table] {
        body.extend(number.to_be_bytes());
    }
    body
}

#[tokio::test]
async fn lies_end_the_session() {
    let limits = Limits::default();
    let long = |len: u32| len.to_be_bytes().to_vec();
    let nested = (0..2_000).fold(Value::from(1), |inner, _| list([inner]));
    let start = |rest: &[u8]| [frame(&upload(0)), rest.to_vec()].concat();
    let named = |rest: &[u8]| {
        start(
            &[
                name(b"/x"),
                name(own("Info.plist").as_bytes()),
                rest.to_vec(),
            ]
            .concat(),
        )
    };
    let waiting = Phase::WaitingForPhone;
    let cases: Vec<(Vec<u8>, Phase, String)> = vec![
        (
            long(u32::MAX),
            waiting,
            "the phone sent a message of 4294967295 bytes".into(),
        ),
        (
            [long(16_777_217), vec![b'x'; 200]].concat(),
            waiting,
            "the phone sent a message of 16777217 bytes".into(),
        ),
        (
            name(&bomb()),
            waiting,
            "the property list has too many values".into(),
        ),
        (
            frame(&nested),
            waiting,
            "the property list is nested too deeply".into(),
        ),
        (
            name(b""),
            waiting,
            "the document is not a binary or XML property list".into(),
        ),
        (
            name(b"<plist version=\"1.0\"><true/></plist>"),
            waiting,
            "the phone sent an XML message".into(),
        ),
        (
            start(&long(1025)),
            Phase::Receiving,
            "the phone sent a name of 1025 bytes".into(),
        ),
        (
            start(&[name(b"/x"), long(u32::MAX)].concat()),
            Phase::Receiving,
            "the phone sent a name of 4294967295 bytes".into(),
        ),
        (
            named(&long(0)),
            Phase::Receiving,
            "the phone sent a block without a code".into(),
        ),
        (
            named(&block(0x77, b"")),
            Phase::Receiving,
            "the phone sent a block with code 0x77".into(),
        ),
        (
            named(&[long(70_000), vec![0x06]].concat()),
            Phase::Receiving,
            "the phone sent an error text of 69999 bytes".into(),
        ),
    ];
    for (bytes, phase, what) in cases {
        assert_eq!(protocol(bytes, &limits).await, (phase, what));
    }
}

#[tokio::test]
async fn known_large_messages_are_taken_and_bounded() {
    // 40 000 names of 500 bytes: 20 MB, more than an ordinary message may have.
    let paths: Vec<String> = (0..40_000)
        .map(|index| format!("{}{index:0>460}", ".b/0/"))
        .collect();
    let large = |word: &str| {
        list([
            word.into(),
            texts(&paths.iter().map(String::as_str).collect::<Vec<_>>()),
        ])
    };
    let mut rig = Rig::greeted(Setup::default()).await;
    rig.phone.send(&large("DLMessageRemoveItems")).await;
    // Names are too long for one component, so it is refused as a whole: but it was understood.
    assert_eq!(rig.phone.status().await.code, -1);
    let bytes = frame(&large("DLContentsOfDirectory"));
    let (_, what) = protocol(bytes.clone(), &Limits::default()).await;
    assert_eq!(
        what,
        format!("the phone sent a message of {} bytes", bytes.len() - 4)
    );
    let limits = Limits {
        large_message_bytes_max: 17 << 20,
        ..Limits::default()
    };
    let (_, what) = protocol(frame(&large("DLMessageRemoveItems")), &limits).await;
    assert!(what.starts_with("the phone sent a message of"), "{what}");
}

#[tokio::test]
async fn endless_sessions_end() {
    let limits = Limits {
        files_max: 50,
        bytes_max: 1_000_000,
        messages_max: 100,
        ..Limits::default()
    };
    let many_files: Vec<u8> = (0..60)
        .flat_map(|_| file(&own("Info.plist"), b""))
        .collect();
    let many_refused: Vec<u8> = (0..60).flat_map(|_| file("/etc/passwd", b"")).collect();
    let big = file(&own("Info.plist"), &vec![0; 2_000_000]);
    let big_refused = file("../x", &vec![0; 2_000_000]);
    for (batch, what) in [
        (many_files, "the phone sent too many files"),
        (big, "the phone sent more than 1000000 bytes"),
    ] {
        let ended = protocol([frame(&upload(0)), batch].concat(), &limits).await;
        assert_eq!(ended, (Phase::Receiving, what.to_owned()));
    }
    for batch in [many_refused, big_refused] {
        let bytes = [greeted_bytes(), frame(&upload(0)), batch].concat();
        let ended = replay(bytes, DirVault::new(), &limits).await;
        assert!(
            matches!(ended.outcome, Outcome::HostFailed { .. }),
            "{:?}",
            ended.outcome
        );
        assert!(ended.stats.bytes_received <= 1_300_000);
    }
    let asks: Vec<u8> = (0..200)
        .flat_map(|_| frame(&list(["DLMessageGetFreeDiskSpace".into()])))
        .collect();
    assert_eq!(
        protocol(asks, &limits).await.1,
        "the phone sent too many messages"
    );
}

#[tokio::test]
async fn a_giant_block_is_taken_in_slices() {
    let len = 40_000_000_u32;
    let head = [(len + 1).to_be_bytes().to_vec(), vec![0x0c]].concat();
    let mut bytes = [
        greeted_bytes(),
        frame(&upload(0)),
        name(b"/x"),
        name(own("Info.plist").as_bytes()),
        head,
    ]
    .concat();
    bytes.extend(std::iter::repeat_n(7, len as usize));
    bytes.extend(
        [
            block(0x00, b""),
            vec![0; 4],
            frame(&crate::phone::response(0, "")),
        ]
        .concat(),
    );
    let ended = replay(bytes, DirVault::new(), &Limits::default()).await;
    assert_eq!(
        (&ended.outcome, ended.stats.bytes_received),
        (&Outcome::Finished, u64::from(len))
    );
    let largest = ended.vault.log.lock().unwrap().largest_block;
    assert!(largest <= Limits::BUFFER_BYTES, "{largest}");
}

/// Replays many streams, some at a time, so that waiting for threads overlaps.
async fn replay_all(
    streams: impl Iterator<Item = (usize, Vec<u8>)>,
    mut check: impl FnMut(usize, Outcome),
) {
    let mut running = JoinSet::new();
    let mut done = |joined: Result<(usize, Ended<DirVault>), _>| {
        let (at, ended) = joined.unwrap();
        assert_tidy(&ended);
        check(at, ended.outcome);
    };
    for (at, bytes) in streams {
        if running.len() == 16 {
            done(running.join_next().await.unwrap());
        }
        running.spawn(async move {
            let limits = Limits {
                buffers: 3,
                ..Limits::default()
            };
            (at, replay(bytes, DirVault::new(), &limits).await)
        });
    }
    while let Some(joined) = running.join_next().await {
        done(joined);
    }
}

#[tokio::test]
async fn a_stream_cut_anywhere_is_a_disconnect() {
    let (bytes, result_end) = recorded();
    let cuts = (0..=bytes.len()).map(|cut| (cut, bytes[..cut].to_vec()));
    replay_all(cuts, |cut, outcome| {
        if cut >= result_end {
            assert_eq!(outcome, Outcome::Finished, "cut at {cut}");
        } else {
            crate::phone::assert_disconnected(&outcome);
        }
    })
    .await;
}

#[tokio::test]
async fn a_damaged_byte_anywhere_gives_an_outcome() {
    let (bytes, result_end) = recorded();
    let is_slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let damaged = (0..result_end)
        .flat_map(|at| [0x01, 0x80, 0xff].map(|change: u8| (at, change)))
        .filter(|(at, change)| is_slow || at % 3 == usize::from(*change) % 3)
        .map(|(at, change)| {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            (at, damaged)
        });
    let (mut sessions, mut finished) = (0, 0);
    replay_all(damaged, |_, outcome| {
        sessions += 1;
        finished += usize::from(outcome == Outcome::Finished);
    })
    .await;
    // Damage to content, percentages and words goes unnoticed here; the store verifies.
    assert!(finished > 0 && finished < sessions);
}

#[tokio::test]
async fn names_that_are_not_text_are_refused() {
    let batch = [
        name(b"/x\xff"),
        name(&[UDID.as_bytes(), b"/\xff\xfe"].concat()),
        block(0x0c, b"evil"),
        block(0, b""),
    ];
    let mut rig = Rig::greeted(Setup::default()).await;
    assert_eq!(rig.phone.upload(&[batch.concat()]).await.code, -1);
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert!(matches!(ended.outcome, Outcome::HostFailed { .. }));
    assert_tidy(&ended);
}
