//! `ibakctl purchases save`: what was bought in the stores and is still on the phone.

use super::deed::Deed;
use super::files::{open, receive, tell};
use super::reading::me;
use super::stream::{Unpacking, pipe};
use crate::console::Console;
use crate::extract::Rules;
use crate::failure::{Exit, Failure};
use crate::select::{self, shown_name};
use crate::session::Session;
use crate::text;
use ibak_dbus::Dict;
use ibak_dbus::words::JobKind;
use std::collections::HashMap;
use std::path::Path;
use zbus::wire::Variant;

pub(super) async fn save(
    asked: &str,
    directory: &Path,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, Some(asked), &style)?.clone();
    let me = me(Some(asked), &phones, &phone, &style);
    let target = open(directory)?;
    let have = target.have().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot look into {}", directory.display()),
        )
        .because(error.to_string())
    })?;
    let skipped = have.len();
    let mut options = Dict::new();
    let have: HashMap<String, u64> = have.into_iter().collect();
    let have = Variant::from(have).try_into_owned().map_err(|error| {
        Failure::new(Exit::Failed, "cannot say what is there").because(error.to_string())
    })?;
    options.insert("have".to_owned(), have);
    let pipe = pipe()?;
    let path = session
        .phone(&phone)
        .await?
        .save_purchases(pipe.writer.into(), options)
        .await
        .map_err(|error| Failure::of_call("save what was bought", error))?;
    let deed = Deed {
        kind: JobKind::Purchases,
        what: "saving what was bought",
        phone: Some(&phone),
        me: &me,
        json: false,
    };
    // What comes is what is not there, or not whole.
    let rules = Rules {
        overwrite: true,
        symlinks: false,
    };
    let unpacking = Unpacking::start(pipe.reader, target, rules);
    let received = receive(&mut session, path.as_str(), unpacking, &deed, console).await;
    let Some(done) = received.map_err(|failure| match failure.hint {
        Some(_) => failure,
        None => failure.hint("run it again: what is there is skipped"),
    })?
    else {
        return Ok(Exit::Interrupted);
    };
    if !as_json && done.summary.files == 0 && done.summary.refused == 0 {
        let name = shown_name(&phone, &style);
        let here = u64::try_from(skipped).unwrap_or(u64::MAX);
        console.answer(&match here {
            0 => format!("There is nothing on {name} that was bought in the stores.\n"),
            1 => format!("Nothing new was bought on {name}; 1 file is here already.\n"),
            here => format!(
                "Nothing new was bought on {name}; {} are here already.\n",
                text::count(here, "file", "files")
            ),
        })?;
        return Ok(Exit::Done);
    }
    tell(&done.summary, directory, as_json, "saved", console)
}
