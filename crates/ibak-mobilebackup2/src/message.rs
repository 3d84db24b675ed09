//! DeviceLink messages: what the phone may say, and what it is answered.
//!
//! Parsing is strict about what is used and blind to the rest: the opaque dictionary beside the
//! arguments and surplus elements are ignored.

use crate::text::sanitise;
use crate::{Entry, EntryKind, VaultError};
use ibak_core::plist_guard::{self, Kind};
use plist::{Dictionary, Value};
use std::io::Cursor;
use std::time::{Duration, SystemTime};

/// Stands where there is nothing to say.
pub(crate) const EMPTY: &str = "___EmptyParameterString___";
/// The status of a batch in which single files failed.
pub(crate) const MULTI_STATUS: i64 = -13;
/// The status of a request that is not served.
pub(crate) const NOT_SUPPORTED: i64 = -1;

/// What the phone says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    VersionExchange {
        major: u64,
    },
    DeviceReady,
    Process(Dictionary),
    Download {
        paths: Vec<String>,
        percent: f64,
    },
    Upload {
        percent: f64,
        bytes: u64,
    },
    FreeSpace,
    Purge {
        amount: u64,
        urgency: u64,
    },
    Contents {
        path: String,
    },
    CreateDirectory {
        path: String,
    },
    Move {
        pairs: Vec<(String, String)>,
        percent: f64,
    },
    Remove {
        paths: Vec<String>,
        percent: f64,
    },
    Copy {
        from: String,
        to: String,
        percent: f64,
    },
    Disconnect,
    /// A DeviceLink message of another name; the name is cleaned.
    Unknown(String),
}

impl Message {
    /// Parses the payload of one frame.
    ///
    /// # Errors
    /// Words about what is wrong, for [`crate::Outcome::Protocol`].
    pub(crate) fn parse(payload: &[u8], limits: &plist_guard::Limits) -> Result<Self, String> {
        match plist_guard::check(payload, limits) {
            Ok(Kind::Binary) => {}
            Ok(Kind::Xml) => return Err("the phone sent an XML message".into()),
            Err(error) => return Err(error.to_string()),
        }
        let value = Value::from_reader(Cursor::new(payload)).map_err(|error| {
            format!("the phone sent a property list that cannot be read: {error}")
        })?;
        let Value::Array(items) = value else {
            return Err("the phone sent a message that is no list".into());
        };
        Self::from_items(items)
    }

    fn from_items(items: Vec<Value>) -> Result<Self, String> {
        let mut items = Items(items);
        let Some(Value::String(name)) = items.take(0) else {
            return Err("the phone sent a message without a name".into());
        };
        let wrong = || format!("the phone sent a malformed {}", sanitise(&name, 64));
        Ok(match name.as_str() {
            "DLMessageVersionExchange" => Self::VersionExchange {
                major: items.number(1).ok_or_else(wrong)?,
            },
            "DLMessageDeviceReady" => Self::DeviceReady,
            "DLMessageProcessMessage" => match items.take(1) {
                Some(Value::Dictionary(dictionary)) => Self::Process(dictionary),
                _ => return Err(wrong()),
            },
            "DLMessageDownloadFiles" => Self::Download {
                paths: items.texts(1).ok_or_else(wrong)?,
                percent: items.percent(3),
            },
            "DLMessageUploadFiles" => Self::Upload {
                percent: items.percent(2),
                bytes: items.number(3).unwrap_or(0),
            },
            "DLMessageGetFreeDiskSpace" => Self::FreeSpace,
            "DLMessagePurgeDiskSpace" => Self::Purge {
                amount: items.number(1).ok_or_else(wrong)?,
                urgency: items.number(2).unwrap_or(0),
            },
            "DLContentsOfDirectory" => Self::Contents {
                path: items.text(1).ok_or_else(wrong)?,
            },
            "DLMessageCreateDirectory" => Self::CreateDirectory {
                path: items.text(1).ok_or_else(wrong)?,
            },
            "DLMessageMoveFiles" | "DLMessageMoveItems" => Self::Move {
                pairs: items.pairs(1).ok_or_else(wrong)?,
                percent: items.percent(3),
            },
            "DLMessageRemoveFiles" | "DLMessageRemoveItems" => Self::Remove {
                paths: items.texts(1).ok_or_else(wrong)?,
                percent: items.percent(3),
            },
            "DLMessageCopyItem" => Self::Copy {
                from: items.text(1).ok_or_else(wrong)?,
                to: items.text(2).ok_or_else(wrong)?,
                percent: items.percent(3),
            },
            "DLMessageDisconnect" => Self::Disconnect,
            other if other.starts_with("DL") => Self::Unknown(sanitise(other, 64)),
            _ => return Err("the phone sent something that is no DeviceLink message".into()),
        })
    }
}

