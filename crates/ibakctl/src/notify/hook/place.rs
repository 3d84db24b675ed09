//! Where a path leads, and whether anybody but root and this user can make it lead elsewhere.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Is how many links are followed, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Follows a path step by step to the place without links that it leads to. Every directory on the
/// way, every link and what lies at the end must be such that nobody but root and this user can
/// change or replace it: then the place returned stays what it was when it was looked at.
///
/// # Errors
/// A sentence, with what helps behind its colon.
pub(super) fn closed_to_others(path: &Path) -> Result<PathBuf, String> {
    let unreadable = |at: &Path, error| format!("{} cannot be read: {error}", at.display());
    let look = |at: &Path| std::fs::symlink_metadata(at).map_err(|error| unreadable(at, error));
    let path = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
    let mut real = PathBuf::from("/");
    check(&real, &look(&real)?, true)?;
    let mut rest = steps(&path);
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&step);
        let facts = look(&next)?;
        if !facts.is_symlink() {
            check(&next, &facts, true)?;
            real = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(format!("{} leads through too many links", path.display()));
        }
        belongs_to_us(&next, &facts)?;
        let target = std::fs::read_link(&next).map_err(|error| unreadable(&next, error))?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        for step in steps(&target).into_iter().rev() {
            rest.push_front(step);
        }
    }
    check(&real, &look(&real)?, false)?;
    Ok(real)
}

/// Lists the steps of a path from its beginning.
fn steps(path: &Path) -> VecDeque<OsString> {
    let step = |it: Component<'_>| match it {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(step).collect()
}

fn check(place: &Path, facts: &Metadata, is_above: bool) -> Result<(), String> {
    belongs_to_us(place, facts)?;
    if is_open(facts, is_above) {
        let shown = place.display();
        return Err(format!(
            "{shown} is writable by others: `chmod go-w {shown}` closes it"
        ));
    }
    Ok(())
}

fn belongs_to_us(place: &Path, facts: &Metadata) -> Result<(), String> {
    let me = rustix::process::geteuid().as_raw();
    if [0, me].contains(&facts.uid()) {
        return Ok(());
    }
    let shown = place.display();
    let chown = if facts.is_symlink() {
        "chown -h"
    } else {
        "chown"
    };
    Err(format!(
        "{shown} belongs to another user, who could change it: `{chown} root {shown}`"
    ))
}

/// Says whether group or others may change it. In a directory like /tmp nobody can replace what
/// is another's.
fn is_open(facts: &Metadata, is_above: bool) -> bool {
    let is_shared = is_above && facts.is_dir() && facts.mode() & 0o1000 != 0;
    facts.mode() & 0o022 != 0 && !is_shared
}
