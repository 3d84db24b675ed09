//! Running the hooks of a directory: each has a queue of its own and takes one message after the
//! other, so that a slow one holds up nobody but itself.

use super::follow::News;
use super::hook::{self, Found, Hook, Ran};
use super::{Key, Letter, What, host};
use crate::console::Console;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use ibak_dbus::words::AttentionKind;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::sync::mpsc;

/// Is how many hooks run at once.
const AT_ONCE: usize = 4;
/// Is how many messages may wait for one hook.
const QUEUE_MAX: usize = 16;

/// Carries messages to hooks.
pub(crate) struct Hooks {
    directory: PathBuf,
    console: Console,
    /// By where the hook lies.
    queues: BTreeMap<PathBuf, Queue>,
    /// How many messages were told.
    count: u64,
}

/// What waits for one hook, the oldest first, each with its number.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u64, Rc<Letter>)>,
    is_running: bool,
}

/// Hooks that run.
type Running = FuturesUnordered<LocalBoxFuture<'static, (PathBuf, Ran)>>;

impl Hooks {
    /// Looks at the directory for the first time, and says what it found.
    ///
    /// # Errors
    /// A sentence: why nothing in there can be run.
    pub(crate) fn open(directory: &Path, mut console: Console) -> Result<Self, String> {
        let found = hook::find(directory)?;
        complain(&found, &mut console);
        let names: Vec<&str> = found.hooks.iter().map(|it| it.channel.as_str()).collect();
        console.say(&format!(
            "Hooks in {}: {}.\n",
            directory.display(),
            match names.as_slice() {
                [] => "none yet".to_owned(),
                names => names.join(", "),
            }
        ));
        Ok(Self {
            directory: directory.to_owned(),
            console,
            queues: BTreeMap::new(),
            count: 0,
        })
    }

    /// Carries messages until there will be no more and all are carried.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<News>) {
        let mut running = Running::new();
        let mut is_open = true;
        while is_open || !running.is_empty() {
            tokio::select! {
                next = news.recv(), if is_open => match next {
                    Some(News::Tell(letter)) => self.tell(*letter),
                    Some(News::Over(key)) => self.forget(&key),
                    None => is_open = false,
                },
                Some((path, ran)) = running.next(), if !running.is_empty() => {
                    self.console.say(&ran.lines(&self.console.err_style()));
                    if let Some(queue) = self.queues.get_mut(&path) {
                        queue.is_running = false;
                    }
                }
            }
            while running.len() < AT_ONCE
                && let Some((hook, letter)) = self.next()
            {
                let style = self.console.err_style();
                running.push(Box::pin(async move {
                    let path = hook.path.clone();
                    (path, hook::run(hook, &letter, host(), &style).await)
                }));
            }
        }
    }

    /// Lets a message wait for all hooks that it goes to.
    fn tell(&mut self, letter: Letter) {
        // Hooks may come and go without a restart.
        let found = match hook::find(&self.directory) {
            Ok(found) => found,
            Err(why) => {
                self.console.say(&format!("No hook is run: {why}.\n"));
                return;
            }
        };
        complain(&found, &mut self.console);
        self.queues
            .retain(|_, queue| queue.is_running || !queue.waiting.is_empty());
        self.count += 1;
        let letter = Rc::new(letter);
        for hook in found.hooks {
            if !letter.goes_to(&hook.channel) {
                continue;
            }
            let queue = self.queues.entry(hook.path).or_default();
            if queue.waiting.len() < QUEUE_MAX {
                queue.waiting.push_back((self.count, Rc::clone(&letter)));
                continue;
            }
            self.console.say(&format!(
                "More than {QUEUE_MAX} messages wait for {}; one is not passed on: {}\n",
                hook.channel,
                letter.what.word()
            ));
        }
    }

    /// Takes back prompts that nobody was told and that are over. Anything else still says what
    /// happened; and what was sent stays sent.
    fn forget(&mut self, key: &Key) {
        let asking = What::Attention(AttentionKind::Asking);
        for queue in self.queues.values_mut() {
            queue
                .waiting
                .retain(|(_, letter)| letter.what != asking || letter.key() != *key);
        }
    }

    /// Takes the oldest message whose hook is free. Whether that may be run is looked at again: the
    /// message may have waited for minutes.
    fn next(&mut self) -> Option<(Hook, Rc<Letter>)> {
        loop {
            let free = self.queues.iter_mut().filter(|(_, it)| !it.is_running);
            let (path, queue) = free
                .filter(|(_, it)| !it.waiting.is_empty())
                .min_by_key(|(_, it)| it.waiting.front().map(|(number, _)| *number))?;
            let (_, letter) = queue.waiting.pop_front()?;
            match hook::look(path) {
                Ok(Some(hook)) => {
                    queue.is_running = true;
                    return Some((hook, letter));
                }
                // It was taken away.
                Ok(None) => {}
                Err(why) => self.console.say(&format!("{why}.\n")),
            }
        }
    }
}

fn complain(found: &Found, console: &mut Console) {
    for why in &found.refused {
        console.say(&format!("{why}.\n"));
    }
}

#[cfg(test)]
mod tests;
