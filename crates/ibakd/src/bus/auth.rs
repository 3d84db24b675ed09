//! Who may do what: root and the daemon's own user always, everybody else as polkit says.
//!
//! No polkit means no: a machine without it is root-only.

use ibak_dbus::Error;
use ibak_dbus::views::CheckView;
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Remedy};
use std::collections::HashMap;
use std::time::Duration;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::UniqueName;
use zbus::wire::Variant;
use zbus::{Connection, proxy};

/// How long polkit may take to answer, a person's typing of a password included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(240);
/// polkit's flag that lets it ask a person.
const ALLOW_USER_INTERACTION: u32 = 1;

/// A kind of deed, and a polkit action each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin, queue or cancel a backup.
    Backup,
    /// Pair, unpair, pause, resume, switch automatic backup or iCloud Backup, reload; pin, bound,
    /// retire, adopt, replace, move.
    Manage,
    /// Set, change or remove the password of a phone's backups.
    SetEncryption,
    /// Give a backup back to a phone.
    Restore,
    /// Remove a backup, or forget a phone with all of them.
    RemoveBackup,
    /// Read what is in a backup, or on a phone; prove a password.
    ReadBackup,
}

impl Action {
    /// Returns what it takes to end a job of this kind: what it took to begin it.
    pub fn of_job(kind: &str) -> Self {
        match kind {
            "backup" | "verify" => Self::Backup,
            "restore" => Self::Restore,
            "encryption" => Self::SetEncryption,
            "check-password" | "read" | "purchases" => Self::ReadBackup,
            _ => Self::Manage,
        }
    }

    /// Returns the polkit action's id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Backup => "org.ibak.Ibak1.backup",
            Self::Manage => "org.ibak.Ibak1.manage",
            Self::SetEncryption => "org.ibak.Ibak1.set-encryption",
            Self::Restore => "org.ibak.Ibak1.restore",
            Self::RemoveBackup => "org.ibak.Ibak1.remove-backup",
            Self::ReadBackup => "org.ibak.Ibak1.read-backup",
        }
    }
}

#[proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<(bool, bool, HashMap<String, String>)>;
}

/// Says whether polkit is there to be asked, running or started on demand.
pub async fn check_polkit(connection: &Connection) -> CheckView {
    const NAME: &str = "org.freedesktop.PolicyKit1";
    let there = async {
        let bus = DBusProxy::new(connection).await?;
        let activatable = bus.list_activatable_names().await?;
        let running = bus.list_names().await?;
        let found = activatable
            .iter()
            .chain(&running)
            .any(|name| name.as_str() == NAME);
        Ok::<_, zbus::Error>(found)
    };
    match there.await {
        Ok(true) => CheckView::new(CheckId::Polkit, CheckStatus::Ok, CheckDetail::Fine),
        Ok(false) => CheckView {
            remedy: Some(Remedy::InstallPolkit),
            ..CheckView::new(CheckId::Polkit, CheckStatus::Warn, CheckDetail::Absent)
        },
        Err(_) => CheckView::new(CheckId::Polkit, CheckStatus::Unknown, CheckDetail::Absent),
    }
}

/// Checks that the sender of `header` may do `action`.
///
/// # Errors
/// [`Error::NotAuthorized`] when not, or when nobody can say; [`Error::InteractionRequired`] when a
/// person would have to be asked and the caller forbade that.
pub async fn authorize(
    connection: &Connection,
    header: &Header<'_>,
    action: Action,
    no_user_interaction: bool,
) -> Result<(), Error> {
    let (sender, uid) = asker(connection, header).await?;
    if is_always_authorized(uid) {
        return Ok(());
    }
    let interactive = !no_user_interaction
        && header
            .primary()
            .flags()
            .contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let subject = (
        "system-bus-name",
        HashMap::from([("name", Variant::from(sender.as_str()))]),
    );
    let flags = if interactive {
        ALLOW_USER_INTERACTION
    } else {
        0
    };
    let authority = AuthorityProxy::new(connection).await?;
    let question = authority.check_authorization(&subject, action.id(), HashMap::new(), flags, "");
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, question)
        .await
        .map_err(|_| Error::NotAuthorized("polkit did not answer".into()))?
        .map_err(|error| {
            Error::NotAuthorized(format!(
                "polkit cannot be asked, so only root may do this: {error}"
            ))
        })?;
    match answer {
        (true, _, _) => Ok(()),
        (false, true, _) if !interactive => Err(Error::InteractionRequired(format!(
            "{} needs a person's consent",
            action.id()
        ))),
        (false, _, _) => Err(Error::NotAuthorized(format!(
            "polkit does not allow {}",
            action.id()
        ))),
    }
}

/// Checks that the sender of `header` is `owner` (a login name or a number), root or the daemon's
/// own user. Nobody else is asked.
///
/// # Errors
/// [`Error::NotAuthorized`] when it is somebody else, or when nobody can say.
pub async fn authorize_owner(
    connection: &Connection,
    header: &Header<'_>,
    owner: &str,
) -> Result<(), Error> {
    let (_, uid) = asker(connection, header).await?;
    if is_always_authorized(uid) || super::owner::is(connection, uid, owner).await {
        return Ok(());
    }
    Err(Error::NotAuthorized(
        "this phone's nights are for its owner and root".into(),
    ))
}

/// Returns the caller's name on the bus and its user.
async fn asker<'h>(
    connection: &Connection,
    header: &'h Header<'_>,
) -> Result<(&'h UniqueName<'h>, u32), Error> {
    let sender = header
        .sender()
        .ok_or_else(|| Error::NotAuthorized("the caller has no name on the bus".into()))?;
    let bus = DBusProxy::new(connection).await?;
    let uid = bus
        .get_connection_unix_user(sender.into())
        .await
        .map_err(|error| {
            Error::NotAuthorized(format!("the bus does not say who is asking: {error}"))
        })?;
    Ok((sender, uid))
}

fn is_always_authorized(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_off_with_the_right_it_took_to_begin_it() {
        use ibak_core::{Errand, JobKind};
        let errand = |errand| JobKind::Errand(errand);
        for (kind, action) in [
            (JobKind::Backup, Action::Backup),
            (JobKind::Pair, Action::Manage),
            (errand(Errand::EncryptionOn), Action::SetEncryption),
            (errand(Errand::EncryptionOff), Action::SetEncryption),
            (errand(Errand::ChangePassword), Action::SetEncryption),
            (errand(Errand::CheckPassword), Action::ReadBackup),
            (errand(Errand::Restore), Action::Restore),
            (errand(Errand::Read), Action::ReadBackup),
            (errand(Errand::Purchases), Action::ReadBackup),
            (errand(Errand::ICloud), Action::Manage),
            (errand(Errand::Verify), Action::Backup),
            (errand(Errand::Adopt), Action::Manage),
            (JobKind::MoveStore, Action::Manage),
        ] {
            assert_eq!(Action::of_job(kind.word()), action, "{kind:?}");
        }
    }
}
