//! How long each kind of step may take.

use std::time::Duration;

/// The deadlines of a conversation. None of them bounds the backup itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection to be taken.
    pub connect: Duration,
    /// For the answer to one request.
    pub request: Duration,
    /// For a TLS handshake.
    pub tls: Duration,
    /// For everything Info.plist needs from the phone: apps, icons, files.
    pub inputs: Duration,
    /// For saying good-bye; it is cut short rather than waited for.
    pub goodbye: Duration,
    /// Between two tries for the sync lock (phone.md §4).
    pub sync_lock_pause: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(15),
            tls: Duration::from_secs(15),
            inputs: Duration::from_secs(120),
            goodbye: Duration::from_secs(5),
            sync_lock_pause: Duration::from_millis(200),
        }
    }
}
