//! Bytes in and out, each wait bounded and open to cancelling.

use crate::message::Message;
use crate::text::sanitise;
use crate::{Limits, Notice, Phase, Progress, Timeouts, request::Prompts, writer::Gone};
use ibak_core::plist_guard;
use plist::Value;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a passcode prompt may restart the wait for the phone.
const PROMPTS_MAX: u32 = 16;

/// Why a session stops before the phone's last word.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    CancelledOnDevice,
    NotLockedInTime,
    Timeout(Duration),
    Disconnected(String),
    Protocol(String),
    /// The vault's thread panicked; the panic is passed on at the end.
    Panicked,
}

impl From<Gone> for Stop {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Cancelled => Self::Cancelled,
            Gone::Panicked => Self::Panicked,
        }
    }
}

/// What is being waited for, which decides how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The first byte of a message.
    Message,
    /// The rest of a message, or a batch's content.
    Transfer,
    /// The phone taking what is written.
    Write,
}

/// Everything that can end a wait besides the bytes.
pub(crate) struct Control {
    cancel: CancellationToken,
    notices: Option<mpsc::Receiver<Notice>>,
    progress: Arc<Progress>,
    timeouts: Timeouts,
    /// Which prompts are taken for this session's.
    taken: Prompts,
    /// The phase that a prompt interrupted.
    interrupted: Phase,
    /// Prompts seen that were taken for this session's.
    pub(crate) prompts: u32,
}

impl Control {
    pub(crate) fn new(
        cancel: CancellationToken,
        notices: Option<mpsc::Receiver<Notice>>,
        progress: Arc<Progress>,
        timeouts: Timeouts,
        taken: Prompts,
    ) -> Self {
        Self {
            cancel,
            notices,
            progress,
            timeouts,
            taken,
            interrupted: Phase::WaitingForPhone,
            prompts: 0,
        }
    }

    /// Awaits an operation on the stream, or what ends it earlier.
    async fn io<T>(
        &mut self,
        wait: Wait,
        operation: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Stop> {
        tokio::pin!(operation);
        let mut idle = self.idle(wait);
        let mut deadline = Instant::now() + idle;
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                notice = next(&mut self.notices) => if self.notice(notice)? {
                    idle = self.idle(wait);
                    deadline = Instant::now() + idle;
                },
                done = &mut operation => {
                    return done.map_err(|error| Stop::Disconnected(sanitise(&error.to_string(), 256)));
                }
                () = tokio::time::sleep_until(deadline) => return Err(Stop::Timeout(idle)),
            }
        }
    }

    /// Awaits the caller's hold; `watch` reads ahead, which notices a phone that goes away.
    pub(crate) async fn hold<T>(
        &mut self,
        hold: impl Future<Output = T>,
        watch: Option<impl Future<Output = io::Result<usize>>>,
    ) -> Result<(T, usize), Stop> {
        let mut ahead = if watch.is_some() { None } else { Some(0) };
        let watch = async {
            match watch {
                Some(watch) => watch.await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(hold, watch);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                notice = next(&mut self.notices) => { self.notice(notice)?; }
                released = &mut hold => return Ok((released, ahead.unwrap_or(0))),
                read = &mut watch, if ahead.is_none() => match read {
                    Ok(0) => return Err(Stop::Disconnected("the phone closed the connection".into())),
                    Ok(len) => ahead = Some(len),
                    Err(error) => return Err(Stop::Disconnected(sanitise(&error.to_string(), 256))),
                },
            }
        }
    }

    /// Takes a notice; true when the wait begins anew, which happens a bounded number of times.
    fn notice(&mut self, notice: Option<Notice>) -> Result<bool, Stop> {
        let phase = self.progress.phase();
        match notice {
            None => self.notices = None,
            Some(Notice::CancelRequested) => return Err(Stop::CancelledOnDevice),
            Some(Notice::PromptPresented) if self.takes_prompt(phase) => {
                self.prompts += 1;
                if phase != Phase::WaitingForPasscode {
                    self.interrupted = phase;
                }
                self.progress.enter(Phase::WaitingForPasscode);
            }
            Some(Notice::PromptDismissed) if phase == Phase::WaitingForPasscode => {
                self.progress.enter(self.interrupted);
            }
            Some(Notice::PromptPresented | Notice::PromptDismissed) => {}
        }
        Ok(self.progress.phase() != phase)
    }

    /// Says whether a prompt is this session's: nothing in it says whose it is.
    fn takes_prompt(&self, phase: Phase) -> bool {
        let is_ours = match phase {
            Phase::WaitingForPhone | Phase::WaitingForPasscode => true,
            Phase::Comparing
            | Phase::Receiving
            | Phase::Sending
            | Phase::Moving
            | Phase::Removing
            | Phase::Verifying => self.taken == Prompts::Always,
            Phase::Handshake | Phase::Held | Phase::Ending => false,
        };
        is_ours && self.prompts < PROMPTS_MAX
    }

    fn idle(&self, wait: Wait) -> Duration {
        let timeouts = &self.timeouts;
        match (wait, self.progress.phase()) {
            (Wait::Write, _) => timeouts.write,
            (Wait::Transfer, _) => timeouts.transfer,
            (Wait::Message, Phase::Handshake) => timeouts.handshake,
            (Wait::Message, Phase::WaitingForPhone) => timeouts.first_message,
            (Wait::Message, Phase::WaitingForPasscode) => timeouts.passcode,
            (Wait::Message, Phase::Verifying) => timeouts.verifying,
            (Wait::Message, Phase::Ending) => timeouts.farewell,
            (
                Wait::Message,
                Phase::Held
                | Phase::Comparing
                | Phase::Receiving
                | Phase::Sending
                | Phase::Moving
                | Phase::Removing,
            ) => timeouts.between_messages,
        }
    }
}

