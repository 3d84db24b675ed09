//! How the host behaves, and what it saw.

use std::collections::HashMap;
use std::time::Duration;

use ibak_sim::backup::{BackupEnd, BackupError};
use plist::{Dictionary, Value};

use super::is_own;

/// What the host does wrong, and what it has.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Bytes of data in a frame to the phone.
    pub frame_bytes: usize,
    /// What GetFreeDiskSpace answers, one after the other; the last for ever.
    pub free_bytes: Vec<u64>,
    /// What PurgeDiskSpace answers.
    pub purge: Result<u64, i64>,
    /// Answers the n-th message of a name with a code and does nothing.
    pub refuse: HashMap<(&'static str, usize), i64>,
    /// Waits before the first reply.
    pub hold: Duration,
    /// Gives another file than asked: path end and content.
    pub forge: Option<(&'static str, Vec<u8>)>,
    /// Sends negative codes as unsigned numbers.
    pub unsigned_codes: bool,
    /// The version the host names; `None` repeats the phone's.
    pub version: Option<i64>,
    /// Keeps only so many bytes of each of the phone's files.
    pub keep_bytes: usize,
    /// What the request carries beside its options.
    pub beside: Vec<(&'static str, String)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            frame_bytes: 32 << 10,
            free_bytes: vec![1 << 40],
            purge: Err(-1),
            refuse: HashMap::new(),
            hold: Duration::ZERO,
            forge: None,
            unsigned_codes: false,
            version: None,
            keep_bytes: usize::MAX,
            beside: Vec::new(),
        }
    }
}

/// One message from the phone and its size on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub message: Vec<Value>,
    pub wire_bytes: usize,
    /// What was in Status.plist when the message came.
    pub state: Option<String>,
}

impl Seen {
    pub fn name(&self) -> &str {
        self.message[0].as_string().unwrap()
    }
}

/// A file as it came over the wire.
#[derive(Clone, Debug)]
pub struct Received {
    pub device_path: String,
    pub host_path: String,
    pub largest_block: usize,
    /// 0, 0x06 or 0x0b.
    pub code: u8,
    pub batch: usize,
}

/// What a session came to.
pub struct Session {
    /// The final response, if there was one.
    pub response: Option<Dictionary>,
    pub seen: Vec<Seen>,
    pub received: Vec<Received>,
    /// What the phone says of it.
    pub phone: Result<BackupEnd, BackupError>,
}

impl Session {
    pub fn code(&self) -> i64 {
        self.response.as_ref().expect("no final response")["ErrorCode"]
            .as_signed_integer()
            .unwrap()
    }

    pub fn description(&self) -> &str {
        self.response
            .as_ref()
            .unwrap()
            .get("ErrorDescription")
            .and_then(Value::as_string)
            .unwrap_or("")
    }

    pub fn names(&self) -> Vec<&str> {
        self.seen.iter().map(Seen::name).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.seen.iter().filter(|seen| seen.name() == name).count()
    }

    pub fn end(&self) -> &BackupEnd {
        self.phone.as_ref().unwrap()
    }

    /// Files of the phone's content that came whole.
    pub fn files(&self) -> usize {
        self.received
            .iter()
            .filter(|file| file.code == 0 && !is_own(&file.host_path))
            .count()
    }
}
