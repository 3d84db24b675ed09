//! A phone that says what the test tells it.

use crate::vault::{DirVault, contents};
use ibak_core::Udid;
use ibak_mobilebackup2::{
    Deed, Ended, Hooks, Limits, Notice, Outcome, Progress, Request, Vault, converse,
};
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const UDID: &str = "00008030-001A2B3C4D5E6F70";
pub const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
pub const EMPTY: &str = "___EmptyParameterString___";

/// A path inside the phone's own folder.
pub fn own(path: &str) -> String {
    format!("{UDID}/{path}")
}

pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

pub fn texts(items: &[&str]) -> Value {
    list(items.iter().map(|item| Value::from(*item)))
}

pub fn dictionary<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<Dictionary>()
        .into()
}

pub fn nothing() -> Value {
    Value::Dictionary(Dictionary::new())
}

pub fn request(full: bool) -> Request {
    asking(Deed::Backup { full })
}

pub fn asking(deed: Deed) -> Request {
    Request {
        udid: Udid::parse(UDID).unwrap(),
        folder: UDID.to_owned(),
        target: UDID.to_owned(),
        deed,
    }
}

pub fn frame(message: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    message.to_writer_binary(&mut body).unwrap();
    [
        u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(),
        body,
    ]
    .concat()
}

/// A code with its payload, as in a file's content.
pub fn block(code: u8, payload: &[u8]) -> Vec<u8> {
    [
        &u32::try_from(payload.len() + 1).unwrap().to_be_bytes()[..],
        &[code],
        payload,
    ]
    .concat()
}

pub fn name(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// One file of a batch that arrives whole, in blocks of at most 64 KiB.
pub fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut out = [name(b"/var/mobile/x"), name(path.as_bytes())].concat();
    for part in content.chunks(65_536) {
        out.extend(block(0x0c, part));
    }
    out.extend(block(0x00, b""));
    out
}

pub fn response(code: i64, words: &str) -> Value {
    let mut facts = vec![
        ("MessageName", "Response".into()),
        ("ErrorCode", code.into()),
    ];
    if !words.is_empty() {
        facts.push(("ErrorDescription", words.into()));
    }
    list(["DLMessageProcessMessage".into(), dictionary(facts)])
}

pub fn upload(bytes: u64) -> Value {
    list([
        "DLMessageUploadFiles".into(),
        nothing(),
        1.5.into(),
        bytes.into(),
    ])
}

/// The greeting up to the backup's request, as the phone's half of the bytes.
pub fn greeting() -> Vec<Value> {
    vec![
        list(["DLMessageVersionExchange".into(), 400.into(), 0.into()]),
        list(["DLMessageDeviceReady".into()]),
        list([
            "DLMessageProcessMessage".into(),
            dictionary([
                ("MessageName", "Response".into()),
                ("ErrorCode", 0.into()),
                ("ProtocolVersion", 2.1.into()),
            ]),
        ]),
    ]
}

/// A status response, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: i64,
    pub text: String,
    pub value: Value,
}

pub struct Phone {
    pub stream: DuplexStream,
    /// Sizes of the content frames that the host sent, with headers.
    pub frames: Vec<usize>,
}

