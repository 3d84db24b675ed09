//! Commands that change a setting.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::moment;
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;
use ibak_dbus::words::ManagerMode;

pub(super) async fn automatic(
    asked: Option<&str>,
    on: bool,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?;
    let what = if on {
        "switch automatic backup on"
    } else {
        "switch automatic backup off"
    };
    session
        .phone(phone)
        .await?
        .set_automatic(on, Dict::new())
        .await
        .map_err(|error| Failure::of_call(what, error))?;
    if as_json {
        console.answer_json(&json::done(
            if on { "enabled" } else { "disabled" },
            Some(&phone.udid),
        ))?;
    } else {
        let name = shown_name(phone, &style);
        console.answer(&match (on, phone.automatic) {
            (true, _) if phone.retired => {
                format!("Automatic backup is on for {name}, which is not retired any more.\n")
            }
            (true, true) => format!("Automatic backup is on for {name}, as it was.\n"),
            (true, false) => format!("Automatic backup is on for {name}.\n"),
            (false, true) => format!("Automatic backup is off for {name}. Its backups stay.\n"),
            (false, false) => format!("Automatic backup is off for {name}, as it was.\n"),
        })?;
    }
    Ok(Exit::Done)
}

pub(super) async fn pause(
    until: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    let until = match until {
        None => None,
        Some(text) => {
            Some(moment::parse_until(text, &style).map_err(|why| Failure::new(Exit::Usage, why))?)
        }
    };
    let session = Session::open().await?;
    let micros = until.map_or(0, |until| u64::try_from(until.as_micros()).unwrap_or(0));
    session
        .manager()
        .await?
        .pause(micros, Dict::new())
        .await
        .map_err(|error| Failure::of_call("pause automatic backups", error))?;
    if as_json {
        console.answer_json(&json::done("paused", None))?;
    } else {
        console.answer(&match until {
            Some(until) => format!(
                "Automatic backups are paused until {}. What runs goes on.\n",
                moment::exact(until, &style)
            ),
            None => {
                "Automatic backups are paused until you run `ibakctl resume`. What runs goes on.\n"
                    .to_owned()
            }
        })?;
    }
    Ok(Exit::Done)
}

pub(super) async fn resume(as_json: bool, console: &mut Console) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let before = session.status()?.manager.mode;
    session
        .manager()
        .await?
        .resume(Dict::new())
        .await
        .map_err(|error| Failure::of_call("resume automatic backups", error))?;
    if as_json {
        console.answer_json(&json::done("resumed", None))?;
    } else {
        console.answer(match before {
            ManagerMode::Automatic => "Automatic backups are on, as they were.\n",
            ManagerMode::Paused | ManagerMode::Other(_) => "Automatic backups are on again.\n",
        })?;
    }
    Ok(Exit::Done)
}

pub(super) async fn reload(as_json: bool, console: &mut Console) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    session
        .manager()
        .await?
        .reload(Dict::new())
        .await
        .map_err(|error| {
            let failure = Failure::of_call(
                "load the configuration; the daemon keeps the one it has",
                error,
            );
            if failure.exit == Exit::Failed {
                failure.hint("correct the line; `ibakd --check` tells without the daemon")
            } else {
                failure
            }
        })?;
    if as_json {
        console.answer_json(&json::done("reloaded", None))?;
    } else {
        console.answer("The daemon uses the new configuration.\n")?;
    }
    Ok(Exit::Done)
}
