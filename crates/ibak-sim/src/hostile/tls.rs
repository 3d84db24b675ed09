//! Somebody who is not the phone, on the wire: what an attacker on the network can do.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use rustls::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::message::words;
use super::script::Script;
use crate::pairing::{self, Key, PairingError};
use crate::phone::locked;
use crate::wire::BoxIo;

words! {
    /// What an impostor does in the place of TLS.
    Impostor {
        /// Shows the record's certificate and has another key.
        WrongKey = "wrong-key",
        /// Shows a certificate it made itself, with the key to it.
        SelfSigned = "self-signed",
        /// Says that the session needs no TLS, and goes on in plain text.
        Plain = "plain",
        /// Says again what the phone said in its last honest session.
        Replay = "replay",
        /// Wants TLS 1.0 with a cipher of old.
        Downgrade = "downgrade",
        /// Says noise.
        Noise = "noise",
        /// Says nothing.
        Silence = "silence",
        /// Does TLS in the session, and none in the services.
        PlainService = "plain-service",
    }
}

/// Seeds the impostor's own key.
const IMPOSTOR_SEED: u64 = 0x0bad_0000_0666;
/// How much of an honest session is kept for its replay, in bytes.
const RECORD_BYTES_MAX: usize = 64 << 10;

impl Impostor {
    /// Returns how the impostor does TLS; `None` where it does not.
    pub(crate) fn config(
        self,
        device: &CertificateDer<'static>,
        honest: &Arc<ServerConfig>,
    ) -> Result<Option<Arc<ServerConfig>>, PairingError> {
        match self {
            Self::WrongKey => {
                let key = Key::of_seed(IMPOSTOR_SEED)?;
                pairing::impostor_config(device.clone(), &key).map(|config| Some(Arc::new(config)))
            }
            Self::SelfSigned => {
                let key = Key::of_seed(IMPOSTOR_SEED)?;
                let own = pairing::self_signed(&key)?;
                pairing::impostor_config(own, &key).map(|config| Some(Arc::new(config)))
            }
            Self::PlainService => Ok(Some(Arc::clone(honest))),
            Self::Plain | Self::Replay | Self::Downgrade | Self::Noise | Self::Silence => Ok(None),
        }
    }

    /// Returns what the impostor says where TLS should begin.
    pub(crate) fn script(self, recorded: Vec<u8>) -> Script {
        match self {
            Self::Replay => Script::of(recorded),
            Self::Downgrade => Script::of(downgraded_hello()),
            Self::Noise => Script::of((0..4_096_u32).map(|at| (at * 31 % 251) as u8).collect()),
            Self::Silence
            | Self::WrongKey
            | Self::SelfSigned
            | Self::Plain
            | Self::PlainService => Script::default(),
        }
    }
}

/// A ServerHello of TLS 1.0 with TLS_RSA_WITH_RC4_128_MD5.
fn downgraded_hello() -> Vec<u8> {
    let mut body = vec![3, 1];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0]);
    let mut hello = vec![2, 0, 0, body.len() as u8];
    hello.extend(body);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8];
    record.extend(hello);
    record
}

/// What the phone said in its last honest session, from the first byte of TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<u8>>>);

impl Record {
    /// Returns what was recorded.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        locked(&self.0).clone()
    }

    /// Begins anew with a stream.
    pub(crate) fn of(&self, stream: BoxIo) -> BoxIo {
        locked(&self.0).clear();
        Box::new(Recorded {
            stream,
            record: self.clone(),
        })
    }
}

struct Recorded {
    stream: BoxIo,
    record: Record,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = written {
            let mut bytes = locked(&self.record.0);
            let room = RECORD_BYTES_MAX - bytes.len();
            bytes.extend(buf.iter().take(count.min(room)));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
