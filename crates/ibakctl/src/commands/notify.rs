//! `ibakctl notify`: carrying messages to people, and trying that out.

use crate::cli::NotifyDeed;
use crate::cli::When;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::notify::desktop::{self, Desktop};
use crate::notify::follow::{Ear, Listener, News, WAITING_MAX};
use crate::notify::hooks::Hooks;
use crate::notify::ledger::Ledger;
use crate::render;
use crate::select;
use crate::session::Session;
use ibak_dbus::{Dict, names};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

pub(super) async fn notify(
    deed: NotifyDeed,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    match deed {
        NotifyDeed::Test { phone } => test(phone.as_deref(), as_json, console).await,
        NotifyDeed::Desktop => {
            let ear = Ear {
                channel: Some(desktop::CHANNEL),
                backups: false,
                greeting: "Listening; messages come to this desktop.",
            };
            let carrier = Desktop::new(Console::new(When::Never)?);
            listen(ear, console, |news| carrier.run(news)).await
        }
        NotifyDeed::Hooks { dir } => {
            let ear = Ear {
                channel: None,
                backups: true,
                greeting: "Listening; hooks are run.",
            };
            let carrier = Hooks::open(&dir, Console::new(When::Never)?).map_err(|why| {
                let (why, hint) = why
                    .split_once(": ")
                    .unwrap_or((&why, "see docs/telling.md"));
                Failure::new(Exit::Failed, "no hook can be run")
                    .because(why)
                    .hint(hint)
            })?;
            listen(ear, console, |news| carrier.run(news)).await
        }
    }
}

/// Listens and carries, for ever.
async fn listen<C: Future<Output = ()>>(
    ear: Ear,
    console: &mut Console,
    carry: impl FnOnce(mpsc::Receiver<News>) -> C,
) -> Result<Exit, Failure> {
    let (ledger, trouble) = Ledger::open(state_directory().as_deref());
    if let Some(error) = trouble {
        console.say(&format!(
            "What was told before cannot be read ({error}); some of it may be told again.\n"
        ));
    }
    let (sender, news) = mpsc::channel(WAITING_MAX);
    let listener = Listener::new(ear, ledger, sender, console);
    let (failure, ()) = tokio::join!(listener.run(), carry(news));
    Err(failure)
}

/// Returns the directory that systemd gives a service for its state.
fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    let first = directories.to_str()?.split(':').next()?.to_owned();
    Some(PathBuf::from(first)).filter(|path| Path::is_absolute(path))
}

async fn test(asked: Option<&str>, as_json: bool, console: &mut Console) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?;
    session
        .manager()
        .await?
        .test_notification(names::phone_path(&phone.udid).into(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("send a test message", error))?;
    if as_json {
        console.answer_json(&json::done("notified", Some(&phone.udid)))?;
    } else {
        console.answer(&render::test_sent(phone, &style))?;
    }
    Ok(Exit::Done)
}
