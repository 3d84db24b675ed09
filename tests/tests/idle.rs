//! What the daemon costs while there is nothing to do: wake-ups, processor time, memory, writes.
//!
//! Wake-ups are the voluntary context switches of all its threads, as `/proc/PID/task/*/status`
//! counts them; what is written, `/proc/PID/io` and the files themselves. The quick test knows the
//! culprits by their pace: whatever ticks every second or faster. The slow one counts for twenty
//! minutes after the start is over, and holds the daemon to what `docs/host.md` promises.

use ibak_tests::trouble::{House, say};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// When the start is over: stores are opened, the network was asked who is there.
const SETTLED: Duration = Duration::from_secs(8);
/// How long the quick test counts.
const QUICK: Duration = Duration::from_secs(20);
/// What every second or faster would be, with room for what is still calming down.
const TICKS_MAX: u64 = 18;
/// When whatever slows down step by step has slowed down.
const CALM: Duration = Duration::from_secs(700);
/// How long the slow test counts.
const LONG: Duration = Duration::from_secs(1_200);
/// The promise of `docs/host.md`.
const WAKEUPS_AN_HOUR_MAX: f64 = 60.0;

/// What a process has used so far.
struct Use {
    at: Instant,
    /// Voluntary switches of each thread, by its number.
    switches: BTreeMap<String, (String, u64)>,
    written: u64,
    ticks: u64,
    memory_kib: u64,
}

impl Use {
    fn of(pid: u32) -> Self {
        let proc = Path::new("/proc").join(pid.to_string());
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let mut switches = BTreeMap::new();
        for thread in fs::read_dir(proc.join("task")).unwrap() {
            let thread = thread.unwrap();
            let status = read(&thread.path().join("status"));
            let name = field(&status, "Name:").unwrap_or_default().to_owned();
            // One that has just ended is none.
            let Some(count) = field(&status, "voluntary_ctxt_switches:") else {
                continue;
            };
            let number = thread.file_name().to_string_lossy().into_owned();
            switches.insert(number, (name, count.parse().unwrap()));
        }
        let stat = read(&proc.join("stat"));
        let times = stat.rsplit(')').next().unwrap().split_whitespace();
        // utime and stime, the 14th and 15th of proc(5).
        let ticks = times.skip(11).take(2).map(|it| it.parse::<u64>().unwrap());
        let memory = read(&proc.join("status"));
        let memory = field(&memory, "VmRSS:").unwrap().trim_end_matches(" kB");
        Self {
            at: Instant::now(),
            switches,
            written: number(&read(&proc.join("io")), "write_bytes:"),
            ticks: ticks.sum(),
            memory_kib: memory.trim().parse().unwrap(),
        }
    }

    /// Returns how often each thread woke since then.
    fn wakeups_since(&self, before: &Self) -> Vec<(String, u64)> {
        let since = |(number, (name, count)): (&String, &(String, u64))| {
            let earlier = before.switches.get(number).map_or(0, |(_, count)| *count);
            (name.clone(), count - earlier)
        };
        self.switches.iter().map(since).collect()
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::trim)
}

fn number(text: &str, name: &str) -> u64 {
    field(text, name).unwrap().parse().unwrap()
}

/// Returns when anything below was written last.
fn newest(root: &Path) -> SystemTime {
    let meta = fs::symlink_metadata(root).unwrap();
    let mut newest = meta.modified().unwrap();
    if meta.is_dir() {
        for entry in fs::read_dir(root).unwrap() {
            newest = newest.max(self::newest(&entry.unwrap().path()));
        }
    }
    newest
}

/// Runs a daemon without any phone, alone on its network, and returns what it used from `settled` on.
async fn idle(settled: Duration, counted: Duration) -> Option<(Use, Use)> {
    let house = House::without_usbmuxd().await.unwrap();
    let configuration = format!(
        "store = \"{}\"\nreserve = \"1MiB\"\n",
        house.path("store").display()
    );
    let daemon = house.daemon_alone(&configuration).await.unwrap()?;
    let pid = daemon.pid().unwrap();
    tokio::time::sleep(settled).await;
    let own = ["store", "ibakd.state"].map(|name| house.path(name));
    let before = (Use::of(pid), own.clone().map(|path| newest(&path)));
    tokio::time::sleep(counted).await;
    let after = (Use::of(pid), own.map(|path| newest(&path)));
    assert_eq!(before.1, after.1, "a file was written");
    assert_eq!(
        before.0.written, after.0.written,
        "something reached the disk"
    );
    daemon.stop().await.unwrap();
    Some((before.0, after.0))
}

fn tell(before: &Use, after: &Use) -> f64 {
    let secs = after.at.duration_since(before.at).as_secs_f64();
    let wakeups = after.wakeups_since(before);
    let all: u64 = wakeups.iter().map(|(_, count)| count).sum();
    let an_hour = u32::try_from(all).map_or(f64::MAX, f64::from) * 3_600.0 / secs;
    // The kernel counts in hundredths of a second.
    let ticks = u32::try_from(after.ticks - before.ticks).unwrap();
    let seconds_an_hour = f64::from(ticks) / 100.0 * 3_600.0 / secs;
    say(&format!(
        "idle: {an_hour:.0} wake-ups/h in {secs:.0} s {wakeups:?}, {seconds_an_hour:.2} s of processor/h, {} KiB",
        after.memory_kib
    ));
    an_hour
}

#[tokio::test]
async fn nothing_ticks_and_nothing_is_written_while_there_is_nothing_to_do() {
    let Some((before, after)) = idle(SETTLED, QUICK).await else {
        return;
    };
    tell(&before, &after);
    let ticking: Vec<_> = after
        .wakeups_since(&before)
        .into_iter()
        .filter(|(_, count)| *count > TICKS_MAX)
        .collect();
    assert_eq!(ticking, [], "threads that tick");
}

#[tokio::test]
async fn an_idle_daemon_wakes_at_most_sixty_times_an_hour() {
    if !ibak_tests::slow() {
        return;
    }
    let Some((before, after)) = idle(CALM, LONG).await else {
        return;
    };
    let an_hour = tell(&before, &after);
    assert!(an_hour <= WAKEUPS_AN_HOUR_MAX, "{an_hour}");
}
