//! `ibakctl export`: a backup as the plain directory that Apple's own programs know.

use super::choose;
use super::deed::Deed;
use super::files::{of_reading, open, receive};
use super::reading::me;
use super::stream::{Unpacked, Unpacking, pipe};
use crate::console::Console;
use crate::extract::Rules;
use crate::extract::target::Target;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::session::{self, Session};
use ibak_dbus::words::JobKind;
use std::path::Path;

pub(super) async fn export(
    asked: &str,
    directory: &Path,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    let chosen = choose::backup(&session, asked, &style).await?;
    let me = me(None, &session.phones(), &chosen.phone, &style);
    let mut target = open(directory)?;
    let udid = chosen.phone.udid.to_string();
    let part = format!("{udid}.part");
    enter(&mut target, directory, &udid, &part)?;
    let pipe = pipe()?;
    let path = session
        .phone(&chosen.phone)
        .await?
        .read_files(
            chosen.backup.id.as_str(),
            Vec::new(),
            pipe.writer.into(),
            session::options(&[("raw", true)]),
        )
        .await
        .map_err(|error| of_reading("read the backup", error, &me))?;
    let deed = Deed {
        kind: JobKind::Read,
        what: "the export",
        phone: Some(&chosen.phone),
        me: &me,
        json: false,
    };
    let unpacking = Unpacking::start(pipe.reader, target, Rules::default());
    let received = receive(&mut session, path.as_str(), unpacking, &deed, console).await;
    let place = directory.join(&part);
    let Some(done) = finish(received, &place, console)? else {
        return Ok(Exit::Interrupted);
    };
    if as_json {
        console.answer_json(&json::unpacked("exported", &done.summary))?;
    } else {
        let style = console.out_style();
        console.answer(&render::exported(
            &render::backup_of(&chosen.phone, &chosen.backup, &style),
            &udid,
            chosen.backup.encrypted,
            &done.summary,
            directory,
            &style,
        ))?;
    }
    Ok(Exit::Done)
}

/// Makes the directory the export goes into while it is not whole.
fn enter(target: &mut Target, directory: &Path, udid: &str, part: &str) -> Result<(), Failure> {
    target.enter_new(udid, part).map_err(|error| {
        let failure = Failure::new(
            Exit::Failed,
            format!("cannot make {}", directory.join(udid).display()),
        )
        .because(error.to_string());
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failure.hint(format!(
                "choose another directory, or remove {udid} and {part} there: an export goes only where nothing is"
            ))
        } else {
            failure
        }
    })
}

/// Gives a whole export its name; one that is not whole keeps the other.
fn finish(
    received: Result<Option<Unpacked>, Failure>,
    place: &Path,
    console: &mut Console,
) -> Result<Option<Unpacked>, Failure> {
    let left = |failure: Failure| {
        failure.because(format!(
            "what was written stays in {}, and is no backup",
            place.display()
        ))
    };
    let Some(mut done) = received.map_err(left)? else {
        console.say(&format!(
            "What was written stays in {}, and is no backup.\n",
            place.display()
        ));
        return Ok(None);
    };
    if done.summary.refused > 0 || done.summary.files == 0 {
        let style = console.err_style();
        console.say(&render::refused(&done.summary, &style));
        return Err(left(Failure::new(Exit::Failed, "the export is not whole")));
    }
    done.target.leave().map_err(|error| {
        left(Failure::new(
            Exit::Failed,
            "cannot give the export its name",
        ))
        .because(error.to_string())
    })?;
    Ok(Some(done))
}
