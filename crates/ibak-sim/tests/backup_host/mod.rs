//! A small host, written straight from the corpus, and a phone to put in front of it.
//!
//! It trusts nothing: every message is kept for the tests to look at, and what a host would do
//! wrong can be asked for.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ibak_sim::backup::{
    BackupEnd, BackupError, BackupHost, BackupMemory, Faults, Interruption, PasscodeAnswer, Phase,
    Quirks, serve,
};
use ibak_sim::content::{Content, ContentSpec, FileKind};
use ibak_sim::{Identity, IosVersion};
use plist::{Dictionary, Value};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

pub const EMPTY: &str = "___EmptyParameterString___";

/// A directory for one test, in memory where there is such a place: a backup makes 512 directories.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// The part of a phone the backup service needs.
pub struct TestPhone {
    pub identity: Identity,
    pub content: Arc<Mutex<Content>>,
    pub quirks: Quirks,
    pub memory: Arc<Mutex<BackupMemory>>,
    pub passcode: PasscodeAnswer,
    pub faults: Mutex<Faults>,
    pub interruption: Option<(Interruption, tokio::sync::Notify)>,
    pub phases: Mutex<Vec<Phase>>,
    pub silence: Duration,
    pub rate: Option<u64>,
}

impl TestPhone {
    pub fn new(ios: &str, spec: &ContentSpec) -> Self {
        let ios: IosVersion = ios.parse().unwrap();
        let identity = Identity::draw(spec.seed, "Ada's iPhone", "iPhone9,1", ios, None);
        let content = Content::generate(spec, &identity);
        Self {
            identity,
            content: Arc::new(Mutex::new(content)),
            quirks: Quirks::default(),
            memory: Arc::default(),
            passcode: PasscodeAnswer::NotAsked,
            faults: Mutex::default(),
            interruption: None,
            phases: Mutex::default(),
            silence: Duration::ZERO,
            rate: None,
        }
    }

    pub fn small(ios: &str) -> Self {
        Self::new(
            ios,
            &ContentSpec {
                seed: 11,
                files: 300,
                bytes: 6 << 20,
                apps: 3,
                largest_file: None,
            },
        )
    }

    pub fn change(&self, touch: u64, add: u64, delete: u64) {
        self.content.lock().unwrap().change(touch, add, delete);
    }
}

impl BackupHost for TestPhone {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn content(&self) -> Arc<Mutex<Content>> {
        Arc::clone(&self.content)
    }
    fn quirks(&self) -> &Quirks {
        &self.quirks
    }
    fn memory(&self) -> Arc<Mutex<BackupMemory>> {
        Arc::clone(&self.memory)
    }
    fn passcode_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        Box::pin(std::future::ready(self.passcode))
    }
    fn passcode_set(&self) -> bool {
        true
    }
    fn interrupted(&self) -> BoxFuture<'_, Interruption> {
        Box::pin(async {
            match &self.interruption {
                Some((interruption, when)) => {
                    when.notified().await;
                    *interruption
                }
                None => std::future::pending().await,
            }
        })
    }
    fn faults(&self) -> Faults {
        self.faults.lock().unwrap().clone()
    }
    fn silence(&self) -> Duration {
        self.silence
    }
    fn upload_rate(&self) -> Option<u64> {
        self.rate
    }
    fn backup_phase(&self, phase: Phase) {
        self.phases.lock().unwrap().push(phase);
    }
}

/// What the host does wrong, and what it has.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Bytes of data in a frame to the phone.
    pub frame_bytes: usize,
    /// What GetFreeDiskSpace answers, one after the other; the last for ever.
    pub free_bytes: Vec<u64>,
    /// What PurgeDiskSpace answers.
    pub purge: Result<u64, i64>,
    /// Answers the n-th message of a name with a code and does nothing.
    pub refuse: HashMap<(&'static str, usize), i64>,
    /// Waits before the first reply.
    pub hold: Duration,
    /// Gives another file than asked: path end and content.
    pub forge: Option<(&'static str, Vec<u8>)>,
    /// Sends negative codes as unsigned numbers.
    pub unsigned_codes: bool,
    /// The version the host names; `None` repeats the phone's.
    pub version: Option<i64>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            frame_bytes: 32 << 10,
            free_bytes: vec![1 << 40],
            purge: Err(-1),
            refuse: HashMap::new(),
            hold: Duration::ZERO,
            forge: None,
            unsigned_codes: false,
            version: None,
        }
    }
}

