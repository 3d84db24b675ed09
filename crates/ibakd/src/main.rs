//! `ibakd`: backs up the phones of the house. A thin main over the library.

use anyhow::Context;
use clap::Parser;
use ibak_dbus::{BUS_VARIABLE, BusChoice};
use ibak_device::{Deadlines, MuxAddress};
use ibak_mobilebackup2::Limits;
use ibakd::clock::Clock;
use ibakd::config::{Config, ConfigError, DEFAULT_PATH};
use ibakd::house::{Daemon, Options};
use ibakd::sources::host::HostOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// For how long work on the disk may still run once the daemon has stopped.
const WORK_LEFT_MAX: Duration = Duration::from_millis(500);

/// Backs up iPhones and iPads while they are on power, on Wi-Fi and locked.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Where the daemon keeps pairings, history and settings.
    #[arg(
        long,
        value_name = "DIR",
        env = "STATE_DIRECTORY",
        default_value = "/var/lib/ibak"
    )]
    state_dir: PathBuf,
    /// Say whether the configuration is good and what it means, and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the daemon ends");
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = load(&arguments.config)?;
    if arguments.check {
        let mut out = std::io::stdout().lock();
        write!(
            out,
            "{}",
            ibakd::config::explain(&config, &arguments.config)
        )?;
        return Ok(());
    }
    ibakd::logging::start(&config.log)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("cannot keep keys out of core dumps")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(arguments, config));
    // Work on a slow disk is left where it is: what it leaves behind is put right at the next start.
    runtime.shutdown_timeout(WORK_LEFT_MAX);
    ended
}

/// Reads the configuration; the default one may be absent, one that was named may not.
fn load(path: &Path) -> anyhow::Result<Config> {
    match Config::load(path) {
        Err(ConfigError::Read { source, .. })
            if source.kind() == ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) =>
        {
            Ok(Config::parse("")?)
        }
        loaded => {
            loaded.with_context(|| format!("the configuration {} is not taken", path.display()))
        }
    }
}

async fn serve(arguments: &Arguments, config: Config) -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let mux = match (variable(MuxAddress::VARIABLE), &config.usbmuxd) {
        (None, Some(address)) => MuxAddress::parse(address)?,
        (value, _) => MuxAddress::from_variable(value.as_deref())?,
    };
    let bus = BusChoice::parse(variable(BUS_VARIABLE).as_deref());
    let options = Options {
        config_path: arguments.config.exists().then(|| arguments.config.clone()),
        state_dir: arguments.state_dir.clone(),
        host: HostOptions::of(&bus),
        bus,
        mux,
        clock: Clock::system(),
        deadlines: Deadlines::default(),
        limits: Limits::default(),
        config,
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let daemon = Daemon::start(options).await?;
    let stop = daemon.stopper();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    daemon.wait().await
}

/// Says on standard error what the journal may not show to whoever started us by hand.
fn complain(error: &anyhow::Error) {
    let mut out = std::io::stderr().lock();
    let mut lines = format!("Error: {error}\n");
    for (number, cause) in error.chain().skip(1).enumerate() {
        lines.push_str(&format!("Caused by: {}: {cause}\n", number + 1));
    }
    if out.write_all(lines.as_bytes()).is_err() {
        // Nobody listens on standard error; the exit code says it all the same.
    }
}
