//! Restore: the phone reads a backup off the host and takes it for its own.
//!
//! The order in which it reads (Status.plist, Manifest.plist, Manifest.db, Info.plist, then the
//! files in batches) is that of the tools' logs (LIMD #801, #1386); its errors are those of real
//! phones where they were published. What it writes to the host on the way is not known: see the
//! quirks that begin with `restore-`.

mod content;
mod intake;
mod reading;
mod rows;
mod sending;
mod unlock;

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Stop;
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::session::Session;
use super::{PasscodeAnswer, Phase, locked};

pub use content::{RestoreOptions, RestoredContent, RestoredFile};
pub(super) use intake::Intake;

/// Runs a restore; what stops it on the phone's side is looked at between batches.
pub(super) async fn restore<S>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let watch = session.watch();
    tokio::select! {
        result = run(session, request) => result,
        never = watch => match never {},
    }
}

/// A restore that goes on.
struct Restore<'s, 'h, S> {
    session: &'s mut Session<'h, S>,
    /// The backup's directory on the host: the UDID of the phone it was made of.
    source: String,
    options: RestoreOptions,
    password: Option<String>,
}

impl RestoreOptions {
    /// Reads a request's options; what is absent is as real phones take it \[h\]: reboot, copy and
    /// keep the settings, and neither system files nor removal.
    fn of(options: &Dictionary) -> Self {
        let flag = |key: &str, absent: bool| {
            options
                .get(key)
                .and_then(Value::as_boolean)
                .unwrap_or(absent)
        };
        Self {
            system_files: flag("RestoreSystemFiles", false),
            reboot: flag("RestoreShouldReboot", true),
            copy: !flag("RestoreDontCopyBackup", false),
            preserve_settings: flag("RestorePreserveSettings", true),
            remove_others: flag("RemoveItemsNotRestored", false),
        }
    }
}

async fn run<S>(session: &mut Session<'_, S>, request: &Dictionary) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let host = session.host;
    session.take_faults()?;
    session.enter(Phase::Asked);
    let standing = host.standing();
    if standing.setup_unfinished {
        return Err(Refusal::setup_unfinished().into());
    }
    if standing.find_my {
        return Err(Refusal::find_my().into());
    }
    if standing.awaits_reboot {
        return Err(Refusal::awaits_reboot().into());
    }
    if !host.quirks().has(Quirk::RestoreUnasked) {
        match host.passcode_prompt().await {
            PasscodeAnswer::NotAsked | PasscodeAnswer::Given => {}
            PasscodeAnswer::Ignored | PasscodeAnswer::Dismissed => {
                return Err(Refusal::locked().into());
            }
        }
    }
    session.stop_if_interrupted()?;
    tokio::time::sleep(host.silence()).await;
    session.enter(Phase::Scanning);
    let text = |from: &Dictionary, key: &str| {
        from.get(key)
            .and_then(Value::as_string)
            .map(ToOwned::to_owned)
    };
    let empty = Dictionary::new();
    let options = request
        .get("Options")
        .and_then(Value::as_dictionary)
        .unwrap_or(&empty);
    let own = host.identity().udid.clone();
    let mut restore = Restore {
        session,
        source: text(request, "SourceIdentifier").unwrap_or(own),
        options: RestoreOptions::of(options),
        password: text(options, "Password"),
    };
    let backup = restore.read().await?;
    let lock = backup.lock.clone();
    restore.claim_space(&backup, standing.free_bytes)?;
    restore.copy().await?;
    let content = restore.take(backup).await?;
    restore.end().await?;
    host.keep_restored(content);
    if lock.is_some() {
        // Its password is the phone's from here on.
        locked(&host.memory()).relock(lock);
        host.password_changed();
    }
    session.end.reboots = RestoreOptions::of(options).reboot;
    Ok(())
}
