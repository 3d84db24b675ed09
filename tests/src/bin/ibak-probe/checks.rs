//! What the daemon does without the bus: each check does it once and says what it saw.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rusb::UsbContext;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// The service type under which phones advertise themselves.
pub(crate) const PHONES: &str = "_apple-mobdev2._tcp.local.";
/// The instance that `advertise` answers for: a MAC address and an address, as phones do.
pub(crate) const PHONE: &str = "02:00:00:00:00:01@fe80::1";

/// One check: its name and what it does.
type Check = (&'static str, fn() -> Result<String>);

/// The checks in the order in which they run.
pub(crate) const ALL: [Check; 8] = [
    ("usb", usb),
    ("mdns", mdns),
    ("sqlite", sqlite),
    ("files", files),
    ("journal", journal),
    ("clock", clock),
    ("host", host),
    ("walls", walls),
];

/// How long a phone on the network may take to be found.
const DISCOVERY_MAX: Duration = Duration::from_secs(20);

struct Nobody;

impl<T: UsbContext> rusb::Hotplug<T> for Nobody {
    fn device_arrived(&mut self, _: rusb::Device<T>) {}
    fn device_left(&mut self, _: rusb::Device<T>) {}
}

/// Lists what is on the USB and registers for what comes, without opening anything.
fn usb() -> Result<String> {
    ensure!(rusb::has_hotplug(), "libusb was built without hotplug");
    let context = rusb::Context::new().context("cannot start libusb")?;
    let devices = context.devices().context("cannot list devices")?.len();
    let registration = rusb::HotplugBuilder::new()
        .vendor_id(0x05ac)
        .enumerate(true)
        .register(&context, Box::new(Nobody))
        .context("cannot register for hotplug")?;
    context
        .handle_events(Some(Duration::from_millis(10)))
        .context("cannot handle events")?;
    context.unregister_callback(registration);
    Ok(format!("{devices} devices, hotplug registered"))
}

/// Finds the phone that `advertise` plays.
fn mdns() -> Result<String> {
    let daemon = mdns_sd::ServiceDaemon::new().context("cannot open the mDNS sockets")?;
    let found = daemon.browse(PHONES).context("cannot browse")?;
    let deadline = Instant::now() + DISCOVERY_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = found
            .recv_timeout(left)
            .context("no phone answered in time")?;
        if let mdns_sd::ServiceEvent::ServiceResolved(phone) = event {
            let addresses = phone.get_addresses().len();
            daemon.shutdown().context("cannot stop browsing")?;
            ensure!(
                phone.get_fullname().starts_with(PHONE),
                "found {}",
                phone.get_fullname()
            );
            ensure!(addresses > 0, "{} has no address", phone.get_fullname());
            return Ok(format!(
                "found {} with {addresses} addresses",
                phone.get_fullname()
            ));
        }
    }
}

/// The directory that systemd gave us to write in.
fn state_dir() -> Result<PathBuf> {
    std::env::var_os("STATE_DIRECTORY")
        .map(PathBuf::from)
        .context("STATE_DIRECTORY is not set")
}

/// Keeps a row in a write-ahead log, as the history does.
fn sqlite() -> Result<String> {
    let database = rusqlite::Connection::open(state_dir()?.join("probe.db"))?;
    let mode: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS night (at INTEGER); INSERT INTO night VALUES (1);",
    )?;
    let rows: i64 = database.query_row("SELECT count(*) FROM night", [], |row| row.get(0))?;
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(check == "ok", "integrity check says {check}");
    Ok(format!("{rows} rows, journal mode {mode}"))
}

