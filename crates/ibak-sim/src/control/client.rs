//! The asking side, which the command line uses.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, Request};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody is there.
    #[error(
        "no simulator answers on {path}: {source}; start one with `ibak-sim serve … --control {path}`"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It broke off.
    #[error("the simulator broke off: {0}")]
    Broken(String),
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks a running simulator.
///
/// # Errors
/// [`ControlError`] when nobody answers, or the answer is no.
pub async fn ask(path: &Path, request: &Request) -> Result<Answer, ControlError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| ControlError::Connect {
            path: path.to_owned(),
            source,
        })?;
    match timeout(ANSWER_MAX, exchange(stream, request)).await {
        Ok(Ok(Answer::Error { message })) => Err(ControlError::Refused(message)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ControlError::Broken(error.to_string())),
        Err(_) => Err(ControlError::Broken("no answer within 30 s".to_owned())),
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}
