//! The daemon's configuration file, of which one key is changed; comments and all else stay.
//!
//! It is written beside, made durable and renamed, so that at no moment there is half a file.

use rustix::fs::{Access, AtFlags, Gid, Mode, OFlags, Uid, access, fchmod, fchown, fsync, openat};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Value};

/// Is the longest configuration that is read.
const BYTES_MAX: u64 = 1024 * 1024;
/// Is the key that says where the store lies.
const STORE: &str = "store";

/// A configuration file as it was when it was opened.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads it, through whatever links lead to it.
    ///
    /// # Errors
    /// Whatever the file system says; a file of more than 1 MiB or that is no text.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let mut text = String::new();
        File::open(&path)?
            .take(BYTES_MAX + 1)
            .read_to_string(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > BYTES_MAX {
            return Err(io::Error::other("it is too long for a configuration"));
        }
        Ok(Self { path, text })
    }

    /// Returns where it really lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what it held.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says whether it may be written, before anything else is begun.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn writable(&self) -> io::Result<()> {
        Ok(access(
            self.directory(),
            Access::WRITE_OK | Access::EXEC_OK,
        )?)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Puts this text in its place, with the owner and the mode that the file had.
    ///
    /// # Errors
    /// Whatever the file system says; the file is then as it was.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let directory = File::open(self.directory())?;
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let part = format!(".{}.ibak-{}", name.to_string_lossy(), std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&directory, &part, flags, Mode::from_raw_mode(0o600))?;
        let written = self.fill(File::from(made), text).and_then(|()| {
            rustix::fs::renameat(&directory, &part, &directory, name).map_err(io::Error::from)
        });
        match written {
            Ok(()) => Ok(fsync(&directory)?),
            Err(error) => {
                match rustix::fs::unlinkat(&directory, &part, AtFlags::empty()) {
                    // The first cause is what matters.
                    Ok(()) | Err(_) => Err(error),
                }
            }
        }
    }

    fn fill(&self, mut file: File, text: &str) -> io::Result<()> {
        let (old, new) = (std::fs::metadata(&self.path)?, file.metadata()?);
        file.write_all(text.as_bytes())?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            fchown(&file, Some(owner), Some(group))?;
        }
        fchmod(&file, Mode::from_raw_mode(old.mode() & 0o7777))?;
        file.sync_all()
    }
}

/// Returns the text with `store` set to this directory, and everything else as it was. A file
/// that only shows the key in a comment gets it right beneath.
///
/// # Errors
/// Says what is wrong with the text, or with the directory's name.
pub fn with_store(text: &str, directory: &Path) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let directory = directory
        .to_str()
        .ok_or("the directory's name is not UTF-8")?;
    if let Some(item) = document.get_mut(STORE) {
        let value = item.as_value_mut().ok_or("`store` is no value")?;
        let decor = value.decor().clone();
        *value = Value::from(directory);
        *value.decor_mut() = decor;
        return Ok(document.to_string());
    }
    if let Some(beneath) = beneath_its_comment(text, directory) {
        return Ok(beneath);
    }
    document.insert(STORE, toml_edit::value(directory));
    Ok(document.to_string())
}

/// Inserts the key beneath the comment that shows it; `None` without one at the top level.
fn beneath_its_comment(text: &str, directory: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + directory.len() + 16);
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref() {
        if line.starts_with('[') {
            return None;
        }
        out.push_str(line);
        let shows = line
            .strip_prefix('#')
            .and_then(|rest| rest.trim_start().strip_prefix(STORE))
            .is_some_and(|rest| rest.trim_start().starts_with('='));
        if shows {
            if !line.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&format!("{STORE} = {}\n", Value::from(directory)));
            break;
        }
    }
    out.extend(lines);
    // What looks like a comment may be the middle of a long string.
    let read: DocumentMut = out.parse().ok()?;
    (read.get(STORE)?.as_str() == Some(directory)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_changes_and_all_else_stays() {
        let dir = Path::new("/mnt/a \"b\"");
        let cases = [
            (
                "# house\nstore = \"/old\" # where\nreserve = \"2GiB\"\n[keep]\nlast = 3\n",
                "# house\nstore = \"/mnt/a \\\"b\\\"\" # where\nreserve = \"2GiB\"\n[keep]\nlast = 3\n",
            ),
            (
                "# house\n#store = \"/var/lib/ibak/store\"\n\n[keep]\n",
                "# house\n#store = \"/var/lib/ibak/store\"\nstore = '/mnt/a \"b\"'\n\n[keep]\n",
            ),
            ("# store =", "# store =\nstore = '/mnt/a \"b\"'\n"),
            ("", "store = '/mnt/a \"b\"'\n"),
            (
                "[keep]\n#store = 1\n",
                "store = '/mnt/a \"b\"'\n[keep]\n#store = 1\n",
            ),
            (
                "log = \"\"\"\n#store = 1\n\"\"\"\n",
                "log = \"\"\"\n#store = 1\n\"\"\"\nstore = '/mnt/a \"b\"'\n",
            ),
        ];
        for (text, want) in cases {
            let found = with_store(text, dir).unwrap();
            let read: DocumentMut = found.parse().unwrap();
            assert_eq!(read["store"].as_str(), dir.to_str(), "{text}");
            assert_eq!(
                found.replace(r#""/mnt/a \"b\"""#, r#"'/mnt/a "b"'"#),
                want.replace(r#""/mnt/a \"b\"""#, r#"'/mnt/a "b"'"#)
            );
        }
    }

    #[test]
    fn what_is_no_configuration_is_left_alone() {
        assert!(with_store("store = ", Path::new("/x")).is_err());
        assert!(with_store("[store]\na = 1\n", Path::new("/x")).is_err());
    }

    #[test]
    fn the_mode_stays_and_nothing_is_left_beside() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (
            home.path().join("real.toml"),
            home.path().join("ibakd.toml"),
        );
        std::fs::write(&real, "log = \"info\"\n").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.toml", &link).unwrap();
        let file = ConfigFile::open(&link).unwrap();
        file.writable().unwrap();
        file.write("log = \"debug\"\n").unwrap();
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "log = \"debug\"\n");
        assert_eq!(file.text(), "log = \"info\"\n");
        assert_eq!(real.metadata().unwrap().mode() & 0o7777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2);
    }
}
