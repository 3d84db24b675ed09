//! `ibakctl adopt`: a backup that another program made becomes one of ours.

use super::choose::backups_of;
use super::deed::{CtrlC, Deed, call_off, conclude};
use super::ended::job_of;
use super::password::{Unless, confirm};
use super::reading::me;
use super::wait::{self, Ended, Waiting};
use crate::cli::AdoptArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::intake::{self, Contents, Folder, Origin, Stopped, Trouble};
use crate::json;
use crate::render::{self, AdoptionView};
use crate::session::Session;
use crate::style::Style;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::JobKind;
use ibak_dbus::{BackupId, Bytes, Dict, JobId};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{self, BufWriter};
use tokio::sync::oneshot;

/// Is how many bytes are written into the pipe at once.
const WRITE_BYTES: usize = 64 * 1024;

/// A backup that was looked at.
struct Found {
    folder: Folder,
    contents: Contents,
    origin: Origin,
    /// The phone it is of, if the daemon knows it.
    phone: Option<PhoneView>,
    /// How hints name the phone.
    me: String,
    view: AdoptionView,
}

pub(super) async fn adopt(
    args: &AdoptArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.err_style();
    let found = look(args, &session, &style)?;
    console.say(&render::before_adoption(&found.view, &style));
    if !args.yes && !agreed(console).await? {
        return Err(Failure::new(Exit::Failed, "nothing was done"));
    }
    let before: Vec<BackupId> = match &found.phone {
        Some(phone) => {
            let backups = backups_of(&session, phone).await?;
            backups.into_iter().map(|backup| backup.id).collect()
        }
        None => Vec::new(),
    };
    let (view, origin, me) = (found.view.clone(), found.origin.clone(), found.me.clone());
    let Some((job, ended)) = send(&mut session, found, console).await? else {
        return Ok(Exit::Interrupted);
    };
    let again = ended
        .details
        .backup
        .as_ref()
        .is_some_and(|id| before.contains(id));
    if as_json {
        console.answer_json(&json::completed(
            job,
            Some(&origin.udid),
            &ended.result,
            &ended.details,
        ))?;
    } else {
        let style = console.out_style();
        console.answer(&render::adopted(&view, again, &me, &style))?;
    }
    Ok(Exit::Done)
}

async fn agreed(console: &mut Console) -> Result<bool, Failure> {
    if !console.has_person() {
        return Err(Failure::new(
            Exit::Usage,
            "taking a backup in asks first, and nobody is here to answer",
        )
        .hint("run it in a terminal, or add `--yes`"));
    }
    confirm("Take it in?", Unless::Yes, console).await
}

fn of_trouble(what: &str, trouble: Trouble, style: &Style) -> Failure {
    let failure =
        Failure::new(Exit::Failed, what).because(crate::text::escape(&trouble.why, style));
    match trouble.remedy {
        Some(remedy) => failure.hint(crate::text::escape(&remedy, style)),
        None => failure,
    }
}

/// Learns what lies there.
fn look(args: &AdoptArgs, session: &Session, style: &Style) -> Result<Found, Failure> {
    let trouble = |trouble| of_trouble("there is nothing to take in", trouble, style);
    let folder = Folder::find(&args.dir).map_err(trouble)?;
    let origin = folder.origin().map_err(trouble)?;
    let contents = folder
        .contents()
        .map_err(|found| of_trouble("the backup cannot be taken in", found, style))?;
    let phones = session.phones();
    let phone = phones
        .iter()
        .find(|phone| phone.udid == origin.udid)
        .cloned();
    let view = AdoptionView {
        name: origin
            .name
            .clone()
            .unwrap_or_else(|| origin.udid.to_string()),
        os_version: origin.os_version.clone(),
        made: origin.made,
        encrypted: origin.encrypted,
        size: Bytes::new(contents.bytes),
        files: u64::try_from(contents.items.len()).unwrap_or(u64::MAX),
        skipped: contents.skipped,
        known: phone.is_some(),
    };
    let me = match &phone {
        Some(phone) => me(None, &phones, phone, style),
        None => format!(" {}", origin.udid),
    };
    Ok(Found {
        folder,
        contents,
        origin,
        phone,
        me,
        view,
    })
}

/// Streams the folder to the daemon, and waits until it has it; `None` when it was interrupted.
async fn send(
    session: &mut Session,
    found: Found,
    console: &mut Console,
) -> Result<Option<(JobId, Ended)>, Failure> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| {
        Failure::new(Exit::Failed, "cannot make a pipe").because(io::Error::from(errno).to_string())
    })?;
    let size = Dict::from([("size".to_owned(), found.contents.bytes.into())]);
    let path = session
        .manager()
        .await?
        .adopt(&found.origin.wire_udid, reader.into(), size)
        .await
        .map_err(|error| Failure::of_call("take the backup in", error))?;
    let job = job_of(path.as_str())?;
    let deed = Deed {
        kind: JobKind::Adopt,
        what: "taking the backup in",
        phone: found.phone.as_ref(),
        me: &found.me,
        json: false,
    };
    let (folder, contents) = (found.folder, found.contents);
    // A thread that nobody waits for: a daemon that takes nothing must not keep this process.
    let (tell, packing) = oneshot::channel();
    std::thread::spawn(move || {
        let mut out = BufWriter::with_capacity(WRITE_BYTES, File::from(writer));
        let packed = intake::pack(&folder, &contents, &mut out);
        // What is left in the buffer of a stream that broke off is of no use to anybody.
        drop(out.into_parts());
        // Whoever was interrupted does not listen any more.
        tell.send(packed).is_ok()
    });
    match wait::for_job(session, job, deed.phone, console).await? {
        Waiting::Interrupted => {
            call_off(session, job, CtrlC::Cancels, console).await?;
            Ok(None)
        }
        Waiting::Ended(ended) => {
            let packed = packing.await.map_err(|error| {
                Failure::new(Exit::Failed, "reading the files broke").because(error.to_string())
            })?;
            match packed {
                Err(Stopped::Folder(trouble)) => {
                    let style = console.err_style();
                    Err(of_trouble("the backup cannot be taken in", trouble, &style))
                }
                Err(Stopped::Write(error)) => {
                    Err(Failure::new(Exit::Failed, "cannot send the backup")
                        .because(error.to_string()))
                }
                // Whoever stops reading says why at the end of the job.
                Ok(()) | Err(Stopped::Gone) => {
                    conclude(job, ended, &deed, console).map(|ended| Some((job, ended)))
                }
            }
        }
    }
}
