//! `ibakctl retire`, `forget` and `replace`: phones that come and go, and what becomes of their backups.

use super::choose::backups_of;
use super::password::line;
use super::reading::me;
use crate::cli::ForgetArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;

pub(super) async fn retire(
    asked: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?;
    session
        .phone(phone)
        .await?
        .retire(true, Dict::new())
        .await
        .map_err(|error| Failure::of_call("retire the phone", error))?;
    if as_json {
        console.answer_json(&json::done("retired", Some(&phone.udid)))?;
    } else if phone.retired {
        console.answer(&format!(
            "{} is retired, as it was.\n",
            crate::text::capital(&shown_name(phone, &style))
        ))?;
    } else {
        let me = me(asked, &phones, phone, &style);
        console.answer(&render::retired(phone, &me, &style))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn forget(
    args: &ForgetArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.err_style();
    let phone = select::phone(&session.phones(), Some(&args.phone), &style)?.clone();
    let name = shown_name(&phone, &style);
    let backups = backups_of(&session, &phone).await?;
    console.say(&render::before_forgetting(&phone, &backups, &style));
    let typed = match &args.yes_delete {
        Some(typed) => typed.clone(),
        None if console.has_person() => {
            let question = format!("To remove it all, type the name of the phone ({name}): ");
            line(&question, console).await?
        }
        None => {
            return Err(Failure::new(
                Exit::Usage,
                "forgetting a phone asks first, and nobody is here to answer",
            )
            .hint("run it in a terminal, or add `--yes-delete` with the phone's name"));
        }
    };
    if !select::same_name(&typed, &phone, &style) {
        return Err(Failure::new(
            Exit::Failed,
            "that is not its name, so nothing was done",
        ));
    }
    session
        .phone(&phone)
        .await?
        .forget(Dict::new())
        .await
        .map_err(|error| Failure::of_call("forget the phone", error))?;
    if as_json {
        console.answer_json(&json::done("forgotten", Some(&phone.udid)))?;
    } else {
        let style = console.out_style();
        console.answer(&render::forgotten_phone(&name, &backups, &style))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn replace(
    old: &str,
    new: &str,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let before = select::phone(&phones, Some(old), &style)?;
    let next = select::phone(&phones, Some(new), &style)?;
    if before.udid == next.udid {
        return Err(Failure::new(
            Exit::Usage,
            "a phone cannot take its own place",
        ));
    }
    session
        .manager()
        .await?
        .replace(before.udid.as_str(), next.udid.as_str(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("let one phone take the place of the other", error))?;
    if as_json {
        console.answer_json(&json::done("replaced", Some(&next.udid)))?;
    } else {
        let me = me(Some(new), &phones, next, &style);
        let source =
            select::short_name(&phones, before, &style).unwrap_or_else(|| before.udid.to_string());
        console.answer(&render::replaced(before, next, &source, &me, &style))?;
    }
    Ok(Exit::Done)
}
