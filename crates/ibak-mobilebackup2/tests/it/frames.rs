//! Any cut of the stream, any block sizes: the files that arrive are the files that were sent.

use crate::phone::{ID, Rig, Setup, block, frame, greeting, name, own, replay, response, upload};
use crate::vault::{DirVault, contents};
use ibak_mobilebackup2::{Limits, Outcome};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 5] = [
    "Info.plist",
    "Manifest.plist",
    "Manifest.db",
    "Status.plist",
    "Manifest.db-wal",
];

#[derive(Clone, Debug)]
struct Sent {
    name: usize,
    blocks: Vec<Vec<u8>>,
    fails: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let block = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 0..600_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    (
        0..NAMES.len(),
        proptest::collection::vec(block, 0..6),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(name, blocks, fails)| Sent {
            name,
            blocks,
            fails,
        })
}

fn encode(sent: &Sent) -> Vec<u8> {
    let mut out = [name(b"/x"), name(own(NAMES[sent.name]).as_bytes())].concat();
    for content in &sent.blocks {
        out.extend(block(0x0c, content));
    }
    out.extend(if sent.fails {
        block(0x0b, b"gone")
    } else {
        block(0x00, b"")
    });
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sent_is_there(batches in proptest::collection::vec(proptest::collection::vec(sent(), 0..8), 0..4)) {
        let mut want = BTreeMap::new();
        let mut bytes: Vec<u8> = greeting().iter().flat_map(frame).collect();
        for batch in &batches {
            bytes.extend(frame(&upload(1)));
            for file in batch {
                bytes.extend(encode(file));
                if !file.fails {
                    want.insert(NAMES[file.name].to_owned(), file.blocks.concat());
                }
            }
            bytes.extend([0; 4]);
        }
        bytes.extend(frame(&response(0, "")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ended = runtime.block_on(replay(bytes, DirVault::new(), &Limits::default()));
        prop_assert_eq!(&ended.outcome, &Outcome::Finished);
        let files = batches.iter().flatten();
        prop_assert_eq!(ended.stats.files_failed, files.clone().filter(|file| file.fails).count() as u64);
        prop_assert_eq!(ended.stats.files_received, files.filter(|file| !file.fails).count() as u64);
        prop_assert_eq!(contents(&ended.vault.dir.path().join("root/tree")), want);
    }

    #[test]
    fn what_is_read_is_what_is_there(len in prop_oneof![0..100_usize, 32_700..32_800_usize, 0..900_000_usize]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let setup = Setup::default();
            let content: Vec<u8> = (0..len).map(|index| u8::try_from(index % 249).unwrap()).collect();
            setup.vault.put(&format!("3d/{ID}"), &content);
            let mut rig = Rig::greeted(setup).await;
            let wire = own(&format!("3d/{ID}"));
            let (files, status) = rig.phone.download(&[&wire, &wire]).await;
            assert_eq!((files[&wire].as_ref(), status.code), (Ok(&content), 0));
            assert!(rig.phone.frames.iter().all(|size| *size <= Limits::FRAME_BYTES_MAX));
            rig.phone.finish(0).await;
            let ended = rig.end().await;
            assert_eq!((ended.outcome, ended.stats.bytes_sent), (Outcome::Finished, 2 * len as u64));
        });
    }
}
