//! What breaks a job off that can go on later.

use crate::Condition;

/// What broke off a job that could go on later from where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interruption {
    /// A condition was lost, and the policy's table says stop.
    Lost(Condition),
    /// The phone went away.
    ConnectionLost,
    /// This computer ran from its own battery for too long.
    HostPower,
    /// This computer came to a network that is not fit for backups.
    HostNetwork,
    /// The daemon was asked to end.
    Stopping,
}

impl Interruption {
    /// Lists every interruption.
    pub const ALL: [Self; 8] = [
        Self::Lost(Condition::Power),
        Self::Lost(Condition::Wifi),
        Self::Lost(Condition::Locked),
        Self::Lost(Condition::Space),
        Self::ConnectionLost,
        Self::HostPower,
        Self::HostNetwork,
        Self::Stopping,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost(Condition::Power) => "lost-power",
            Self::Lost(Condition::Wifi) => "lost-wifi",
            Self::Lost(Condition::Locked) => "lost-locked",
            Self::Lost(Condition::Space) => "lost-space",
            Self::ConnectionLost => "lost-connection",
            Self::HostPower => "lost-host-power",
            Self::HostNetwork => "lost-host-network",
            Self::Stopping => "daemon-stopped",
        }
    }
}
