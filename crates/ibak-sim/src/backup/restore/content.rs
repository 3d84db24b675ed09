//! What a restore has put onto the phone, by its hashes: content is not kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::{Content, FileId, FileKind};

/// What the host asked a restore to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// `RestoreSystemFiles`.
    pub system_files: bool,
    /// `RestoreShouldReboot`.
    pub reboot: bool,
    /// The opposite of `RestoreDontCopyBackup`.
    pub copy: bool,
    /// `RestorePreserveSettings`.
    pub preserve_settings: bool,
    /// `RemoveItemsNotRestored`.
    pub remove_others: bool,
}

/// One row that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredFile {
    /// Its name in the backup.
    pub id: FileId,
    /// The domain.
    pub domain: String,
    /// The path below the domain's root; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Bytes of a regular file; 0 for others.
    pub size: u64,
    /// SHA-1 of a regular file's content, decrypted.
    pub sha1: Option<[u8; 20]>,
    /// Where a symbolic link leads.
    pub target: Option<String>,
    /// `Mode` of the row, with the file type.
    pub mode: u32,
    /// `LastModified` of the row, in Unix seconds.
    pub modified: i64,
}

/// What a restore has put onto the phone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredContent {
    /// Every row, by domain and path.
    pub(super) files: BTreeMap<(String, String), RestoredFile>,
    /// The UDID of the phone the backup was made of.
    pub source: String,
    /// The iOS the backup was made with.
    pub ios: String,
    /// Whether the backup was encrypted.
    pub encrypted: bool,
    /// What the host asked for.
    pub options: RestoreOptions,
    /// The bundle identifiers in Info.plist's `Installed Applications`.
    pub apps: BTreeSet<String>,
    /// The bundle identifiers in `/iTunesRestore/RestoreApplications.plist`; `None` if the host
    /// left no such file, or one that is no dictionary.
    pub restore_applications: Option<BTreeSet<String>>,
    /// Regular files the phone had before, that the backup does not have and that stay.
    pub others_kept: u64,
}

impl RestoredContent {
    /// Returns every row, by domain and path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &RestoredFile> {
        self.files.values()
    }

    /// Finds a row.
    pub fn file(&self, domain: &str, path: &str) -> Option<&RestoredFile> {
        self.files.get(&(domain.to_owned(), path.to_owned()))
    }

    /// Returns the domains of the restored rows.
    pub fn domains(&self) -> BTreeSet<&str> {
        self.files
            .keys()
            .map(|(domain, _)| domain.as_str())
            .collect()
    }

    /// Compares it with a phone's data by kind, size and hash; returns a line for each difference.
    ///
    /// System domains are left out when the restore left them out, and what only encrypted backups
    /// hold when the backup was plain.
    pub fn differences(&self, content: &Content) -> Vec<String> {
        let tree = if self.encrypted {
            content.snapshot_with_secrets()
        } else {
            content.snapshot()
        };
        let mut found = Vec::new();
        let mut left: BTreeSet<&(String, String)> = self.files.keys().collect();
        for view in tree.files() {
            if !self.options.system_files && is_system(view.domain) {
                continue;
            }
            let key = (view.domain.to_owned(), view.path.to_owned());
            let Some(file) = self.files.get(&key) else {
                found.push(format!("{}/{} is not there", view.domain, view.path));
                continue;
            };
            left.remove(&key);
            let sha1 = (view.kind == FileKind::Regular)
                .then(|| tree.sha1_of(&view).ok())
                .flatten();
            if (file.kind, file.size, file.sha1) != (view.kind, view.size, sha1) {
                found.push(format!("{}/{} differs", view.domain, view.path));
            }
        }
        found.extend(
            left.iter()
                .map(|(domain, path)| format!("{domain}/{path} is too much")),
        );
        found
    }
}

/// The domains that `RestoreSystemFiles` is about: those of the system and not of its user.
///
/// Which ones a real phone counts among them is not known \[h\].
const SYSTEM_DOMAINS: &[&str] = &[
    "DatabaseDomain",
    "InstallDomain",
    "KeyboardDomain",
    "ManagedPreferencesDomain",
    "MobileDeviceDomain",
    "NetworkDomain",
    "RootDomain",
    "SystemPreferencesDomain",
    "WirelessDomain",
];

/// Tells whether a domain is restored only with `RestoreSystemFiles`.
pub(super) fn is_system(domain: &str) -> bool {
    SYSTEM_DOMAINS.contains(&domain) || domain.starts_with("Sys")
}
