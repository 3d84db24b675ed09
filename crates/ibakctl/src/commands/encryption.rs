//! `ibakctl encryption`: the password of a phone's backups.

use super::choose::{backups_of, newest};
use super::deed::{CtrlC, Deed, see_through};
use super::ended::job_of;
use super::password::{existing, fresh};
use super::prove::{check, sheet};
use super::reading::me;
use crate::cli::EncryptionDeed;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::secret::{Password, Source, no_password};
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;
use ibak_dbus::views::{BackupView, PhoneView};
use ibak_dbus::words::{JobKind, OnOff, Trust};

/// What the password shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    On,
    Off,
    Change,
}

/// A phone, and how the command line speaks of it.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) phone: PhoneView,
    pub(super) me: String,
    pub(super) name: String,
    pub(super) json: bool,
}

pub(super) async fn encryption(
    deed: EncryptionDeed,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    match deed {
        EncryptionDeed::On {
            phone,
            password_fd,
            generate,
        } => {
            let subject = subject(&session, phone.as_deref(), json, console)?;
            let source = Source {
                option: "--password-fd",
                credential: "ibak-password",
                ..Source::new_password(password_fd)
            };
            on(&mut session, &subject, source, generate, console).await
        }
        EncryptionDeed::Off { phone, password } => {
            let subject = subject(&session, phone.as_deref(), json, console)?;
            off(
                &mut session,
                &subject,
                Source::password(password.password_fd),
                console,
            )
            .await
        }
        EncryptionDeed::Change {
            phone,
            password,
            new_password_fd,
            generate,
        } => {
            let subject = subject(&session, phone.as_deref(), json, console)?;
            let sources = (
                Source::password(password.password_fd),
                Source::new_password(new_password_fd),
            );
            change(&mut session, &subject, sources, generate, console).await
        }
        EncryptionDeed::Check {
            phone,
            backup,
            password,
        } => {
            let subject = subject(&session, phone.as_deref(), json, console)?;
            let source = Source::password(password.password_fd);
            check(&mut session, &subject, backup.as_deref(), source, console).await
        }
        EncryptionDeed::Sheet {
            phone,
            with_password,
            password,
        } => {
            let subject = subject(&session, phone.as_deref(), json, console)?;
            let source = with_password.then(|| Source::password(password.password_fd));
            sheet(&mut session, &subject, source, console).await
        }
    }
}

fn subject(
    session: &Session,
    asked: Option<&str>,
    json: bool,
    console: &Console,
) -> Result<Subject, Failure> {
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    Ok(Subject {
        me: me(asked, &phones, &phone, &style),
        name: shown_name(&phone, &style),
        phone,
        json,
    })
}

/// Refuses before anything is typed when the phone cannot take it.
fn reachable(subject: &Subject) -> Result<(), Failure> {
    let name = &subject.name;
    if subject.phone.transports.is_empty() {
        return Err(
            Failure::new(Exit::CannotStart, format!("{name} is not here"))
                .hint("plug the phone in, or bring it to the network and unlock it once"),
        );
    }
    if subject.phone.trust == Trust::Untrusted {
        return Err(Failure::new(
            Exit::CannotStart,
            format!("{name} does not trust this computer"),
        )
        .hint(format!(
            "plug the phone in, unlock it, and run `ibakctl pair{}`",
            subject.me
        )));
    }
    Ok(())
}

async fn on(
    session: &mut Session,
    subject: &Subject,
    source: Source,
    generate: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    if subject.phone.encryption == OnOff::On {
        return Err(Failure::new(
            Exit::Failed,
            format!("the backups of {} have a password already", subject.name),
        )
        .because("nothing was changed")
        .hint(format!(
            "`ibakctl encryption change{0}` sets another one, `ibakctl encryption check{0}` tries one",
            subject.me
        )));
    }
    reachable(subject)?;
    let backups = backups_of(session, &subject.phone).await?;
    let room = room_for_a_full_one(session, subject, &backups)?;
    let style = console.err_style();
    console.say(&render::before_encryption(room.as_ref(), &style));
    let password = fresh(source, generate, &subject.name, console).await?;
    if !set(session, subject, Switch::On, None, Some(&password), console).await? {
        return Ok(Exit::Interrupted);
    }
    if !subject.json {
        console.answer(&render::encryption_on(
            &subject.name,
            &subject.me,
            &console.out_style(),
        ))?;
    }
    Ok(Exit::Done)
}