/// Does on disk what a commit does: link, write, barrier, rename, fsync.
fn files() -> Result<String> {
    let store = state_dir()?.join("probe-store");
    if store.exists() {
        fs::remove_dir_all(&store).context("cannot remove the last run's tree")?;
    }
    fs::create_dir_all(store.join("gens/one")).context("cannot make a generation")?;
    fs::create_dir_all(store.join("staging/two")).context("cannot make staging")?;
    let lock = File::create_new(store.join("lock")).context("cannot make the lock file")?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).context("flock")?;

    let root = File::open(&store).context("cannot open the store")?;
    fs::write(store.join("gens/one/blob"), b"kept")?;
    fs::set_permissions(
        store.join("gens/one/blob"),
        fs::Permissions::from_mode(0o400),
    )
    .context("chmod")?;
    rustix::fs::linkat(
        &root,
        "gens/one/blob",
        &root,
        "staging/two/blob",
        AtFlags::empty(),
    )
    .context("linkat")?;
    let beneath = rustix::fs::openat2(
        &root,
        "staging/two/new",
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .context("openat2 beneath the store")?;
    let mut new = File::from(beneath);
    rustix::fs::fallocate(&new, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 4096)
        .or_else(|error| {
            if error == Errno::OPNOTSUPP {
                Ok(())
            } else {
                Err(error)
            }
        })
        .context("fallocate")?;
    new.write_all(b"new")?;
    rustix::fs::copy_file_range(
        File::open(store.join("gens/one/blob"))?,
        None,
        &new,
        None,
        4,
    )
    .context("copy_file_range")?;
    rustix::fs::syncfs(&root).context("syncfs")?;
    rustix::fs::renameat_with(
        &root,
        "staging/two",
        &root,
        "gens/two",
        RenameFlags::NOREPLACE,
    )
    .context("renameat2")?;
    File::open(store.join("gens"))?
        .sync_all()
        .context("fsync of the parent")?;
    let links = fs::metadata(store.join("gens/two/blob"))?.nlink();
    ensure!(links == 2, "the blob has {links} names");
    let free = rustix::fs::statvfs(&store).context("statvfs")?;
    Ok(format!(
        "linked, synced and renamed, {} bytes free",
        free.f_bavail.saturating_mul(free.f_frsize)
    ))
}

/// Writes a field to the journal.
fn journal() -> Result<String> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket
        .send_to(
            b"MESSAGE=the probe reached the journal\nIBAK_PROBE=reached\n",
            "/run/systemd/journal/socket",
        )
        .context("cannot reach the journal")?;
    Ok("a field sent".to_owned())
}

/// Reads what the daemon needs of /proc and of the clock that runs through a suspend.
fn clock() -> Result<String> {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    fs::read_to_string("/etc/localtime").map_or_else(
        |error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                Err(error)
            } else {
                Ok(String::new())
            }
        },
        Ok,
    )?;
    Ok(format!(
        "up for {} s, {} mounts",
        up.tv_sec,
        mounts.lines().count()
    ))
}

/// Reads what powers this computer, hears of its addresses, and has the kernel tell when its clock
/// is set: what the daemon knows of the machine without asking another service.
fn host() -> Result<String> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};
    use rustix::time::{TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
    let supplies = match fs::read_dir("/sys/class/power_supply") {
        Ok(entries) => entries.count(),
        // A kernel for machines without any has no such directory.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).context("cannot see what powers the computer"),
    };
    let kind = (
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
    );
    let socket = rustix::net::socket_with(kind.0, kind.1, kind.2, None)
        .context("cannot talk to the kernel about addresses")?;
    // RTMGRP_IPV4_IFADDR
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0x10))
        .context("cannot hear of changed addresses")?;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)
        .context("cannot make a timer")?;
    let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    let never = rustix::time::Itimerspec {
        it_interval: at(0),
        it_value: at(i64::from(u32::MAX)),
    };
    let how = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    rustix::time::timerfd_settime(&timer, how, &never).context("cannot hear of a set clock")?;
    Ok(format!(
        "{supplies} power supplies, addresses and the clock are heard of"
    ))
}

/// Sees that the walls stand: a probe that runs outside the sandbox proves nothing.
fn walls() -> Result<String> {
    let refused = |name: &str, outcome: std::io::Result<()>| match outcome {
        Ok(()) => bail!("{name} is allowed"),
        Err(_) => Ok(()),
    };
    refused("writing to /usr", File::create("/usr/ibak-probe").map(drop))?;
    refused("writing to /etc", File::create("/etc/ibak/probe").map(drop))?;
    refused("reading homes", fs::read_dir("/root").map(drop))?;
    let cpus = rustix::thread::sched_getaffinity(None).context("sched_getaffinity")?;
    match rustix::thread::sched_setaffinity(None, &cpus) {
        Err(Errno::PERM) => {}
        other => bail!("a call of @resources returned {other:?}, not EPERM"),
    }
    let cores = rustix::process::getrlimit(rustix::process::Resource::Core);
    ensure!(
        cores.maximum == Some(0),
        "core dumps up to {:?} bytes",
        cores.maximum
    );
    Ok("read-only system, no homes, calls filtered, no core dumps".to_owned())
}
