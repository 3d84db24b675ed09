//! Batches of files that are wrong, without end, or both.

use plist::{Dictionary, Value};

use super::message::{binary, words};
use super::script::Script;
use crate::backup::wire;

words! {
    /// A wrong batch of files.
    Batch {
        /// A directory name of 4 GiB.
        GiantDirName = "giant-dir-name",
        /// A file name of 4 GiB.
        GiantFileName = "giant-file-name",
        /// A directory name of 2 000 bytes.
        LongDirName = "long-dir-name",
        /// A file name that is not UTF-8.
        RawFileName = "raw-file-name",
        /// A block that claims 4 GB and brings 96 MiB.
        GiantBlock = "giant-block",
        /// A block without even a code.
        NoCode = "no-code",
        /// A block with a code nobody knows.
        OddCode = "odd-code",
        /// An error text of 64 MiB.
        GiantError = "giant-error",
        /// An error text with escape sequences.
        EscapingError = "escaping-error",
        /// One file without end, in honest blocks: 512 MiB of it.
        EndlessFile = "endless-file",
        /// Empty files without end: a million of them, all of one name.
        EndlessFiles = "endless-files",
        /// Empty batches without end: 100 000 of them, no answer awaited.
        EndlessBatches = "endless-batches",
        /// Half a file, and silence.
        HalfFile = "half-file",
    }
}

/// Writes the message that begins a batch, as a frame.
pub(super) fn begin() -> Vec<u8> {
    let none = || Value::Dictionary(Dictionary::new());
    frame(vec![
        "DLMessageUploadFiles".into(),
        none(),
        Value::Real(1.0),
        5.into(),
    ])
}

/// Writes a DeviceLink message as a frame.
pub(super) fn frame(message: Vec<Value>) -> Vec<u8> {
    let bytes = binary(&Value::Array(message));
    let mut all = u32::try_from(bytes.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec();
    all.extend(bytes);
    all
}

impl Batch {
    /// Writes it; silence follows.
    pub(super) fn script(self, udid: &str) -> Script {
        let (dir, path) = (
            "/.ba/mobile/x",
            format!("{udid}/Snapshot/aa/{}", "a".repeat(40)),
        );
        let head = |parts: &[Vec<u8>]| {
            let mut all = begin();
            all.extend(parts.concat());
            Script::of(all)
        };
        let names = || [wire::named(dir), wire::named(&path)].concat();
        let giant = vec![0xff, 0xff, 0xff, 0xf0];
        let zeros = |mib: u64| (vec![0; 64 << 10], mib * 16);
        let with = |script: Script, (bytes, times): (Vec<u8>, u64)| script.then(bytes, times);
        match self {
            Self::GiantDirName => with(head(&[giant]), zeros(8)),
            Self::GiantFileName => with(head(&[wire::named(dir), giant]), zeros(8)),
            Self::LongDirName => head(&[wire::named(&"d".repeat(2_000)), wire::named(&path)]),
            Self::RawFileName => {
                head(&[wire::named(dir), vec![0, 0, 0, 4, 0xc0, 0xae, 0xc0, 0xae]])
            }
            Self::GiantBlock => with(head(&[names(), vec![0xf0, 0, 0, 0, 0x0c]]), zeros(96)),
            Self::NoCode => head(&[names(), vec![0; 4]]),
            Self::OddCode => head(&[names(), wire::block(0x55, b"what")]),
            Self::GiantError => with(head(&[names(), vec![4, 0, 0, 1, 0x0b]]), zeros(64)),
            Self::EscapingError => {
                let text = "\u{1b}]0;owned\u{7}\u{202e}\0\n";
                let end = [wire::block(0x0b, text.as_bytes()), vec![0; 4]].concat();
                head(&[names(), end])
            }
            Self::EndlessFile => with(
                head(&[names()]),
                (wire::block(0x0c, &[7; 256 << 10]), 2_048),
            ),
            Self::EndlessFiles => {
                let file = [names(), wire::block(0x00, b"")].concat();
                with(head(&[]), (file.repeat(100), 10_000))
            }
            Self::EndlessBatches => {
                let batch = [begin(), vec![0; 4]].concat();
                Script::default().then(batch.repeat(10), 10_000)
            }
            Self::HalfFile => head(&[names(), vec![0, 0, 1, 0, 0x0c], vec![7; 100]]),
        }
    }
}
