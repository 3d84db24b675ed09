//! Somebody in the place of usbmuxd, or of the phone on the network: passes on, or lies.

use anyhow::{Context, Result, ensure};
use ibak_sim::pairing::{Key, Pairing, earlier_record, escrow_bag};
use ibak_sim::profile::LOCKDOWN_PORT;
use ibak_sim::{Identity, Phone};
use plist::{Dictionary, Value};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// How an impostor pretends to be the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A certificate like the phone's, from the same authority, for another key.
    WrongKey,
    /// A certificate it signed itself.
    SelfSigned,
    /// The phone's own certificate, without its key.
    StolenCertificate,
    /// It says that the session is not encrypted.
    NoTls,
    /// It promises TLS and goes on in plain text.
    PlainInstead,
    /// It agrees to a TLS of the last century, without encryption.
    Downgrade,
    /// It says what the phone said in an earlier session, byte by byte.
    Replay,
}

impl Lie {
    pub const ALL: [Self; 7] = [
        Self::WrongKey,
        Self::SelfSigned,
        Self::StolenCertificate,
        Self::NoTls,
        Self::PlainInstead,
        Self::Downgrade,
        Self::Replay,
    ];
}

/// One conversation with an impostor.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What was asked in plain text.
    pub requests: Vec<Dictionary>,
    /// Every byte that came after the last of them.
    pub rest: Vec<u8>,
    /// Every byte that came.
    pub all: Vec<u8>,
    /// Whether a handshake with it was finished.
    pub believed: bool,
}

/// The keys and certificates of the impostor, and what it once overheard.
pub struct Villain {
    stranger: Arc<ServerConfig>,
    self_signed: Arc<ServerConfig>,
    stolen: Arc<ServerConfig>,
    /// The longest conversation with the phone.
    overheard: Mutex<Vec<u8>>,
    face: Mutex<Option<Lie>>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Villain {
    /// Makes one who knows all that is public of `phone`.
    pub fn of(phone: &Phone) -> (Arc<Self>, mpsc::UnboundedReceiver<Heard>) {
        let identity: &Identity = phone.identity();
        let bag = escrow_bag(1);
        let stranger = Key::of_seed(0xbad).unwrap();
        let record = earlier_record(identity, &stranger, "BUID", &bag).unwrap();
        let own = earlier_record(identity, phone.key(), "BUID", &bag).unwrap();
        let pairing = Pairing::from_record(&record, &stranger, bag).unwrap();
        // Any key that is not the phone's.
        let key = record["HostPrivateKey"].as_data().unwrap();
        let stolen = own["DeviceCertificate"].as_data().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["iPhone".to_owned()]).unwrap();
        let (send, receive) = mpsc::unbounded_channel();
        let villain = Arc::new(Self {
            stranger: pairing.tls(),
            self_signed: config(
                made.cert.der().clone(),
                &PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
            ),
            stolen: config(
                CertificateDer::from_pem_slice(stolen).unwrap(),
                &PrivateKeyDer::from_pem_slice(key).unwrap(),
            ),
            overheard: Mutex::default(),
            face: Mutex::default(),
            heard: send,
        });
        (villain, receive)
    }

    /// Lies from the next connection on; or passes on.
    pub fn pretend(&self, lie: Option<Lie>) {
        *self.face.lock().unwrap() = lie;
    }

    /// Says how much it overheard.
    pub fn has_overheard(&self) -> usize {
        self.overheard.lock().unwrap().len()
    }

