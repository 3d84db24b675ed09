//! A small phone and a small usbmuxd, after the corpus, for one test each.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod afc;
pub mod keys;
pub mod mux;
pub mod phone;

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub const UDID: &str = "abcdef0123456789abcdef0123456789abcdef01";

/// Makes a dictionary.
pub fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Dictionary {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

pub async fn read_plist<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Dictionary> {
    let len = stream.read_u32().await?;
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).await?;
    Ok(plist::from_bytes(&body).unwrap())
}

pub async fn write_plist<S: AsyncWrite + Unpin>(
    stream: &mut S,
    message: Dictionary,
) -> std::io::Result<()> {
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
    stream.write_u32(body.len() as u32).await?;
    stream.write_all(&body).await?;
    stream.flush().await
}

/// Says whether `needle` is somewhere in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
