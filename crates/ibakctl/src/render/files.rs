//! What is said about files in a backup, and about files that came out of one.

use super::table::{self, Cell};
use crate::extract::{Summary, Why};
use crate::moment;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::{Bytes, Wall};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A line of the daemon's listing; see docs/dbus.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FileRow {
    /// The domain.
    pub domain: String,
    /// The path in it; empty for the domain itself.
    pub path: String,
    /// `file`, `directory` or `symlink`.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 UTC.
    pub modified: i64,
    /// Permission bits.
    pub mode: u32,
    /// Where a symlink leads.
    pub target: String,
}

/// One line of what `ls` shows: a domain, a directory with all that is beneath, or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whether something is beneath it.
    pub directory: bool,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the newest of them was changed, in seconds since 1970 UTC.
    pub modified: i64,
    /// Where a symbolic link leads.
    pub target: Option<String>,
}

/// What `ls` shows, as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `None` lists domains, otherwise what is directly beneath this path of one domain.
    beneath: Option<String>,
    found: bool,
    rows: BTreeMap<String, Listed>,
}

impl Listing {
    /// Begins a list of domains.
    pub fn domains() -> Self {
        Self {
            beneath: None,
            found: false,
            rows: BTreeMap::new(),
        }
    }

    /// Begins a list of what is directly beneath a path of one domain; empty is the domain.
    pub fn beneath(path: &str) -> Self {
        Self {
            beneath: Some(path.to_owned()),
            found: false,
            rows: BTreeMap::new(),
        }
    }

    /// Says whether nothing was found; an empty directory is something.
    pub fn is_empty(&self) -> bool {
        !self.found
    }

    /// Returns what was found, by name.
    pub fn rows(&self) -> &BTreeMap<String, Listed> {
        &self.rows
    }

    /// Takes one line in.
    pub fn add(&mut self, row: FileRow) {
        let directory = row.kind == "directory";
        self.found = true;
        let (name, deeper) = match &self.beneath {
            None => (row.domain.clone(), true),
            // A file that is asked for itself is shown; a directory shows what is in it.
            Some(path) if *path == row.path && !directory => {
                let name = path.rsplit('/').next().unwrap_or_default();
                (name.to_owned(), false)
            }
            Some(path) => match split(path, &row.path) {
                Some((name, deeper)) => (name.to_owned(), deeper),
                None => return,
            },
        };
        let listed = self.rows.entry(name).or_default();
        listed.directory |= deeper || directory;
        if !directory {
            listed.files += 1;
            listed.bytes = listed.bytes.saturating_add(row.size);
        }
        listed.modified = listed.modified.max(row.modified);
        if row.kind == "symlink" && !deeper {
            listed.target = Some(row.target);
        }
    }
}

/// Cuts a path down to the part directly beneath another, and says whether there is more.
fn split<'a>(beneath: &str, path: &'a str) -> Option<(&'a str, bool)> {
    let rest = if beneath.is_empty() {
        path
    } else {
        path.strip_prefix(beneath)?.strip_prefix('/')?
    };
    if rest.is_empty() {
        return None;
    }
    Some(match rest.split_once('/') {
        Some((name, _)) => (name, true),
        None => (rest, false),
    })
}

/// Renders a table, one line a name.
pub fn listing(listing: &Listing, style: &Style) -> String {
    let rows: Vec<[Cell; 4]> = listing
        .rows
        .iter()
        .map(|(name, listed)| {
            let mut shown = text::escape(name, style);
            if listed.directory && listing.beneath.is_some() {
                shown.push('/');
            }
            if let Some(target) = &listed.target {
                shown.push_str(&format!(" -> {}", text::escape(target, style)));
            }
            let files = match listed.directory {
                true => text::count(listed.files, "file", "files"),
                false => String::new(),
            };
            [
                Cell::new(files),
                Cell::new(text::bytes(Bytes::new(listed.bytes))),
                Cell::new(changed(listed.modified, style)),
                Cell::new(shown),
            ]
        })
        .collect();
    let name = match listing.beneath {
        None => "DOMAIN",
        Some(_) => "NAME",
    };
    table::render(["FILES", "SIZE", "CHANGED", name], &rows, style)
}

