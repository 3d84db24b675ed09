//! One hook: finding it, seeing that only its owner can change it, running it within bounds.
//!
//! A hook is any program in the directory. It is told in environment variables and as JSON on its
//! standard input, never in its command line and never through a shell of ours: what phones are
//! called is written by strangers.

use super::Letter;
use crate::style::Style;
use crate::text;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Is how long a hook may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);
/// Is how much of its output is shown, in bytes of each stream.
const OUTPUT_MAX: u64 = 4_096;
/// Is how many hooks a directory may hold.
pub(crate) const HOOKS_MAX: usize = 64;
/// Are endings of what editors and package managers leave behind.
const LEFT_BEHIND: [&str; 9] = [
    "bak",
    "conf",
    "dpkg-dist",
    "dpkg-new",
    "dpkg-old",
    "new",
    "orig",
    "rpmnew",
    "rpmsave",
];
/// Is where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A hook that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) path: PathBuf,
    /// Its file's name without the number before and the ending: `50-ntfy.sh` is `ntfy`.
    pub(crate) channel: String,
}

/// What is in a directory: hooks in the order of their names, and why others are refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hooks: Vec<Hook>,
    pub(crate) refused: Vec<String>,
}

/// Finds the hooks of a directory.
///
/// # Errors
/// A sentence: it cannot be read, or others may write to it.
pub(crate) fn find(directory: &Path) -> Result<Found, String> {
    closed_to_others(directory)?;
    let unreadable = |error: io::Error| format!("{} cannot be read: {error}", directory.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name());
    }
    names.sort();
    let mut found = Found::default();
    for name in names {
        let Some(channel) = name.to_str().and_then(channel_of) else {
            continue;
        };
        let path = directory.join(&name);
        match std::fs::metadata(&path) {
            Err(error) => {
                let line = format!("{} is not run: {error}", path.display());
                found.refused.push(line);
            }
            // No program: notes, a configuration.
            Ok(file) if !file.is_file() || file.mode() & 0o111 == 0 => {}
            Ok(_) => match closed_to_others(&path) {
                Ok(()) => found.hooks.push(Hook { path, channel }),
                Err(why) => found
                    .refused
                    .push(format!("{} is not run: {why}", path.display())),
            },
        }
    }
    if found.hooks.len() > HOOKS_MAX {
        found.hooks.truncate(HOOKS_MAX);
        found.refused.push(format!(
            "{} holds more than {HOOKS_MAX} hooks; the last ones are not run",
            directory.display()
        ));
    }
    Ok(found)
}

/// Returns the channel of a file's name; `None` when it is none of ours to run.
fn channel_of(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.starts_with('.') || !name.chars().all(plain) {
        return None;
    }
    let stem = match name.rsplit_once('.') {
        Some((_, ending)) if LEFT_BEHIND.contains(&ending) => return None,
        Some((stem, _)) => stem,
        None => name,
    };
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let channel = match rest.strip_prefix(['-', '_']) {
        Some(rest) if stem.len() > rest.len() + 1 => rest,
        Some(_) | None => stem,
    };
    (!channel.is_empty()).then(|| channel.to_owned())
}

/// Makes sure that nobody but root and this user can change or replace what lies at `path`, where
/// links lead to and all directories above included.
fn closed_to_others(path: &Path) -> Result<(), String> {
    let real = std::fs::canonicalize(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    // Whoever may write to the directory of a link may turn it elsewhere.
    let beside = path.parent().map(std::fs::canonicalize).transpose();
    let beside = beside.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    for (at, place) in real.ancestors().enumerate() {
        check(place, at > 0)?;
    }
    for place in beside.iter().flat_map(|it| it.ancestors()) {
        check(place, true)?;
    }
    Ok(())
}

fn check(place: &Path, is_above: bool) -> Result<(), String> {
    let shown = place.display();
    let facts =
        std::fs::metadata(place).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let me = rustix::process::geteuid().as_raw();
    if ![0, me].contains(&facts.uid()) {
        return Err(format!(
            "{shown} belongs to another user, who could change it: `chown root {shown}`"
        ));
    }
    if is_open(&facts, is_above) {
        return Err(format!(
            "{shown} is writable by others: `chmod go-w {shown}` closes it"
        ));
    }
    Ok(())
}

/// Says whether group or others may change it. In a directory like /tmp nobody can replace what
/// is another's.
fn is_open(facts: &Metadata, is_above: bool) -> bool {
    let is_shared = is_above && facts.is_dir() && facts.mode() & 0o1000 != 0;
    facts.mode() & 0o022 != 0 && !is_shared
}

/// How a hook ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    With(ExitStatus),
    /// It took too long and was killed.
    TooLong,
    /// It could not be run.
    Not(io::Error),
}

