//! Listening to the daemon for ever: through its restarts, and the bus's.
//!
//! While the daemon is away the mirror waits for its name and subscribes before it looks, so a
//! restart of the daemon hides no signal. A signal may be missed only while there is no connection
//! at all: before this program starts, and while the bus itself is away. Therefore, whenever a
//! connection is new, whatever stands at that moment is told as if its signal had just come.

use super::ledger::Ledger;
use super::letter::{is_over, standing};
use super::{Key, Letter, What};
use crate::console::Console;
use crate::failure::Failure;
use crate::session;
use ibak_dbus::words::StorageState;
use ibak_dbus::{Dict, Mirror, MirrorEvent, MirrorState, Wall};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Is how many messages may wait to be carried out.
pub(crate) const WAITING_MAX: usize = 64;
/// Is the first wait before the bus is tried again.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Is the longest.
const AGAIN_LONGEST: Duration = Duration::from_secs(60);

/// What a carrier is handed.
#[derive(Debug)]
pub(crate) enum News {
    /// Tell this.
    Tell(Box<Letter>),
    /// This need not be read any more.
    Over(Key),
}

/// For whom is listened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ear {
    /// Only what goes to this channel; `None` for all.
    pub(crate) channel: Option<&'static str>,
    /// Also that backups were finished.
    pub(crate) backups: bool,
    /// What it says of itself once it listens.
    pub(crate) greeting: &'static str,
}

/// Listens for ever.
pub(crate) struct Listener<'a> {
    ear: Ear,
    ledger: Ledger,
    news: mpsc::Sender<News>,
    console: &'a mut Console,
    /// Told in this run or before, and not over yet.
    open: BTreeSet<Key>,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(
        ear: Ear,
        ledger: Ledger,
        news: mpsc::Sender<News>,
        console: &'a mut Console,
    ) -> Self {
        Self {
            ear,
            open: ledger.keys().into_iter().collect(),
            ledger,
            news,
            console,
        }
    }

    /// Goes on until it is interrupted.
    pub(crate) async fn run(mut self) -> Failure {
        let mut wait = AGAIN_FIRST;
        let mut said = None;
        loop {
            let why = match self.connect().await {
                Ok(mut mirror) => {
                    let greeting = match mirror.is_live() {
                        true => format!("{}\n", self.ear.greeting),
                        false => "The daemon is not running; waiting for it.\n".to_owned(),
                    };
                    self.console.say(&greeting);
                    (wait, said) = (AGAIN_FIRST, None);
                    self.listen(&mut mirror).await
                }
                Err(failure) => failure,
            };
            if self.news.is_closed() {
                return why;
            }
            let text = std::iter::once(&why.message).chain(&why.causes);
            let text = text.cloned().collect::<Vec<_>>().join(": ");
            if said.as_ref() != Some(&text) {
                self.console
                    .say(&format!("No connection ({text}); it is tried again.\n"));
                said = Some(text);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_LONGEST);
        }
    }

    async fn connect(&self) -> Result<Mirror, Failure> {
        let connection = session::connect(&session::bus()).await?;
        Mirror::follow(&connection)
            .await
            .map_err(|error| Failure::of_mirror(&error))
    }

    async fn listen(&mut self, mirror: &mut Mirror) -> Failure {
        self.catch_up(mirror.state());
        loop {
            let event = tokio::select! {
                event = mirror.next() => event,
                () = self.news.closed() => {
                    return Failure::new(crate::Exit::Failed, "nobody carries messages any more");
                }
            };
            match event {
                Err(error) => return Failure::of_mirror(&error),
                Ok(MirrorEvent::Attention {
                    phone,
                    kind,
                    details,
                }) => {
                    let state = mirror.state();
                    let letter = Letter::of_signal(&kind, phone.as_ref(), &details, state);
                    self.tell(letter);
                }
                Ok(MirrorEvent::Back) => {
                    self.console.say("The daemon is back.\n");
                    self.catch_up(mirror.state());
                }
                Ok(MirrorEvent::Lost) => {
                    self.console.say("The daemon went away; waiting for it.\n");
                }
                Ok(MirrorEvent::Changed | MirrorEvent::Completed { .. }) => {
                    self.look(mirror.state());
                }
            }
            self.save();
        }
    }

    /// Tells what stands, as far as it was not told.
    fn catch_up(&mut self, state: &MirrorState) {
        for letter in standing(state) {
            self.tell(letter);
        }
        self.look(state);
        self.save();
    }

    /// Looks for finished backups, and for what is over.
    fn look(&mut self, state: &MirrorState) {
        let storage = state.manager().map(|manager| manager.storage_state);
        // Before the store is read, no phone has a backup.
        let known = matches!(
            storage,
            Some(StorageState::Ok | StorageState::Low | StorageState::Full)
        );
        if self.ear.backups && known {
            for phone in state.phones() {
                if self.ledger.take_backup(&phone.udid, phone.last_backup) {
                    let letter =
                        Letter::about(What::BackupDone, Some(&phone.udid), Dict::new(), state);
                    self.tell(letter);
                }
            }
        }
        if self.open.is_empty() {
            return;
        }
        let stands: BTreeSet<Key> = standing(state).iter().map(Letter::key).collect();
        let over: Vec<Key> = self
            .open
            .iter()
            .filter(|key| is_over(key, state, &stands))
            .cloned()
            .collect();
        for key in over {
            self.open.remove(&key);
            self.hand(News::Over(key));
        }
    }

    fn tell(&mut self, letter: Letter) {
        if self.ear.channel.is_some_and(|it| !letter.goes_to(it)) {
            return;
        }
        let now = self.console.err_style().now;
        if self
            .ledger
            .take(&letter, Wall::from_micros(now.as_microsecond()))
        {
            self.open.insert(letter.key());
            self.hand(News::Tell(Box::new(letter)));
        }
    }

    /// Hands it on without waiting: whoever is slow must not make us deaf.
    fn hand(&mut self, news: News) {
        if let Err(mpsc::error::TrySendError::Full(News::Tell(letter))) = self.news.try_send(news) {
            self.console.say(&format!(
                "More than {WAITING_MAX} messages wait; one is not carried out: {}\n",
                letter.what.word()
            ));
        }
    }

    fn save(&mut self) {
        if let Err(error) = self.ledger.save() {
            self.console.say(&format!(
                "What was told cannot be kept ({error}); after a restart it may be told again.\n"
            ));
        }
    }
}
