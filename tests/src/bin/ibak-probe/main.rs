//! Proves from inside `ibakd.service` that the sandbox leaves the daemon what it needs.
//!
//! Without an argument it is the service: every check prints one line (`ok NAME: …` or
//! `FAILED NAME: …`); when all hold it tells systemd READY, feeds the watchdog and answers on the
//! bus, otherwise it exits with 1. Two more roles run outside the unit, as the other end of a
//! check: `advertise INTERFACE` is a phone's mDNS responder until its input ends, `give-fd TEXT`
//! hands the service a pipe and prints what the service read from it.
//!
//! It uses the libraries the daemon uses and nothing of ours, so that a failure here is the
//! sandbox's and not the daemon's.

mod bus;
mod checks;

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Prints one line where the journal or the caller reads it.
fn say(line: &str) {
    // A closed output must not change what the checks found.
    std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes())
        .ok();
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match *words.as_slice() {
        [] => serve().await,
        ["advertise", interface] => advertise(interface),
        ["give-fd", text] => bus::give_fd(text).await.map(|answer| say(&answer)),
        _ => Err(anyhow::anyhow!(
            "usage: ibak-probe [advertise INTERFACE | give-fd TEXT]"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<()> {
    // As the daemon: nobody attaches to it, and its /proc files change hands. Everything below
    // must work in that state.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("cannot make the process not dumpable")?;

    let mut failed = Vec::new();
    let mut note = |name: &'static str, outcome: Result<String>| match outcome {
        Ok(detail) => say(&format!("ok {name}: {detail}")),
        Err(error) => {
            say(&format!("FAILED {name}: {error:#}"));
            failed.push(name);
        }
    };
    for (name, check) in checks::ALL {
        note(
            name,
            tokio::task::spawn_blocking(check)
                .await
                .context("the check panicked")?,
        );
    }
    let connection = match bus::own_name().await {
        Ok(connection) => {
            note("bus", Ok(format!("owns {}", bus::NAME)));
            note("inhibitor", bus::inhibit_sleep(&connection).await);
            Some(connection)
        }
        Err(error) => {
            note("bus", Err(error));
            None
        }
    };
    let watchdog = sd_notify::watchdog_enabled();
    note(
        "watchdog",
        watchdog.map_or_else(
            || bail!("systemd asks for no keep-alive"),
            |every| Ok(format!("every {every:?}")),
        ),
    );

    let status = if failed.is_empty() {
        "all checks hold".to_owned()
    } else {
        format!("failed: {}", failed.join(", "))
    };
    sd_notify::notify(&[sd_notify::NotifyState::Status(&status)])
        .context("cannot tell systemd the status")?;
    let (Some(connection), Some(every), true) = (connection, watchdog, failed.is_empty()) else {
        bail!("{status}")
    };
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).context("cannot tell systemd READY")?;
    keep_alive(every).await?;
    connection.close().await.context("cannot leave the bus")
}

/// Feeds the watchdog until SIGTERM.
async fn keep_alive(every: Duration) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut tick = tokio::time::interval(every / 2);
    loop {
        tokio::select! {
            _ = tick.tick() => sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).context("cannot feed the watchdog")?,
            _ = terminate.recv() => {
                sd_notify::notify(&[sd_notify::NotifyState::Stopping]).context("cannot tell systemd STOPPING")?;
                return Ok(());
            }
        }
    }
}

/// Answers mDNS questions as a phone in the same network would, until the input ends.
fn advertise(interface: &str) -> Result<()> {
    let daemon = mdns_sd::ServiceDaemon::new()?;
    daemon.disable_interface(mdns_sd::IfKind::All)?;
    daemon.enable_interface(mdns_sd::IfKind::Name(interface.to_owned()))?;
    let phone = mdns_sd::ServiceInfo::new(
        checks::PHONES,
        checks::PHONE,
        "adas-iphone.local.",
        "",
        32498,
        &[("identifier", "probe")][..],
    )?
    .enable_addr_auto();
    daemon.register(phone)?;
    say("advertising");
    let mut rest = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut rest)
        .context("cannot wait for the end of input")?;
    daemon.shutdown()?;
    Ok(())
}
