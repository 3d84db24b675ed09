//! Figures for Prometheus: one file for the node exporter's textfile collector (docs/telling.md).
//!
//! It is written as a whole or not at all, only when a figure has changed, and at most once a
//! minute. It holds moments, not ages: an age would change all the time, and would stand still in
//! the file of a daemon that has died, which is just what an alarm is to notice.

use ibak_core::{JobState, Phase, PhoneView, StoreReport, View, Wall};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// How long after one writing the next one comes at the earliest.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Most characters of a label's value.
const LABEL_MAX: usize = 200;
/// Readable by everybody, whatever our umask: the exporter is another user.
const MODE: u32 = 0o644;

/// A file and what is to be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    path: PathBuf,
    text: String,
}

/// Takes figures from the loop; never waits.
#[derive(Debug)]
pub struct Metrics(watch::Sender<Option<Page>>);

impl Metrics {
    /// Makes it, and the work that writes: to be spawned, it ends soon after this is dropped and
    /// writes what is new before it does.
    pub fn new() -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (pages, reader) = watch::channel(None);
        (Self(pages), write_pages(reader))
    }

    /// Has the figures written to `path`, if they are others than before, and removes the file of
    /// the path before; nothing before the store has told its backups: until then it is not known
    /// when the last ones were, and what the daemon before wrote says it better.
    pub fn show(&self, path: Option<&Path>, view: &View) {
        if !view.house.recovered {
            return;
        }
        let page = path.map(|path| Page {
            path: path.to_owned(),
            text: render(view),
        });
        self.0
            .send_if_modified(|shown| std::mem::replace(shown, page.clone()) != page);
    }

    /// Says whether figures were shown for this path, or none for none.
    pub fn is_at(&self, path: Option<&Path>) -> bool {
        self.0.borrow().as_ref().map(|page| page.path.as_path()) == path
    }
}

async fn write_pages(mut pages: watch::Receiver<Option<Page>>) {
    let mut failing = false;
    let mut written: Option<PathBuf> = None;
    while pages.changed().await.is_ok() {
        let page = pages.borrow_and_update().clone();
        let path = page.as_ref().map(|page| page.path.clone());
        if let Some(old) = written.take_if(|old| path.as_ref() != Some(old)) {
            crate::executor::blocking(move || withdraw(&old)).await;
        }
        let (Some(page), Some(path)) = (page, path) else {
            continue;
        };
        written = Some(path.clone());
        match crate::executor::blocking(move || replace(&page.path, &page.text)).await {
            Ok(()) => {
                debug!(path = %path.display(), "metrics written");
                failing = false;
            }
            Err(error) if !failing => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                warn!(
                    %error, path = %path.display(),
                    remedy = %format!("the folder must exist, user ibak must be able to write it, and the unit needs ReadWritePaths={} (systemctl edit ibakd)", folder.display()),
                    "the metrics cannot be written"
                );
                failing = true;
            }
            Err(error) => debug!(%error, path = %path.display(), "the metrics cannot be written"),
        }
        if wait_out(&mut pages, Instant::now() + WRITE_EVERY).await {
            pages.mark_changed();
        }
    }
}

/// Waits until `end`, or until there will be no further pages; says whether one came meanwhile.
async fn wait_out(pages: &mut watch::Receiver<Option<Page>>, end: Instant) -> bool {
    let mut more = false;
    while let Ok(Ok(())) = timeout_at(end, pages.changed()).await {
        more = true;
    }
    more
}

/// Removes the file of a path that is not the configuration's any more: figures that stand still
/// would alarm.
fn withdraw(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, path = %path.display(), "the metrics that are not wanted any more stay");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Replaces a file as a whole or not at all. It need not outlive a power cut: the next start
/// writes it anew.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    // The exporter reads `*.prom` only.
    name.push(".new");
    let fresh = PathBuf::from(name);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The folder may be others' as well: what lies there under this name is never followed.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&fresh)?;
    let written = file
        .set_permissions(std::fs::Permissions::from_mode(MODE))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err()
        && let Err(error) = std::fs::remove_file(&fresh)
    {
        debug!(%error, "what was begun stays");
    }
    written
}

/// A metric in the making: its name, its samples.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn begin(out: &'a mut String, name: &'static str, help: &str) -> Self {
        // Writing into a string cannot fail.
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge").ok();
        Self { out, name }
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.out.push_str(self.name);
        for (at, (key, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            write!(self.out, "{open}{key}=\"{}\"", label(text)).ok();
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.out, "{close} {value}").ok();
    }
}

