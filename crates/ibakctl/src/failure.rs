//! What went wrong, for a person and for a script.

use ibak_dbus::MirrorError;
use std::process::ExitCode;

/// The exit codes; scripts treat an unknown one as failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: cannot start now: unreachable, no space, busy.
    CannotStart,
    /// 4: no such phone or backup.
    NoSuch,
    /// 5: not authorised.
    NotAuthorized,
    /// 6: the daemon is not running.
    NoDaemon,
    /// 7: the passcode was not given.
    NotConfirmed,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// Returns the number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::CannotStart => 3,
            Self::NoSuch => 4,
            Self::NotAuthorized => 5,
            Self::NoDaemon => 6,
            Self::NotConfirmed => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that did not do what was asked: what, why, and one thing to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What did not work; lower case, no final dot.
    pub message: String,
    /// Why, from the near to the far.
    pub causes: Vec<String>,
    /// One thing to do.
    pub hint: Option<String>,
}

impl Failure {
    /// Makes a failure without causes or hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes the failure of a call that was to do `what` ("start the backup").
    pub fn of_call(what: &str, error: ibak_dbus::Error) -> Self {
        use ibak_dbus::Error;
        let message = format!("cannot {what}");
        let exit = match &error {
            Error::Bus(error) => return Self::of_bus(&message, error),
            Error::NotAuthorized(_) | Error::InteractionRequired(_) => Exit::NotAuthorized,
            Error::Busy(_)
            | Error::NotConnected(_)
            | Error::NotTrusted(_)
            | Error::ConditionsNotMet(_)
            | Error::NoSpace(_) => Exit::CannotStart,
            Error::NoSuchBackup(_) => Exit::NoSuch,
            Error::Failed(_)
            | Error::Cancelled(_)
            | Error::WrongPassword(_)
            | Error::InvalidOption(_) => Exit::Failed,
        };
        let failure = Self::new(exit, message)
            .because(zbus::DBusError::description(&error).unwrap_or("no reason was given"));
        match hint_of(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Makes the failure of the bus itself.
    pub fn of_bus(message: &str, error: &zbus::Error) -> Self {
        use zbus::fdo;
        let zbus::Error::FDO(named) = error else {
            return Self::new(Exit::Failed, message).because(error.to_string());
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the bus's own errors: every other one is a plain failure"
        )]
        match named.as_ref() {
            fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::NoReply(_)
            | fdo::Error::Disconnected(_) => Self::no_daemon(),
            fdo::Error::AccessDenied(text) | fdo::Error::AuthFailed(text) => {
                Self::new(Exit::NotAuthorized, message)
                    .because(text.clone())
                    .hint(AUTHORITY_HINT)
            }
            fdo::Error::UnknownObject(text) => {
                Self::new(Exit::NoSuch, message).because(text.clone())
            }
            fdo::Error::UnknownMethod(text) | fdo::Error::UnknownInterface(text) => {
                Self::new(Exit::Failed, message)
                    .because(text.clone())
                    .hint("the daemon may be older than this ibakctl: restart it")
            }
            other => Self::new(Exit::Failed, message).because(other.to_string()),
        }
    }

    /// Makes the failure of a daemon that is not there.
    pub fn no_daemon() -> Self {
        Self::new(Exit::NoDaemon, "the ibak daemon is not running")
            .hint("`systemctl start ibakd` starts it; `ibakctl doctor` shows what is missing")
    }

    /// Makes the failure of a mirror.
    pub fn of_mirror(error: &MirrorError) -> Self {
        match error {
            MirrorError::NoDaemon => Self::no_daemon(),
            MirrorError::BusClosed => Self::new(Exit::NoDaemon, "the bus closed the connection"),
            MirrorError::Mute => Self::new(Exit::NoDaemon, error.to_string())
                .hint("`systemctl restart ibakd` starts it anew; no backup is lost by that"),
            MirrorError::Flooded => Self::new(Exit::Failed, error.to_string()),
            MirrorError::Bus(cause) => Self::of_bus("cannot ask the daemon", cause),
        }
    }
}

const AUTHORITY_HINT: &str = "run it with `sudo`, or have yourself added to the group ibak";

fn hint_of(error: &ibak_dbus::Error) -> Option<&'static str> {
    use ibak_dbus::Error;
    match error {
        Error::NotAuthorized(_) | Error::InteractionRequired(_) => Some(AUTHORITY_HINT),
        Error::Busy(_) => Some("`ibakctl watch` shows what runs, `ibakctl cancel` ends it"),
        Error::NotConnected(_) => {
            Some("plug the phone in, or bring it to the network and unlock it once")
        }
        Error::NotTrusted(_) => Some("plug the phone in, unlock it, and run `ibakctl pair`"),
        Error::NoSpace(_) => Some("make room on the store's disk, or raise the quota"),
        Error::ConditionsNotMet(_) => Some("`ibakctl doctor` shows what is missing"),
        Error::InvalidOption(_) => Some("the daemon may be older than this ibakctl: restart it"),
        Error::Bus(_)
        | Error::Failed(_)
        | Error::Cancelled(_)
        | Error::NoSuchBackup(_)
        | Error::WrongPassword(_) => None,
    }
}
