//! A small host, written straight from the corpus, and a phone to put in front of it.
//!
//! It trusts nothing: every message is kept for the tests to look at, and what a host would do
//! wrong can be asked for.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod check;
pub mod corpus;
mod phone;
mod sealed;
mod seen;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ibak_sim::backup::serve;
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

pub use check::{
    ManifestRow, assert_backup, assert_equal, assert_equal_but, manifest_rows, status,
};
pub use phone::TestPhone;
pub use sealed::{Opened, assert_sealed, change_password, open_backup};
pub use seen::{Manners, Received, Seen, Session};

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

/// Whether a file is the phone's own and not of its content.
pub fn is_own(path: &str) -> bool {
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
    let source = phone.identity.udid.clone();
    session_from(phone, root, request, &source, options, manners).await
}

/// The same with the backup of any phone.
pub async fn session_from(
    phone: &TestPhone,
    root: &Path,
    request: &str,
    source: &str,
    options: Option<Dictionary>,
    manners: Manners,
) -> Session {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    std::fs::create_dir_all(root.join(source)).unwrap();
    let mut host = Host {
        stream: ours,
        root: root.to_owned(),
        udid: source.to_owned(),
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
    let target = phone.identity.udid.as_str();
    message.insert("TargetIdentifier".into(), target.into());
    message.insert("SourceIdentifier".into(), source.into());
    if let Some(options) = options {
        message.insert("Options".into(), Value::Dictionary(options));
    }
    for (key, text) in &host.manners.beside {
        message.insert((*key).to_owned(), text.as_str().into());
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
            // A cut leaves halves of the phone's files, and never half of a manifest.
            let part = self.root.join("part");
            let at = if is_own(&host_path) { &part } else { &place };
            let mut file = std::io::BufWriter::new(std::fs::File::create(at).unwrap());
            let (mut largest_block, mut kept) = (0, 0);
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
                if is_own(&host_path) || kept + buffer.len() <= self.manners.keep_bytes {
                    kept += buffer.len();
                    std::io::Write::write_all(&mut file, &buffer).unwrap();
                }
            };
            std::io::Write::flush(&mut file).unwrap();
            if code != 0 {
                std::fs::remove_file(at).unwrap();
            } else if at != &place {
                std::fs::rename(at, &place).unwrap();
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