/// Escapes a label's value: phones are called what their owners please.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()).take(LABEL_MAX) {
        if matches!(c, '\\' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn seconds(at: Wall) -> u64 {
    u64::try_from(at.as_micros() / 1_000_000).unwrap_or(0)
}

/// Writes the figures in Prometheus' text format.
fn render(view: &View) -> String {
    let mut text = String::new();
    let out = &mut text;
    Family::begin(out, "ibak_info", "The version of ibak.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    Family::begin(out, "ibak_paused", "Whether a person paused everything.")
        .sample(&[], u64::from(view.house.pause.is_some()));
    let running = view
        .jobs
        .values()
        .filter(|job| job.state == JobState::Running);
    let queued = |job: &&ibak_core::JobView| job.phase == Phase::Queued;
    let waiting = running.clone().filter(queued).count();
    Family::begin(out, "ibak_jobs_running", "Jobs that run.")
        .sample(&[], count(running.count() - waiting));
    Family::begin(out, "ibak_jobs_waiting", "Jobs that wait for their turn.")
        .sample(&[], count(waiting));
    store(view, out);
    phones(view, out);
    text
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn store(view: &View, out: &mut String) {
    // While nothing depends on it nobody looks at it.
    let Some(report) = view.house.store else {
        return;
    };
    let help = "The state of the store, as in Manager.StorageState.";
    Family::begin(out, "ibak_store_state", help).sample(&[("state", view.house.storage.word())], 1);
    let StoreReport::Open(numbers) = report else {
        return;
    };
    let free = "Free bytes on the store's file system.";
    Family::begin(out, "ibak_store_free_bytes", free).sample(&[], numbers.free.get());
    let used = "Bytes that all backups take.";
    Family::begin(out, "ibak_store_used_bytes", used).sample(&[], numbers.used.get());
    if let Some(quota) = numbers.quota {
        let help = "Bytes that all backups may take.";
        Family::begin(out, "ibak_store_quota_bytes", help).sample(&[], quota.get());
    }
}

/// What is told of a phone: a name, a meaning, a value that may be absent.
type Figure = (&'static str, &'static str, fn(&PhoneView) -> Option<u64>);

/// What is told of each phone. A retired one is neither overdue nor backed up: nothing may alarm.
const FIGURES: [Figure; 6] = [
    (
        "ibak_phone_last_backup_timestamp_seconds",
        "When its newest backup was finished, in seconds since 1970 UTC; absent for never.",
        |phone| active(phone)?.last_backup.map(seconds),
    ),
    (
        "ibak_phone_first_seen_timestamp_seconds",
        "When it was first known, in seconds since 1970 UTC.",
        |phone| active(phone).map(|phone| seconds(phone.first_seen)),
    ),
    (
        "ibak_phone_overdue",
        "Whether it has been without a backup for too long.",
        |phone| active(phone).map(|phone| u64::from(phone.overdue)),
    ),
    (
        "ibak_phone_automatic",
        "Whether it is backed up without being asked to.",
        |phone| {
            let automatic = phone.automatic == ibak_core::Automatic::On;
            active(phone).map(|_| u64::from(automatic))
        },
    ),
    (
        "ibak_phone_last_result_timestamp_seconds",
        "When its last job ended, in seconds since 1970 UTC.",
        |phone| active(phone)?.last_result.map(|last| seconds(last.at)),
    ),
    (
        "ibak_phone_used_bytes",
        "Bytes that its backups take.",
        |phone| Some(phone.share.used.get()),
    ),
];

fn active(phone: &PhoneView) -> Option<&PhoneView> {
    (!phone.retired).then_some(phone)
}

fn phones(view: &View, out: &mut String) {
    if view.phones.is_empty() {
        return;
    }
    let name = |phone: &PhoneView| {
        let identity = phone.identity.as_ref();
        identity.map_or_else(String::new, |it| it.name.clone())
    };
    for (metric, help, value) in FIGURES {
        let mut family = Family::begin(out, metric, help);
        for (udid, phone) in &view.phones {
            if let Some(value) = value(phone) {
                family.sample(&[("udid", udid.as_str()), ("name", &name(phone))], value);
            }
        }
    }
    let help = "How its last job ended, as in Phone.LastResult.";
    let mut family = Family::begin(out, "ibak_phone_last_result", help);
    for (udid, phone) in &view.phones {
        if let Some(last) = active(phone).and_then(|phone| phone.last_result) {
            let labels = [
                ("udid", udid.as_str()),
                ("name", &name(phone)),
                ("result", last.result.word()),
            ];
            family.sample(&labels, 1);
        }
    }
}

#[cfg(test)]
mod tests;
