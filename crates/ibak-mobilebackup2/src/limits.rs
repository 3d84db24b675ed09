//! Every bound of a session, with its name.

use std::time::Duration;

/// How much a session takes before it ends (security.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest ordinary message, in bytes.
    pub message_bytes_max: usize,
    /// Longest message of a kind that lists many paths, in bytes.
    pub large_message_bytes_max: usize,
    /// Longest name the phone may send in a batch, in bytes.
    pub name_bytes_max: usize,
    /// Longest error text the phone may send after a file, in bytes.
    pub error_text_bytes_max: usize,
    /// Most files in one session, counting those that ended in an error.
    pub files_max: u64,
    /// Most bytes of file content in one session, counting those thrown away.
    pub bytes_max: u64,
    /// Most messages in one session.
    pub messages_max: u64,
    /// How many buffers of [`Limits::BUFFER_BYTES`] lie between the phone and the vault, at least 3.
    pub buffers: usize,
    /// How long the phone may be silent.
    pub timeouts: Timeouts,
}

impl Limits {
    /// Size of one buffer, and the largest slice given to [`crate::Vault::write`], in bytes.
    pub const BUFFER_BYTES: usize = 256 * 1024;
    /// Largest frame of a file sent to the phone, with its header, in bytes; much larger ones get
    /// the phone's backup agent killed (pymobiledevice3 1857).
    pub const FRAME_BYTES_MAX: usize = 32 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            large_message_bytes_max: 64 << 20,
            name_bytes_max: 1024,
            error_text_bytes_max: 64 * 1024,
            files_max: 5_000_000,
            bytes_max: 4 << 40,
            messages_max: 16_000_000,
            buffers: 16,
            timeouts: Timeouts::default(),
        }
    }
}

/// How long a silence may last before the session is given up, by where it happens.
///
/// Legitimate silences of 62 s before the first message, of 15 min while a large phone compares
/// and of hours while it verifies were seen (corpus `timings.md`); hence these are long. Inside a
/// file nothing legitimate is silent for minutes, and a phone that fell asleep says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For each message before the deed is requested.
    pub handshake: Duration,
    /// From the request, or from an answered passcode prompt, to the phone's first message.
    pub first_message: Duration,
    /// From the passcode prompt to its end; iOS gives up after 30 min at most.
    pub passcode: Duration,
    /// Between messages, before and during the transfer, either way.
    pub between_messages: Duration,
    /// Between messages once the phone verifies.
    pub verifying: Duration,
    /// Inside a message or a batch of files.
    pub transfer: Duration,
    /// For the phone to take bytes that are written to it.
    pub write: Duration,
    /// For the whole farewell after the outcome is known.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            handshake: minutes(1),
            first_message: minutes(30),
            passcode: minutes(35),
            between_messages: minutes(30),
            verifying: minutes(6 * 60),
            transfer: minutes(5),
            write: minutes(5),
            farewell: Duration::from_secs(2),
        }
    }
}
