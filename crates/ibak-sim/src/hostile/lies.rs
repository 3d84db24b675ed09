//! Messages in good form that lie, or that never stop.

use plist::{Dictionary, Value};

use super::message::words;
use super::transfer::frame;

words! {
    /// A lie of the backup service.
    Lie {
        /// Progress that is no number.
        ProgressNan = "progress-nan",
        /// Progress below nothing.
        ProgressNegative = "progress-negative",
        /// Progress of 1e308 percent.
        ProgressHuge = "progress-huge",
        /// Progress without end.
        ProgressInfinite = "progress-infinite",
        /// A batch of -1 bytes.
        SizeNegative = "size-negative",
        /// A batch of 2^64 - 1 bytes.
        SizeHuge = "size-huge",
        /// A purge of 2^63 - 1 bytes.
        PurgeHuge = "purge-huge",
        /// A purge of less than nothing.
        PurgeNegative = "purge-negative",
        /// A message nobody knows.
        UnknownMessage = "unknown-message",
        /// A message without even a name.
        EmptyMessage = "empty-message",
        /// The words of another service.
        ForeignMessage = "foreign-message",
        /// A final response without a code.
        NoCode = "response-without-code",
        /// A final response whose code is a text.
        TextCode = "response-with-text-code",
        /// A final response of success, and nothing came.
        EmptySuccess = "empty-success",
        /// An error whose words are a megabyte.
        LongWords = "long-words",
        /// An error whose words hold escape sequences.
        EscapingWords = "escaping-words",
        /// The end, before any response.
        EarlyEnd = "early-end",
    }
}

words! {
    /// Messages in good form, one after the other, each with its answer awaited: 100 000 at most.
    Endless {
        /// How much space is there?
        FreeSpace = "endless-free-space",
        /// What lies in `Snapshot/`?
        Listings = "endless-listings",
        /// Make a directory.
        Directories = "endless-directories",
        /// Remove what is not there.
        Removals = "endless-removals",
        /// Move what is not there.
        Moves = "endless-moves",
        /// Send a file that is not there.
        Downloads = "endless-downloads",
        /// Empty batches.
        Batches = "endless-answered-batches",
    }
}

fn none() -> Value {
    Value::Dictionary(Dictionary::new())
}

fn response(pairs: &[(&str, Value)]) -> Vec<Value> {
    let mut all: Dictionary = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    all.insert("MessageName".to_owned(), "Response".into());
    vec!["DLMessageProcessMessage".into(), all.into()]
}

impl Lie {
    /// Writes it as frames; an answer, if one is due, is read after it.
    pub(super) fn bytes(self) -> Vec<u8> {
        let upload = |progress: f64, size: Value| {
            let begin = vec![
                "DLMessageUploadFiles".into(),
                none(),
                Value::Real(progress),
                size,
            ];
            [frame(begin), vec![0; 4]].concat()
        };
        let purge = |amount: Value| frame(vec!["DLMessagePurgeDiskSpace".into(), amount, 4.into()]);
        match self {
            Self::ProgressNan => upload(f64::NAN, 5.into()),
            Self::ProgressNegative => upload(-1e9, 5.into()),
            Self::ProgressHuge => upload(1e308, 5.into()),
            Self::ProgressInfinite => upload(f64::INFINITY, 5.into()),
            Self::SizeNegative => upload(1.0, (-1).into()),
            Self::SizeHuge => upload(1.0, u64::MAX.into()),
            Self::PurgeHuge => purge(i64::MAX.into()),
            Self::PurgeNegative => purge(i64::MIN.into()),
            Self::UnknownMessage => frame(vec!["DLMessageRunProgram".into(), "/bin/sh".into()]),
            Self::EmptyMessage => frame(Vec::new()),
            Self::ForeignMessage => {
                frame(vec!["SDMessageSyncDataClassWithDevice".into(), 1.into()])
            }
            Self::NoCode => frame(response(&[])),
            Self::TextCode => frame(response(&[("ErrorCode", "0".into())])),
            Self::EmptySuccess => frame(response(&[("ErrorCode", 0.into())])),
            Self::LongWords => {
                let words = "x".repeat(1 << 20);
                frame(response(&[
                    ("ErrorCode", 1.into()),
                    ("ErrorDescription", words.into()),
                ]))
            }
            Self::EscapingWords => {
                let words = "\u{1b}[31m\u{202e}owned\u{7}\n\0";
                frame(response(&[
                    ("ErrorCode", 1.into()),
                    ("ErrorDescription", words.into()),
                ]))
            }
            Self::EarlyEnd => frame(vec!["DLMessageDisconnect".into(), "".into()]),
        }
    }
}

impl Endless {
    /// Writes one of the messages as a frame.
    pub(super) fn bytes(self, udid: &str, at: u64) -> Vec<u8> {
        let (snapshot, one) = (format!("{udid}/Snapshot"), Value::Real(1.0));
        let path = format!("{snapshot}/{:02x}/{at:040x}", at % 256);
        match self {
            Self::FreeSpace => frame(vec!["DLMessageGetFreeDiskSpace".into()]),
            Self::Listings => frame(vec![
                "DLContentsOfDirectory".into(),
                snapshot.into(),
                none(),
                one,
            ]),
            Self::Directories => frame(vec![
                "DLMessageCreateDirectory".into(),
                snapshot.into(),
                none(),
                one,
            ]),
            Self::Removals => {
                let list = Value::Array(vec![path.into()]);
                frame(vec!["DLMessageRemoveItems".into(), list, none(), one])
            }
            Self::Moves => {
                let to = Value::from(format!("{udid}/{:02x}/{at:040x}", at % 256));
                let pair = Dictionary::from_iter([(path, to)]);
                frame(vec!["DLMessageMoveItems".into(), pair.into(), none(), one])
            }
            Self::Downloads => {
                let list = Value::Array(vec![path.into()]);
                frame(vec![
                    "DLMessageDownloadFiles".into(),
                    list,
                    none(),
                    one,
                    0.into(),
                ])
            }
            Self::Batches => [super::transfer::begin(), vec![0; 4]].concat(),
        }
    }
}
