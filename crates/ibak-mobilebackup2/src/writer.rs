//! The one blocking thread that owns the vault.
//!
//! It ends when its [`Writer`] is gone, and then drops the vault itself after abandoning a file
//! that is half received: a dropped session leaves what a power cut would have left, only tidier.

use crate::batch::{Batch, Step};
use crate::{Limits, Vault, VaultError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

type Call<V> = Box<dyn FnOnce(&mut V) + Send>;

enum Command<V> {
    Batch(Batch),
    Call(Call<V>),
    Settle(oneshot::Sender<Result<(), VaultError>>),
    Close(oneshot::Sender<V>),
}

/// Says that a wait for the vault's thread ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The caller cancelled; the thread still does what it was told.
    Cancelled,
    /// The thread panicked; [`Writer::close`] passes the panic on.
    Panicked,
}

/// The session's end of the vault's thread.
pub(crate) struct Writer<V> {
    commands: mpsc::Sender<Command<V>>,
    buffers: mpsc::Receiver<Batch>,
    failed: Arc<AtomicBool>,
    cancel: CancellationToken,
    thread: JoinHandle<()>,
}

impl<V: Vault> Writer<V> {
    /// Starts the thread.
    ///
    /// # Errors
    /// Gives the vault back when the system starts no thread.
    pub(crate) fn start(
        vault: V,
        limits: &Limits,
        cancel: CancellationToken,
    ) -> Result<Self, (io::Error, V)> {
        let count = limits.buffers.max(3);
        let (commands, commands_rx) = mpsc::channel(count);
        let (recycle, buffers) = mpsc::channel(count);
        for _ in 0..count {
            // The channel was made for exactly so many.
            if recycle.try_send(Batch::new()).is_err() {
                break;
            }
        }
        let failed = Arc::new(AtomicBool::new(false));
        // The vault follows by its own channel: a thread that does not start must not drop it.
        let (vault_tx, vault_rx) = std::sync::mpsc::sync_channel(1);
        let flag = Arc::clone(&failed);
        let started = thread::Builder::new()
            .name("ibak-vault".into())
            .spawn(move || {
                if let Ok(vault) = vault_rx.recv() {
                    Worker {
                        vault,
                        open: false,
                        error: None,
                        failed: flag,
                        recycle,
                    }
                    .run(commands_rx);
                }
            });
        match started {
            Ok(thread) => match vault_tx.send(vault) {
                Ok(()) => Ok(Self {
                    commands,
                    buffers,
                    failed,
                    cancel,
                    thread,
                }),
                Err(unsent) => Err((
                    io::Error::other("the vault's thread ended at once"),
                    unsent.0,
                )),
            },
            Err(error) => Err((error, vault)),
        }
    }

    /// Waits for an empty buffer.
    pub(crate) async fn buffer(&mut self) -> Result<Batch, Gone> {
        tokio::select! {
            biased;
            batch = self.buffers.recv() => batch.ok_or(Gone::Panicked),
            () = self.cancel.cancelled() => Err(Gone::Cancelled),
        }
    }

    /// Hands over a filled buffer; it comes back through [`Writer::buffer`].
    pub(crate) async fn submit(&mut self, batch: Batch) -> Result<(), Gone> {
        self.send(Command::Batch(batch)).await
    }

