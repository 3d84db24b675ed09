//! `ibakctl pair` and `unpair`: from the first cable to the first backup, and back.

use super::choose::backups_of;
use super::encryption;
use super::ended::{failed, job_of};
use super::password::{Unless, confirm};
use super::reading::me;
use super::wait::{self, Waiting};
use crate::cli::EncryptionDeed;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{JobKind, OnOff, Outcome, TransportWord, Trust};
use std::time::Duration;

/// Is how long a phone that was just paired may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn pair(
    asked: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = pairable(&phones, asked, &style)?.clone();
    let me = me(asked, &phones, &phone, &style);
    let path = session
        .manager()
        .await?
        .pair(phone.udid.as_str(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("pair", error))?;
    let job = job_of(path.as_str())?;
    if !as_json {
        let style = console.err_style();
        console.say(&render::passcode_forgotten(&style));
    }
    let ended = match wait::for_job(&mut session, job, Some(&phone), console).await? {
        Waiting::Ended(ended) => ended,
        Waiting::Interrupted => {
            console.say("The phone may still show its question; answering it pairs.\n");
            return Ok(Exit::Interrupted);
        }
    };
    if as_json {
        console.answer_json(&json::completed(
            job,
            Some(&phone.udid),
            &ended.result,
            &ended.details,
        ))?;
    }
    if ended.result != Outcome::Succeeded {
        return Err(failed(
            &JobKind::Pair,
            "pairing",
            &ended.result,
            &ended.details,
            &me,
        ));
    }
    if as_json {
        return enable(&session, &phone).await.map(|()| Exit::Done);
    }
    let phone = read(&mut session, phone).await?;
    let style = console.out_style();
    console.answer(&render::paired(&phone, &style))?;
    set_up(&mut session, phone, &me, console).await
}

/// Waits until the daemon has read the phone, for a while.
async fn read(session: &mut Session, phone: PhoneView) -> Result<PhoneView, Failure> {
    let udid = phone.udid.clone();
    let known = async {
        loop {
            let now = session.mirror.state().phone(&udid);
            if now
                .as_ref()
                .is_some_and(|phone| phone.encryption != OnOff::Unknown)
            {
                return Ok(());
            }
            session
                .mirror
                .next()
                .await
                .map_err(|error| Failure::of_mirror(&error))?;
        }
    };
    match tokio::time::timeout(READ_TIMEOUT, known).await {
        // What is not known by then is asked for later.
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(failure)) => return Err(failure),
    }
    Ok(session.mirror.state().phone(&udid).unwrap_or(phone))
}

/// Leads to the first backup; without a person it only says how.
async fn set_up(
    session: &mut Session,
    phone: PhoneView,
    me: &str,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let first = backups_of(session, &phone).await?.is_empty();
    let style = console.err_style();
    let name = shown_name(&phone, &style);
    let person = console.has_person();
    match (&phone.encryption, first) {
        // A password the person may not know of is worth a word before anything depends on it.
        (OnOff::On, true) => console.say(&render::foreign_password(&name, me, &style)),
        (OnOff::Off, true) => {
            console.say(&render::recommend_encryption(&name, me, person, &style));
            let wanted = "Set a password for its backups now?";
            if person && confirm(wanted, Unless::Yes, console).await? {
                let deed = EncryptionDeed::On {
                    phone: Some(phone.udid.to_string()),
                    password_fd: None,
                    generate: false,
                };
                if encryption::encryption(deed, false, console).await? == Exit::Interrupted {
                    return Ok(Exit::Interrupted);
                }
            }
        }
        (OnOff::On | OnOff::Off | OnOff::Unknown | OnOff::Other(_), _) => {}
    }
    enable(session, &phone).await?;
    console.say(&render::automatic_is_on(&name, &style));
    if !first {
        return Ok(Exit::Done);
    }
    let phone = session.mirror.state().phone(&phone.udid).unwrap_or(phone);
    let takes = render::first_backup(&phone);
    if !person {
        console.say(&render::first_backup_hint(takes.as_deref(), me, &style));
        return Ok(Exit::Done);
    }
    let question = format!(
        "{}Start now?",
        takes.map_or_else(String::new, |takes| format!("{takes} "))
    );
    if confirm(&question, Unless::Yes, console).await? {
        if !super::backup::stay(session, &phone, me, console).await? {
            return Ok(Exit::Interrupted);
        }
    } else {
        console.say(&render::first_backup_later(me, &style));
    }
    Ok(Exit::Done)
}

/// Has the phone be backed up by itself from here on.
async fn enable(session: &Session, phone: &PhoneView) -> Result<(), Failure> {
    if phone.automatic {
        return Ok(());
    }
    session
        .phone(phone)
        .await?
        .set_automatic(true, Dict::new())
        .await
        .map_err(|error| Failure::of_call("switch automatic backup on", error))
}

/// Without a name, pairing means the one phone that is plugged in and does not trust us yet.
fn pairable<'a>(
    phones: &'a [PhoneView],
    asked: Option<&str>,
    style: &crate::Style,
) -> Result<&'a PhoneView, Failure> {
    if asked.is_none() {
        let mut open = phones.iter().filter(|phone| {
            phone.trust != Trust::Trusted && phone.transports.contains(&TransportWord::Usb)
        });
        if let (Some(one), None) = (open.next(), open.next()) {
            return Ok(one);
        }
    }
    select::phone(phones, asked, style)
}

pub(super) async fn unpair(
    asked: Option<&str>,
    yes: bool,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.err_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    let backups = backups_of(&session, &phone).await?;
    console.say(&render::before_unpairing(&phone, &backups, &style));
    if !yes {
        if !console.has_person() {
            return Err(Failure::new(
                Exit::Usage,
                "unpairing asks first, and nobody is here to answer",
            )
            .hint("run it in a terminal, or add `--yes`"));
        }
        let question = format!("End the pairing with {}?", shown_name(&phone, &style));
        if !confirm(&question, Unless::No, console).await? {
            return Err(Failure::new(Exit::Failed, "nothing was done"));
        }
    }
    session
        .phone(&phone)
        .await?
        .unpair(Dict::new())
        .await
        .map_err(|error| Failure::of_call("end the pairing", error))?;
    if as_json {
        console.answer_json(&json::done("unpaired", Some(&phone.udid)))?;
    } else {
        let style = console.out_style();
        console.answer(&format!(
            "{} is not paired with this computer any more. Its backups stay.\n",
            crate::text::capital(&shown_name(&phone, &style))
        ))?;
    }
    Ok(Exit::Done)
}
