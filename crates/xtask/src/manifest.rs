//! The list of installed files, `packaging/manifest.toml`.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The list, from the root of the repository.
pub const PATH: &str = "packaging/manifest.toml";

/// Everything that an installed ibak consists of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The files, in the order of the list.
    #[serde(rename = "file")]
    pub files: Vec<Entry>,
}

/// One installed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it comes from.
    pub origin: Origin,
    /// Where it lies on the machine, absolute.
    pub destination: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// An existing file is the owner's and is left alone.
    pub keep: bool,
}

/// Where an installed file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A program of the workspace, by name.
    Program(String),
    /// A file of the repository, from its root.
    Source(PathBuf),
}

/// What laying out did with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laid {
    /// It was written.
    Written,
    /// It was there and is the owner's.
    Kept,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    binary: Option<String>,
    source: Option<PathBuf>,
    destination: PathBuf,
    mode: String,
    #[serde(default)]
    keep: bool,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawEntry::deserialize(deserializer)?;
        let place = raw.destination.display();
        let origin = match (raw.binary, raw.source) {
            (Some(name), None) => Origin::Program(name),
            (None, Some(path)) => Origin::Source(path),
            (Some(_), Some(_)) | (None, None) => {
                return Err(serde::de::Error::custom(format!(
                    "{place}: either `binary` or `source`"
                )));
            }
        };
        let mode = u32::from_str_radix(&raw.mode, 8).map_err(|error| {
            serde::de::Error::custom(format!("{place}: mode {}: {error}", raw.mode))
        })?;
        if !raw.destination.is_absolute() || mode > 0o777 {
            return Err(serde::de::Error::custom(format!(
                "{place}: not absolute, or its mode is above 0777"
            )));
        }
        Ok(Self {
            origin,
            destination: raw.destination,
            mode,
            keep: raw.keep,
        })
    }
}

