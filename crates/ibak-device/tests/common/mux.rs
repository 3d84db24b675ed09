//! A usbmuxd on a Unix socket that can be stopped, started and struck dumb.

use super::dict;
use plist::{Dictionary, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

/// What this usbmuxd knows and how it behaves.
#[derive(Default)]
pub struct Mind {
    /// `(DeviceID, SerialNumber, ConnectionType)`
    pub phones: Vec<(u32, String, String)>,
    pub mute: bool,
    /// Sent instead of an answer, with the connection left open.
    pub raw: Option<Vec<u8>>,
    /// Where port 62078 leads; other ports lead to the same port of this computer.
    pub lockdown: Option<std::net::SocketAddr>,
    pub record: Option<Vec<u8>>,
    pub saved: Vec<Dictionary>,
    /// Requests by name.
    pub asked: Vec<String>,
}

pub struct Mux {
    pub path: PathBuf,
    pub mind: Arc<Mutex<Mind>>,
    news: broadcast::Sender<Dictionary>,
    task: tokio::task::JoinHandle<()>,
}

impl Mux {
    /// Starts at `path`, with the mind of an earlier one if there was one.
    pub fn start(path: &Path, mind: Arc<Mutex<Mind>>) -> Self {
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
        let listener = UnixListener::bind(path).unwrap();
        let (news, _) = broadcast::channel(16);
        let (task_mind, task_news) = (Arc::clone(&mind), news.clone());
        let task = tokio::spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(client(stream, Arc::clone(&task_mind), task_news.clone()));
            }
        });
        Self {
            path: path.to_owned(),
            mind,
            news,
            task,
        }
    }

    pub fn attach(&self, id: u32, serial: &str) {
        self.mind
            .lock()
            .unwrap()
            .phones
            .push((id, serial.into(), "USB".into()));
        self.news.send(attached(id, serial, "USB")).ok();
    }

    pub fn detach(&self, id: u32) {
        self.mind
            .lock()
            .unwrap()
            .phones
            .retain(|phone| phone.0 != id);
        let gone = dict([
            ("MessageType", "Detached".into()),
            ("DeviceID", Value::Integer(id.into())),
        ]);
        self.news.send(gone).ok();
    }

    /// Ends, and all its connections with it.
    pub async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        std::fs::remove_file(&self.path).unwrap();
    }
}

fn attached(id: u32, serial: &str, connection: &str) -> Dictionary {
    let properties = dict([
        ("ConnectionSpeed", Value::Integer(480_000_000.into())),
        ("ConnectionType", connection.into()),
        ("DeviceID", Value::Integer(id.into())),
        ("LocationID", Value::Integer(65_539.into())),
        ("ProductID", Value::Integer(4776.into())),
        ("SerialNumber", serial.into()),
    ]);
    dict([
        ("MessageType", "Attached".into()),
        ("DeviceID", Value::Integer(id.into())),
        ("Properties", Value::Dictionary(properties)),
    ])
}

fn result(number: i64) -> Dictionary {
    dict([
        ("MessageType", "Result".into()),
        ("Number", Value::Integer(number.into())),
    ])
}

async fn client(
    mut stream: UnixStream,
    mind: Arc<Mutex<Mind>>,
    news: broadcast::Sender<Dictionary>,
) -> std::io::Result<()> {
    loop {
        let (tag, request) = read(&mut stream).await?;
        let kind = request["MessageType"].as_string().unwrap().to_owned();
        let (mute, raw) = {
            let mut mind = mind.lock().unwrap();
            mind.asked.push(kind.clone());
            (mind.mute, mind.raw.clone())
        };
        if mute {
            continue;
        }
        if let Some(raw) = raw {
            stream.write_all(&raw).await?;
            continue;
        }
        match kind.as_str() {
            "Listen" => return listen(stream, tag, &mind, &news).await,
            "Connect" => return connect(stream, tag, &request, &mind).await,
            _ => {
                let answer = answer(&kind, request, &mut mind.lock().unwrap());
                write(&mut stream, tag, answer).await?;
            }
        }
    }
}

fn answer(kind: &str, request: Dictionary, mind: &mut Mind) -> Dictionary {
    match kind {
        "ListDevices" => {
            let list = mind.phones.iter().map(|(id, serial, connection)| {
                Value::Dictionary(attached(*id, serial, connection))
            });
            dict([("DeviceList", Value::Array(list.collect()))])
        }
        "ReadPairRecord" => match &mind.record {
            Some(record) => dict([("PairRecordData", Value::Data(record.clone()))]),
            None => result(2),
        },
        "DeletePairRecord" => {
            mind.record = None;
            result(0)
        }
        "SavePairRecord" => {
            mind.saved.push(request);
            result(0)
        }
        _ => result(1),
    }
}

async fn listen(
    mut stream: UnixStream,
    tag: u32,
    mind: &Mutex<Mind>,
    news: &broadcast::Sender<Dictionary>,
) -> std::io::Result<()> {
    let mut news = news.subscribe();
    let phones = mind.lock().unwrap().phones.clone();
    write(&mut stream, tag, result(0)).await?;
    for (id, serial, connection) in phones {
        write(&mut stream, 0, attached(id, &serial, &connection)).await?;
    }
    let mut gone = [0; 1];
    loop {
        tokio::select! {
            message = news.recv() => write(&mut stream, 0, message.unwrap()).await?,
            _ = stream.read(&mut gone) => return Ok(()),
        }
    }
}

async fn connect(
    mut stream: UnixStream,
    tag: u32,
    request: &Dictionary,
    mind: &Mutex<Mind>,
) -> std::io::Result<()> {
    let number = |key: &str| request[key].as_unsigned_integer().unwrap();
    let port = u16::try_from(number("PortNumber")).unwrap().swap_bytes();
    let (known, lockdown) = {
        let mind = mind.lock().unwrap();
        (
            mind.phones
                .iter()
                .any(|phone| u64::from(phone.0) == number("DeviceID")),
            mind.lockdown,
        )
    };
    if !known {
        return write(&mut stream, tag, result(2)).await;
    }
    let address = if port == 62078 {
        lockdown.unwrap()
    } else {
        ([127, 0, 0, 1], port).into()
    };
    match TcpStream::connect(address).await {
        Ok(mut phone) => {
            write(&mut stream, tag, result(0)).await?;
            copy_bidirectional(&mut stream, &mut phone).await.map(drop)
        }
        Err(_) => write(&mut stream, tag, result(3)).await,
    }
}

async fn read(stream: &mut UnixStream) -> std::io::Result<(u32, Dictionary)> {
    let size = stream.read_u32_le().await?;
    assert_eq!(
        (stream.read_u32_le().await?, stream.read_u32_le().await?),
        (1, 8),
        "version and message"
    );
    let tag = stream.read_u32_le().await?;
    let mut body = vec![0; size as usize - 16];
    stream.read_exact(&mut body).await?;
    Ok((tag, plist::from_bytes(&body).unwrap()))
}

async fn write(stream: &mut UnixStream, tag: u32, message: Dictionary) -> std::io::Result<()> {
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
    let mut packet = Vec::new();
    for number in [body.len() as u32 + 16, 1, 8, tag] {
        packet.extend(number.to_le_bytes());
    }
    packet.extend(body);
    stream.write_all(&packet).await
}
