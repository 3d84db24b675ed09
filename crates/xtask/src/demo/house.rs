//! What the house is doing, as `ibakctl watch --json` tells it.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::player::Player;
use super::stage::Stage;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many messages may wait to be read.
const MESSAGES_MAX: usize = 1024;

/// The newest that is known, and what has ended.
pub(crate) struct House {
    messages: Receiver<Value>,
    /// The UDID of the phone that counts.
    udid: String,
    _watcher: Player,
    /// The phone's newest state; null until it is known.
    pub(crate) phone: Value,
    /// The newest state of the phone's newest job.
    job: Value,
    /// How each job ended, in order.
    pub(crate) completed: Vec<Value>,
}

impl House {
    /// Begins to listen to what happens to a phone.
    pub(crate) fn watch(stage: &Stage, which: usize) -> Result<Self> {
        let (mut watcher, output) = stage.listen(&["watch", "--json"])?;
        let (sender, messages) = sync_channel(MESSAGES_MAX);
        watcher.reader(std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(message) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        }));
        Ok(Self {
            messages,
            udid: stage.udid_of(which).to_owned(),
            _watcher: watcher,
            phone: Value::Null,
            job: Value::Null,
            completed: Vec::new(),
        })
    }

    /// Returns a condition's status.
    pub(crate) fn condition(&self, name: &str) -> Option<&str> {
        self.phone["conditions"][name]["status"].as_str()
    }

    /// Returns whether this is among what the phone's next backup waits for.
    pub(crate) fn waits_for(&self, word: &str) -> bool {
        let words = self.phone["waits_for"].as_array();
        words.is_some_and(|words| words.iter().any(|known| known == word))
    }

    /// Returns the phase of the phone's newest job.
    pub(crate) fn phase(&self) -> Option<&str> {
        self.job["phase"].as_str()
    }

    /// Returns whether a job is there that has not ended.
    pub(crate) fn running(&self) -> bool {
        self.job["state"] == "running"
    }

    /// Waits until what is known is as wanted.
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("waited in vain for {what}: {}", self.phone)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!("`ibakctl watch` ended"))
                        .with_context(|| format!("waiting for {what}"));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Value) {
        if message["udid"] != self.udid {
            return;
        }
        match message["message_type"].as_str() {
            Some("phone") => self.phone = message,
            Some("job") => self.job = message,
            Some("completed") => self.completed.push(message),
            Some(_) | None => {}
        }
    }
}
