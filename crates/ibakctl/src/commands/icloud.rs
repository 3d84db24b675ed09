//! `ibakctl icloud`: the phone's own iCloud Backup, so that both ways are seen in one place.

use super::reading::me;
use crate::cli::ICloudDeed;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;

pub(super) async fn icloud(
    deed: ICloudDeed,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let (asked, on) = match deed {
        ICloudDeed::Status { phone } => (phone, None),
        ICloudDeed::On { phone } => (phone, Some(true)),
        ICloudDeed::Off { phone } => (phone, Some(false)),
    };
    let phones = session.phones();
    let phone = select::phone(&phones, asked.as_deref(), &style)?.clone();
    let me = me(asked.as_deref(), &phones, &phone, &style);
    let Some(on) = on else {
        return if as_json {
            console.answer_json(&json::icloud(&phone))
        } else {
            console.answer(&render::icloud(&phone, &me, &style))
        }
        .map(|()| Exit::Done);
    };
    session
        .phone(&phone)
        .await?
        .set_icloud_backup(on, Dict::new())
        .await
        .map_err(|error| {
            let what = if on {
                "switch iCloud Backup on"
            } else {
                "switch iCloud Backup off"
            };
            Failure::of_call(what, error)
        })?;
    if as_json {
        let what = if on { "icloud-on" } else { "icloud-off" };
        console.answer_json(&json::done(what, Some(&phone.udid)))?;
    } else {
        let name = shown_name(&phone, &style);
        console.answer(&if on {
            format!("iCloud Backup is on for {name}. Backups here go on as before.\n")
        } else {
            format!("iCloud Backup is off for {name}. What is in iCloud stays there; backups here go on as before.\n")
        })?;
    }
    Ok(Exit::Done)
}