fn changed(seconds: i64, style: &Style) -> String {
    if seconds <= 0 {
        return "?".to_owned();
    }
    let wall = Wall::from_micros(seconds.saturating_mul(1_000_000));
    moment::full(wall, style)
}

/// Says what was written: `2,012 files, 7.6 GiB, in /home/ada/out.`
pub fn unpacked(summary: &Summary, directory: &Path, style: &Style) -> String {
    let place = text::escape(&directory.display().to_string(), style);
    let mut out = format!(
        "{}, {}, in {place}.\n",
        text::count(summary.files, "file", "files"),
        text::bytes(Bytes::new(summary.bytes))
    );
    if summary.links > 0 {
        out.push_str(&format!(
            "{} too.\n",
            text::count(summary.links, "symbolic link", "symbolic links")
        ));
    }
    if summary.links_skipped > 0 {
        out.push_str(&format!(
            "{} left out; `--symlinks` makes them.\n",
            text::count(summary.links_skipped, "symbolic link", "symbolic links")
        ));
    }
    if summary.present > 0 {
        out.push_str(&format!(
            "{} left as they were; `--overwrite` replaces them.\n",
            text::count(
                summary.present,
                "file that was there",
                "files that were there"
            )
        ));
    }
    out
}

/// Says what was refused, and why; empty when nothing was.
pub fn refused(summary: &Summary, style: &Style) -> String {
    if summary.refused == 0 {
        return String::new();
    }
    let mut out = format!(
        "{}\n",
        style.tone(
            Tone::Bad,
            &format!(
                "{} not written:",
                text::count(summary.refused, "entry was", "entries were")
            )
        )
    );
    for (name, why) in &summary.listed {
        let shown = text::fit(&text::escape(name, style), 60, style);
        out.push_str(&format!("  {shown}: {}\n", reason(*why)));
    }
    let listed = u64::try_from(summary.listed.len()).unwrap_or(u64::MAX);
    if summary.refused > listed {
        out.push_str(&format!("  and {} more\n", summary.refused - listed));
    }
    out
}

/// Completes "…:".
fn reason(why: Why) -> String {
    match why {
        Why::Name(odd) => format!("its name {}", odd.phrase()),
        Why::Twice => "it came twice".to_owned(),
        Why::Kind => "it is no file, directory or symbolic link".to_owned(),
        Why::Way => "a link or a file is in its way".to_owned(),
        Why::Denied => "its directory may not be written".to_owned(),
    }
}

/// Says that an export is whole, and how it is used. `name` is the backup's, `udid` the phone's;
/// `encrypted` says whether a password will be asked for.
pub fn exported(
    name: &str,
    udid: &str,
    encrypted: bool,
    summary: &Summary,
    directory: &Path,
    style: &Style,
) -> String {
    let place = text::escape(&directory.display().to_string(), style);
    let mut said = vec![
        format!(
            "{} is in {place}/{udid}: {}, {}.",
            text::capital(name),
            text::count(summary.files, "file", "files"),
            text::bytes(Bytes::new(summary.bytes))
        ),
        "Finder restores it from ~/Library/Application Support/MobileSync/Backup, iTunes from %APPDATA%\\Apple Computer\\MobileSync\\Backup (or %USERPROFILE%\\Apple\\MobileSync\\Backup): copy the directory there under this name.".to_owned(),
        format!("idevicebackup2 restores it with `idevicebackup2 --source {udid} restore --system --settings {place}`."),
    ];
    if encrypted {
        said.push("They will ask for the password this backup was made under.".to_owned());
    }
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}
