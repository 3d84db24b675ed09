//! What is not known of real phones, each as a switch with a name.
//!
//! `phone.md` marks hypotheses with \[h\], and the corpus leaves points open. The simulator does the
//! most probable thing; each switch makes it do the other one, so that nothing on the host's side
//! can come to depend on a guess.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

macro_rules! quirks {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One switch: the phone behaves in the less probable of two ways.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Quirk {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Quirk {
            /// Every switch, in the order of the conversation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the name used on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

quirks! {
    /// A phone without a passcode posts no `lockcomplete` when its screen goes off (phone.md §2,
    /// "locked" \[h\]).
    SilentLock = "silent-lock",
    /// `CloudBackupEnabled` and `LastCloudBackupDate` are absent (phone.md §2, iCloud \[h\]).
    NoCloudBackupKeys = "no-cloud-backup-keys",
    /// The phone gives up when the host's first reply is held for more than 60 s (phone.md §1,
    /// "how long a real phone waits is not known" \[h\]).
    Impatient = "impatient",
    /// A passcode prompt that comes while the screen is locked can be neither answered nor
    /// dismissed before it is unlocked (phone.md §1: "not known, assume it cannot").
    PromptHidden = "prompt-hidden",
    /// Paths in host operations begin with `/` and are still backup-relative (phone.md §5, corpus 18).
    AbsolutePaths = "absolute-paths",
    /// Some files are uploaded to `/.b/…` and moved into the tree (phone.md §5, corpus 18).
    ScratchPaths = "scratch-paths",
    /// A batch holds 16 files rather than 128 (phone.md §5 \[h\]).
    SmallBatches = "small-batches",
    /// `PurgeDiskSpace` asks for exactly the deficit, without 2 GiB on top (phone.md §5 \[h\]).
    PurgeExact = "purge-exact",
    /// `PurgeDiskSpace` asks for several times the phone's own capacity (corpus README, trap 4).
    PurgeHuge = "purge-huge",
    /// Host directories are listed last to first (phone.md §5, the order is not known).
    ListBackwards = "list-backwards",
    /// An empty `DLMessageDownloadFiles` comes before the first upload (corpus 10).
    EmptyDownload = "empty-download",
    /// Manifest.plist and Manifest.db are uploaded to their final place and not into `Snapshot/`
    /// (phone.md §5 does not say which).
    ManifestDirect = "manifest-direct",
    /// An interrupted backup starts again from nothing (phone.md §5, resume).
    NoResume = "no-resume",
    /// Progress goes backwards once (corpus 09).
    ProgressBackwards = "progress-backwards",
    /// `MoveFiles` and `RemoveFiles` rather than `MoveItems` and `RemoveItems` (corpus 13).
    MoveFiles = "move-files",
    /// One move message carries up to 256 files (phone.md §5: "one message per file was seen").
    MovesTogether = "moves-together",
    /// The manifests are copied with `CopyItem` out of `Snapshot/` rather than moved.
    CopyItem = "copy-item",
    /// The manifest files are downloaded by one message each (corpus 14).
    DownloadsOneByOne = "downloads-one-by-one",
    /// The verify phase also lists every directory (phone.md §5, corpus 15: 205 on iOS 13.7).
    VerifyLists = "verify-lists",
    /// Success carries an empty `ErrorDescription` and an empty `Content` (corpus 16).
    DescriptionOnSuccess = "description-on-success",
    /// The phone sends `DLMessageDisconnect` itself after the final response (corpus 16).
    DeviceDisconnects = "device-disconnects",
    /// The backup agent is killed by the first frame of more than 32 KiB (phone.md §5, corpus 17).
    FrameStrict = "frame-strict",
    /// An empty file of an encrypted backup has a key and 16 bytes of padding (phone.md §6 does not
    /// say).
    EmptyFilesEncrypted = "empty-files-encrypted",
    /// An encrypted Manifest.db has no padding (phone.md §6 does not say).
    ManifestUnpadded = "manifest-unpadded",
    /// `backup_manifest.db` cannot be read: error frame 0x0b, and the backup succeeds (corpus 17).
    UnreadableManifest = "unreadable-manifest",
    /// A restore does not ask for the passcode (phone.md §1 names backups, ChangePassword and
    /// pairing only).
    RestoreUnasked = "restore-unasked",
    /// A restore writes nothing to the host, not even Status.plist (phone.md §5 does not say).
    RestoreWritesNothing = "restore-writes-nothing",
    /// A restore that copies the backup first copies the whole folder beside itself by one
    /// `CopyItem`, and not the manifests into `.b/` (phone.md §5, "may be a tree").
    RestoreCopiesTree = "restore-copies-tree",
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Says that a name is no quirk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown quirk \"{0}\"")]
pub struct UnknownQuirk(pub String);

impl FromStr for Quirk {
    type Err = UnknownQuirk;

    fn from_str(name: &str) -> Result<Self, UnknownQuirk> {
        Self::ALL
            .iter()
            .copied()
            .find(|quirk| quirk.name() == name)
            .ok_or_else(|| UnknownQuirk(name.to_owned()))
    }
}

/// The switches that are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    on: BTreeSet<Quirk>,
}

impl Quirks {
    /// Returns every name that [`Quirks::parse`] takes.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        Quirk::ALL.iter().map(|quirk| quirk.name())
    }

    /// Reads names, each perhaps a list with commas.
    pub fn parse<I>(names: I) -> Result<Self, UnknownQuirk>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut on = BTreeSet::new();
        for names in names {
            for name in names
                .as_ref()
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
            {
                on.insert(name.parse()?);
            }
        }
        Ok(Self { on })
    }

    /// Returns whether the switch is on.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.on.contains(&quirk)
    }

    /// Turns a switch on.
    pub fn insert(&mut self, quirk: Quirk) {
        self.on.insert(quirk);
    }

    /// Returns the switches that are on.
    pub fn iter(&self) -> impl Iterator<Item = Quirk> {
        self.on.iter().copied()
    }
}

impl FromIterator<Quirk> for Quirks {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        Self {
            on: quirks.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_no_name_is_double() {
        let names: BTreeSet<_> = Quirks::all_names().collect();
        assert_eq!(names.len(), Quirk::ALL.len());
        let all = Quirks::parse(Quirks::all_names()).unwrap();
        assert_eq!(all.iter().collect::<Vec<_>>().len(), Quirk::ALL.len());
        assert_eq!(
            Quirks::parse(["move-files, copy-item"])
                .unwrap()
                .iter()
                .count(),
            2
        );
        assert_eq!(
            Quirks::parse(["moves"]),
            Err(UnknownQuirk("moves".to_owned()))
        );
    }
}
