//! `ibakctl restore`: checks first, then words, then a question, and only then the phone.

use super::choose::{self, Chosen, backups_of, newest};
use super::deed::{CtrlC, Deed, see_through};
use super::encryption::no_pipe;
use super::ended::job_of;
use super::files::{fd_option, of_reading};
use super::password::{Unless, confirm, existing, line};
use super::reading::me;
use crate::cli::RestoreArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::render::{self, RestoreView};
use crate::secret::{Password, Source};
use crate::select::{self, shown_name};
use crate::session::{self, Session};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::JobKind;
use ibak_dbus::{Dict, JobId};
use zbus::wire::Variant;

/// Is how fresh a phone's backup is, in seconds, for nobody to be asked for another one.
const FRESH_SECS: i64 = 3_600;

/// A restore that was thought through.
struct Plan<'a> {
    args: &'a RestoreArgs,
    phone: PhoneView,
    chosen: Chosen,
    password: Option<Password>,
    me: String,
    json: bool,
}

pub(super) async fn restore(
    args: RestoreArgs,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let plan = plan(&session, &args, json, console).await?;
    if !check(&mut session, &plan, console).await? {
        return Ok(Exit::Interrupted);
    }
    let style = console.err_style();
    let view = RestoreView {
        phone: plan.phone.clone(),
        source: plan.chosen.phone.clone(),
        backup: plan.chosen.backup.clone(),
        keep_settings: args.keep_settings,
        remove_others: args.remove_others,
    };
    console.say(&render::before_restore(&view, &style));
    if !args.yes && !agreed(&mut session, &plan, console).await? {
        return Ok(Exit::Interrupted);
    }
    let job = start(&session, &plan, false).await?;
    let deed = deed(&plan, "the restore", plan.json);
    let leaves = CtrlC::Leaves(
        "The restore goes on without you: stopped in the middle, the phone would be left half restored. `ibakctl watch` shows it.",
    );
    let ended = see_through(&mut session, job, &deed, leaves, console).await?;
    if ended.is_none() {
        return Ok(Exit::Interrupted);
    }
    if !plan.json {
        let style = console.out_style();
        console.answer(&render::restored(&plan.phone, args.no_reboot, &style))?;
    }
    Ok(Exit::Done)
}

/// Learns which backup goes onto which phone, and its password.
async fn plan<'a>(
    session: &Session,
    args: &'a RestoreArgs,
    json: bool,
    console: &mut Console,
) -> Result<Plan<'a>, Failure> {
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, args.phone.as_deref(), &style)?.clone();
    let me = me(args.phone.as_deref(), &phones, &phone, &style);
    let chosen = match &args.from {
        Some(asked) => choose::backup(session, asked, &style).await?,
        None => {
            let backups = backups_of(session, &phone).await?;
            let Some(newest) = newest(&backups) else {
                return Err(Failure::new(
                    Exit::NoSuch,
                    format!("{} has no backup yet", shown_name(&phone, &style)),
                )
                .hint(format!(
                    "`ibakctl restore{me} --from BACKUP` takes another phone's; `ibakctl backups` lists them"
                )));
            };
            Chosen {
                phone: phone.clone(),
                backup: newest.clone(),
            }
        }
    };
    if !args.yes && !console.has_person() {
        return Err(Failure::new(
            Exit::Usage,
            "a restore asks before it begins, and nobody is here to answer",
        )
        .hint("run it in a terminal, or add `--yes`"));
    }
    let password = if chosen.backup.encrypted {
        let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
        let source = Source::password(args.password.password_fd);
        Some(existing(source, &format!("Password of {which}: "), console).await?)
    } else {
        None
    };
    Ok(Plan {
        args,
        phone,
        chosen,
        password,
        me,
        json,
    })
}

fn deed<'a>(plan: &'a Plan<'_>, what: &'a str, json: bool) -> Deed<'a> {
    Deed {
        kind: JobKind::Restore,
        what,
        phone: Some(&plan.phone),
        me: &plan.me,
        json,
    }
}

/// Has the daemon check what can be checked without touching the phone.
async fn check(
    session: &mut Session,
    plan: &Plan<'_>,
    console: &mut Console,
) -> Result<bool, Failure> {
    console.say("Checking, without touching the phone.\n");
    let job = start(session, plan, true).await?;
    let deed = deed(plan, "the check before the restore", false);
    let ended = see_through(session, job, &deed, CtrlC::Cancels, console).await?;
    Ok(ended.is_some())
}

async fn start(session: &Session, plan: &Plan<'_>, dry_run: bool) -> Result<JobId, Failure> {
    let mut options: Dict = session::options(&[
        ("dry-run", dry_run),
        ("keep-settings", plan.args.keep_settings),
        ("remove-others", plan.args.remove_others),
        ("no-reboot", plan.args.no_reboot),
    ]);
    if plan.chosen.phone.udid != plan.phone.udid {
        let source = Variant::from(plan.chosen.phone.udid.to_string()).try_into_owned();
        let source = source.map_err(|error| {
            Failure::new(Exit::Failed, "cannot name the backup's phone").because(error.to_string())
        })?;
        options.insert("source".to_owned(), source);
    }
    if let Some(password) = &plan.password {
        let fd = password.hand_over().map_err(no_pipe)?;
        options.insert("password".to_owned(), fd_option(fd)?);
    }
    let path = session
        .phone(&plan.phone)
        .await?
        .restore(plan.chosen.backup.id.as_str(), options)
        .await
        .map_err(|error| of_reading("restore", error, &plan.me))?;
    job_of(path.as_str())
}

/// Offers a backup of what is on the phone, and asks.
async fn agreed(
    session: &mut Session,
    plan: &Plan<'_>,
    console: &mut Console,
) -> Result<bool, Failure> {
    let style = console.err_style();
    let name = shown_name(&plan.phone, &style);
    let fresh = plan
        .phone
        .last_backup
        .is_some_and(|last| style.seconds_since(last) < FRESH_SECS);
    if !fresh
        && confirm(
            &format!("Back up what is on {name} now, before it is replaced?"),
            Unless::Yes,
            console,
        )
        .await?
        && !super::backup::stay(session, &plan.phone, &plan.me, console).await?
    {
        return Ok(false);
    }
    let typed = line(
        &format!("To begin, type the name of the phone ({name}): "),
        console,
    )
    .await?;
    if select::same_name(&typed, &plan.phone, &style) {
        return Ok(true);
    }
    Err(Failure::new(
        Exit::Failed,
        "that is not its name, so nothing was done",
    ))
}