/// One message from the phone and its size on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub message: Vec<Value>,
    pub wire_bytes: usize,
    /// What was in Status.plist when the message came.
    pub state: Option<String>,
}

impl Seen {
    pub fn name(&self) -> &str {
        self.message[0].as_string().unwrap()
    }
}

/// A file as it came over the wire.
#[derive(Clone, Debug)]
pub struct Received {
    pub device_path: String,
    pub host_path: String,
    pub largest_block: usize,
    /// 0, 0x06 or 0x0b.
    pub code: u8,
    pub batch: usize,
}

/// What a session came to.
pub struct Session {
    /// The final response, if there was one.
    pub response: Option<Dictionary>,
    pub seen: Vec<Seen>,
    pub received: Vec<Received>,
    /// What the phone says of it.
    pub phone: Result<BackupEnd, BackupError>,
}

impl Session {
    pub fn code(&self) -> i64 {
        self.response.as_ref().expect("no final response")["ErrorCode"]
            .as_signed_integer()
            .unwrap()
    }

    pub fn description(&self) -> &str {
        self.response
            .as_ref()
            .unwrap()
            .get("ErrorDescription")
            .and_then(Value::as_string)
            .unwrap_or("")
    }

    pub fn names(&self) -> Vec<&str> {
        self.seen.iter().map(Seen::name).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.seen.iter().filter(|seen| seen.name() == name).count()
    }

    pub fn end(&self) -> &BackupEnd {
        self.phone.as_ref().unwrap()
    }

    /// Files of the phone's content that came whole.
    pub fn files(&self) -> usize {
        self.received
            .iter()
            .filter(|file| file.code == 0 && !is_own(&file.host_path))
            .count()
    }
}

fn is_own(path: &str) -> bool {
    path.ends_with(".plist") || path.ends_with("Manifest.db")
}

struct Host {
    stream: DuplexStream,
    root: PathBuf,
    udid: String,
    manners: Manners,
    seen: Vec<Seen>,
    received: Vec<Received>,
    batches: usize,
    replied: bool,
    counts: HashMap<String, usize>,
    asked_free: usize,
}

/// Runs one request against the phone; `None` as request only exchanges versions and leaves.
pub async fn session(
    phone: &TestPhone,
    root: &Path,
    request: &str,
    options: Option<Dictionary>,
    manners: Manners,
) -> Session {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let udid = phone.identity.udid.clone();
    std::fs::create_dir_all(root.join(&udid)).unwrap();
    let mut host = Host {
        stream: ours,
        root: root.to_owned(),
        udid,
        manners,
        seen: Vec::new(),
        received: Vec::new(),
        batches: 0,
        replied: false,
        counts: HashMap::new(),
        asked_free: 0,
    };
    let mut message = Dictionary::new();
    message.insert("MessageName".into(), request.into());
    message.insert("TargetIdentifier".into(), host.udid.clone().into());
    message.insert("SourceIdentifier".into(), host.udid.clone().into());
    if let Some(options) = options {
        message.insert("Options".into(), Value::Dictionary(options));
    }
    let talk = async {
        let response = host.talk(message).await;
        (response, host)
    };
    let (phone_end, (response, host)) =
        tokio::join!(serve(theirs, phone, CancellationToken::new()), talk);
    Session {
        response,
        seen: host.seen,
        received: host.received,
        phone: phone_end,
    }
}

/// Runs a backup with good manners.
pub async fn backup(phone: &TestPhone, root: &Path) -> Session {
    session(phone, root, "Backup", None, Manners::default()).await
}

pub fn force_full() -> Option<Dictionary> {
    Some(Dictionary::from_iter([(
        "ForceFullBackup".to_owned(),
        Value::Boolean(true),
    )]))
}

pub fn binary(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    plist::to_writer_binary(&mut bytes, value).unwrap();
    bytes
}

