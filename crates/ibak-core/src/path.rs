//! The allow-list of names a phone may use inside its backup.

use crate::Udid;
use std::fmt;

/// Says why a path from a phone is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path, after one leading slash, is empty.
    #[error("the phone named the backup folder itself")]
    Root,
    /// Longer than [`BackupPath::LEN_MAX`] bytes.
    #[error("the phone sent a path of {0} bytes")]
    TooLong(usize),
    /// An empty, `.` or `..` component, a NUL or a control character.
    #[error("the phone sent a path with a forbidden component")]
    Component,
    /// The first component is another phone's.
    #[error("the phone named another phone's folder")]
    OtherPhone,
    /// A name no iPhone backup has.
    #[error("the phone named a file that no backup has")]
    Unknown,
}

/// Where inside a backup session a phone's path leads.
///
/// Grammar, after one leading `/` is stripped (some real phones send it; idevice pull 104):
/// `<udid>[/…]` is the tree, where `…` is a known property list or database, two hex digits,
/// two hex digits and a 40-digit file id, or any of these below `Snapshot/`;
/// everything whose first component is `.b` or `_unback_` is scratch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupPath {
    /// Below the phone's own folder; the text is relative to it and empty for the folder itself.
    Tree(String),
    /// Below the session's scratch folder; never empty.
    Scratch(String),
}

/// The files at the top of a backup, of the old and the newer layouts.
const KNOWN_FILES: [&str; 7] = [
    "Info.plist",
    "Manifest.plist",
    "Manifest.db",
    "Manifest.db-wal",
    "Manifest.db-shm",
    "Status.plist",
    "Manifest.mbdb",
];

impl BackupPath {
    /// Longest path taken from a phone, in bytes.
    pub const LEN_MAX: usize = 1024;
    /// Longest component of a path, in bytes (what Linux file systems take).
    pub const NAME_LEN_MAX: usize = 255;

    /// Parses what a phone sent.
    ///
    /// # Errors
    /// A [`PathError`] that names the rule that was broken; nothing outside the grammar passes.
    pub fn parse(wire: &str, phone: &Udid) -> Result<Self, PathError> {
        if wire.len() > Self::LEN_MAX {
            return Err(PathError::TooLong(wire.len()));
        }
        let path = wire.strip_prefix('/').unwrap_or(wire);
        if path.is_empty() {
            return Err(PathError::Root);
        }
        let bad = |c: &str| {
            matches!(c, "" | "." | "..")
                || c.len() > Self::NAME_LEN_MAX
                || c.chars().any(char::is_control)
        };
        // One trailing slash names the same directory and is harmless.
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.split('/').any(bad) {
            return Err(PathError::Component);
        }
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if first == ".b" || first == "_unback_" {
            return Ok(Self::Scratch(path.to_owned()));
        }
        match Udid::parse(first) {
            Ok(udid) if &udid == phone => {}
            Ok(_) => return Err(PathError::OtherPhone),
            Err(_) => return Err(PathError::Unknown),
        }
        let inner = rest.strip_prefix("Snapshot/").unwrap_or(rest);
        if rest.is_empty() || rest == "Snapshot" || is_known(inner) {
            return Ok(Self::Tree(rest.to_owned()));
        }
        Err(PathError::Unknown)
    }

    /// Returns the path below its root, without a leading slash.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tree(path) | Self::Scratch(path) => path,
        }
    }
}

impl fmt::Display for BackupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(path) => write!(f, "<phone>/{path}"),
            Self::Scratch(path) => write!(f, "<scratch>/{path}"),
        }
    }
}

fn is_known(name: &str) -> bool {
    let hex = |s: &str| {
        s.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if KNOWN_FILES.contains(&name) {
        return true;
    }
    match name.split_once('/') {
        None => (name.len() == 2 || name.len() == 40) && hex(name),
        Some((prefix, id)) => {
            prefix.len() == 2 && id.len() == 40 && hex(prefix) && hex(id) && id.starts_with(prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "00008030-001A2B3C4D5E6F70";
    const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";

    #[test]
    fn grammar() {
        let phone = Udid::parse(OWN).unwrap();
        let tree = |s: &str| Ok(BackupPath::Tree(s.to_owned()));
        let scratch = |s: &str| Ok(BackupPath::Scratch(s.to_owned()));
        let cases: Vec<(String, Result<BackupPath, PathError>)> = vec![
            (format!("{OWN}/Status.plist"), tree("Status.plist")),
            (format!("/{OWN}/Status.plist"), tree("Status.plist")),
            (OWN.to_owned(), tree("")),
            (format!("{OWN}/"), tree("")),
            (format!("{OWN}/Snapshot"), tree("Snapshot")),
            (format!("{OWN}/Snapshot/3d"), tree("Snapshot/3d")),
            (
                format!("{OWN}/Snapshot/3d/{ID}"),
                tree(&format!("Snapshot/3d/{ID}")),
            ),
            (
                format!("{OWN}/Snapshot/Manifest.db"),
                tree("Snapshot/Manifest.db"),
            ),
            (format!("{OWN}/3d/{ID}"), tree(&format!("3d/{ID}"))),
            (format!("{OWN}/{ID}"), tree(ID)),
            (
                "/.b/6/Containers/x/FGTS.sqlite".into(),
                scratch(".b/6/Containers/x/FGTS.sqlite"),
            ),
            ("_unback_/x".into(), scratch("_unback_/x")),
            ("/".into(), Err(PathError::Root)),
            (String::new(), Err(PathError::Root)),
            ("//".into(), Err(PathError::Component)),
            ("..".into(), Err(PathError::Component)),
            (format!("{OWN}/../x"), Err(PathError::Component)),
            (format!("{OWN}//Status.plist"), Err(PathError::Component)),
            (format!("{OWN}/./Status.plist"), Err(PathError::Component)),
            (format!("{OWN}/Status.plist\0"), Err(PathError::Component)),
            (format!("//{OWN}/Status.plist"), Err(PathError::Component)),
            (".b/../../x".into(), Err(PathError::Component)),
            (
                "abcdef0123456789abcdef0123456789abcdef01/Status.plist".into(),
                Err(PathError::OtherPhone),
            ),
            (format!("{OWN}/00/{ID}"), Err(PathError::Unknown)),
            (format!("{OWN}/evil.sh"), Err(PathError::Unknown)),
            (format!("{OWN}/3D/{ID}"), Err(PathError::Unknown)),
            (format!("{OWN}/Snapshot/Snapshot"), Err(PathError::Unknown)),
            ("etc/passwd".into(), Err(PathError::Unknown)),
            ("x".repeat(1025), Err(PathError::TooLong(1025))),
        ];
        for (wire, want) in cases {
            assert_eq!(BackupPath::parse(&wire, &phone), want, "{wire:?}");
        }
    }
}