/// What a hook left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) channel: String,
    pub(crate) kind: String,
    pub(crate) ended: Ended,
    /// The beginning of what it said.
    output: Vec<u8>,
}

/// Runs a hook to its end, or to the end of its time.
pub(crate) async fn run(hook: Hook, letter: &Letter, host: &str, style: &Style) -> Ran {
    let mut output = Vec::new();
    let ended = match start(&hook, letter, host, style) {
        Err(error) => Ended::Not(error),
        Ok(mut child) => {
            let group = child.id();
            let json = format!("{}\n", letter.json(host, style));
            let whole = listen(&mut child, &json, &mut output);
            match tokio::time::timeout(TIME_MAX, whole).await {
                Ok(Ok(status)) => Ended::With(status),
                Ok(Err(error)) => Ended::Not(error),
                Err(_) => {
                    end_group(group);
                    Ended::TooLong
                }
            }
        }
    };
    Ran {
        channel: hook.channel,
        kind: letter.what.word().to_owned(),
        ended,
        output,
    }
}

fn start(hook: &Hook, letter: &Letter, host: &str, style: &Style) -> io::Result<Child> {
    let mut command = Command::new(&hook.path);
    for (key, _) in std::env::vars_os() {
        let key_text = key.to_string_lossy();
        let ours = key_text.starts_with("IBAK_");
        let services = [
            "NOTIFY_SOCKET",
            "WATCHDOG_PID",
            "WATCHDOG_USEC",
            "LISTEN_FDS",
        ];
        if ours || services.contains(&key_text.as_ref()) {
            command.env_remove(&key);
        }
    }
    command
        .env("PATH", PATH)
        .env("IBAK_CHANNEL", &hook.channel)
        .envs(letter.variables(host, style))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Writes the message, reads what is said, and waits for the end. A hook need not read.
async fn listen(child: &mut Child, json: &str, output: &mut Vec<u8>) -> io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin
            && stdin.write_all(json.as_bytes()).await.is_ok()
        {
            stdin.shutdown().await.ok();
        }
    };
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let read = async {
        tokio::join!(
            write,
            beginning(stdout, &mut said),
            beginning(stderr, &mut complained)
        );
    };
    let (status, ()) = tokio::join!(child.wait(), read);
    output.append(&mut said);
    output.append(&mut complained);
    status
}

/// Keeps the beginning of a stream and lets the rest go by, so that nobody is held up writing.
async fn beginning(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let first = (&mut stream).take(OUTPUT_MAX).read_to_end(kept).await;
    if first.is_ok() {
        tokio::io::copy(&mut stream, &mut tokio::io::sink())
            .await
            .ok();
    }
}

/// Ends a hook and whatever it has started.
fn end_group(group: Option<u32>) {
    let group = group.and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
        // It may just have ended.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
}

impl Ran {
    /// Says how it went, a line each.
    pub(crate) fn lines(&self, style: &Style) -> String {
        let Self { channel, kind, .. } = self;
        let mut lines = String::new();
        for line in String::from_utf8_lossy(&self.output).lines() {
            lines.push_str(&format!("{channel}: {}\n", text::escape(line, style)));
        }
        let end = match &self.ended {
            Ended::With(status) if status.success() => format!("{kind} was passed to {channel}"),
            Ended::With(status) => format!("{channel} did not take {kind}: {status}"),
            Ended::TooLong => format!(
                "{channel} did not take {kind}: it was ended after {} s",
                TIME_MAX.as_secs()
            ),
            Ended::Not(error) => format!("{channel} did not take {kind}: {error}"),
        };
        format!("{lines}{end}\n")
    }
}

#[cfg(test)]
mod tests;