impl Manifest {
    /// Parses the list.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("the list of installed files is malformed")
    }

    /// Reads the list of the repository at `repository`.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn load(repository: &Path) -> Result<Self> {
        let path = repository.join(PATH);
        Self::parse(
            &fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        )
    }

    /// Writes every file below `root` (`/` for this machine), whole or not at all, parents included.
    /// Programs are taken from `programs`. Reports what became of each.
    ///
    /// # Errors
    /// The first file that cannot be read or written.
    pub fn lay_out(
        &self,
        repository: &Path,
        programs: &Path,
        root: &Path,
    ) -> Result<Vec<(PathBuf, Laid)>> {
        self.files
            .iter()
            .map(|entry| {
                let from = match &entry.origin {
                    Origin::Program(name) => programs.join(name),
                    Origin::Source(path) => repository.join(path),
                };
                let to = beneath(root, &entry.destination)?;
                let laid = if entry.keep && to.exists() {
                    Laid::Kept
                } else {
                    copy(&from, &to, entry.mode)
                        .with_context(|| format!("cannot install {}", to.display()))?;
                    Laid::Written
                };
                Ok((entry.destination.clone(), laid))
            })
            .collect()
    }

    /// Removes every file below `root` that is not the owner's, and directories of ours that this
    /// empties. An absent file is fine. Returns what was removed.
    ///
    /// # Errors
    /// The first file that cannot be removed.
    pub fn remove(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for entry in self.files.iter().filter(|entry| !entry.keep) {
            let path = beneath(root, &entry.destination)?;
            match fs::remove_file(&path) {
                Ok(()) => removed.push(entry.destination.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
            }
            // Only directories that carry our name, and what is in them, are ours to remove, and
            // only when empty.
            for directory in directories_of_ours(root, &path) {
                match fs::remove_dir(directory) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => break,
                    Err(error) => {
                        return Err(error)
                            .with_context(|| format!("cannot remove {}", directory.display()));
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// Lists the directories of a file that are named ibak or lie in one, the innermost first.
fn directories_of_ours<'a>(root: &'a Path, path: &'a Path) -> impl Iterator<Item = &'a Path> {
    let inside = path.ancestors().skip(1).take_while(move |it| *it != root);
    inside.filter(move |it| {
        let own = it.strip_prefix(root).unwrap_or(it);
        own.components().any(|part| part.as_os_str() == "ibak")
    })
}

/// Places an absolute destination below a root.
fn beneath(root: &Path, destination: &Path) -> Result<PathBuf> {
    let Ok(inside) = destination.strip_prefix("/") else {
        bail!("{} is not absolute", destination.display())
    };
    Ok(root.join(inside))
}

/// Copies a file beside its destination and renames it over, so that a running program is replaced
/// and not written into.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let parent = to.parent().context("it has no parent directory")?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)?;
    let name = to.file_name().context("it has no name")?.to_string_lossy();
    let fresh = parent.join(format!(".{name}.new"));
    let mut source =
        fs::File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&fresh)?;
    std::io::copy(&mut source, &mut target)?;
    target.set_permissions(fs::Permissions::from_mode(mode))?;
    target.sync_all()?;
    fs::rename(&fresh, to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Laid, Manifest};

    const LIST: &str = r#"
        [[file]]
        binary = "program"
        destination = "/usr/bin/program"
        mode = "0755"

        [[file]]
        source = "settings.toml"
        destination = "/etc/ibak/settings.toml"
        mode = "0640"
        keep = true

        [[file]]
        source = "settings.toml"
        destination = "/usr/share/doc/ibak/more/settings.toml"
        mode = "0644"
    "#;

    #[test]
    fn what_is_laid_out_is_removed_but_for_the_owners_files() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (repository, root) = (dir.path().join("repository"), dir.path().join("root"));
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::write(repository.join("program"), "1").unwrap();
        std::fs::write(repository.join("settings.toml"), "ours").unwrap();
        let list = Manifest::parse(LIST).unwrap();

        let first: Vec<Laid> = list
            .lay_out(&repository, &repository, &root)
            .unwrap()
            .into_iter()
            .map(|(_, laid)| laid)
            .collect();
        assert_eq!(first, [Laid::Written; 3]);
        let mode = std::fs::metadata(root.join("usr/bin/program"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);

        std::fs::write(root.join("etc/ibak/settings.toml"), "the owner's").unwrap();
        std::fs::write(repository.join("program"), "2").unwrap();
        let second: Vec<Laid> = list
            .lay_out(&repository, &repository, &root)
            .unwrap()
            .into_iter()
            .map(|(_, laid)| laid)
            .collect();
        assert_eq!(second, [Laid::Written, Laid::Kept, Laid::Written]);
        assert_eq!(
            std::fs::read_to_string(root.join("usr/bin/program")).unwrap(),
            "2"
        );
        assert_eq!(
            std::fs::read_to_string(root.join("etc/ibak/settings.toml")).unwrap(),
            "the owner's"
        );

        assert_eq!(list.remove(&root).unwrap().len(), 2);
        assert!(
            list.remove(&root).unwrap().is_empty(),
            "asking twice is safe"
        );
        assert!(root.join("etc/ibak/settings.toml").exists());
        assert!(!root.join("usr/share/doc/ibak").exists());
        assert!(root.join("usr/bin").exists());
    }

    #[test]
    fn a_wrong_entry_is_refused() {
        for wrong in [
            r#"file = [{ destination = "/a", mode = "0644" }]"#,
            r#"file = [{ binary = "a", source = "a", destination = "/a", mode = "0644" }]"#,
            r#"file = [{ binary = "a", destination = "a", mode = "0644" }]"#,
            r#"file = [{ binary = "a", destination = "/a", mode = "0948" }]"#,
            r#"file = [{ binary = "a", destination = "/a", mode = "4755" }]"#,
            r#"file = [{ binary = "a", destination = "/a", mode = "0644", owner = "root" }]"#,
        ] {
            assert!(Manifest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
