//! Where usbmuxd listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a usbmuxd or of something that speaks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
}

/// Says why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxAddressError {
    /// Neither `UNIX:/path`, `/path` nor `host:port`.
    #[error("`{0}` is not an address of usbmuxd: write UNIX:/path, /path or address:port")]
    Form(String),
    /// A path that is not absolute.
    #[error("the path `{0}` of usbmuxd's socket is not absolute")]
    NotAbsolute(String),
}

impl MuxAddress {
    /// The variable that other programs read the address from, too.
    pub const VARIABLE: &'static str = "USBMUXD_SOCKET_ADDRESS";
    /// Where usbmuxd listens unless told otherwise.
    pub const DEFAULT_PATH: &'static str = "/var/run/usbmuxd";

    /// Parses `UNIX:/path`, `/path` or `host:port`; `localhost` is the only name taken.
    ///
    /// # Errors
    /// A [`MuxAddressError`] for any other text, the empty one included.
    pub fn parse(text: &str) -> Result<Self, MuxAddressError> {
        if let Some(path) = text.strip_prefix("UNIX:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(MuxAddressError::NotAbsolute(path.to_owned()))
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        numeric
            .parse()
            .map(Self::Tcp)
            .map_err(|_| MuxAddressError::Form(text.to_owned()))
    }

    /// Takes the address from the value of [`Self::VARIABLE`], or the default when it is unset.
    ///
    /// # Errors
    /// A [`MuxAddressError`] when the value is set and is no address.
    pub fn from_variable(value: Option<&str>) -> Result<Self, MuxAddressError> {
        value.map_or_else(|| Ok(Self::default()), Self::parse)
    }
}

impl Default for MuxAddress {
    fn default() -> Self {
        Self::Unix(Self::DEFAULT_PATH.into())
    }
}

impl fmt::Display for MuxAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "UNIX:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for MuxAddress {
    type Err = MuxAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let unix = |path: &str| Ok(MuxAddress::Unix(path.into()));
        let tcp = |text: &str| Ok(MuxAddress::Tcp(text.parse().unwrap()));
        let form = |text: &str| Err(MuxAddressError::Form(text.to_owned()));
        for (text, want) in [
            ("UNIX:/run/x", unix("/run/x")),
            ("/run/x", unix("/run/x")),
            ("/run/with:colon", unix("/run/with:colon")),
            ("127.0.0.1:27015", tcp("127.0.0.1:27015")),
            ("localhost:27015", tcp("127.0.0.1:27015")),
            ("[::1]:27015", tcp("[::1]:27015")),
            (
                "UNIX:run/x",
                Err(MuxAddressError::NotAbsolute("run/x".into())),
            ),
            ("UNIX:", Err(MuxAddressError::NotAbsolute(String::new()))),
            ("", form("")),
            ("run/x", form("run/x")),
            ("127.0.0.1", form("127.0.0.1")),
            ("127.0.0.1:99999", form("127.0.0.1:99999")),
            ("example.org:27015", form("example.org:27015")),
        ] {
            assert_eq!(MuxAddress::parse(text), want, "{text:?}");
            if let Ok(address) = want {
                assert_eq!(
                    MuxAddress::parse(&address.to_string()),
                    Ok(address),
                    "{text:?}"
                );
            }
        }
        assert_eq!(MuxAddress::from_variable(None), unix("/var/run/usbmuxd"));
    }
}