    /// Stands at `door`, before the real usbmuxd at `behind`.
    pub fn before_usbmuxd(self: &Arc<Self>, door: &Path, behind: PathBuf) {
        let listener = UnixListener::bind(door).unwrap();
        let villain = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (villain, behind) = (Arc::clone(&villain), behind.clone());
                tokio::spawn(async move {
                    // How a connection ends is the host's choice.
                    villain.mux(stream, &behind).await.ok();
                });
            }
        });
    }

    /// Stands on the network.
    pub async fn on_network(self: &Arc<Self>, address: std::net::IpAddr) {
        let listener = TcpListener::bind((address, LOCKDOWN_PORT)).await.unwrap();
        let villain = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let villain = Arc::clone(&villain);
                let lie = villain.face.lock().unwrap().unwrap();
                tokio::spawn(async move { villain.lie(stream, lie).await });
            }
        });
    }

    async fn mux(&self, mut stream: UnixStream, behind: &Path) -> Result<()> {
        let mut head = [0; 16];
        stream.read_exact(&mut head).await?;
        let length = u32::from_le_bytes(head[..4].try_into()?);
        ensure!((16..1 << 20).contains(&length), "{length}");
        let mut body = vec![0; length as usize - 16];
        stream.read_exact(&mut body).await?;
        let request: Dictionary = plist::from_bytes(&body)?;
        let face = *self.face.lock().unwrap();
        let to_lockdown = request.get("MessageType").and_then(Value::as_string) == Some("Connect")
            && request
                .get("PortNumber")
                .and_then(Value::as_unsigned_integer)
                == Some(u64::from(LOCKDOWN_PORT.swap_bytes()));
        if let (Some(lie), true) = (face, to_lockdown) {
            stream.write_all(&result_ok(&head)?).await?;
            self.lie(stream, lie).await;
            return Ok(());
        }
        let mut real = UnixStream::connect(behind).await?;
        real.write_all(&head).await?;
        real.write_all(&body).await?;
        let mut real = Overhearing {
            stream: real,
            said: Vec::new(),
        };
        // How it ends does not matter: what was said until then does.
        tokio::io::copy_bidirectional(&mut stream, &mut real)
            .await
            .ok();
        if to_lockdown {
            // What usbmuxd itself answered is not the phone's.
            let own = u32::from_le_bytes(real.said[..4].try_into()?) as usize;
            let said = real.said.split_off(own);
            // One that was called off at once has no session in it.
            let mut overheard = self.overheard.lock().unwrap();
            if said.len() > overheard.len() {
                *overheard = said;
            }
        }
        Ok(())
    }

    async fn lie<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, lie: Lie) {
        let mut stream = Overhearing {
            stream,
            said: Vec::new(),
        };
        let mut heard = Heard::default();
        // The host hangs up; when is its choice.
        self.converse(&mut stream, lie, &mut heard).await.ok();
        heard.all = stream.said;
        let plain: usize = heard.rest.len();
        heard.rest = heard.all.split_off(plain.min(heard.all.len()));
        heard.all.extend_from_slice(&heard.rest);
        self.heard.send(heard).ok();
    }

    /// Talks; leaves in `heard.rest` as many bytes as were read in plain text.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut Overhearing<S>,
        lie: Lie,
        heard: &mut Heard,
    ) -> Result<()> {
        let overheard = self.overheard.lock().unwrap().clone();
        let mut script = overheard.as_slice();
        loop {
            let length = stream.read_u32().await? as usize;
            // The first bytes of a TLS record are no length of a request.
            ensure!(length < 1 << 20, "no request");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let request: Dictionary = plist::from_bytes(&body)?;
            heard.rest.resize(stream.said.len(), 0);
            let name = request
                .get("Request")
                .and_then(Value::as_string)
                .context("no request")?
                .to_owned();
            heard.requests.push(request);
            if lie == Lie::Replay {
                let (next, rest) = replayed(script).context("the script is over")?;
                stream.write_all(next).await?;
                script = rest;
            } else {
                stream.write_all(&answer(&name, lie != Lie::NoTls)).await?;
            }
            if name == "StartSession" && lie != Lie::NoTls {
                break;
            }
        }
        match lie {
            Lie::WrongKey => self.shake(stream, &self.stranger, heard).await?,
            Lie::SelfSigned => self.shake(stream, &self.self_signed, heard).await?,
            Lie::StolenCertificate => self.shake(stream, &self.stolen, heard).await?,
            Lie::Replay => stream.write_all(script).await?,
            Lie::PlainInstead => stream.write_all(&answer("GetValue", true)).await?,
            Lie::Downgrade => stream.write_all(&old_hello()).await?,
            Lie::NoTls => {}
        }
        // Whatever else it may say.
        tokio::io::copy(stream, &mut tokio::io::sink()).await?;
        Ok(())
    }

    async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut Overhearing<S>,
        config: &Arc<ServerConfig>,
        heard: &mut Heard,
    ) -> Result<()> {
        let mut inside = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        heard.believed = true;
        tokio::io::copy(&mut inside, &mut tokio::io::sink()).await?;
        Ok(())
    }
}

/// Cuts the next framed answer off what a phone once said.
fn replayed(script: &[u8]) -> Option<(&[u8], &[u8])> {
    let head: [u8; 4] = script.get(..4)?.try_into().ok()?;
    script.split_at_checked(4 + u32::from_be_bytes(head) as usize)
}

fn framed(message: Dictionary) -> Vec<u8> {
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn answer(name: &str, encrypts: bool) -> Vec<u8> {
    let mut answer = Dictionary::new();
    answer.insert("Request".to_owned(), name.into());
    match name {
        "QueryType" => {
            answer.insert("Type".to_owned(), "com.apple.mobile.lockdown".into());
        }
        "StartSession" => {
            answer.insert("EnableSessionSSL".to_owned(), encrypts.into());
            answer.insert("SessionID".to_owned(), "1".into());
        }
        _ => {
            answer.insert("Value".to_owned(), "15.6".into());
            answer.insert("Port".to_owned(), 50_000.into());
        }
    }
    framed(answer)
}

/// A Result message of usbmuxd that says yes, to the request with this head.
fn result_ok(head: &[u8; 16]) -> Result<Vec<u8>> {
    let mut message = Dictionary::new();
    message.insert("MessageType".to_owned(), "Result".into());
    message.insert("Number".to_owned(), 0.into());
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body)?;
    let mut bytes = u32::try_from(body.len() + 16)?.to_le_bytes().to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(&head[12..]);
    bytes.extend(body);
    Ok(bytes)
}

/// A ServerHello of TLS 1.0 with TLS_RSA_WITH_NULL_SHA.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 2, 0, 0, length];
    record.extend(hello);
    record
}

fn config(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::crypto::ring::sign::any_supported_type(key).unwrap();
    let shown = Arc::new(CertifiedKey::new(vec![certificate], key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(shown)));
    Arc::new(config)
}

/// Shows a certificate, whoever's it is.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Keeps all that is read.
struct Overhearing<S> {
    stream: S,
    said: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Overhearing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(task, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default().to_vec();
        self.said.extend(new);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overhearing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