    /// Says whether a batch has failed, so that what follows need not be kept.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until every batch is done and returns the first error among them, once.
    pub(crate) async fn settle(&mut self) -> Result<Result<(), VaultError>, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Settle(answer)).await?;
        self.answer(answered).await
    }

    /// Runs a verb on the vault's thread and waits for its answer.
    pub(crate) async fn call<R: Send + 'static>(
        &mut self,
        verb: impl FnOnce(&mut V) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let answered = self.start_call(verb).await?;
        self.answer(answered).await
    }

    /// Runs a verb on the vault's thread; its answer is fetched with [`Writer::answer`].
    pub(crate) async fn start_call<R: Send + 'static>(
        &mut self,
        verb: impl FnOnce(&mut V) -> R + Send + 'static,
    ) -> Result<oneshot::Receiver<R>, Gone> {
        let (answer, answered) = oneshot::channel();
        let call: Call<V> = Box::new(move |vault| {
            // Nobody listens when the session was cancelled; the deed is done either way.
            drop(answer.send(verb(vault)));
        });
        self.send(Command::Call(call)).await?;
        Ok(answered)
    }

    pub(crate) async fn answer<R>(&mut self, answered: oneshot::Receiver<R>) -> Result<R, Gone> {
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| Gone::Panicked),
            () = self.cancel.cancelled() => Err(Gone::Cancelled),
        }
    }

    async fn send(&mut self, command: Command<V>) -> Result<(), Gone> {
        tokio::select! {
            biased;
            sent = self.commands.send(command) => sent.map_err(|_| Gone::Panicked),
            () = self.cancel.cancelled() => Err(Gone::Cancelled),
        }
    }

    /// Lets the thread finish what it was given and returns the vault.
    ///
    /// Waits for the disk as long as the disk takes: at most the verb under way and
    /// [`Limits::buffers`] buffers. A panic of the vault continues here.
    pub(crate) async fn close(self) -> V {
        let Self {
            commands, thread, ..
        } = self;
        let (back, returned) = oneshot::channel();
        if commands.send(Command::Close(back)).await.is_ok()
            && let Ok(vault) = returned.await
        {
            return vault;
        }
        // The thread drops its ends only while it unwinds, so this does not wait for the disk.
        match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the vault's thread ended without giving the vault back"),
        }
    }
}

/// The thread's side.
struct Worker<V> {
    vault: V,
    /// Whether a file is being received.
    open: bool,
    /// The first error since the last `Settle`; nothing is written while it stands.
    error: Option<VaultError>,
    failed: Arc<AtomicBool>,
    recycle: mpsc::Sender<Batch>,
}

impl<V: Vault> Worker<V> {
    fn run(mut self, mut commands: mpsc::Receiver<Command<V>>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Batch(mut batch) => {
                    self.batch(&mut batch);
                    batch.clear();
                    // Full or closed only when the session is gone.
                    drop(self.recycle.try_send(batch));
                }
                Command::Call(call) => call(&mut self.vault),
                Command::Settle(answer) => {
                    self.failed.store(false, Ordering::Relaxed);
                    drop(answer.send(self.error.take().map_or(Ok(()), Err)));
                }
                Command::Close(back) => {
                    self.abandon_open();
                    // When nobody takes it, the vault is dropped here, as promised.
                    drop(back.send(self.vault));
                    return;
                }
            }
        }
        self.abandon_open();
    }

    fn batch(&mut self, batch: &mut Batch) {
        let mut data = batch.data.as_slice();
        for step in batch.steps.drain(..) {
            if self.error.is_some() {
                return;
            }
            if let Err(error) = self.step(step, &mut data) {
                self.abandon_open();
                self.failed.store(true, Ordering::Relaxed);
                self.error = Some(error);
            }
        }
    }

    fn step(&mut self, step: Step, data: &mut &[u8]) -> Result<(), VaultError> {
        match step {
            Step::Create(path) => {
                self.vault.create(&path)?;
                self.open = true;
            }
            Step::Write(len) => {
                let (block, rest) = data.split_at(len.min(data.len()));
                *data = rest;
                self.vault.write(block)?;
            }
            Step::Finish => {
                self.vault.finish()?;
                self.open = false;
            }
            Step::Abandon(text) => {
                self.open = false;
                self.vault.abandon(Some(&text))?;
            }
        }
        Ok(())
    }

    fn abandon_open(&mut self) {
        if std::mem::take(&mut self.open)
            && let Err(error) = self.vault.abandon(None)
        {
            tracing::warn!(%error, "a half received file could not be removed from staging");
            self.error.get_or_insert(error);
        }
    }
}
