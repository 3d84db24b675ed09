//! The one discipline of paths from outside, whoever uses them.

use crate::error::StoreError;
use ibak_core::BackupPath;

/// Most components of a path from a phone.
pub(crate) const COMPONENTS_MAX: usize = 64;

/// Longest path of a file on a phone, in bytes: what Linux takes in one call.
const PHONE_PATH_MAX: usize = 4096;

/// Returns the path of an entry of a directory.
pub(crate) fn child(path: &BackupPath, name: &str) -> BackupPath {
    match path {
        BackupPath::Tree(text) => BackupPath::Tree(join(text, name)),
        BackupPath::Scratch(text) => BackupPath::Scratch(join(text, name)),
    }
}

pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// Checks the components again: a path may have been built without being parsed.
pub(crate) fn checked(path: &BackupPath) -> Result<(), StoreError> {
    let bad = |part: &str| {
        matches!(part, "" | "." | "..")
            || part.len() > BackupPath::NAME_LEN_MAX
            || part.chars().any(char::is_control)
    };
    let text = path.as_str();
    if text.is_empty() {
        return Err(StoreError::refused(
            path,
            "it is the backup's own directory",
        ));
    }
    if text.len() > BackupPath::LEN_MAX
        || text.split('/').count() > COMPONENTS_MAX
        || text.split('/').any(bad)
    {
        return Err(StoreError::refused(
            path,
            "it is not a path inside a backup",
        ));
    }
    Ok(())
}

/// Says whether `dir` is strictly above `path`.
pub(crate) fn holds(dir: &BackupPath, path: &BackupPath) -> bool {
    let same = match (dir, path) {
        (BackupPath::Tree(_), BackupPath::Tree(_))
        | (BackupPath::Scratch(_), BackupPath::Scratch(_)) => true,
        (BackupPath::Tree(_), BackupPath::Scratch(_))
        | (BackupPath::Scratch(_), BackupPath::Tree(_)) => false,
    };
    same && (dir.as_str().is_empty()
        || path
            .as_str()
            .strip_prefix(dir.as_str())
            .is_some_and(|rest| rest.starts_with('/')))
}

/// Says whether a path stays beneath the directory it is joined to, whatever else is in it: names
/// on a phone may hold anything but a slash and a zero.
pub(crate) fn is_relative(path: &str) -> bool {
    path.len() <= PHONE_PATH_MAX
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
