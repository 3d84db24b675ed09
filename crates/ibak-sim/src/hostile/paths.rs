//! Paths no phone may say, and the messages that carry them.

use plist::{Dictionary, Value};

use super::FOREIGN_UDID;
use crate::backup::wire;

macro_rules! spellings {
    ($($name:literal = $text:expr,)+) => {
        /// Names and spellings; `{udid}` stands for the phone's own, `{foreign}` for another's.
        const SPELLINGS: &[(&str, &str)] = &[$(($name, $text),)+];
    };
}

spellings! {
    "empty" = "",
    "root" = "/",
    "two-slashes" = "//",
    "three-slashes" = "///",
    "dot" = ".",
    "dot-slash" = "./",
    "dotdot" = "..",
    "dotdot-slash" = "../",
    "slash-dotdot" = "/..",
    "own" = "{udid}",
    "own-slash" = "{udid}/",
    "own-dot" = "{udid}/.",
    "own-dotdot" = "{udid}/..",
    "own-dotdot-file" = "{udid}/../outside",
    "own-up-twice" = "{udid}/../../outside",
    "own-up-far" = "{udid}/../../../../../../../../etc/outside",
    "own-double-slash" = "{udid}//Manifest.db",
    "own-dot-inside" = "{udid}/./Manifest.db",
    "own-up-and-back" = "{udid}/../{udid}/Manifest.db",
    "own-elsewhere" = "{udid}/gens",
    "own-hidden" = "{udid}/.ssh/authorized_keys",
    "snapshot-up" = "{udid}/Snapshot/../..",
    "snapshot-up-file" = "{udid}/Snapshot/../../outside",
    "snapshot-upper-case" = "{udid}/SNAPSHOT/aa/x",
    "trailing-slash" = "{udid}/Manifest.db/",
    "below-a-file" = "{udid}/Manifest.db/x",
    "foreign" = "{foreign}",
    "foreign-file" = "{foreign}/Manifest.db",
    "foreign-slash" = "/{foreign}/Manifest.db",
    "foreign-by-own" = "{udid}/../{foreign}/Manifest.db",
    "own-lower-case" = "{udid-lower}/Manifest.db",
    "own-with-space" = "{udid} /Manifest.db",
    "own-with-suffix" = "{udid}-1/Manifest.db",
    "absolute-etc" = "/etc/passwd",
    "absolute-root-key" = "/root/.ssh/authorized_keys",
    "absolute-proc" = "/proc/self/root/etc/passwd",
    "absolute-cwd" = "/proc/self/cwd/outside",
    "absolute-fd" = "/proc/self/fd/1",
    "absolute-dev" = "/dev/stdin",
    "double-absolute-own" = "//{udid}/Manifest.db",
    "planted-link" = "{udid}/link/outside",
    "planted-link-snapshot" = "{udid}/Snapshot/link/outside",
    "nul" = "{udid}/Manifest.db\0",
    "nul-inside" = "{udid}/a\0/../../outside",
    "newline" = "{udid}/a\nb",
    "escape" = "{udid}/\u{1b}[2J",
    "backslash" = "{udid}\\..\\..\\outside",
    "backslash-up" = "..\\..\\outside",
    "drive" = "C:\\outside",
    "percent-up" = "{udid}/%2e%2e/%2e%2e/outside",
    "percent-slash" = "{udid}%2f..%2foutside",
    "overlong-dots" = "{udid}/\u{c0}\u{ae}\u{c0}\u{ae}/outside",
    "fullwidth-dots" = "{udid}/\u{ff0e}\u{ff0e}/outside",
    "one-dot-leader" = "{udid}/\u{2024}\u{2024}/outside",
    "fullwidth-slash" = "{udid}\u{ff0f}..\u{ff0f}outside",
    "bidi" = "{udid}/\u{202e}bd.tsefinaM",
    "zero-width" = "{udid}/\u{200b}../outside",
    "decomposed" = "{udid}/e\u{301}",
    "dots-only" = "{udid}/...",
    "dotdot-space" = "{udid}/.. /outside",
    "tilde" = "~/outside",
    "scratch-root" = "/.b",
    "scratch-up" = "/.b/../outside",
    "scratch-foreign" = "/.b/../{foreign}/Manifest.db",
    "unback-up" = "_unback_/../../outside",
    "long-component" = "{udid}/{long}",
    "long-path" = "{udid}/{deep}",
    "wrong-prefix" = "{udid}/zz/0123456789012345678901234567890123456789",
    "wrong-hash" = "{udid}/00/0123",
    "other-top" = "ibakd.state",
    "lock" = "{udid}/../lock",
}

