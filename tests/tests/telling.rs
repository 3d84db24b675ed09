//! Telling people: from the real daemon through `ibakctl notify` to hooks, a desktop, a monitor.

mod desktop;
mod examples;
mod hooks;
mod metrics;
mod once;
mod post;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ibak_tests::trouble::House;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

/// How long anything may take before a test gives up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// An `ibakctl notify` that runs; killed when dropped.
struct Carrier {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Carrier {
    /// Starts one in a house, with a state directory of its own, and waits until it says this.
    async fn start(house: &House, words: &[&str], settings: &[(&str, String)], said: &str) -> Self {
        let state = Self::state(house, words[1]);
        std::fs::create_dir_all(&state).unwrap();
        let mut command = house.command("ibakctl").unwrap();
        command
            .args(words)
            .env("STATE_DIRECTORY", state)
            .envs(settings.iter().map(|(key, value)| (*key, value)))
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut carrier = Self {
            child,
            lines,
            said: Vec::new(),
        };
        carrier.says(said).await;
        carrier
    }

    fn state(house: &House, which: &str) -> PathBuf {
        house.path(&format!("state-{which}"))
    }

    /// Waits until it says a line with this in it.
    async fn says(&mut self, part: &str) {
        self.says_one_of(&[part]).await;
    }

    async fn says_one_of(&mut self, parts: &[&str]) {
        loop {
            let line = timeout(WAIT_MAX, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("not said: {parts:?}: {:#?}", self.said));
            let line = line.unwrap().unwrap_or_else(|| {
                panic!("it ended without a word of {parts:?}: {:#?}", self.said)
            });
            self.said.push(line.clone());
            if parts.iter().any(|part| line.contains(part)) {
                return;
            }
        }
    }

    async fn end(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.said.push(line);
        }
        self.said
    }
}