impl Phone {
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, message: &Value) {
        self.raw(&frame(message)).await;
    }

    async fn chunk(&mut self) -> Vec<u8> {
        let len = self.stream.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut body).await.unwrap();
        body
    }

    pub async fn receive(&mut self) -> Value {
        let body = self.chunk().await;
        Value::from_reader(Cursor::new(body)).unwrap()
    }

    pub async fn status(&mut self) -> Status {
        let reply = self.receive().await.into_array().unwrap();
        assert_eq!(reply.len(), 4, "{reply:?}");
        assert_eq!(reply[0], Value::from("DLMessageStatusResponse"));
        Status {
            code: reply[1].as_signed_integer().unwrap(),
            text: reply[2].as_string().unwrap().to_owned(),
            value: reply[3].clone(),
        }
    }

    pub async fn ask(&mut self, message: &Value) -> Status {
        self.send(message).await;
        self.status().await
    }

    /// Plays the greeting and returns what the host requested.
    pub async fn greet(&mut self) -> Value {
        let [version, ready, hello] = <[Value; 3]>::try_from(greeting()).unwrap();
        self.send(&version).await;
        let agreed = self.receive().await;
        assert_eq!(
            agreed,
            list([
                "DLMessageVersionExchange".into(),
                "DLVersionsOk".into(),
                400.into()
            ])
        );
        self.send(&ready).await;
        let asked = self.receive().await;
        assert_eq!(
            asked.as_array().unwrap()[0],
            Value::from("DLMessageProcessMessage")
        );
        self.send(&hello).await;
        self.receive().await
    }

    pub async fn upload(&mut self, batch: &[Vec<u8>]) -> Status {
        self.send(&upload(0)).await;
        for file in batch {
            self.raw(file).await;
        }
        self.raw(&[0; 4]).await;
        self.status().await
    }

    /// Reads files back: content or the error text by name, and the status.
    pub async fn download(
        &mut self,
        paths: &[&str],
    ) -> (BTreeMap<String, Result<Vec<u8>, String>>, Status) {
        self.send(&list([
            "DLMessageDownloadFiles".into(),
            texts(paths),
            nothing(),
            0.into(),
            0.into(),
        ]))
        .await;
        self.downloaded().await
    }

    pub async fn downloaded(&mut self) -> (BTreeMap<String, Result<Vec<u8>, String>>, Status) {
        let mut files = BTreeMap::new();
        loop {
            let path = String::from_utf8(self.chunk().await).unwrap();
            if path.is_empty() {
                break;
            }
            let mut content = Vec::new();
            let end = loop {
                let block = self.chunk().await;
                self.frames.push(block.len() + 4);
                match block.split_first().unwrap() {
                    (0x0c, data) => content.extend_from_slice(data),
                    (0x00, []) => break Ok(content),
                    (0x06, text) => break Err(String::from_utf8(text.to_vec()).unwrap()),
                    other => panic!("{other:?}"),
                }
            };
            files.insert(path, end);
        }
        let status = self.status().await;
        (files, status)
    }

    /// Ends the backup and checks that the host takes its leave.
    pub async fn finish(&mut self, code: i64) {
        self.send(&response(code, "")).await;
        assert_eq!(
            self.receive().await,
            list(["DLMessageDisconnect".into(), EMPTY.into()])
        );
    }
}

/// What a rig begins with.
pub struct Setup {
    pub vault: DirVault,
    pub request: Request,
    pub limits: Limits,
    pub hooks: Hooks,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            vault: DirVault::new(),
            request: request(false),
            limits: Limits::default(),
            hooks: Hooks::default(),
        }
    }
}

/// An engine under way with the phone at the other end.
pub struct Rig {
    pub phone: Phone,
    pub running: JoinHandle<Ended<DirVault>>,
    pub progress: Arc<Progress>,
    pub cancel: CancellationToken,
    pub notices: mpsc::Sender<Notice>,
}

impl Rig {
    pub fn start(setup: Setup) -> Self {
        let (host, device) = tokio::io::duplex(1 << 16);
        let (notices, heard) = mpsc::channel(8);
        let Setup {
            vault,
            request,
            limits,
            mut hooks,
        } = setup;
        hooks.notices = Some(heard);
        let (progress, cancel) = (Arc::clone(&hooks.progress), CancellationToken::new());
        let token = cancel.clone();
        let running =
            tokio::spawn(
                async move { converse(host, vault, request, hooks, &limits, token).await },
            );
        Self {
            phone: Phone {
                stream: device,
                frames: Vec::new(),
            },
            running,
            progress,
            cancel,
            notices,
        }
    }

    /// Starts a default rig and plays the greeting.
    pub async fn greeted(setup: Setup) -> Self {
        let mut rig = Self::start(setup);
        rig.phone.greet().await;
        rig
    }

