//! `ibakctl store use` and `store move`: another place for the backups, and back again when the
//! daemon cannot use it.

use super::deed::{CtrlC, Deed, see_through};
use super::ended::job_of;
use super::storage;
use crate::cli::StoreDeed;
use crate::config_file::{ConfigFile, with_store};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::session::Session;
use crate::style::Style;
use ibak_dbus::views::{CheckView, ManagerView, StorageView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, JobKind, StorageState};
use ibak_dbus::{Bytes, Dict};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Is how long the daemon may take to look at a store it was given.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// A change of place that was thought through.
struct Change {
    old: PathBuf,
    new: PathBuf,
    file: ConfigFile,
    whole: Option<StorageView>,
}

pub(super) async fn store(
    deed: StoreDeed,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let (StoreDeed::Use { dir, config } | StoreDeed::Move { dir, config }) = &deed;
    let manager = session.status()?.manager;
    let new = directory(dir, &console.out_style())?;
    if is_same(&manager, &new) {
        return stays(&session, &new, as_json, console).await;
    }
    let change = Change {
        old: PathBuf::from(&manager.store_path),
        file: config_file(config.as_deref(), &manager)?,
        whole: whole(&session).await,
        new,
    };
    match deed {
        StoreDeed::Use { .. } => lay(&mut session, &change, as_json, console).await,
        StoreDeed::Move { .. } => carry(&mut session, &change, as_json, console).await,
    }
}

/// Finds the directory that is meant, without links in its name.
fn directory(dir: &Path, style: &Style) -> Result<PathBuf, Failure> {
    let shown = render::place(dir, style);
    let unusable = |error: &io::Error| {
        let failure =
            Failure::new(Exit::Failed, format!("cannot use {shown}")).because(error.to_string());
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the system's own kinds: only these have a remedy"
        )]
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint(format!(
                "see whether its disk is mounted; `sudo install -d -o ibak -g ibak -m 700 {}` makes it",
                render::shell_place(dir, style)
            )),
            io::ErrorKind::PermissionDenied => failure.hint("run it with `sudo`"),
            _ => failure,
        }
    };
    let found = dir.canonicalize().map_err(|error| unusable(&error))?;
    if !found.is_dir() {
        return Err(unusable(&io::ErrorKind::NotADirectory.into()));
    }
    if found.to_str().is_none() {
        return Err(Failure::new(Exit::Usage, format!("cannot use {shown}"))
            .because("the name of the directory is not UTF-8"));
    }
    Ok(found)
}

fn is_same(manager: &ManagerView, new: &Path) -> bool {
    let old = Path::new(&manager.store_path);
    old == new || old.canonicalize().is_ok_and(|old| old == *new)
}

/// Nothing has to change; whether the daemon can use it is said all the same.
async fn stays(
    session: &Session,
    dir: &Path,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    if let Some(check) = trouble(session).await? {
        return Err(of_trouble(&check, dir, &style));
    }
    if as_json {
        console.answer_json(&json::done("store-used", None))?;
    } else {
        console.answer(&format!(
            "The store is {}, as it was.\n",
            render::place(dir, &style)
        ))?;
    }
    Ok(Exit::Done)
}

fn config_file(asked: Option<&Path>, manager: &ManagerView) -> Result<ConfigFile, Failure> {
    let path = match asked {
        Some(path) => path,
        None if manager.config_path.is_empty() => {
            return Err(
                Failure::new(Exit::Failed, "the daemon runs without a configuration file")
                    .hint("name the one it is to have with `--config`"),
            );
        }
        None => Path::new(&manager.config_path),
    };
    let file = ConfigFile::open(path).map_err(|error| of_file("read", path, &error))?;
    file.writable()
        .map_err(|error| of_file("write", path, &error))?;
    Ok(file)
}

fn of_file(what: &str, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(
        Exit::Failed,
        format!("cannot {what} the configuration {}", path.display()),
    )
    .because(error.to_string());
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the system's own kinds: only these have a remedy"
    )]
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure {
            exit: Exit::NotAuthorized,
            ..failure.hint("run it with `sudo`")
        },
        io::ErrorKind::NotFound => failure.hint("name the right one with `--config`"),
        _ => failure,
    }
}

