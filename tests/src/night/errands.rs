//! What a client asks of a phone, or of its backups, beside backing up.

use super::Night;
use crate::programs;
use crate::trouble::Said;
use ibak_core::{BackupId, JobId};
use ibak_dbus::words::Outcome;
use ibak_dbus::{Dict, Error, names};
use ibak_sim::content::{FileKind, Tree};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use zbus::wire::{Fd, OwnedFd, OwnedObjectPath, Variant};

/// How a backup is given back.
#[derive(Clone, Debug, Default)]
pub struct Wish<'a> {
    /// Whose backup it is, by the phone's place; `None` is the phone's own.
    pub source: Option<usize>,
    /// The backup's password.
    pub password: Option<&'a str>,
    /// Options that are on.
    pub flags: &'a [&'a str],
}

/// One entry of a tar stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The kind.
    pub kind: FileKind,
    /// SHA-1 of a file's content in hex, where a link leads; empty for a directory.
    pub content: String,
    /// Bytes of a file.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Permissions.
    pub mode: u32,
}

/// What came through a pipe as tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// What was in it, by name.
    pub members: BTreeMap<String, Member>,
    /// Whether the stream ended as a whole one does.
    pub whole: bool,
}

/// The reading end of a stream that is being written.
pub type Stream = JoinHandle<Vec<u8>>;

