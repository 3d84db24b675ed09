//! One hook: finding it, seeing that only its owner can change it, running it within bounds.
//!
//! A hook is any program in the directory. It is told in environment variables and as JSON on its
//! standard input, never in its command line and never through a shell of ours: what phones are
//! called is written by strangers.

mod place;

use super::Letter;
use crate::style::Style;
use crate::text;
use place::closed_to_others;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Is how long a hook may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);
/// Is how long after its end what it started may still hold its output open.
const AFTER_MAX: Duration = Duration::from_secs(1);
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
    /// What lies in the directory.
    pub(crate) path: PathBuf,
    /// What is run: where `path` led when every step of it was looked at, without links.
    program: PathBuf,
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
        match look(&directory.join(&name)) {
            Ok(hook) => found.hooks.extend(hook),
            Err(why) => found.refused.push(why),
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

/// Looks at one path, also once more right before it is run; `None` when it is no hook.
///
/// # Errors
/// A sentence: why it is not run.
pub(crate) fn look(path: &Path) -> Result<Option<Hook>, String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(channel) = name.and_then(channel_of) else {
        return Ok(None);
    };
    let refused = |why: String| format!("{} is not run: {why}", path.display());
    let facts = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    // No program: notes, a configuration.
    if !facts.is_file() || facts.permissions().mode() & 0o111 == 0 {
        return Ok(None);
    }
    let program = closed_to_others(path).map_err(refused)?;
    let path = path.to_owned();
    Ok(Some(Hook {
        path,
        program,
        channel,
    }))
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
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let ended = match start(&hook, letter, host, style) {
        Err(error) => Ended::Not(error),
        Ok(mut child) => {
            let group = child.id();
            let json = format!("{}\n", letter.json(host, style));
            let whole = listen(&mut child, &json, &mut said, &mut complained);
            let ended = match tokio::time::timeout(TIME_MAX, whole).await {
                Ok(Ok(status)) => Ended::With(status),
                Ok(Err(error)) => Ended::Not(error),
                Err(_) => Ended::TooLong,
            };
            end_group(group);
            ended
        }
    };
    Ran {
        channel: hook.channel,
        kind: letter.what.word().to_owned(),
        ended,
        output: [said, complained].concat(),
    }
}

fn start(hook: &Hook, letter: &Letter, host: &str, style: &Style) -> io::Result<Child> {
    let mut command = Command::new(&hook.program);
    // Some programs go by the name they are called by.
    command.arg0(&hook.path);
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

/// Writes the message, reads what is said, and waits for the end. A hook need not read; what it
/// leaves behind with its output open is not waited for.
async fn listen(
    child: &mut Child,
    json: &str,
    said: &mut Vec<u8>,
    complained: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin
            && stdin.write_all(json.as_bytes()).await.is_ok()
        {
            stdin.shutdown().await.ok();
        }
    };
    let talk = async {
        tokio::join!(
            write,
            beginning(stdout, said),
            beginning(stderr, complained)
        );
    };
    tokio::pin!(talk);
    let mut is_silent = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = &mut talk, if !is_silent => is_silent = true,
        }
    };
    if !is_silent {
        tokio::time::timeout(AFTER_MAX, talk).await.ok();
    }
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

/// Ends a hook and whatever it has started. While any of that is left, the group's number is not
/// given to others; when nothing is, it was free for a second at most.
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
pub(in crate::notify) mod tests;
