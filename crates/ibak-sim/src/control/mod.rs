//! The control socket: one JSON line in, one JSON line out, for each connection as many as it
//! likes.

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{ControlError, ask};
pub(crate) use server::listen;

/// What the control socket is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Changes how a phone stands.
    Set {
        /// The phone.
        udid: String,
        /// Settings, each `KEY=VALUE`.
        settings: Vec<String>,
    },
    /// Changes a phone's data.
    Change {
        /// The phone.
        udid: String,
        /// Files to touch.
        touch: u64,
        /// Files to add.
        add: u64,
        /// Files to delete.
        delete: u64,
    },
    /// The person cancels on the phone.
    Cancel {
        /// The phone.
        udid: String,
    },
    /// The person looks at the screen and leaves it locked.
    Glance {
        /// The phone.
        udid: String,
    },
    /// Starts a phone again.
    Reboot {
        /// The phone.
        udid: String,
    },
    /// Makes usbmuxd mute, answer, end or begin again.
    Mux {
        /// `mute`, `normal`, `restart`, `stop` or `start`.
        verb: String,
    },
    /// Says how everything stands.
    Status {},
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done {},
    /// How everything stands.
    Status {
        /// As JSON.
        json: serde_json::Value,
        /// For people.
        text: String,
    },
    /// It was not done.
    Error {
        /// Why, and what to do.
        message: String,
    },
}