/// Learns what lies in the store; a store that cannot be used has nothing to tell.
async fn whole(session: &Session) -> Option<StorageView> {
    let rows = storage::rows(session).await.ok()?;
    rows.into_iter().find(|row| row.phone.is_none())
}

fn backups(change: &Change) -> Option<u64> {
    change.whole.as_ref().map(|whole| whole.backups)
}

async fn lay(
    session: &mut Session,
    change: &Change,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    switch(session, change, console)
        .await
        .map_err(|stayed| match stayed {
            Stayed::Busy(failure) => failure
                .because("the configuration is as it was")
                .hint("`ibakctl watch` shows what runs; run this again when it is done"),
            Stayed::Failed(failure) => failure,
        })?;
    if as_json {
        console.answer_json(&json::store("store-used", &change.new, &change.old))?;
    } else {
        let style = console.out_style();
        console.answer(&render::store_used(
            &change.new,
            &change.old,
            backups(change),
            &style,
        ))?;
    }
    Ok(Exit::Done)
}

async fn carry(
    session: &mut Session,
    change: &Change,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.err_style();
    let used: Option<Bytes> = change.whole.as_ref().map(|whole| whole.used);
    console.say(&render::before_move(
        &change.old,
        &change.new,
        backups(change),
        used,
        &style,
    ));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(&change.new, flags, Mode::empty())
        .map_err(|errno| of_target(&change.new, &errno.into()))?;
    let path = session
        .manager()
        .await?
        .move_store(target.into(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("move the store", error))?;
    let deed = Deed {
        kind: JobKind::MoveStore,
        what: "the move of the store",
        phone: None,
        me: "",
        json: false,
    };
    let ended = see_through(
        session,
        job_of(path.as_str())?,
        &deed,
        CtrlC::Cancels,
        console,
    )
    .await?;
    if ended.is_none() {
        console.say("The store is where it was; the same command goes on from there.\n");
        return Ok(Exit::Interrupted);
    }
    switch(session, change, console)
        .await
        .map_err(|stayed| match stayed {
            Stayed::Busy(failure) => failure
                .because(format!(
                    "everything is copied, and {} is ready; the configuration is as it was",
                    render::place(&change.new, &style)
                ))
                .hint(format!(
                    "`ibakctl store use {}` finishes it once the job is done, which `ibakctl watch` shows; a backup made before that goes along with `ibakctl store move` again",
                    render::shell_place(&change.new, &style)
                )),
            Stayed::Failed(failure) => failure.because(
                "everything is copied; the same command copies what has come since, and tries again",
            ),
        })?;
    if as_json {
        console.answer_json(&json::store("store-moved", &change.new, &change.old))?;
    } else {
        let style = console.out_style();
        console.answer(&render::store_moved(&change.new, &change.old, &style))?;
    }
    Ok(Exit::Done)
}

fn of_target(dir: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot open {}", dir.display())).because(error.to_string())
}

/// Why the store is where it was.
enum Stayed {
    /// A job is using it.
    Busy(Failure),
    /// Something else.
    Failed(Failure),
}

impl From<Failure> for Stayed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Has the daemon use the new place; when it cannot, all is as it was.
async fn switch(
    session: &mut Session,
    change: &Change,
    console: &mut Console,
) -> Result<(), Stayed> {
    // Half a change is none: Ctrl-C waits until it is done or undone.
    let _unbroken = console.interrupts().take_over();
    let style = console.err_style();
    let (file, path) = (&change.file, change.file.path());
    let text = with_store(file.text(), &change.new).map_err(|why| {
        Failure::new(
            Exit::Failed,
            format!("cannot change the configuration {}", path.display()),
        )
        .because(why)
    })?;
    file.write(&text)
        .map_err(|error| of_file("write", path, &error))?;
    let stayed = match reload(session).await {
        Err(stayed) => stayed,
        Ok(()) => match settled(session, &change.new, &style).await {
            Ok(()) => return Ok(()),
            Err(failure) => Stayed::Failed(failure),
        },
    };
    let put_back = file.write(file.text()).map_err(|error| {
        format!(
            "and {} could not be put back as it was: {error}",
            path.display()
        )
    });
    let failure = match (stayed, put_back) {
        (Stayed::Busy(failure) | Stayed::Failed(failure), Err(why)) => {
            return Err(failure.because(why).into());
        }
        // It has not taken the new configuration, so it has the old one.
        (busy @ Stayed::Busy(_), Ok(())) => return Err(busy),
        (Stayed::Failed(failure), Ok(())) => failure,
    };
    Err(Stayed::Failed(match reload(session).await {
        Ok(()) => failure.because("the configuration and the store are as they were"),
        Err(Stayed::Busy(again) | Stayed::Failed(again)) => failure.because(format!(
            "the configuration is as it was, and the daemon has not read it again: {}",
            again.causes.join(": ")
        )),
    }))
}

async fn reload(session: &Session) -> Result<(), Stayed> {
    let Err(error) = session.manager().await?.reload(Dict::new()).await else {
        return Ok(());
    };
    let is_busy = matches!(error, ibak_dbus::Error::Busy(_));
    let failure = Failure::of_call("have the daemon use another store", error);
    Err(if is_busy {
        Stayed::Busy(failure)
    } else {
        Stayed::Failed(failure)
    })
}

/// Waits until the daemon has looked at its new store, and asks what it found.
async fn settled(session: &mut Session, dir: &Path, style: &Style) -> Result<(), Failure> {
    let looked = async {
        while !session
            .mirror
            .state()
            .manager()
            .is_some_and(|manager| has_looked(&manager, dir))
        {
            session
                .mirror
                .next()
                .await
                .map_err(|error| Failure::of_mirror(&error))?;
        }
        Ok(())
    };
    match tokio::time::timeout(LOOK_TIMEOUT, looked).await {
        Ok(looked) => looked?,
        Err(_) => {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the daemon does not say whether it can use {}",
                    render::place(dir, style)
                ),
            )
            .because(format!("no word of it within {} s", LOOK_TIMEOUT.as_secs()))
            .hint("`journalctl -u ibakd` says more"));
        }
    }
    match trouble(session).await? {
        None => Ok(()),
        Some(check) => Err(of_trouble(&check, dir, style)),
    }
}

