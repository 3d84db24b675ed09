//! One function a command: ask, render, say how it ended.

mod adopt;
mod backup;
mod choose;
mod deed;
mod encryption;
mod ended;
mod export;
mod files;
mod icloud;
mod keeping;
mod lives;
mod ls;
mod nights;
mod notify;
mod pairing;
mod password;
mod policy;
mod prove;
mod purchases;
mod reading;
mod restore;
mod setting;
mod storage;
mod store;
mod stream;
mod verify;
mod wait;
mod watch;

use crate::cli::{Cli, Command, PurchasesDeed};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::render;
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers on stdout; everything else is a question of usage.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(broken) if broken.kind() == std::io::ErrorKind::BrokenPipe => exit.into(),
                Err(_) => Exit::Failed.into(),
            };
        }
    };
    let mut console = match Console::new(cli.color) {
        Ok(console) => console,
        Err(failure) => return fail_early(&failure),
    };
    match run(cli, &mut console) {
        Ok(exit) => exit.into(),
        // A reader who went away wants to hear nothing more.
        Err(failure) if failure.exit == Exit::Done => Exit::Done.into(),
        Err(failure) => {
            let style = console.err_style();
            console.say(&render::error(&failure, &style));
            failure.exit.into()
        }
    }
}

fn fail_early(failure: &Failure) -> ExitCode {
    let style = crate::Style::plain(jiff::Timestamp::UNIX_EPOCH);
    match std::io::Write::write_all(
        &mut std::io::stderr(),
        render::error(failure, &style).as_bytes(),
    ) {
        Ok(()) | Err(_) => failure.exit.into(),
    }
}

fn run(cli: Cli, console: &mut Console) -> Result<Exit, Failure> {
    let json = cli.json;
    let command = match (cli.command, cli.status.phone.is_some() || cli.status.check) {
        (None, _) => Command::Status(cli.status),
        (Some(command), false) => command,
        (Some(_), true) => {
            return Err(
                Failure::new(Exit::Usage, "a phone and --check come after the command")
                    .hint("`ibakctl --help` shows the commands"),
            );
        }
    };
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "ibakctl", &mut script);
        return console
            .answer(&String::from_utf8_lossy(&script))
            .map(|()| Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot begin").because(error.to_string()))?;
    let interrupts = console.interrupts();
    runtime.block_on(interrupts.end(ask(command, json, console)))
}

async fn ask(command: Command, json: bool, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        Command::Status(args) => reading::status(&args, json, console).await,
        Command::Why {
            phone,
            last: _,
            night: Some(night),
        } => nights::why(phone.as_deref(), &night, json, console).await,
        Command::Why { phone, last, .. } => {
            reading::why(phone.as_deref(), usize::from(last), json, console).await
        }
        Command::Timeline(args) => nights::timeline(&args, json, console).await,
        Command::History { phone, days } => {
            nights::history(phone.as_deref(), days, json, console).await
        }
        Command::Backups(args) => reading::backups(&args, json, console).await,
        Command::Keeping(deed) => keeping::ask(deed, json, console).await,
        Command::Doctor { phone } => reading::doctor(phone.as_deref(), json, console).await,
        Command::Backup {
            phone,
            wait,
            when_ready,
            full,
        } => {
            backup::backup(
                phone.as_deref(),
                backup::Wish {
                    wait,
                    when_ready,
                    full,
                    json,
                },
                console,
            )
            .await
        }
        Command::Cancel { phone } => backup::cancel(phone.as_deref(), json, console).await,
        Command::Pair { phone } => pairing::pair(phone.as_deref(), json, console).await,
        Command::Unpair { phone, yes } => {
            pairing::unpair(phone.as_deref(), yes, json, console).await
        }
        Command::Ls {
            backup,
            path,
            password,
        } => ls::ls(&backup, path.as_deref(), password, json, console).await,
        Command::Extract(args) => files::extract(args, json, console).await,
        Command::Export { backup, dir } => export::export(&backup, &dir, json, console).await,
        Command::Restore(args) => restore::restore(args, json, console).await,
        Command::Encryption { deed } => encryption::encryption(deed, json, console).await,
        Command::ICloud { deed } => icloud::icloud(deed, json, console).await,
        Command::Purchases {
            deed: PurchasesDeed::Save { phone, dir },
        } => purchases::save(&phone, &dir, json, console).await,
        Command::Watch { phone } => watch::watch(phone.as_deref(), json, console).await,
        Command::Notify { deed } => notify::notify(deed, json, console).await,
        Command::Enable { phone } => {
            setting::automatic(phone.as_deref(), true, json, console).await
        }
        Command::Disable { phone } => {
            setting::automatic(phone.as_deref(), false, json, console).await
        }
        Command::Policy(args) => policy::policy(&args, json, console).await,
        Command::Pause { until } => setting::pause(until.as_deref(), json, console).await,
        Command::Resume => setting::resume(json, console).await,
        Command::Reload => setting::reload(json, console).await,
        // It needs no daemon and was answered before.
        Command::Completions { .. } => Ok(Exit::Done),
    }
}
