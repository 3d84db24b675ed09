//! The phone: lockdown on a TCP port of this computer, and what its services are asked.

use super::afc::Files;
use super::{UDID, dict, keys, read_plist, write_plist};
use ibak_device::Stream;
use plist::{Dictionary, Value};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How this phone behaves.
#[derive(Clone)]
pub struct Nature {
    pub tls: Arc<ServerConfig>,
    /// What `EnableSessionSSL` says.
    pub session_tls: bool,
    /// What `EnableServiceSSL` says; absent when false.
    pub service_tls: bool,
    pub udid: String,
    pub values: HashMap<(String, String), Value>,
    /// What is answered to a request instead, once each, first come first served.
    pub refusals: Vec<(&'static str, &'static str)>,
    /// Refuses services that are asked for with an escrow bag.
    pub refuse_escrow: bool,
    /// Refuses the list of apps.
    pub refuse_apps: bool,
    /// How often the sync lock is busy.
    pub lock_busy: u32,
    /// Closes the lockdown connection after this many requests in a session.
    pub requests_per_session: usize,
    /// Sent instead of the first answer.
    pub first_answer: Option<Vec<u8>>,
    /// Never answers.
    pub silent: bool,
    /// Answers a handshake with what is none.
    pub tls_garbage: bool,
    /// What the file service has, and does.
    pub files: Files,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            tls: keys::server(
                &keys::device_certificate(),
                &keys::keys().device,
                keys::BOTH,
            ),
            session_tls: true,
            service_tls: true,
            udid: UDID.into(),
            values: HashMap::new(),
            refusals: Vec::new(),
            refuse_escrow: false,
            refuse_apps: false,
            lock_busy: 0,
            requests_per_session: usize::MAX,
            first_answer: None,
            silent: false,
            tls_garbage: false,
            files: Files::default(),
        }
    }
}

/// What was heard.
#[derive(Default)]
pub struct Heard {
    /// Every byte that came to lockdown, as it was on the wire.
    pub wire: Vec<u8>,
    /// Every lockdown request, and whether it was encrypted.
    pub requests: Vec<(bool, Dictionary)>,
    /// What the services were asked, in order: `post NAME`, `observe NAME`, `afc OP`, `service …`.
    pub deeds: Vec<String>,
    /// Connections to lockdown.
    pub connections: usize,
}

impl Heard {
    pub fn names(&self) -> Vec<&str> {
        self.requests
            .iter()
            .map(|(_, request)| request["Request"].as_string().unwrap())
            .collect()
    }
}

#[derive(Clone)]
pub struct Phone {
    pub address: SocketAddr,
    nature: Arc<Mutex<Nature>>,
    pub heard: Arc<Mutex<Heard>>,
}