fn has_looked(manager: &ManagerView, dir: &Path) -> bool {
    let known = match manager.storage_state {
        StorageState::Ok | StorageState::Low | StorageState::Full | StorageState::Unavailable => {
            true
        }
        StorageState::Unknown | StorageState::Other(_) => false,
    };
    known && Path::new(&manager.store_path) == dir
}

/// Asks what stands in the way of the store, if anything.
async fn trouble(session: &Session) -> Result<Option<CheckView>, Failure> {
    let rows = session
        .manager()
        .await?
        .diagnose(Dict::new())
        .await
        .map_err(|error| Failure::of_call("examine the store", error))?;
    let found = rows
        .iter()
        .filter_map(CheckView::from_dict)
        .find(|check| check.status == CheckStatus::Fail && is_of_the_store(&check.id));
    let unavailable = session
        .mirror
        .state()
        .manager()
        .is_some_and(|manager| manager.storage_state == StorageState::Unavailable);
    Ok(found.or_else(|| {
        unavailable.then(|| {
            CheckView::new(
                CheckId::StorePath,
                CheckStatus::Fail,
                CheckDetail::StoreFailing,
            )
        })
    }))
}

fn is_of_the_store(id: &CheckId) -> bool {
    match id {
        CheckId::StorePath | CheckId::StoreRootFilesystem => true,
        CheckId::Config
        | CheckId::Bus
        | CheckId::Unit
        | CheckId::Usbmuxd
        | CheckId::UsbPresence
        | CheckId::Mdns
        | CheckId::StoreSpace
        | CheckId::Inhibitor
        | CheckId::Polkit
        | CheckId::PhoneSettings
        | CheckId::PhoneTrust
        | CheckId::PhoneReachable
        | CheckId::PhoneEncryption
        | CheckId::PhoneSignals
        | CheckId::Other(_) => false,
    }
}

fn of_trouble(check: &CheckView, dir: &Path, style: &Style) -> Failure {
    Failure::new(
        Exit::CannotStart,
        format!("the daemon cannot use {}", render::place(dir, style)),
    )
    .because(render::check_detail(check, style))
    .hint(render::store_remedy(&check.detail, dir, style))
}