impl Host {
    /// Speaks until the final response; `None` if the connection ends before it.
    async fn talk(&mut self, request: Dictionary) -> Option<Dictionary> {
        let version = self.receive().await?;
        let major = self.manners.version.map_or(version[1].clone(), Value::from);
        self.send(vec![
            "DLMessageVersionExchange".into(),
            "DLVersionsOk".into(),
            major,
        ])
        .await?;
        let ready = self.receive().await?;
        assert_eq!(ready, ["DLMessageDeviceReady".into()]);
        let mut hello = Dictionary::new();
        hello.insert("MessageName".into(), "Hello".into());
        hello.insert(
            "SupportedProtocolVersions".into(),
            Value::Array(vec![Value::Real(2.0), Value::Real(2.1)]),
        );
        self.send(vec![
            "DLMessageProcessMessage".into(),
            Value::Dictionary(hello),
        ])
        .await?;
        let hello = self.receive().await?;
        assert_eq!(hello[1].as_dictionary().unwrap()["ErrorCode"], 0.into());
        self.send(vec![
            "DLMessageProcessMessage".into(),
            Value::Dictionary(request),
        ])
        .await?;
        loop {
            let message = self.receive().await?;
            let name = message[0].as_string().unwrap().to_owned();
            if name == "DLMessageProcessMessage" {
                let response = message[1].as_dictionary().unwrap().clone();
                // The phone may have left already.
                let _left = self
                    .send(vec!["DLMessageDisconnect".into(), EMPTY.into()])
                    .await;
                return Some(response);
            }
            let nth = self.counts.entry(name.clone()).or_default();
            *nth += 1;
            let key = (name.as_str(), *nth - 1);
            let refused = self
                .manners
                .refuse
                .iter()
                .find(|((name, nth), _)| (*name, *nth) == key)
                .map(|(_, code)| *code);
            self.obey(&name, &message, refused).await?;
        }
    }

