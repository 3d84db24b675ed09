//! The command line (its contract is stable: other harnesses use it).

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::backup::Quirks;
use crate::control::{self, Answer, Request};
use crate::hostile::Attack;
use crate::profile::PhoneSpec;
use crate::simulator::{SimOptions, Simulator};
use crate::state::{Setting, SettingError, settings_help};

/// A simulated iPhone that other people's clients believe.
#[derive(Debug, Parser)]
#[command(
    name = "ibak-sim",
    version,
    after_help = "`ibak-sim set --help` lists every setting, `ibak-sim attacks` every attack."
)]
pub struct Cli {
    /// Where the control socket is.
    #[arg(long, value_name = "PATH", global = true)]
    control: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs phones until it gets SIGINT or SIGTERM.
    Serve(Serve),
    /// Changes how a phone stands: power=on, wifi=off, locked=yes, attached=none, trust=ask, …
    #[command(after_help = settings())]
    Set {
        /// The phone.
        udid: String,
        /// What to change, each as KEY=VALUE.
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Changes a phone's data.
    Change {
        /// The phone.
        udid: String,
        /// How many files to touch.
        #[arg(long, default_value_t = 0)]
        touch: u64,
        /// How many files to add.
        #[arg(long, default_value_t = 0)]
        add: u64,
        /// How many files to delete.
        #[arg(long, default_value_t = 0)]
        delete: u64,
    },
    /// Lets the person tap ✕ on the phone while a backup runs.
    Cancel {
        /// The phone.
        udid: String,
    },
    /// Lets the person look at the phone's screen without unlocking it.
    Glance {
        /// The phone.
        udid: String,
    },
    /// Starts a phone again: off its cable and its network, and back.
    Reboot {
        /// The phone.
        udid: String,
    },
    /// Lists the attacks of a hostile phone, for `set UDID attack=NAME`.
    Attacks,
    /// Makes usbmuxd mute, answer, end or begin again.
    Mux {
        /// mute, normal, restart, stop or start.
        verb: String,
    },
    /// Says how everything stands and what happened.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to make usbmuxd's socket.
    #[arg(long, value_name = "PATH")]
    usbmuxd: PathBuf,
    /// Where usbmuxd also listens on TCP, such as 127.0.0.1:27015.
    #[arg(long, value_name = "ADDR")]
    usbmuxd_tcp: Option<SocketAddr>,
    /// The network interface on which phones on Wi-Fi are announced.
    #[arg(long, value_name = "IFACE")]
    mdns: Option<String>,
    /// A switch for what is not known of real phones; may be given several times.
    #[arg(long, value_name = "NAME")]
    quirk: Vec<String>,
    /// A phone file; may be given several times.
    #[arg(long, value_name = "FILE.toml", required = true)]
    phone: Vec<PathBuf>,
}

/// What `serve` prints for each phone.
#[derive(Serialize)]
struct Line<'a> {
    udid: &'a str,
    name: &'a str,
    ios: String,
}

fn settings() -> String {
    format!("Settings:\n{}", settings_help())
}

/// Runs the command line; writes its output to `out`.
///
/// # Errors
/// What is wrong and what to do, for people.
pub async fn run<I, W>(args: I, out: &mut W) -> anyhow::Result<()>
where
    I: IntoIterator<Item = OsString>,
    W: Write,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            write!(out, "{error}")?;
            return Ok(());
        }
        Err(error) => bail!(
            "{}",
            error.to_string().trim_end().trim_start_matches("error: ")
        ),
    };
    let request = match cli.command {
        Command::Serve(serve) => return serve_phones(serve, cli.control, out).await,
        Command::Set { udid, settings } => {
            for text in &settings {
                text.parse::<Setting>()?;
            }
            Request::Set { udid, settings }
        }
        Command::Change {
            touch: 0,
            add: 0,
            delete: 0,
            ..
        } => {
            bail!("nothing to change: give --touch N, --add N or --delete N")
        }
        Command::Change {
            udid,
            touch,
            add,
            delete,
        } => Request::Change {
            udid,
            touch,
            add,
            delete,
        },
        Command::Cancel { udid } => Request::Cancel { udid },
        Command::Glance { udid } => Request::Glance { udid },
        Command::Reboot { udid } => Request::Reboot { udid },
        Command::Attacks => {
            for attack in Attack::all() {
                writeln!(out, "{attack}\t{}", attack.about())?;
            }
            return Ok(());
        }
        Command::Mux { verb } => {
            verb.parse::<crate::simulator::MuxVerb>()
                .map_err(|error: SettingError| error)?;
            Request::Mux { verb }
        }
        Command::Status { json } => {
            let path = control_path(cli.control)?;
            if let Answer::Status { json: value, text } =
                control::ask(&path, &Request::Status {}).await?
            {
                let shown = if json { format!("{value}\n") } else { text };
                out.write_all(shown.as_bytes())?;
            }
            return Ok(());
        }
    };
    let path = control_path(cli.control)?;
    control::ask(&path, &request).await?;
    Ok(())
}

fn control_path(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    given.context("which simulator? Give its control socket: ibak-sim --control PATH …")
}

async fn serve_phones<W: Write>(
    serve: Serve,
    control: Option<PathBuf>,
    out: &mut W,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let quirks = Quirks::parse(&serve.quirk).map_err(|error| {
        let names: Vec<&str> = Quirks::all_names().collect();
        anyhow::anyhow!("{error}: use one of {}", names.join(", "))
    })?;
    let phones = serve
        .phone
        .iter()
        .map(|path| PhoneSpec::load(path))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let options = SimOptions {
        usbmuxd: serve.usbmuxd,
        usbmuxd_tcp: serve.usbmuxd_tcp,
        control,
        mdns: serve.mdns,
        quirks,
        phones,
    };
    let simulator = Simulator::start(options).await?;
    for phone in simulator.phones() {
        let identity = phone.identity();
        let line = Line {
            udid: &identity.udid,
            name: &identity.name,
            ios: identity.ios.to_string(),
        };
        let line = serde_json::to_string(&line)?;
        writeln!(out, "{line}")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
