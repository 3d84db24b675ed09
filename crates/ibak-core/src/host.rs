//! How this computer itself is, as far as backups depend on it.

/// The network this computer is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostNetwork {
    /// Backups may run over it.
    #[default]
    Fit,
    /// It is none of those on which backups may run.
    Foreign,
    /// Its owner pays by the byte.
    Metered,
}

/// This computer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Whether it has a battery of its own.
    pub portable: bool,
    /// Whether it is on mains power; `None` while nobody can say.
    pub on_mains: Option<bool>,
    /// Its network.
    pub network: HostNetwork,
}

impl Host {
    /// Tells whether it runs from its own battery now.
    pub fn is_on_battery(self) -> bool {
        self.portable && self.on_mains == Some(false)
    }
}
