//! The named errors: returned by the server, parsed by the client.

use ibak_core::Retry;
use zbus::DBusError;

/// What a method of ours can answer instead of a result.
///
/// The text is one plain English line without a final dot, for logs and for clients that know no
/// better; a client decides by the name. An error with a name of somebody else (the bus, systemd)
/// stays the `zbus::Error` it was.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.ibak.Ibak1.Error")]
pub enum Error {
    /// Not an answer of ours: the bus, the connection or an unknown name.
    #[zbus(error)]
    Bus(zbus::Error),
    /// It was tried and did not work; the text says why.
    Failed(String),
    /// polkit, or the bus policy, says no.
    NotAuthorized(String),
    /// It would need a question to a person, and `auth.no_user_interaction` forbade that.
    InteractionRequired(String),
    /// This phone already has a job, or another change is under way.
    Busy(String),
    /// The phone cannot be reached at the moment.
    NotConnected(String),
    /// The phone does not trust this computer.
    NotTrusted(String),
    /// A condition that cannot be waived is unmet.
    ConditionsNotMet(String),
    /// The store has too little room, or the quota is used up.
    NoSpace(String),
    /// A person, here or at the phone, called it off.
    Cancelled(String),
    /// No backup has this id.
    NoSuchBackup(String),
    /// The backup password is wrong.
    WrongPassword(String),
    /// An option key is unknown, or its value has the wrong type; the text names the key.
    InvalidOption(String),
}

impl Error {
    /// Says whether asking again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Bus(_) | Self::Busy(_) | Self::NotConnected(_) | Self::ConditionsNotMet(_) => {
                Retry::Later
            }
            Self::Failed(_)
            | Self::Cancelled(_)
            | Self::NoSuchBackup(_)
            | Self::InvalidOption(_) => Retry::Never,
            Self::NotAuthorized(_)
            | Self::InteractionRequired(_)
            | Self::NotTrusted(_)
            | Self::NoSpace(_)
            | Self::WrongPassword(_) => Retry::UserMustAct,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    fn all() -> Vec<Error> {
        let text = || "the reason".to_owned();
        vec![
            Error::Failed(text()),
            Error::NotAuthorized(text()),
            Error::InteractionRequired(text()),
            Error::Busy(text()),
            Error::NotConnected(text()),
            Error::NotTrusted(text()),
            Error::ConditionsNotMet(text()),
            Error::NoSpace(text()),
            Error::Cancelled(text()),
            Error::NoSuchBackup(text()),
            Error::WrongPassword(text()),
            Error::InvalidOption(text()),
        ]
    }

    #[test]
    fn each_error_survives_the_wire() {
        let call = zbus::Message::method_call("/", "Backup")
            .sender(":1.1")
            .build(&())
            .unwrap();
        for error in all() {
            assert!(
                error.name().as_str().starts_with(names::ERROR_PREFIX),
                "{error}"
            );
            let reply = error.create_reply(&call.header()).unwrap();
            let read = Error::from(zbus::Error::from(reply));
            assert_eq!(read.name(), error.name());
            assert_eq!(read.description(), Some("the reason"));
            assert_eq!(read.retry(), error.retry());
        }
    }

    #[test]
    fn names_are_the_contracts() {
        let names: Vec<String> = all().iter().map(|error| error.name().to_string()).collect();
        insta::assert_debug_snapshot!(names);
    }

    #[test]
    fn an_unknown_name_stays_a_bus_error() {
        let call = zbus::Message::method_call("/", "Backup")
            .sender(":1.1")
            .build(&())
            .unwrap();
        let reply = zbus::Message::error(&call.header(), "org.ibak.Ibak1.Error.FromTheFuture")
            .build(&("x",))
            .unwrap();
        assert!(matches!(
            Error::from(zbus::Error::from(reply)),
            Error::Bus(_)
        ));
    }
}
