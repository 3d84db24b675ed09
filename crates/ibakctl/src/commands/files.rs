//! `ibakctl extract`, and what it shares with `export` and `purchases save`: files that the daemon
//! streams and this program writes, as whoever runs it.

use super::choose::{self, Chosen};
use super::deed::{CtrlC, Deed, call_off, conclude};
use super::encryption::no_pipe;
use super::ended::job_of;
use super::password::existing;
use super::reading::me;
use super::stream::{Unpacked, Unpacking, pipe};
use super::wait::{self, Waiting};
use crate::cli::{ExtractArgs, PasswordFd};
use crate::console::Console;
use crate::extract::tar::TarError;
use crate::extract::target::Target;
use crate::extract::{ENTRIES_MAX, Rules, Stopped, Summary};
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::secret::Source;
use crate::session::Session;
use crate::text;
use ibak_dbus::words::JobKind;
use ibak_dbus::{Dict, Error};
use std::os::fd::OwnedFd;
use std::path::Path;
use zbus::wire::{Fd, OwnedVariant, Variant};

/// Puts a descriptor into options.
pub(super) fn fd_option(fd: OwnedFd) -> Result<OwnedVariant, Failure> {
    Variant::from(Fd::from(fd))
        .try_into_owned()
        .map_err(|error| {
            Failure::new(Exit::Failed, "cannot hand a descriptor over").because(error.to_string())
        })
}

/// Asks for the password of an encrypted backup, and puts it into options.
pub(super) async fn password_option(
    chosen: &Chosen,
    password: PasswordFd,
    options: &mut Dict,
    console: &mut Console,
) -> Result<(), Failure> {
    if !chosen.backup.encrypted {
        return Ok(());
    }
    let style = console.err_style();
    let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
    let source = Source::password(password.password_fd);
    let password = existing(source, &format!("Password of {which}: "), console).await?;
    let fd = password.hand_over().map_err(no_pipe)?;
    options.insert("password".to_owned(), fd_option(fd)?);
    Ok(())
}

/// Makes the error of a call that needed a password.
pub(super) fn of_reading(what: &str, error: Error, me: &str) -> Failure {
    let wrong = matches!(error, Error::WrongPassword(_));
    let failure = Failure::of_call(what, error);
    if wrong {
        failure.hint(format!(
            "a backup keeps the password it was made under; `ibakctl encryption check{me}` tries one"
        ))
    } else {
        failure
    }
}

/// Opens the directory that is to be written into.
pub(super) fn open(directory: &Path) -> Result<Target, Failure> {
    Target::open(directory).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot write into {}", directory.display()),
        )
        .because(error.to_string())
    })
}

pub(super) async fn extract(
    asked: ExtractArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    let chosen = choose::backup(&session, &asked.backup, &style).await?;
    let me = me(None, &session.phones(), &chosen.phone, &style);
    let target = open(&asked.output)?;
    let mut options = Dict::new();
    password_option(&chosen, asked.password, &mut options, console).await?;
    let pipe = pipe()?;
    let path = session
        .phone(&chosen.phone)
        .await?
        .read_files(
            chosen.backup.id.as_str(),
            asked.paths.clone(),
            pipe.writer.into(),
            options,
        )
        .await
        .map_err(|error| of_reading("read the backup", error, &me))?;
    let deed = Deed {
        kind: JobKind::Read,
        what: "the reading of the backup",
        phone: Some(&chosen.phone),
        me: &me,
        json: false,
    };
    let rules = Rules {
        overwrite: asked.overwrite,
        symlinks: asked.symlinks,
    };
    let unpacking = Unpacking::start(pipe.reader, target, rules);
    let Some(done) = receive(&mut session, path.as_str(), unpacking, &deed, console).await? else {
        return Ok(Exit::Interrupted);
    };
    tell(&done.summary, &asked.output, as_json, "extracted", console)
}

/// Tells what was written; anything refused makes the command fail, so that a script notices.
pub(super) fn tell(
    summary: &Summary,
    directory: &Path,
    as_json: bool,
    what: &str,
    console: &mut Console,
) -> Result<Exit, Failure> {
    if as_json {
        console.answer_json(&json::unpacked(what, summary))?;
    } else {
        let style = console.out_style();
        console.answer(&render::unpacked(summary, directory, &style))?;
        let style = console.err_style();
        console.say(&render::refused(summary, &style));
    }
    let nothing = summary.files == 0 && summary.present == 0 && summary.links == 0;
    Ok(match (summary.refused, nothing) {
        (1.., _) => Exit::Failed,
        (0, true) if what == "extracted" && summary.links_skipped == 0 => Exit::NoSuch,
        (0, _) => Exit::Done,
    })
}

/// Follows the job and the unpacking to the end of both; `None` when it was interrupted.
pub(super) async fn receive(
    session: &mut Session,
    path: &str,
    unpacking: Unpacking,
    deed: &Deed<'_>,
    console: &mut Console,
) -> Result<Option<Unpacked>, Failure> {
    let job = job_of(path)?;
    let ended = match wait::for_job(session, job, deed.phone, console).await {
        Ok(Waiting::Ended(ended)) => ended,
        Ok(Waiting::Interrupted) => {
            let stopped = unpacking.stop().await;
            call_off(session, job, CtrlC::Cancels, console).await?;
            if let Some(stopped) = stopped.filter(|stopped| stopped.summary.files > 0) {
                console.say(&format!(
                    "{} that were whole stay.\n",
                    text::count(stopped.summary.files, "file", "files")
                ));
            }
            return Ok(None);
        }
        Err(failure) => {
            let stopped = unpacking.stop().await;
            return stopped.map_or(Err(failure.clone()), |_| Err(failure));
        }
    };
    let unpacked = unpacking.end().await?;
    match &unpacked.ended {
        // What stopped the writing made the job fail too, and says more.
        Err(Stopped::Write(error)) => Err(of_write(error, &unpacked.summary)),
        Err(Stopped::Stream(error @ TarError::Malformed(_))) => Err(of_stream(error)),
        Err(Stopped::TooMany) => Err(Failure::new(
            Exit::Failed,
            format!("the backup has more than {ENTRIES_MAX} entries"),
        )),
        Err(Stopped::Stream(error @ (TarError::Short | TarError::Read(_)))) => {
            conclude(job, ended, deed, console)?;
            Err(of_stream(error))
        }
        Ok(()) => match conclude(job, ended, deed, console) {
            Ok(_) => Ok(Some(unpacked)),
            // The stream was whole: what could be read is there.
            Err(failure) if unpacked.summary.files > 0 => Err(failure.because(format!(
                "{} written",
                text::count(unpacked.summary.files, "file was", "files were")
            ))),
            Err(failure) => Err(failure),
        },
    }
}

fn of_write(error: &std::io::Error, summary: &Summary) -> Failure {
    let failure = Failure::new(Exit::Failed, "cannot write a file")
        .because(error.to_string())
        .because(format!(
            "{} had been written",
            text::count(summary.files, "file", "files")
        ));
    if matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    ) {
        failure.hint("make room on the disk, and run it again: what is there is skipped")
    } else {
        failure
    }
}

fn of_stream(error: &TarError) -> Failure {
    let why = match error {
        TarError::Read(error) => error.to_string(),
        TarError::Short => "it ended early".to_owned(),
        TarError::Malformed(what) => format!("it is malformed: {what}"),
    };
    Failure::new(Exit::Failed, "what the daemon sent cannot be used").because(why)
}
