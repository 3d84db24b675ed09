//! The journal when systemd runs us, standard error otherwise.

use anyhow::Context;
use std::os::unix::fs::MetadataExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Filters that always hold: `idevice` prints whole property lists, passwords included, at debug.
const ALWAYS: [&str; 3] = ["idevice=error", "zbus=warn", "mdns_sd=warn"];

/// Starts logging at `level` (error, warn, info, debug or trace).
///
/// # Errors
/// When `level` is no level, or logging was started before.
pub fn start(level: &str) -> anyhow::Result<()> {
    let mut filter =
        EnvFilter::try_new(level).with_context(|| format!("`{level}` is not a log level"))?;
    for directive in ALWAYS {
        filter = filter.add_directive(directive.parse().context("a built-in log filter")?);
    }
    let registry = tracing_subscriber::registry().with(filter);
    match to_journal().then(tracing_journald::layer) {
        Some(Ok(journal)) => {
            registry
                .with(
                    journal
                        .with_syslog_identifier("ibakd".to_owned())
                        .with_field_prefix(Some("IBAK".to_owned())),
                )
                .try_init()?;
        }
        None | Some(Err(_)) => {
            registry
                .with(
                    tracing_subscriber::fmt::layer()
                        .with_writer(std::io::stderr)
                        .with_ansi(false),
                )
                .try_init()?;
        }
    }
    Ok(())
}

/// Says whether standard error is the journal's own stream (`JOURNAL_STREAM`, systemd.exec(5)).
fn to_journal() -> bool {
    let Some((device, inode)) = std::env::var("JOURNAL_STREAM").ok().and_then(|stream| {
        let (device, inode) = stream.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    }) else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|meta| meta.dev() == device && meta.ino() == inode)
}
