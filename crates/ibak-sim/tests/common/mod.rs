//! A small host for the tests: usbmuxd, lockdown with TLS, and services, written apart from the
//! simulator so that both do not share a mistake.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod shape;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ibak_sim::{PhoneSpec, SimOptions, Simulator};
use plist::{Dictionary, Value};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
pub type BoxStream = Box<dyn Stream>;

pub fn spec(ios: &str, product: &str) -> PhoneSpec {
    PhoneSpec {
        ios: ios.parse().unwrap(),
        product: product.to_owned(),
        name: "Ada's iPhone".to_owned(),
        files: 20,
        bytes: 1 << 20,
        apps: 3,
        paired: true,
        ..PhoneSpec::default()
    }
}

/// A simulator in a directory of its own.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub sim: Simulator,
}

impl Rig {
    pub async fn new(phones: Vec<PhoneSpec>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sim = Simulator::start(SimOptions::in_dir(dir.path(), phones))
            .await
            .unwrap();
        Self { dir, sim }
    }

    pub async fn one(ios: &str, product: &str) -> Self {
        Self::new(vec![spec(ios, product)]).await
    }

    pub fn mux(&self) -> PathBuf {
        self.dir.path().join("usbmuxd")
    }

    pub fn udid(&self) -> String {
        self.sim.phones()[0].identity().udid.clone()
    }

    pub fn record(&self) -> Dictionary {
        record(&self.sim.muxer().record(&self.udid()).unwrap())
    }

    pub async fn set(&self, settings: &[&str]) {
        let settings: Vec<_> = settings.iter().map(|text| text.parse().unwrap()).collect();
        self.sim.set(&self.udid(), &settings).await.unwrap();
    }

    pub async fn port(&self, port: u16) -> BoxStream {
        Mux::open(&self.mux())
            .await
            .connect(&self.udid(), port)
            .await
            .unwrap()
    }

    pub async fn lockdown(&self) -> Lockdown {
        Lockdown {
            stream: self.port(62_078).await,
        }
    }

    /// A lockdown session by the pair record usbmuxd has.
    pub async fn session(&self) -> Lockdown {
        self.lockdown().await.into_session(&self.record()).await.1
    }

    pub async fn service(&self, name: &str) -> BoxStream {
        let mut lockdown = self.session().await;
        let reply = lockdown
            .ask(request("StartService", [("Service", name.into())]))
            .await;
        let port = reply["Port"].as_unsigned_integer().unwrap();
        self.port(port.try_into().unwrap()).await
    }
}

pub fn record(bytes: &[u8]) -> Dictionary {
    Value::from_reader(std::io::Cursor::new(bytes))
        .unwrap()
        .into_dictionary()
        .unwrap()
}