/// The elements of a message, each taken at most once.
struct Items(Vec<Value>);

impl Items {
    fn take(&mut self, index: usize) -> Option<Value> {
        self.0
            .get_mut(index)
            .map(|item| std::mem::replace(item, Value::Boolean(false)))
    }

    fn number(&self, index: usize) -> Option<u64> {
        self.0.get(index).and_then(Value::as_unsigned_integer)
    }

    /// A REAL, or an integer on old phones; absent says nothing.
    fn percent(&self, index: usize) -> f64 {
        self.0.get(index).and_then(Value::as_real).unwrap_or(0.0)
    }

    fn text(&mut self, index: usize) -> Option<String> {
        self.take(index).and_then(Value::into_string)
    }

    fn texts(&mut self, index: usize) -> Option<Vec<String>> {
        self.take(index)
            .and_then(Value::into_array)?
            .into_iter()
            .map(Value::into_string)
            .collect()
    }

    fn pairs(&mut self, index: usize) -> Option<Vec<(String, String)>> {
        let dictionary = self.take(index).and_then(Value::into_dictionary)?;
        dictionary
            .into_iter()
            .map(|(from, to)| to.into_string().map(|to| (from, to)))
            .collect()
    }
}

/// Makes a status response.
pub(crate) fn status(code: i64, text: &str, value: Value) -> Value {
    Value::Array(vec![
        "DLMessageStatusResponse".into(),
        code.into(),
        text.into(),
        value,
    ])
}

/// Makes a status response that says yes.
pub(crate) fn status_ok(value: Value) -> Value {
    status(0, EMPTY, value)
}

/// Makes a status response that says what failed.
pub(crate) fn status_error(error: &VaultError) -> Value {
    status(error.kind.code(), error.kind.words(), EMPTY.into())
}

/// Says yes with an empty dictionary, as after moves, removes and uploads.
pub(crate) fn nothing() -> Value {
    Value::Dictionary(Dictionary::new())
}

/// Makes the value of a directory listing.
pub(crate) fn listing(entries: Vec<Entry>) -> Value {
    entries
        .into_iter()
        .map(|entry| {
            let kind = match entry.kind {
                EntryKind::Directory => "DLFileTypeDirectory",
                EntryKind::Regular => "DLFileTypeRegular",
                EntryKind::Unknown => "DLFileTypeUnknown",
            };
            let facts: Dictionary = [
                ("DLFileType".to_owned(), Value::from(kind)),
                ("DLFileSize".to_owned(), Value::from(entry.size)),
                (
                    "DLFileModificationDate".to_owned(),
                    Value::Date(date(entry.modified)),
                ),
            ]
            .into_iter()
            .collect();
            (entry.name, Value::Dictionary(facts))
        })
        .collect::<Dictionary>()
        .into()
}

/// Keeps a date inside what every reader can write down: 1970 to 2100.
fn date(time: SystemTime) -> plist::Date {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    time.clamp(SystemTime::UNIX_EPOCH, latest).into()
}

/// Makes one line of a multi-status.
pub(crate) fn file_error(error: &VaultError) -> Value {
    let facts: Dictionary = [
        (
            "DLFileErrorString".to_owned(),
            Value::from(error.kind.words()),
        ),
        ("DLFileErrorCode".to_owned(), Value::from(error.kind.code())),
    ]
    .into_iter()
    .collect();
    facts.into()
}

/// Makes a message to the backup service itself.
pub(crate) fn process(facts: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let facts: Dictionary = facts
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Value::Array(vec!["DLMessageProcessMessage".into(), facts.into()])
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
