//! Bytes to say, some of them many times over, and then silence: every attack ends.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a hostile connection lasts at most.
pub(crate) const ATTACK_MAX: Duration = Duration::from_secs(60);

/// What a hostile phone says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script(Vec<(Vec<u8>, u64)>);

impl Script {
    /// Says bytes once.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(vec![(bytes, 1)])
    }

    /// Says bytes so many times after what it says already.
    pub(super) fn then(mut self, bytes: Vec<u8>, times: u64) -> Self {
        self.0.push((bytes, times));
        self
    }

    /// Returns how many bytes it says, if it is heard to its end.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.0
            .iter()
            .map(|(bytes, times)| bytes.len() as u64 * times)
            .sum()
    }

    /// Says it; ends early when the host leaves.
    pub(crate) async fn say<W: AsyncWrite + Unpin>(&self, stream: &mut W) -> std::io::Result<()> {
        for (bytes, times) in &self.0 {
            for _ in 0..*times {
                stream.write_all(bytes).await?;
            }
        }
        stream.flush().await
    }

    /// Says it while whatever the host says is thrown away, then is silent until the host leaves or
    /// [`ATTACK_MAX`] is over.
    pub(crate) async fn act<S: AsyncRead + AsyncWrite>(&self, stream: S) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let saying = async {
            let said = self.say(&mut writer).await;
            tracing::debug!(?said, "an attack was said");
            std::future::pending::<()>().await;
        };
        let hearing = async {
            let mut buffer = vec![0; 16 << 10];
            while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
        };
        let both = async {
            tokio::select! {
                () = saying => {}
                () = hearing => {}
            }
        };
        // Whether the host left or the time was over is the host's business.
        drop(timeout(ATTACK_MAX, both).await);
    }
}