/// One way to write a path that is not the phone's to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spelling(usize);

impl Spelling {
    /// Returns every spelling.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SPELLINGS.len()).map(Self)
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        SPELLINGS.get(self.0).map_or("", |(name, _)| name)
    }

    /// Writes it for a phone.
    pub fn write(self, udid: &str) -> String {
        let text = SPELLINGS.get(self.0).map_or("", |(_, text)| text);
        text.replace("{udid}", udid)
            .replace("{udid-lower}", &udid.to_lowercase())
            .replace("{foreign}", FOREIGN_UDID)
            .replace("{long}", &"n".repeat(900))
            .replace("{deep}", &"d/".repeat(2_000))
    }
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a phone asks the host to do at a path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum PathUse {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl PathUse {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

operations! {
    /// Read the file at the path.
    Download = "download",
    /// Write a file to the path.
    Upload = "upload",
    /// List the directory at the path.
    Contents = "contents",
    /// Make a directory at the path.
    Create = "create",
    /// Move the file at the path into the backup.
    MoveFrom = "move-from",
    /// Move a file of the backup to the path.
    MoveTo = "move-to",
    /// Remove what is at the path.
    Remove = "remove",
    /// Copy what is at the path into the backup.
    CopyFrom = "copy-from",
    /// Copy a file of the backup to the path.
    CopyTo = "copy-to",
}

impl PathUse {
    /// Writes the message; an upload's file follows it.
    pub(super) fn message(self, path: &str, udid: &str) -> Vec<Value> {
        let own = format!("{udid}/Snapshot/aa/{}", "a".repeat(40));
        let (one, none) = (Value::Real(1.0), || Value::Dictionary(Dictionary::new()));
        let list = || Value::Array(vec![path.into()]);
        let pair = |from: &str, to: &str| {
            Value::Dictionary(Dictionary::from_iter([(from.to_owned(), Value::from(to))]))
        };
        match self {
            Self::Download => vec![
                "DLMessageDownloadFiles".into(),
                list(),
                none(),
                one,
                0.into(),
            ],
            Self::Upload => vec!["DLMessageUploadFiles".into(), none(), one, 5.into()],
            Self::Contents => vec!["DLContentsOfDirectory".into(), path.into(), none(), one],
            Self::Create => vec!["DLMessageCreateDirectory".into(), path.into(), none(), one],
            Self::MoveFrom => vec!["DLMessageMoveItems".into(), pair(path, &own), none(), one],
            Self::MoveTo => vec!["DLMessageMoveItems".into(), pair(&own, path), none(), one],
            Self::Remove => vec!["DLMessageRemoveItems".into(), list(), none(), one],
            Self::CopyFrom => vec![
                "DLMessageCopyItem".into(),
                path.into(),
                own.into(),
                none(),
                one,
            ],
            Self::CopyTo => vec![
                "DLMessageCopyItem".into(),
                own.into(),
                path.into(),
                none(),
                one,
            ],
        }
    }
}

/// Writes a batch of one small file for a path.
pub(super) fn batch_of_one(path: &str) -> Vec<u8> {
    let mut bytes = wire::named(&format!("/.b/{}", "d".repeat(8)));
    bytes.extend(wire::named(path));
    bytes.extend(wire::block(0x0c, b"owned"));
    bytes.extend(wire::block(0x00, b""));
    bytes.extend([0; 4]);
    bytes
}