    async fn send(&mut self, message: Vec<Value>) -> Option<()> {
        let bytes = binary(&Value::Array(message));
        let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&bytes);
        self.stream.write_all(&frame).await.ok()
    }

    async fn receive(&mut self) -> Option<Vec<Value>> {
        let len = self.stream.read_u32().await.ok()? as usize;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await.ok()?;
        assert!(
            bytes.starts_with(b"bplist00"),
            "DeviceLink speaks binary plists"
        );
        let message = Value::from_reader(std::io::Cursor::new(bytes))
            .unwrap()
            .into_array()
            .unwrap();
        let state = status(&self.root.join(&self.udid))
            .map(|status| status["SnapshotState"].as_string().unwrap().to_owned());
        self.seen.push(Seen {
            message: message.clone(),
            wire_bytes: len,
            state,
        });
        Some(message)
    }

    async fn reply(&mut self, code: i64, text: &str, value: Value) -> Option<()> {
        if !std::mem::replace(&mut self.replied, true) {
            tokio::time::sleep(self.manners.hold).await;
        }
        let code = if self.manners.unsigned_codes {
            code.cast_unsigned().into()
        } else {
            code.into()
        };
        self.send(vec![
            "DLMessageStatusResponse".into(),
            code,
            text.into(),
            value,
        ])
        .await
    }

    async fn done(&mut self) -> Option<()> {
        self.reply(0, EMPTY, EMPTY.into()).await
    }

    /// A path of the phone below our root: one leading slash means nothing.
    fn place(&self, path: &str) -> PathBuf {
        let path = path.strip_prefix('/').unwrap_or(path);
        assert!(
            !path.is_empty()
                && !path.starts_with('/')
                && !path.split('/').any(|part| part == ".." || part.is_empty()),
            "{path}"
        );
        assert!(
            path.starts_with(&self.udid) || path.starts_with(".b"),
            "{path}"
        );
        self.root.join(path)
    }

    async fn obey(&mut self, name: &str, message: &[Value], refused: Option<i64>) -> Option<()> {
        if let Some(code) = refused
            && name != "DLMessageUploadFiles"
            && name != "DLMessageDownloadFiles"
        {
            return self.reply(code, "refused by the test", EMPTY.into()).await;
        }
        match name {
            "DLMessageDownloadFiles" => {
                self.send_files(message[1].as_array().unwrap(), refused)
                    .await
            }
            "DLMessageUploadFiles" => {
                self.receive_files().await?;
                match refused {
                    Some(code) => self.reply(code, "refused by the test", EMPTY.into()).await,
                    None => {
                        self.reply(0, EMPTY, Value::Dictionary(Dictionary::new()))
                            .await
                    }
                }
            }
            "DLMessageGetFreeDiskSpace" => {
                let at = self.asked_free.min(self.manners.free_bytes.len() - 1);
                self.asked_free += 1;
                let free = self.manners.free_bytes[at];
                self.reply(0, EMPTY, free.into()).await
            }
            "DLMessagePurgeDiskSpace" => match self.manners.purge {
                Ok(freed) => self.reply(0, EMPTY, freed.into()).await,
                Err(code) => {
                    self.reply(code, "Operation not supported", EMPTY.into())
                        .await
                }
            },
            _ => self.obey_in_tree(name, message).await,
        }
    }

    async fn obey_in_tree(&mut self, name: &str, message: &[Value]) -> Option<()> {
        let text = |at: usize| message[at].as_string().unwrap();
        match name {
            "DLContentsOfDirectory" => {
                let listing = list(&self.place(text(1)));
                match listing {
                    Some(listing) => self.reply(0, EMPTY, Value::Dictionary(listing)).await,
                    None => {
                        self.reply(-6, "No such file or directory", EMPTY.into())
                            .await
                    }
                }
            }
            "DLMessageCreateDirectory" => match std::fs::create_dir(self.place(text(1))) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    self.reply(-7, "File exists", EMPTY.into()).await
                }
                made => {
                    made.unwrap();
                    self.done().await
                }
            },
            "DLMessageMoveItems" | "DLMessageMoveFiles" => {
                for (from, to) in message[1].as_dictionary().unwrap() {
                    std::fs::rename(self.place(from), self.place(to.as_string().unwrap())).unwrap();
                }
                self.done().await
            }
            "DLMessageCopyItem" => {
                std::fs::copy(self.place(text(1)), self.place(text(2))).unwrap();
                self.done().await
            }
            "DLMessageRemoveItems" | "DLMessageRemoveFiles" => {
                for path in message[1].as_array().unwrap() {
                    let path = self.place(path.as_string().unwrap());
                    if path.is_dir() {
                        std::fs::remove_dir_all(path).unwrap();
                    } else if path.exists() {
                        std::fs::remove_file(path).unwrap();
                    }
                }
                self.done().await
            }
            other => panic!("unknown message {other}"),
        }
    }

    async fn send_files(&mut self, paths: &[Value], refused: Option<i64>) -> Option<()> {
        let mut failures = Dictionary::new();
        for path in paths.iter().map(|path| path.as_string().unwrap()) {
            self.stream.write_u32(path.len() as u32).await.ok()?;
            self.stream.write_all(path.as_bytes()).await.ok()?;
            let forged = self
                .manners
                .forge
                .as_ref()
                .filter(|(end, _)| path.ends_with(end))
                .map(|(_, bytes)| bytes.clone());
            let bytes = match (forged, refused) {
                (Some(bytes), None) => Ok(bytes),
                (_, Some(code)) => Err(code),
                (None, None) => std::fs::read(self.place(path)).map_err(|_| -6),
            };
            match bytes {
                Ok(bytes) => {
                    for block in bytes.chunks(self.manners.frame_bytes) {
                        self.stream.write_u32(block.len() as u32 + 1).await.ok()?;
                        self.stream.write_u8(0x0c).await.ok()?;
                        self.stream.write_all(block).await.ok()?;
                    }
                    self.stream.write_all(&[0, 0, 0, 1, 0]).await.ok()?;
                }
                Err(code) => {
                    let text = "No such file or directory";
                    self.stream.write_u32(text.len() as u32 + 1).await.ok()?;
                    self.stream.write_u8(0x06).await.ok()?;
                    self.stream.write_all(text.as_bytes()).await.ok()?;
                    let code: Value = if self.manners.unsigned_codes {
                        code.cast_unsigned().into()
                    } else {
                        code.into()
                    };
                    let mut failure = Dictionary::new();
                    failure.insert("DLFileErrorString".into(), text.into());
                    failure.insert("DLFileErrorCode".into(), code);
                    failures.insert(path.to_owned(), Value::Dictionary(failure));
                }
            }
        }
        self.stream.write_u32(0).await.ok()?;
        if failures.is_empty() {
            self.reply(0, EMPTY, Value::Dictionary(Dictionary::new()))
                .await
        } else {
            self.reply(-13, "Multi status", Value::Dictionary(failures))
                .await
        }
    }

    async fn name(&mut self) -> Option<String> {
        let len = self.stream.read_u32().await.ok()? as usize;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    async fn receive_files(&mut self) -> Option<()> {
        let batch = self.batches;
        self.batches += 1;
        loop {
            let device_path = self.name().await?;
            if device_path.is_empty() {
                return Some(());
            }
            let host_path = self.name().await?;
            let place = self.place(&host_path);
            let mut file = std::io::BufWriter::new(std::fs::File::create(&place).unwrap());
            let mut largest_block = 0;
            let mut buffer = Vec::new();
            let code = loop {
                let len = self.stream.read_u32().await.ok()? as usize;
                let code = self.stream.read_u8().await.ok()?;
                buffer.resize(len - 1, 0);
                self.stream.read_exact(&mut buffer).await.ok()?;
                if code != 0x0c {
                    break code;
                }
                largest_block = largest_block.max(len - 1);
                std::io::Write::write_all(&mut file, &buffer).unwrap();
            };
            std::io::Write::flush(&mut file).unwrap();
            if code != 0 {
                std::fs::remove_file(&place).unwrap();
            }
            self.received.push(Received {
                device_path,
                host_path,
                largest_block,
                code,
                batch,
            });
        }
    }
}