impl Night {
    /// Sets, changes or removes a phone's backup password.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn set_encryption(
        &mut self,
        phone: usize,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<JobId, Error> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let (old, new) = (secret(old.unwrap_or("")), secret(new.unwrap_or("")));
        let asked = async move { proxy.set_encryption(old, new, Dict::new()).await };
        self.drive(asked).await.map(job_of)
    }

    /// Has a password set, changed or removed, and returns how that ended.
    pub async fn change_password(
        &mut self,
        phone: usize,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Outcome {
        let job = self.set_encryption(phone, old, new).await.unwrap();
        self.ended(job).await
    }

    /// Proves a password against a backup.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn check_password(
        &mut self,
        phone: usize,
        backup: &BackupId,
        password: &str,
    ) -> Result<JobId, Error> {
        let (proxy, id) = (self.phone_proxy(&self.udid(phone)).await, backup.clone());
        let password = secret(password);
        let asked = async move {
            proxy
                .check_password(id.as_str(), password, Dict::new())
                .await
        };
        self.drive(asked).await.map(job_of)
    }

    /// Gives a backup back.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn restore(
        &mut self,
        phone: usize,
        backup: &BackupId,
        wish: &Wish<'_>,
    ) -> Result<JobId, Error> {
        let (proxy, id) = (self.phone_proxy(&self.udid(phone)).await, backup.clone());
        let mut options = with_password(wish.password);
        for flag in wish.flags {
            options.insert((*flag).to_owned(), true.into());
        }
        if let Some(source) = wish.source {
            insert(
                &mut options,
                "source",
                Variant::from(self.udid(source).as_str().to_owned()),
            );
        }
        let asked = async move { proxy.restore(id.as_str(), options).await };
        self.drive(asked).await.map(job_of)
    }

    /// Gives a backup back and returns how that ended.
    pub async fn restore_now(
        &mut self,
        phone: usize,
        backup: &BackupId,
        wish: &Wish<'_>,
    ) -> Outcome {
        let job = self.restore(phone, backup, wish).await.unwrap();
        self.ended(job).await
    }

    /// Lists what a backup holds.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_files(
        &mut self,
        phone: usize,
        backup: &BackupId,
        password: Option<&str>,
        filter: &[(&str, &str)],
    ) -> Result<Vec<serde_json::Value>, Error> {
        let (proxy, id) = (self.phone_proxy(&self.udid(phone)).await, backup.clone());
        let mut options = with_password(password);
        for (key, value) in filter {
            insert(&mut options, key, Variant::from((*value).to_owned()));
        }
        let (out, stream) = pipe();
        let stream = reading(stream);
        let asked = async move { proxy.list_files(id.as_str(), out, options).await };
        self.drive(asked).await?;
        let text = stream.await.unwrap();
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        Ok(lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect())
    }

    /// Begins to read files out of a backup; `raw` wants the stored files.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn read_files(
        &mut self,
        phone: usize,
        backup: &BackupId,
        password: Option<&str>,
        selection: &[&str],
        raw: bool,
    ) -> Result<(JobId, File), Error> {
        let (proxy, id) = (self.phone_proxy(&self.udid(phone)).await, backup.clone());
        let mut options = with_password(password);
        if raw {
            options.insert("raw".to_owned(), true.into());
        }
        let (out, stream) = pipe();
        let selection = selection.iter().map(|item| (*item).to_owned()).collect();
        let asked = async move { proxy.read_files(id.as_str(), selection, out, options).await };
        Ok((self.drive(asked).await.map(job_of)?, stream))
    }

    /// Reads files out of a backup, to the end.
    ///
    /// # Errors
    /// How the job ended, when not well.
    pub async fn unpack(
        &mut self,
        phone: usize,
        backup: &BackupId,
        password: Option<&str>,
        selection: &[&str],
    ) -> Result<Unpacked, Outcome> {
        let (job, stream) = self
            .read_files(phone, backup, password, selection, false)
            .await
            .unwrap();
        let stream = reading(stream);
        let outcome = self.ended(job).await;
        let bytes = stream.await.unwrap();
        if outcome == Outcome::Succeeded {
            return Ok(untar(&bytes));
        }
        assert!(!untar(&bytes).whole, "{outcome}: the stream looks whole");
        Err(outcome)
    }

    /// Begins to save what was bought in the stores; `have` is there already.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn save_purchases(
        &mut self,
        phone: usize,
        have: &[(String, u64)],
    ) -> Result<(JobId, File), Error> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let mut options = Dict::new();
        if !have.is_empty() {
            let have: HashMap<String, u64> = have.iter().cloned().collect();
            insert(&mut options, "have", Variant::from(have));
        }
        let (out, stream) = pipe();
        let asked = async move { proxy.save_purchases(out, options).await };
        Ok((self.drive(asked).await.map(job_of)?, stream))
    }

    /// Switches iCloud Backup on a phone.
    ///
    /// # Errors
    /// The daemon's refusal, or the phone's.
    pub async fn set_icloud(&mut self, phone: usize, on: bool) -> Result<(), Error> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        self.drive(async move { proxy.set_icloud_backup(on, Dict::new()).await })
            .await
    }

    /// Ends the pairing with a phone.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn unpair(&mut self, phone: usize) -> Result<(), Error> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        self.drive(async move { proxy.unpair(Dict::new()).await })
            .await
    }

    /// Pairs with a phone and returns how that ended.
    pub async fn pair_now(&mut self, phone: usize) -> Outcome {
        let (manager, udid) = (self.manager().await, self.udid(phone));
        let path = self
            .drive(async move { manager.pair(udid.as_str(), Dict::new()).await })
            .await
            .unwrap();
        self.ended(job_of(path)).await
    }

    /// Runs `ibakctl` to its end, with `input` on its standard input.
    pub async fn ctl(&mut self, words: &[&str], input: &str) -> Said {
        self.ctl_in(words, input, &[]).await
    }

    /// As [`Night::ctl`], seen from the daemon's moment, in UTC.
    pub async fn ctl_now(&mut self, words: &[&str]) -> Said {
        let now = self.clock.now().wall.as_secs();
        let now = jiff::Timestamp::from_second(now).unwrap().to_string();
        self.ctl_in(words, "", &[("IBAK_TIMESTAMP", &now), ("TZ", "UTC")])
            .await
    }

    async fn ctl_in(&mut self, words: &[&str], input: &str, env: &[(&str, &str)]) -> Said {
        // Whoever asks first waits while they are built, and the daemon has nothing to tell.
        let program = tokio::task::spawn_blocking(|| programs::path("ibakctl"));
        let program = program.await.unwrap().unwrap();
        let mut child = tokio::process::Command::new(program)
            .args(words)
            .env("IBAK_BUS", &self.bus.address)
            .env("NO_COLOR", "1")
            .envs(env.iter().copied())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let talk = async move {
            // One that ends without asking has nobody to read.
            drop(stdin.write_all(input.as_bytes()).await);
            drop(stdin);
            child.wait_with_output().await
        };
        let output = self.drive(talk).await.unwrap();
        Said {
            code: output.status.code(),
            answer: String::from_utf8_lossy(&output.stdout).into_owned(),
            conversation: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn job_of(path: OwnedObjectPath) -> JobId {
    names::job_of(path.as_str()).expect("the path of a job")
}

fn insert(options: &mut Dict, key: &str, value: Variant<'_>) {
    options.insert(key.to_owned(), value.try_into_owned().unwrap());
}

/// Makes options with a password.
pub fn with_password(password: Option<&str>) -> Dict {
    let mut options = Dict::new();
    if let Some(password) = password {
        insert(
            &mut options,
            "password",
            Variant::from(Fd::from(secret(password))),
        );
    }
    options
}

/// Makes a descriptor that yields a secret.
pub fn secret(text: &str) -> OwnedFd {
    let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    File::from(ours).write_all(text.as_bytes()).unwrap();
    theirs.into()
}

/// Makes a pipe: the end for the daemon, and ours.
pub fn pipe() -> (OwnedFd, File) {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (theirs.into(), File::from(ours))
}

/// Reads a stream to its end, beside whatever else happens.
pub fn reading(mut stream: File) -> Stream {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Reads a tar stream, as far as it goes.
pub fn untar(bytes: &[u8]) -> Unpacked {
    let mut members = BTreeMap::new();
    let mut archive = tar::Archive::new(bytes);
    let mut broken = false;
    for entry in archive.entries().unwrap() {
        let Ok(mut entry) = entry else {
            broken = true;
            break;
        };
        let header = entry.header().clone();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let (mut content, size) = (Vec::new(), header.size().unwrap());
        if entry.read_to_end(&mut content).is_err() {
            broken = true;
            break;
        }
        let found = header.entry_type();
        let (kind, content) = if found.is_dir() {
            (FileKind::Directory, String::new())
        } else if found.is_symlink() {
            let target = entry.link_name().unwrap().unwrap();
            (FileKind::Symlink, target.to_str().unwrap().to_owned())
        } else {
            assert!(found.is_file(), "{path}: {found:?}");
            (FileKind::Regular, hex(&Sha1::digest(&content)))
        };
        let member = Member {
            kind,
            content,
            size,
            modified: header.mtime().unwrap(),
            mode: header.mode().unwrap(),
        };
        let path = path.trim_end_matches('/').to_owned();
        assert_eq!(
            members.insert(path.clone(), member),
            None,
            "{path} comes twice"
        );
    }
    let end = bytes.len().checked_sub(1024).and_then(|at| bytes.get(at..));
    let whole = !broken && end.is_some_and(|end| end.iter().all(|byte| *byte == 0));
    Unpacked { members, whole }
}

/// Returns what a tar stream of all that a phone holds has in it.
pub fn members_of(content: &Tree) -> BTreeMap<String, Member> {
    let member = |view: ibak_sim::content::FileView<'_>| {
        let path = match view.path {
            "" => view.domain.to_owned(),
            path => format!("{}/{path}", view.domain),
        };
        let told = match view.kind {
            FileKind::Regular => hex(&content.sha1_of(&view).unwrap()),
            FileKind::Directory => String::new(),
            FileKind::Symlink => view.target().unwrap().to_owned(),
        };
        let member = Member {
            kind: view.kind,
            content: told,
            size: view.size,
            modified: u64::from(view.modified()),
            mode: view.mode() & 0o7777,
        };
        (path, member)
    };
    content.files().map(member).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
