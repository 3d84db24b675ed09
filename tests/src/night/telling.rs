//! What `ibakctl` says at the night's own time.

use super::Night;
use crate::programs;
use std::process::Stdio;

impl Night {
    /// Runs `ibakctl` at the moment the house's clock shows, where the house stands, and returns all
    /// that it says.
    pub async fn says(&mut self, words: &[&str]) -> String {
        // Whoever asks first waits while they are built, and the daemon has nothing to tell.
        let program = tokio::task::spawn_blocking(|| programs::path("ibakctl"));
        let program = program.await.unwrap().unwrap();
        let now = jiff::Timestamp::from_microsecond(self.clock.now().wall.as_micros()).unwrap();
        let output = tokio::process::Command::new(program)
            .args(words)
            .env("IBAK_BUS", &self.bus.address)
            .env("IBAK_TIMESTAMP", now.to_string())
            .env("TZ", self.setup.zone.unwrap_or("UTC"))
            .env("LANG", "C.UTF-8")
            .env("NO_COLOR", "1")
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = self.drive(output).await.unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        settled(&said)
    }
}

/// Writes `N GiB` for the free room of the disk that the test happens to run on, whose digits also
/// move the column of the evidence, and `N s ago` for how old a reading is, which depends on when
/// the daemon came to it.
fn settled(said: &str) -> String {
    let lines: Vec<String> = said.lines().map(|it| aged(&without_room(it))).collect();
    lines.join("\n") + "\n"
}

fn without_room(line: &str) -> String {
    let Some((before, after)) = line.split_once(" GiB free") else {
        return line.to_owned();
    };
    let head = before.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    format!("{head}N GiB free{after}")
}

/// Puts the evidence, which ends a line in parentheses, two columns behind what it proves.
fn aged(line: &str) -> String {
    let Some((words, evidence)) = line.rsplit_once("  (") else {
        return line.to_owned();
    };
    let evidence = match evidence.rsplit_once(", ") {
        Some((source, age)) if age.ends_with(" ago)") => format!("{source}, N s ago)"),
        Some(_) | None => evidence.to_owned(),
    };
    format!("{}  ({evidence}", words.trim_end())
}