pub fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Dictionary {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

pub fn request<const N: usize>(name: &str, pairs: [(&str, Value); N]) -> Dictionary {
    let mut all = dict(pairs);
    all.insert("Request".to_owned(), name.into());
    all.insert("Label".to_owned(), "test".into());
    all
}

/// usbmuxd's client side.
pub struct Mux {
    pub stream: BoxStream,
    tag: u32,
}

impl Mux {
    pub async fn open(path: &Path) -> Self {
        Self::over(Box::new(UnixStream::connect(path).await.unwrap()))
    }

    pub fn over(stream: BoxStream) -> Self {
        Self { stream, tag: 40 }
    }

    pub async fn send(&mut self, message: Dictionary) -> u32 {
        let mut body = Vec::new();
        Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
        self.tag += 1;
        let mut frame = (body.len() as u32 + 16).to_le_bytes().to_vec();
        for field in [1_u32, 8, self.tag] {
            frame.extend(field.to_le_bytes());
        }
        frame.extend(body);
        self.stream.write_all(&frame).await.unwrap();
        self.tag
    }

    /// Reads one message with its tag.
    pub async fn receive(&mut self) -> (u32, Dictionary) {
        let mut header = [0_u8; 16];
        self.stream.read_exact(&mut header).await.unwrap();
        let field = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(
            (field(4), field(8)),
            (1, 8),
            "version and message of usbmuxd's header"
        );
        let mut body = vec![0_u8; field(0) as usize - 16];
        self.stream.read_exact(&mut body).await.unwrap();
        (field(12), record(&body))
    }

    pub async fn ask<const N: usize>(
        &mut self,
        name: &str,
        pairs: [(&str, Value); N],
    ) -> Dictionary {
        let mut message = dict(pairs);
        message.insert("MessageType".to_owned(), name.into());
        let tag = self.send(message).await;
        let (echoed, answer) = self.receive().await;
        assert_eq!(echoed, tag, "the tag is echoed");
        answer
    }

    pub async fn devices(&mut self) -> Vec<Dictionary> {
        let list = self.ask("ListDevices", []).await;
        list["DeviceList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d.as_dictionary().unwrap().clone())
            .collect()
    }

    pub async fn connect(mut self, udid: &str, port: u16) -> Result<BoxStream, u64> {
        let devices = self.devices().await;
        let device = devices
            .iter()
            .find(|d| {
                d["Properties"].as_dictionary().unwrap()["SerialNumber"].as_string() == Some(udid)
            })
            .expect("the phone is attached");
        let id = device["DeviceID"].clone();
        let answer = self
            .ask(
                "Connect",
                [
                    ("DeviceID", id),
                    ("PortNumber", u64::from(port.to_be()).into()),
                ],
            )
            .await;
        match answer["Number"].as_unsigned_integer().unwrap() {
            0 => Ok(self.stream),
            number => Err(number),
        }
    }
}

/// Writes a plist with its length in front.
pub async fn send(stream: &mut BoxStream, message: Dictionary) {
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
    stream
        .write_all(&(body.len() as u32).to_be_bytes())
        .await
        .unwrap();
    stream.write_all(&body).await.unwrap();
}

pub async fn receive_bytes(stream: &mut BoxStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0_u8; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0_u8; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

pub async fn receive(stream: &mut BoxStream) -> Dictionary {
    record(&receive_bytes(stream).await.unwrap())
}

pub async fn exchange(stream: &mut BoxStream, message: Dictionary) -> Dictionary {
    send(stream, message).await;
    receive(stream).await
}

/// lockdown's client side.
pub struct Lockdown {
    pub stream: BoxStream,
}

impl Lockdown {
    pub async fn ask(&mut self, request: Dictionary) -> Dictionary {
        exchange(&mut self.stream, request).await
    }

    /// Asks and returns the reply's bytes.
    pub async fn ask_bytes(&mut self, request: Dictionary) -> Vec<u8> {
        send(&mut self.stream, request).await;
        receive_bytes(&mut self.stream).await.unwrap()
    }

    pub async fn error(&mut self, request: Dictionary) -> String {
        let reply = self.ask(request).await;
        reply
            .get("Error")
            .and_then(Value::as_string)
            .unwrap_or("no error")
            .to_owned()
    }

    pub async fn get(&mut self, domain: Option<&str>, key: Option<&str>) -> Dictionary {
        let mut message = request("GetValue", []);
        for (name, value) in [("Domain", domain), ("Key", key)] {
            if let Some(value) = value {
                message.insert(name.to_owned(), value.into());
            }
        }
        self.ask(message).await
    }

    pub async fn domain(&mut self, domain: Option<&str>) -> Dictionary {
        self.get(domain, None).await["Value"]
            .as_dictionary()
            .unwrap()
            .clone()
    }

    pub async fn start(&mut self, record: &Dictionary) -> Dictionary {
        let pairs = [
            ("HostID", record["HostID"].clone()),
            ("SystemBUID", record["SystemBUID"].clone()),
        ];
        self.ask(request("StartSession", pairs)).await
    }

    /// Starts a session; returns the reply and the encrypted connection.
    pub async fn into_session(mut self, record: &Dictionary) -> (Dictionary, Self) {
        let reply = self.start(record).await;
        assert_eq!(
            reply.get("EnableSessionSSL"),
            Some(&Value::Boolean(true)),
            "{reply:?}"
        );
        let stream = tls(self.stream, record, "Host").await.unwrap();
        (reply, Self { stream })
    }
}

/// Does TLS with the host's or the root's certificate and wants the phone's of the record.
pub async fn tls(
    stream: BoxStream,
    record: &Dictionary,
    whose: &str,
) -> std::io::Result<BoxStream> {
    let data = |key: String| record[&key].as_data().unwrap().to_vec();
    let own = CertificateDer::from_pem_slice(&data(format!("{whose}Certificate"))).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&data(format!("{whose}PrivateKey"))).unwrap();
    let pin = CertificateDer::from_pem_slice(&data("DeviceCertificate".to_owned())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
        .with_client_auth_cert(vec![own], key)
        .unwrap();
    let name = ServerName::try_from("iphone").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

#[derive(Debug)]
struct Pinned {
    pin: CertificateDer<'static>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(
            shown.as_ref(),
            self.pin.as_ref(),
            "the phone shows the DeviceCertificate of the record"
        );
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

pub async fn tcp(address: std::net::SocketAddr) -> std::io::Result<BoxStream> {
    Ok(Box::new(TcpStream::connect(address).await?))
}

/// Reads a file of the corpus.
pub fn corpus(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/corpus")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

pub fn pair(record: &Dictionary) -> Dictionary {
    let mut shown = record.clone();
    for secret in [
        "HostPrivateKey",
        "RootPrivateKey",
        "EscrowBag",
        "WiFiMACAddress",
    ] {
        shown.remove(secret);
    }
    request(
        "Pair",
        [
            ("PairRecord", shown.into()),
            ("ProtocolVersion", "2".into()),
        ],
    )
}
