//! Running the hooks of a directory, one message after the other.

use super::follow::News;
use super::hook::{self, Found};
use super::{Letter, host};
use crate::console::Console;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Is how many hooks run at once.
const AT_ONCE: usize = 4;

/// Carries messages to hooks.
pub(crate) struct Hooks {
    directory: PathBuf,
    console: Console,
}

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
        })
    }

    /// Carries messages until there will be no more.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::Tell(letter) => self.tell(*letter).await,
                // What was sent stays sent.
                News::Over(_) => {}
            }
        }
    }

    /// Runs all hooks that the message goes to, a few at a time, and waits for them: so each hook
    /// is told in order.
    async fn tell(&mut self, letter: Letter) {
        // Hooks may come and go without a restart.
        let found = match hook::find(&self.directory) {
            Ok(found) => found,
            Err(why) => {
                self.console.say(&format!("No hook is run: {why}.\n"));
                return;
            }
        };
        complain(&found, &mut self.console);
        let style = self.console.err_style();
        let slots = Rc::new(Semaphore::new(AT_ONCE));
        let letter = Arc::new(letter);
        let running = tokio::task::LocalSet::new();
        let mut ends = JoinSet::new();
        for hook in found.hooks {
            if !letter.goes_to(&hook.channel) {
                continue;
            }
            let (slots, letter, style) = (Rc::clone(&slots), Arc::clone(&letter), style.clone());
            let work = async move {
                let slot = slots.acquire().await;
                let ran = hook::run(hook, &letter, host(), &style).await;
                drop(slot);
                ran
            };
            ends.spawn_local_on(work, &running);
        }
        let console = &mut self.console;
        let all = async {
            while let Some(ran) = ends.join_next().await {
                if let Ok(ran) = ran {
                    console.say(&ran.lines(&style));
                }
            }
        };
        running.run_until(all).await;
    }
}

fn complain(found: &Found, console: &mut Console) {
    for why in &found.refused {
        console.say(&format!("{why}.\n"));
    }
}