/// The size of the full backup that a switch brings, and the room there is for it.
fn room_for_a_full_one(
    session: &Session,
    subject: &Subject,
    backups: &[BackupView],
) -> Result<Option<render::FullAgain>, Failure> {
    let Some(newest) = newest(backups) else {
        return Ok(None);
    };
    let manager = session.status()?.manager;
    let full = render::FullAgain::of(newest.size, &manager);
    if full.fits() {
        return Ok(Some(full));
    }
    Err(Failure::new(
        Exit::CannotStart,
        format!(
            "there is no room for the full backup of {} that this brings",
            subject.name
        ),
    )
    .because(full.lack())
    .hint("make room on the store's disk, or raise the quota"))
}

async fn off(
    session: &mut Session,
    subject: &Subject,
    source: Source,
    console: &mut Console,
) -> Result<Exit, Failure> {
    if subject.phone.encryption_required {
        return Err(Failure::new(
            Exit::Failed,
            format!("whoever manages {} demands encrypted backups", subject.name),
        ));
    }
    if subject.phone.encryption == OnOff::Off {
        if subject.json {
            console.answer_json(&crate::json::done(
                "encryption-off",
                Some(&subject.phone.udid),
            ))?;
        } else {
            console.answer(&format!(
                "The backups of {} have no password, as it was.\n",
                subject.name
            ))?;
        }
        return Ok(Exit::Done);
    }
    reachable(subject)?;
    let backups = backups_of(session, &subject.phone).await?;
    let room = room_for_a_full_one(session, subject, &backups)?;
    let style = console.err_style();
    console.say(&render::before_plain(room.as_ref(), &style));
    let question = format!("Password of the backups of {}: ", subject.name);
    let old = existing(source, &question, console).await?;
    if !set(session, subject, Switch::Off, Some(&old), None, console).await? {
        return Ok(Exit::Interrupted);
    }
    if !subject.json {
        console.answer(&format!(
            "Backups of {} are plain from the next one on. Older ones keep their password.\n",
            subject.name
        ))?;
    }
    Ok(Exit::Done)
}

async fn change(
    session: &mut Session,
    subject: &Subject,
    (old, new): (Source, Source),
    generate: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    if subject.phone.encryption == OnOff::Off {
        return Err(Failure::new(
            Exit::Failed,
            format!("the backups of {} have no password yet", subject.name),
        )
        .hint(format!("`ibakctl encryption on{}` sets one", subject.me)));
    }
    reachable(subject)?;
    let style = console.err_style();
    console.say(&render::before_change(&style));
    let question = format!("Present password of the backups of {}: ", subject.name);
    let old = existing(old, &question, console).await?;
    let new = fresh(new, generate, &subject.name, console).await?;
    if !set(
        session,
        subject,
        Switch::Change,
        Some(&old),
        Some(&new),
        console,
    )
    .await?
    {
        return Ok(Exit::Interrupted);
    }
    if !subject.json {
        console.answer(&render::encryption_changed(
            &subject.name,
            &subject.me,
            &console.out_style(),
        ))?;
    }
    Ok(Exit::Done)
}

/// Has the phone take the password; `false` when it was interrupted.
async fn set(
    session: &mut Session,
    subject: &Subject,
    switch: Switch,
    old: Option<&Password>,
    new: Option<&Password>,
    console: &mut Console,
) -> Result<bool, Failure> {
    let what = match switch {
        Switch::On => "switching encryption on",
        Switch::Off => "switching encryption off",
        Switch::Change => "the change of password",
    };
    let fd = |password: Option<&Password>| password.map_or_else(no_password, Password::hand_over);
    let (old, new) = (fd(old).map_err(no_pipe)?, fd(new).map_err(no_pipe)?);
    let path = session
        .phone(&subject.phone)
        .await?
        .set_encryption(old.into(), new.into(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("set the password", error))?;
    let job = job_of(path.as_str())?;
    let deed = Deed {
        kind: JobKind::Encryption,
        what,
        phone: Some(&subject.phone),
        me: &subject.me,
        json: subject.json,
    };
    Ok(see_through(session, job, &deed, CtrlC::Cancels, console)
        .await?
        .is_some())
}

/// Makes the error of a pipe that cannot be made.
pub(super) fn no_pipe(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "cannot hand the password over").because(error.to_string())
}