impl Phone {
    pub async fn start(nature: Nature) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let phone = Self {
            address: listener.local_addr().unwrap(),
            nature: Arc::new(Mutex::new(nature)),
            heard: Arc::default(),
        };
        let server = phone.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let phone = server.clone();
                // A client that goes away in the middle is no failure of the phone's.
                tokio::spawn(async move { phone.lockdown(stream).await.ok() });
            }
        });
        phone
    }

    pub fn nature(&self) -> Nature {
        self.nature.lock().unwrap().clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Nature)) {
        change(&mut self.nature.lock().unwrap());
    }

    pub fn deeds(&self) -> Vec<String> {
        self.heard.lock().unwrap().deeds.clone()
    }

    /// Waits until it did something; what is posted to it has no answer.
    pub async fn until(&self, deed: &str) {
        let done = async {
            while !self.deeds().iter().any(|done| done == deed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), done).await;
        waited.expect(deed);
    }

    pub(super) fn did(&self, deed: impl Into<String>) {
        self.heard.lock().unwrap().deeds.push(deed.into());
    }

    async fn lockdown(&self, stream: TcpStream) -> std::io::Result<()> {
        self.heard.lock().unwrap().connections += 1;
        let mut plain: Box<dyn Stream> = Box::new(Tap {
            inner: stream,
            heard: Arc::clone(&self.heard),
        });
        let mut encrypted = false;
        let mut left = usize::MAX;
        loop {
            let request = read_plist(&mut plain).await?;
            self.heard
                .lock()
                .unwrap()
                .requests
                .push((encrypted, request.clone()));
            let nature = self.nature();
            if nature.silent {
                continue;
            }
            let raw = self.nature.lock().unwrap().first_answer.take();
            if let Some(raw) = raw {
                plain.write_all(&raw).await?;
                continue;
            }
            let name = request["Request"].as_string().unwrap().to_owned();
            let answer = self.answer(&name, &request).await;
            write_plist(&mut plain, answer.clone()).await?;
            if name == "StartSession" && nature.tls_garbage {
                return plain.write_all(b"\x15\x03\x01\x00\x02\x02\x46").await;
            }
            if name == "StartSession" && answer.contains_key("SessionID") && nature.session_tls {
                plain = Box::new(TlsAcceptor::from(nature.tls).accept(plain).await?);
                encrypted = true;
                left = nature.requests_per_session;
            } else if encrypted {
                left -= 1;
                if left == 0 {
                    return plain.shutdown().await;
                }
            }
        }
    }

    async fn answer(&self, name: &str, request: &Dictionary) -> Dictionary {
        let mut nature = self.nature.lock().unwrap();
        let mut answer = dict([("Request", name.into())]);
        if let Some(at) = nature
            .refusals
            .iter()
            .position(|(refused, _)| *refused == name)
        {
            answer.insert("Error".into(), nature.refusals.remove(at).1.into());
            return answer;
        }
        let nature = nature.clone();
        let text = |key: &str| {
            request
                .get(key)
                .and_then(Value::as_string)
                .unwrap_or_default()
                .to_owned()
        };
        match name {
            "QueryType" => drop(answer.insert("Type".into(), "com.apple.mobile.lockdown".into())),
            "StartSession" => {
                answer.insert("SessionID".into(), "session".into());
                answer.insert("EnableSessionSSL".into(), nature.session_tls.into());
            }
            "GetValue" => match value(&nature, &text("Domain"), &text("Key")) {
                Some(value) => drop(answer.insert("Value".into(), value)),
                None => drop(answer.insert("Error".into(), "MissingValue".into())),
            },
            "Unpair" => {
                let record = request["PairRecord"].as_dictionary().unwrap();
                self.did(format!("unpair {}", record["HostID"].as_string().unwrap()));
            }
            "SetValue" => self.did(format!("set {} {}", text("Domain"), text("Key"))),
            "Pair" => {
                // From here on the phone shows the certificate that the computer made for it.
                let shown = request["PairRecord"].as_dictionary().unwrap()["DeviceCertificate"]
                    .as_data()
                    .unwrap();
                let tls = keys::server(shown, &keys::keys().device, keys::BOTH);
                self.change_later(tls);
                answer.insert("EscrowBag".into(), Value::Data(keys::ESCROW_BAG.to_vec()));
            }
            "StartService" => {
                let escrow = request.contains_key("EscrowBag");
                let service = text("Service");
                self.did(format!(
                    "service {service}{}",
                    if escrow { " with escrow" } else { "" }
                ));
                let apps = service == "com.apple.mobile.installation_proxy";
                if escrow && nature.refuse_escrow || apps && nature.refuse_apps {
                    answer.insert("Error".into(), "MissingValue".into());
                    return answer;
                }
                let port = self.service(service, nature.service_tls.then_some(nature.tls));
                answer.insert("Port".into(), Value::Integer(port.into()));
                if nature.service_tls {
                    answer.insert("EnableServiceSSL".into(), true.into());
                }
            }
            _ => {}
        }
        answer
    }

    fn change_later(&self, tls: Arc<ServerConfig>) {
        let nature = Arc::clone(&self.nature);
        tokio::spawn(async move { nature.lock().unwrap().tls = tls });
    }

    /// Opens a port for one connection to a service.
    fn service(&self, name: String, tls: Option<Arc<ServerConfig>>) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        let phone = self.clone();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let stream: Box<dyn Stream> = match tls {
                Some(tls) => Box::new(TlsAcceptor::from(tls).accept(stream).await?),
                None => Box::new(stream),
            };
            match name.as_str() {
                "com.apple.mobile.notification_proxy" => phone.notification_proxy(stream).await,
                "com.apple.afc" => phone.afc(stream).await,
                "com.apple.mobile.installation_proxy" => phone.installation_proxy(stream).await,
                "com.apple.mobile.heartbeat" => phone.heartbeat(stream).await,
                "com.apple.mobile.assertion_agent" => phone.assertion_agent(stream).await,
                "com.apple.mobilebackup2" => phone.mobilebackup2(stream).await,
                other => panic!("the phone has no {other}"),
            }
        });
        port
    }

    async fn notification_proxy(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        loop {
            let message = read_plist(&mut stream).await?;
            let name = message["Name"].as_string().unwrap().to_owned();
            match message["Command"].as_string().unwrap() {
                "PostNotification" => self.did(format!("post {name}")),
                _ => {
                    // Whatever is asked for happens at once.
                    let relay = dict([
                        ("Command", "RelayNotification".into()),
                        ("Name", name.as_str().into()),
                    ]);
                    write_plist(&mut stream, relay).await?;
                }
            }
        }
    }

    async fn installation_proxy(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        loop {
            let request = read_plist(&mut stream).await?;
            assert_eq!(request["Command"].as_string(), Some("Browse"));
            let app = dict([("CFBundleIdentifier", "org.example.notes".into())]);
            let list = Value::Array(vec![Value::Dictionary(app)]);
            write_plist(
                &mut stream,
                dict([
                    ("CurrentList", list),
                    ("Status", "BrowsingApplications".into()),
                ]),
            )
            .await?;
            let done = dict([
                ("CurrentList", Value::Array(Vec::new())),
                ("Status", "Complete".into()),
            ]);
            write_plist(&mut stream, done).await?;
        }
    }

    async fn heartbeat(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        let marco = dict([
            ("Command", "Marco".into()),
            ("Interval", Value::Integer(10.into())),
        ]);
        write_plist(&mut stream, marco).await?;
        let polo = read_plist(&mut stream).await?;
        self.did(polo["Command"].as_string().unwrap());
        write_plist(&mut stream, dict([("Command", "SleepyTime".into())])).await?;
        read_plist(&mut stream).await.map(drop)
    }

    async fn assertion_agent(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        loop {
            let request = read_plist(&mut stream).await?;
            self.did(format!(
                "assert {}",
                request["AssertionTypeKey"].as_string().unwrap()
            ));
            write_plist(&mut stream, Dictionary::new()).await?;
        }
    }

    async fn mobilebackup2(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        stream.write_all(b"the phone speaks first").await?;
        stream.flush().await?;
        let mut rest = Vec::new();
        // Without a good-bye of TLS the end is an error; it is the end all the same.
        let end = stream.read_to_end(&mut rest).await.map(drop);
        self.did("mobilebackup2 closed");
        end
    }
}

fn value(nature: &Nature, domain: &str, key: &str) -> Option<Value> {
    if domain.is_empty() && key == "UniqueDeviceID" {
        return Some(nature.udid.as_str().into());
    }
    if key.is_empty() {
        let all: Dictionary = nature
            .values
            .iter()
            .filter(|((of, _), _)| of == domain)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        return (!all.is_empty()).then_some(Value::Dictionary(all));
    }
    nature
        .values
        .get(&(domain.to_owned(), key.to_owned()))
        .cloned()
}

/// Keeps a copy of every byte that is read.
#[derive(Debug)]
struct Tap {
    inner: TcpStream,
    heard: Arc<Mutex<Heard>>,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Heard({} bytes)", self.wire.len())
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.heard
            .lock()
            .unwrap()
            .wire
            .extend_from_slice(&buf.filled()[before..]);
        result
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
