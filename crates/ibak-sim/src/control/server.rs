//! The answering side.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Answer, Request};
use crate::mux::clear_stale_socket;
use crate::simulator::{Core, MuxVerb, SimError};
use crate::state::{Setting, SettingError};

/// The longest request, in bytes.
const LINE_LEN_MAX: u64 = 64 << 10;

/// Makes the socket and answers on it.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) async fn listen(
    path: &Path,
    core: Arc<Core>,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    clear_stale_socket(path).await?;
    let listener = UnixListener::bind(path)?;
    let tracker = tasks.clone();
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let serving = serve(stream, Arc::clone(&core));
                    tracker.spawn(stop.clone().run_until_cancelled_owned(serving));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }));
    Ok(())
}

async fn serve(stream: UnixStream, core: Arc<Core>) {
    if let Err(error) = converse(stream, &core).await {
        tracing::debug!(%error, "control connection ended");
    }
}

async fn converse(stream: UnixStream, core: &Core) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader)
            .take(LINE_LEN_MAX)
            .read_line(&mut line)
            .await?
            == 0
        {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => obey(core, request).await.unwrap_or_else(|e| Answer::Error {
                message: e.to_string(),
            }),
            Err(error) => Answer::Error {
                message: format!("not a request: {error}"),
            },
        };
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        writer.write_all(&bytes).await?;
    }
}

async fn obey(core: &Core, request: Request) -> Result<Answer, SimError> {
    match request {
        Request::Set { udid, settings } => {
            let settings: Vec<Setting> = settings
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, SettingError>>()?;
            core.set(&udid, &settings).await?;
        }
        Request::Change {
            udid,
            touch,
            add,
            delete,
        } => core.change(&udid, touch, add, delete)?,
        Request::Cancel { udid } => core.cancel(&udid)?,
        Request::Glance { udid } => core.phone(&udid)?.glance(),
        Request::Reboot { udid } => core.phone(&udid)?.reboot(),
        Request::Mux { verb } => core.mux(verb.parse()?).await?,
        Request::Status {} => {
            let status = core.status();
            let json = serde_json::to_value(&status)
                .map_err(|error| SimError::Failed(error.to_string()))?;
            return Ok(Answer::Status {
                json,
                text: status.to_text(),
            });
        }
    }
    Ok(Answer::Done {})
}

impl std::str::FromStr for MuxVerb {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Ok(match text {
            "mute" => Self::Mute,
            "normal" => Self::Normal,
            "restart" => Self::Restart,
            "stop" => Self::Stop,
            "start" => Self::Start,
            _ => {
                return Err(SettingError::Value {
                    key: "mux".to_owned(),
                    value: text.to_owned(),
                    expected: "mute, normal, restart, stop or start",
                });
            }
        })
    }
}