    /// Hangs up and returns how it ended.
    pub async fn end(self) -> Ended<DirVault> {
        drop(self.phone);
        self.running.await.unwrap()
    }
}

/// Plays fixed bytes to a backup, hangs up, and returns how it ended.
pub async fn replay(bytes: Vec<u8>, vault: DirVault, limits: &Limits) -> Ended<DirVault> {
    replay_of(request(false), bytes, vault, limits).await
}

/// Plays fixed bytes to the engine, hangs up, and returns how it ended.
pub async fn replay_of<V: Vault>(
    request: Request,
    bytes: Vec<u8>,
    vault: V,
    limits: &Limits,
) -> Ended<V> {
    let (host, device) = tokio::io::duplex(1 << 16);
    let (mut reading, mut writing) = tokio::io::split(device);
    let feed = async move {
        // The host may hang up first; the rest is then nobody's.
        if writing.write_all(&bytes).await.is_ok() {
            writing.shutdown().await.unwrap();
        }
    };
    let drain = async move {
        tokio::io::copy(&mut reading, &mut tokio::io::sink())
            .await
            .unwrap()
    };
    let run = converse(
        host,
        vault,
        request,
        Hooks::default(),
        limits,
        CancellationToken::new(),
    );
    let (ended, (), _) = tokio::join!(run, feed, drain);
    ended
}

/// The phone's half of a small session with every kind of message, and where its result ends.
pub fn recorded() -> (Vec<u8>, usize) {
    let mut bytes: Vec<u8> = greeting().iter().flat_map(frame).collect();
    let zero = || Value::from(0);
    for message in [
        list([
            "DLMessageDownloadFiles".into(),
            texts(&[&own("Status.plist")]),
            nothing(),
            zero(),
            zero(),
        ]),
        list(["DLContentsOfDirectory".into(), UDID.into()]),
        list(["DLMessageGetFreeDiskSpace".into()]),
        list(["DLMessagePurgeDiskSpace".into(), 5.into(), 4.into()]),
        list([
            "DLMessageCreateDirectory".into(),
            own("Snapshot").into(),
            nothing(),
            0.0.into(),
        ]),
        upload(7),
    ] {
        bytes.extend(frame(&message));
    }
    bytes.extend(file(&own(&format!("Snapshot/3d/{ID}")), b"content"));
    bytes.extend(
        [
            name(b"/x"),
            name(own("Snapshot/Manifest.db").as_bytes()),
            block(0x06, b"locked"),
        ]
        .concat(),
    );
    bytes.extend([0; 4]);
    let snapshot = own(&format!("Snapshot/3d/{ID}"));
    for message in [
        list([
            "DLMessageMoveItems".into(),
            dictionary([(snapshot.as_str(), own(&format!("3d/{ID}")).into())]),
            nothing(),
            97.0.into(),
        ]),
        list([
            "DLMessageRemoveItems".into(),
            texts(&[&own("Snapshot")]),
            nothing(),
            98.0.into(),
        ]),
        list([
            "DLMessageCopyItem".into(),
            own(&format!("3d/{ID}")).into(),
            own("Manifest.db").into(),
        ]),
        response(0, ""),
    ] {
        bytes.extend(frame(&message));
    }
    let result_end = bytes.len();
    bytes.extend(frame(&list(["DLMessageDisconnect".into(), EMPTY.into()])));
    (bytes, result_end)
}

/// Checks that nothing beside the vault's root was changed or left half done.
pub fn assert_tidy(ended: &Ended<DirVault>) {
    let all = contents(ended.vault.dir.path());
    assert_eq!(
        all.get("outside").map(Vec::as_slice),
        Some(&b"untouched"[..])
    );
    for name in all.keys() {
        assert!(name == "outside" || name.starts_with("root/"), "{name}");
        assert!(
            !name.ends_with(".part"),
            "{name} was left after {:?}",
            ended.outcome
        );
    }
}

pub fn assert_disconnected(outcome: &Outcome) {
    assert!(
        matches!(outcome, Outcome::Disconnected { .. }),
        "{outcome:?}"
    );
}
