//! Servers to send messages to: one that speaks enough HTTP, one that speaks enough SMTP.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a message may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What arrived in one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Posted {
    pub(super) line: String,
    /// With small keys.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// A server that keeps what it gets.
pub(super) struct Post {
    pub(super) address: String,
    arrived: mpsc::UnboundedReceiver<Posted>,
}

impl Post {
    /// Answers every request so: `200 OK`.
    pub(super) async fn http(answer: &'static str) -> Self {
        Self::start(move |stream, sender| async move {
            let posted = request(stream, answer).await?;
            sender.send(posted).ok()
        })
        .await
    }

    /// Takes mail; `line` is the envelope.
    pub(super) async fn smtp() -> Self {
        Self::start(|stream, sender| async move { sender.send(mail(stream).await?).ok() }).await
    }

    async fn start<F>(
        serve: impl Fn(BufReader<TcpStream>, mpsc::UnboundedSender<Posted>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Option<()>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who hangs up in the middle has posted nothing.
                serve(BufReader::new(stream), sender.clone()).await;
            }
        });
        Self { address, arrived }
    }

    /// Waits for what comes next.
    pub(super) async fn next(&mut self) -> Posted {
        let next = timeout(WAIT_MAX, self.arrived.recv()).await;
        next.expect("nothing was posted").unwrap()
    }

    /// Returns what has come and was not looked at.
    pub(super) fn rest(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn request(mut stream: BufReader<TcpStream>, answer: &str) -> Option<Posted> {
    let mut posted = Posted {
        line: line(&mut stream).await?,
        ..Posted::default()
    };
    loop {
        let header = line(&mut stream).await?;
        let Some((key, value)) = header.split_once(": ") else {
            break;
        };
        posted.headers.insert(key.to_lowercase(), value.to_owned());
    }
    let length = posted.headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    posted.body = String::from_utf8(body).ok()?;
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(posted)
}

async fn mail(mut stream: BufReader<TcpStream>) -> Option<Posted> {
    let mut posted = Posted::default();
    let mut say = "220 test".to_owned();
    loop {
        stream
            .write_all(format!("{say}\r\n").as_bytes())
            .await
            .ok()?;
        let order = line(&mut stream).await?;
        say = match order.split([' ', ':']).next()? {
            "EHLO" => "502 no".to_owned(),
            "MAIL" | "RCPT" => {
                posted.line.push_str(&format!("{order}; "));
                "250 ok".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                loop {
                    let text = line(&mut stream).await?;
                    if text == "." {
                        break;
                    }
                    posted.body.push_str(&format!("{text}\n"));
                }
                "250 ok".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return Some(posted);
            }
            _ => "250 ok".to_owned(),
        };
    }
}