async fn next(notices: &mut Option<mpsc::Receiver<Notice>>) -> Option<Notice> {
    match notices {
        Some(notices) => notices.recv().await,
        None => std::future::pending().await,
    }
}

/// The stream with one input buffer of fixed size and one output buffer that is used again.
pub(crate) struct Link<S> {
    stream: S,
    input: Box<[u8]>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    /// Whether a write was cut, so that nothing more can be said.
    cut: bool,
    pub(crate) control: Control,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S, control: Control) -> Self {
        let input = vec![0; Limits::BUFFER_BYTES].into_boxed_slice();
        Self {
            stream,
            input,
            start: 0,
            end: 0,
            output: Vec::new(),
            cut: false,
            control,
        }
    }

    /// Waits until something is buffered and returns all of it.
    pub(crate) async fn some(&mut self, wait: Wait) -> Result<&[u8], Stop> {
        if self.start == self.end {
            self.fill(wait).await?;
        }
        Ok(self.buffered())
    }

    /// Waits until `len` bytes are buffered and takes them; at most [`Limits::BUFFER_BYTES`].
    pub(crate) async fn take(&mut self, len: usize, wait: Wait) -> Result<&[u8], Stop> {
        while self.end - self.start < len {
            self.fill(wait).await?;
        }
        let start = self.start;
        self.start += len;
        Ok(self.input.get(start..start + len).unwrap_or_default())
    }

    /// Takes a big-endian length.
    pub(crate) async fn length(&mut self, wait: Wait) -> Result<usize, Stop> {
        let bytes = self.take(4, wait).await?;
        let length = bytes
            .iter()
            .fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        usize::try_from(length)
            .map_err(|_| Stop::Protocol("the phone sent a length that is too large".into()))
    }

    /// Drops `len` buffered bytes that were used.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start = self.end.min(self.start + len);
    }

    fn buffered(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    async fn fill(&mut self, wait: Wait) -> Result<(), Stop> {
        self.compact();
        let Self {
            stream,
            input,
            end,
            control,
            ..
        } = self;
        let room = input.get_mut(*end..).unwrap_or_default();
        match control.io(wait, stream.read(room)).await? {
            0 => Err(Stop::Disconnected("the phone closed the connection".into())),
            len => {
                *end += len;
                Ok(())
            }
        }
    }

    /// Makes room at the end; moves at most the few bytes of a header or name.
    fn compact(&mut self) {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Holds the conversation until the caller's future ends.
    pub(crate) async fn hold<T>(&mut self, hold: impl Future<Output = T>) -> Result<T, Stop> {
        self.compact();
        let Self {
            stream,
            input,
            end,
            control,
            ..
        } = self;
        let room = input.get_mut(*end..).unwrap_or_default();
        let watch = if room.is_empty() {
            None
        } else {
            Some(stream.read(room))
        };
        let (released, ahead) = control.hold(hold, watch).await?;
        *end += ahead;
        Ok(released)
    }

    /// Waits for the phone's next message.
    pub(crate) async fn message(&mut self, limits: &Limits) -> Result<Message, Stop> {
        let len = self.length(Wait::Message).await?;
        let mut guard = plist_guard::Limits {
            bytes_max: limits.message_bytes_max,
            ..plist_guard::Limits::MESSAGE
        };
        if len > guard.bytes_max {
            guard = plist_guard::Limits {
                bytes_max: limits.large_message_bytes_max,
                expanded_bytes_max: limits.large_message_bytes_max,
                ..guard
            };
            let is_taken = len <= guard.bytes_max && is_known_large(self.peek(HEAD_BYTES).await?);
            if !is_taken {
                return Err(Stop::Protocol(format!(
                    "the phone sent a message of {len} bytes"
                )));
            }
        }
        // Most messages lie in the buffer whole; others grow with what arrives, not with the claim.
        let parsed = if len <= Limits::BUFFER_BYTES {
            Message::parse(self.take(len, Wait::Transfer).await?, &guard)
        } else {
            let mut payload = Vec::new();
            while payload.len() < len {
                let missing = len - payload.len();
                let some = self.some(Wait::Transfer).await?;
                let part = some.get(..missing.min(some.len())).unwrap_or_default();
                payload.extend_from_slice(part);
                let part_len = part.len();
                self.consume(part_len);
            }
            Message::parse(&payload, &guard)
        };
        parsed.map_err(Stop::Protocol)
    }

    async fn peek(&mut self, len: usize) -> Result<&[u8], Stop> {
        while self.end - self.start < len {
            self.fill(Wait::Transfer).await?;
        }
        Ok(self.buffered().get(..len).unwrap_or_default())
    }

    /// Sends one message.
    pub(crate) async fn send(&mut self, message: &Value) -> Result<(), Stop> {
        let mut frame = std::mem::take(&mut self.output);
        frame.clear();
        frame.extend_from_slice(&[0; 4]);
        message
            .to_writer_binary(&mut frame)
            .map_err(|error| Stop::Protocol(format!("an answer cannot be written: {error}")))?;
        let len = u32::try_from(frame.len() - 4)
            .map_err(|_| Stop::Protocol("an answer is too long".into()))?;
        if let Some(header) = frame.first_chunk_mut() {
            *header = len.to_be_bytes();
        }
        let sent = self.write(&frame).await;
        // A giant listing must not stay in memory for the rest of the session.
        frame.shrink_to(1 << 20);
        self.output = frame;
        sent?;
        self.flush().await
    }

    /// Writes bytes, in as few writes as the stream takes.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        self.cut = true;
        while !bytes.is_empty() {
            match self
                .control
                .io(Wait::Write, self.stream.write(bytes))
                .await?
            {
                0 => return Err(Stop::Disconnected("the phone takes no more bytes".into())),
                len => bytes = bytes.get(len..).unwrap_or_default(),
            }
        }
        self.cut = false;
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        self.control.io(Wait::Write, self.stream.flush()).await
    }

    /// Says goodbye and waits until the phone hangs up; nothing here can fail the session.
    pub(crate) async fn farewell(&mut self, message: &Value, bound: Duration) {
        if self.cut {
            return;
        }
        let (cancel, timeouts) = (CancellationToken::new(), self.control.timeouts.clone());
        let progress = Arc::new(Progress::default());
        progress.enter(Phase::Ending);
        self.control = Control::new(cancel, None, progress, timeouts, self.control.taken);
        let goodbye = async {
            self.send(message).await?;
            loop {
                let len = self.some(Wait::Message).await?.len();
                self.consume(len);
            }
        };
        let ended: Result<Result<Infallible, Stop>, _> = tokio::time::timeout(bound, goodbye).await;
        match ended {
            Ok(Ok(never)) => match never {},
            Ok(Err(stop)) => tracing::debug!(?stop, "the phone hung up"),
            Err(_) => tracing::debug!("the phone did not hang up in time"),
        }
    }
}

/// Enough to see the name, which Apple's writer puts right behind the list's references.
const HEAD_BYTES: usize = 128;

/// Says whether a message is of a kind that lists many paths.
fn is_known_large(head: &[u8]) -> bool {
    let names: [&[u8]; 5] = [
        b"DLMessageMoveFiles",
        b"DLMessageMoveItems",
        b"DLMessageRemoveFiles",
        b"DLMessageRemoveItems",
        b"DLMessageDownloadFiles",
    ];
    names
        .iter()
        .any(|name| head.windows(name.len()).any(|window| window == *name))
}
