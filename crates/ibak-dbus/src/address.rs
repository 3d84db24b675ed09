//! Which bus to speak on.

use std::str::FromStr;
use std::time::Duration;
use zbus::Connection;
use zbus::connection::Builder;

/// Is the environment variable that chooses the bus: `system` (the default), `session` or an address.
pub const BUS_VARIABLE: &str = "IBAK_BUS";

/// Is how long a method may take; long, because polkit may be asking a person for a password.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// The bus to speak on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BusChoice {
    /// The system bus.
    #[default]
    System,
    /// The caller's session bus.
    Session,
    /// A bus at this D-Bus address, for tests and the demo.
    Address(String),
}

impl BusChoice {
    /// Reads the value of [`BUS_VARIABLE`]; absent or empty is the system bus.
    pub fn parse(value: Option<&str>) -> Self {
        match value {
            None | Some("" | "system") => Self::System,
            Some("session") => Self::Session,
            Some(address) => Self::Address(address.to_owned()),
        }
    }

    /// Begins a connection to this bus, with [`CALL_TIMEOUT`] set.
    pub fn builder(&self) -> Builder<'static> {
        let builder = match self {
            Self::System => Builder::system(),
            Self::Session => Builder::session(),
            Self::Address(address) => Builder::address(address.as_str()),
        };
        builder.method_timeout(CALL_TIMEOUT)
    }

    /// Connects as a client.
    ///
    /// # Errors
    /// Whatever connecting or the handshake says; a wrong address too.
    pub async fn connect(&self) -> zbus::Result<Connection> {
        self.builder().build().await
    }
}

impl FromStr for BusChoice {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::parse(Some(text)))
    }
}

impl std::fmt::Display for BusChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Session => f.write_str("session"),
            Self::Address(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_reads_as_documented() {
        let cases = [
            (None, BusChoice::System),
            (Some(""), BusChoice::System),
            (Some("system"), BusChoice::System),
            (Some("session"), BusChoice::Session),
            (
                Some("unix:path=/run/x"),
                BusChoice::Address("unix:path=/run/x".into()),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(BusChoice::parse(text), want, "{text:?}");
        }
    }
}
