//! `ibakctl pin`, `unpin` and `remove`, and the way to everything else about what is kept.

use super::choose::{self, Chosen, backups_with};
use super::password::{Unless, confirm};
use super::{adopt, lives, storage, store, verify};
use crate::cli::{Keeping, RemoveArgs};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render::{self, RemovalView};
use crate::session::{self, Session};
use crate::text;
use ibak_dbus::Dict;

pub(super) async fn ask(deed: Keeping, json: bool, console: &mut Console) -> Result<Exit, Failure> {
    match deed {
        Keeping::Verify(args) => verify::verify(&args, json, console).await,
        Keeping::Pin { backup } => pin(&backup, true, json, console).await,
        Keeping::Unpin { backup } => pin(&backup, false, json, console).await,
        Keeping::Remove(args) => remove(&args, json, console).await,
        Keeping::Storage(args) => storage::storage(args, json, console).await,
        Keeping::Store { deed } => store::store(deed, json, console).await,
        Keeping::Adopt(args) => adopt::adopt(&args, json, console).await,
        Keeping::Retire { phone } => lives::retire(phone.as_deref(), json, console).await,
        Keeping::Forget(args) => lives::forget(&args, json, console).await,
        Keeping::Replace { old, new } => lives::replace(&old, &new, json, console).await,
    }
}

async fn pin(
    asked: &str,
    pinned: bool,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let chosen = choose::backup(&session, asked, &style).await?;
    let what = if pinned {
        "pin the backup"
    } else {
        "unpin the backup"
    };
    session
        .phone(&chosen.phone)
        .await?
        .pin_backup(chosen.backup.id.as_str(), pinned, Dict::new())
        .await
        .map_err(|error| Failure::of_call(what, error))?;
    if as_json {
        let word = if pinned { "pinned" } else { "unpinned" };
        console.answer_json(&json::done_with(
            word,
            &chosen.phone.udid,
            &chosen.backup.id,
        ))?;
        return Ok(Exit::Done);
    }
    let which = text::capital(&render::backup_of(&chosen.phone, &chosen.backup, &style));
    console.answer(&match (pinned, chosen.backup.pinned) {
        (true, false) => format!("{which} is pinned: it stays until you unpin or remove it.\n"),
        (true, true) => format!("{which} is pinned, as it was.\n"),
        (false, true) => format!("{which} is not pinned any more: it goes in its turn.\n"),
        (false, false) if chosen.backup.guarded => format!(
            "{which} is no longer held because of what came after it: it goes in its turn.\n"
        ),
        (false, false) => format!("{which} is not pinned, as it was.\n"),
    })?;
    Ok(Exit::Done)
}

async fn remove(args: &RemoveArgs, as_json: bool, console: &mut Console) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.err_style();
    let view = removal(&session, &args.backup, &style).await?;
    let kept = view.is_kept();
    console.say(&render::before_removal(&view, &style));
    if !args.yes {
        if !console.has_person() {
            return Err(Failure::new(
                Exit::Usage,
                "removing asks first, and nobody is here to answer",
            )
            .hint("run it in a terminal, or add `--yes`"));
        }
        let question = if kept && !args.even_pinned {
            "Remove it all the same?"
        } else {
            "Remove it?"
        };
        if !confirm(question, Unless::No, console).await? {
            return Err(Failure::new(Exit::Failed, "nothing was done"));
        }
    } else if kept && !args.even_pinned {
        return Err(
            Failure::new(Exit::Failed, "it is to be kept, so nothing was done")
                .hint("`ibakctl unpin` lets it go in its turn; `--even-pinned` removes it now"),
        );
    }
    session
        .phone(&view.phone)
        .await?
        .remove_backup(
            view.backup.id.as_str(),
            session::options(&[("pinned", kept || view.is_last_good())]),
        )
        .await
        .map_err(of_removing)?;
    if as_json {
        console.answer_json(&json::done_with(
            "removed",
            &view.phone.udid,
            &view.backup.id,
        ))?;
    } else {
        let style = console.out_style();
        console.answer(&render::removed(&view, &style))?;
    }
    Ok(Exit::Done)
}

/// Learns what removing a backup means.
async fn removal(
    session: &Session,
    asked: &str,
    style: &crate::Style,
) -> Result<RemovalView, Failure> {
    let Chosen { phone, backup } = choose::backup(session, asked, style).await?;
    let all = backups_with(session, &phone, session::options(&[("frees", true)])).await?;
    let (mut this, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|other| other.id == backup.id);
    Ok(RemovalView {
        phone,
        backup: this.pop().unwrap_or(backup),
        others,
    })
}

fn of_removing(error: ibak_dbus::Error) -> Failure {
    let busy = matches!(error, ibak_dbus::Error::Busy(_));
    let failure = Failure::of_call("remove the backup", error);
    if busy {
        failure.hint("a job reads it, or builds on it; `ibakctl watch` shows what runs")
    } else {
        failure
    }
}