fn list(dir: &Path) -> Option<Dictionary> {
    let mut listing = Dictionary::new();
    for entry in std::fs::read_dir(dir).ok()? {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let kind = if metadata.is_dir() {
            "DLFileTypeDirectory"
        } else {
            "DLFileTypeRegular"
        };
        let mut facts = Dictionary::new();
        facts.insert("DLFileType".into(), kind.into());
        facts.insert("DLFileSize".into(), metadata.len().into());
        facts.insert(
            "DLFileModificationDate".into(),
            Value::Date(metadata.modified().unwrap().into()),
        );
        listing.insert(
            entry.file_name().into_string().unwrap(),
            Value::Dictionary(facts),
        );
    }
    Some(listing)
}

/// Reads Status.plist of a backup.
pub fn status(dir: &Path) -> Option<Dictionary> {
    Value::from_reader(std::io::Cursor::new(
        std::fs::read(dir.join("Status.plist")).ok()?,
    ))
    .ok()?
    .into_dictionary()
}

/// One row of Manifest.db.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestRow {
    pub domain: String,
    pub path: String,
    pub flags: i64,
    pub blob: Vec<u8>,
}

/// Reads Manifest.db after SQLite has found it sound.
pub fn manifest_rows(dir: &Path) -> BTreeMap<String, ManifestRow> {
    let connection = rusqlite::Connection::open(dir.join("Manifest.db")).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = connection
        .prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")
        .unwrap();
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            ManifestRow {
                domain: row.get(1)?,
                path: row.get(2)?,
                flags: row.get(3)?,
                blob: row.get(4)?,
            },
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Holds a committed backup against the phone: every row, every byte, and nothing else.
pub fn assert_equal(root: &Path, phone: &TestPhone) {
    assert_equal_but(root, phone, &[]);
}

/// The same, where the files with these ids could not be sent.
pub fn assert_equal_but(root: &Path, phone: &TestPhone, failed: &[String]) {
    let content = phone.content.lock().unwrap();
    assert_backup(&root.join(&phone.identity.udid), &content, failed);
}

/// The same for the directory of any backup.
pub fn assert_backup(dir: &Path, content: &Content, failed: &[String]) {
    let rows = manifest_rows(dir);
    let mut expected = 0;
    let mut payloads = std::collections::BTreeSet::new();
    for file in content.files() {
        let id = file.id.hex();
        if failed.contains(&id) {
            assert!(
                !rows.contains_key(&id),
                "a file that never came is in Manifest.db: {}",
                file.path
            );
            continue;
        }
        expected += 1;
        let row = rows
            .get(&id)
            .unwrap_or_else(|| panic!("no row for {} {}", file.domain, file.path));
        assert_eq!(
            (row.domain.as_str(), row.path.as_str(), row.flags),
            (file.domain, file.path, file.kind.flags())
        );
        let hash: [u8; 20] = Sha1::digest(format!("{}-{}", file.domain, file.path)).into();
        assert_eq!(hash, file.id.0);
        if file.kind == FileKind::Regular {
            let payload = std::fs::read(dir.join(&id[..2]).join(&id))
                .unwrap_or_else(|error| panic!("{}: {error}", file.path));
            assert_eq!(payload.len() as u64, file.size, "{}", file.path);
            let sha1: [u8; 20] = Sha1::digest(&payload).into();
            assert_eq!(sha1, content.sha1_of(&file).unwrap(), "{}", file.path);
            payloads.insert(id);
        }
    }
    assert_eq!(rows.len(), expected, "Manifest.db has rows of its own");
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match name.as_str() {
            "Info.plist" | "Status.plist" | "Manifest.plist" | "Manifest.db" => {
                assert!(entry.path().is_file())
            }
            prefix if prefix.len() == 2 => {
                for payload in std::fs::read_dir(entry.path()).unwrap() {
                    let payload = payload.unwrap().file_name().into_string().unwrap();
                    assert!(payloads.contains(&payload), "{payload} belongs to nothing");
                }
            }
            other => panic!("{other} was left behind"),
        }
    }
    let status = status(dir).unwrap();
    assert_eq!(status["SnapshotState"].as_string(), Some("finished"));
}
