//! What a phone can be asked for.

use crate::encode::Node;
use ibak_core::{Secret, Udid};
use std::fmt;

/// One deed, for one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose folder every path names, in canonical spelling: the phone's own, or for a restore that
    /// of the phone the backup is from.
    pub udid: Udid,
    /// The same as that phone spells it, for `SourceIdentifier`.
    pub folder: String,
    /// The connected phone's identifier as it spells it itself, for `TargetIdentifier`.
    pub target: String,
    /// What it is to do.
    pub deed: Deed,
}

/// What a phone is asked to do (phone.md §5).
#[derive(Clone, PartialEq, Eq)]
pub enum Deed {
    /// To back itself up.
    Backup {
        /// Whether to send everything again (`ForceFullBackup`).
        full: bool,
    },
    /// To take a backup's content over its own.
    Restore(RestoreOptions),
    /// To set, change or remove the password of its backups; it works on the backup's manifest.
    ChangePassword {
        /// The password so far; `None` when there is none.
        old: Option<Secret>,
        /// The password from then on; `None` for no encryption.
        new: Option<Secret>,
    },
    /// To turn its own iCloud Backup on or off; it touches no files ([`crate::NoVault`]).
    EnableCloudBackup {
        /// The wish (`CloudBackupState`).
        on: bool,
    },
}

/// What a restore includes, and how it ends.
#[derive(Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether system files are restored too (`RestoreSystemFiles`).
    pub system_files: bool,
    /// Whether the phone restarts by itself (`RestoreShouldReboot`).
    pub reboot: bool,
    /// Whether the phone has the backup copied first (the opposite of `RestoreDontCopyBackup`).
    pub copy: bool,
    /// Whether the phone's present settings win (`RestorePreserveSettings`).
    pub preserve_settings: bool,
    /// Whether what the backup does not have is removed (`RemoveItemsNotRestored`).
    pub remove_others: bool,
    /// The backup's password; `None` for a plain one.
    pub password: Option<Secret>,
}

/// While what a passcode prompt on the phone is taken for this session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompts {
    /// While nothing has been asked for yet: a person uses the phone during a backup, too.
    BeforeWork,
    /// At any time: these are short, and when they prompt is up to the phone.
    Always,
}

impl Deed {
    /// Returns the `MessageName` that asks for it.
    pub const fn message_name(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "Backup",
            Self::Restore(_) => "Restore",
            Self::ChangePassword { .. } => "ChangePassword",
            Self::EnableCloudBackup { .. } => "EnableCloudBackup",
        }
    }

    pub(crate) const fn prompts(&self) -> Prompts {
        match self {
            Self::Backup { .. } | Self::Restore(_) => Prompts::BeforeWork,
            Self::ChangePassword { .. } | Self::EnableCloudBackup { .. } => Prompts::Always,
        }
    }

    /// Forgets the passwords, which are not needed once they are sent.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::Restore(options) => options.password = None,
            Self::ChangePassword { old, new } => (*old, *new) = (None, None),
            Self::Backup { .. } | Self::EnableCloudBackup { .. } => {}
        }
    }
}

impl Request {
    /// Makes the message that asks for it; an absent option or password has no key (corpus
    /// messages/04, and what the published clients send).
    pub(crate) fn message(&self) -> Node<'_> {
        let mut facts = vec![
            ("MessageName", Node::Text(self.deed.message_name())),
            ("TargetIdentifier", Node::Text(&self.target)),
        ];
        let source = ("SourceIdentifier", Node::Text(&self.folder));
        match &self.deed {
            Deed::Backup { full } => {
                facts.push(source);
                if *full {
                    let options = vec![("ForceFullBackup", Node::Bool(true))];
                    facts.push(("Options", Node::Dictionary(options)));
                }
            }
            Deed::Restore(options) => {
                facts.push(source);
                facts.push(("Options", options.message()));
            }
            Deed::ChangePassword { old, new } => {
                facts.extend(secret("OldPassword", old.as_ref()));
                facts.extend(secret("NewPassword", new.as_ref()));
            }
            Deed::EnableCloudBackup { on } => {
                facts.push(source);
                let options = vec![("CloudBackupState", Node::Bool(*on))];
                facts.push(("Options", Node::Dictionary(options)));
            }
        }
        Node::Array(vec![
            Node::Text("DLMessageProcessMessage"),
            Node::Dictionary(facts),
        ])
    }
}

impl RestoreOptions {
    fn message(&self) -> Node<'_> {
        let mut options = vec![
            ("RestoreSystemFiles", Node::Bool(self.system_files)),
            ("RestoreShouldReboot", Node::Bool(self.reboot)),
            ("RestoreDontCopyBackup", Node::Bool(!self.copy)),
            (
                "RestorePreserveSettings",
                Node::Bool(self.preserve_settings),
            ),
            ("RemoveItemsNotRestored", Node::Bool(self.remove_others)),
        ];
        options.extend(secret("Password", self.password.as_ref()));
        Node::Dictionary(options)
    }
}

fn secret<'a>(key: &'a str, secret: Option<&'a Secret>) -> Option<(&'a str, Node<'a>)> {
    secret.map(|secret| (key, Node::Text(secret.expose())))
}

/// Says that there is a secret, and nothing about it.
struct Veil<'a>(&'a Option<Secret>);

impl fmt::Debug for Veil<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "given" } else { "none" })
    }
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup { full } => f.debug_struct("Backup").field("full", full).finish(),
            Self::Restore(options) => f.debug_tuple("Restore").field(options).finish(),
            Self::ChangePassword { old, new } => f
                .debug_struct("ChangePassword")
                .field("old", &Veil(old))
                .field("new", &Veil(new))
                .finish(),
            Self::EnableCloudBackup { on } => {
                f.debug_struct("EnableCloudBackup").field("on", on).finish()
            }
        }
    }
}

impl fmt::Debug for RestoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreOptions")
            .field("system_files", &self.system_files)
            .field("reboot", &self.reboot)
            .field("copy", &self.copy)
            .field("preserve_settings", &self.preserve_settings)
            .field("remove_others", &self.remove_others)
            .field("password", &Veil(&self.password))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Deed, RestoreOptions, Secret};

    #[test]
    fn a_deed_forgets_its_passwords() {
        let some = || Some(Secret::new("x".into()));
        let restore = |password| {
            Deed::Restore(RestoreOptions {
                system_files: true,
                reboot: true,
                copy: true,
                preserve_settings: true,
                remove_others: true,
                password,
            })
        };
        let change = |old, new| Deed::ChangePassword { old, new };
        for (mut deed, want) in [
            (restore(some()), restore(None)),
            (change(some(), some()), change(None, None)),
        ] {
            deed.forget();
            assert_eq!(deed, want);
        }
    }
}
