//! `ibakctl storage`: what the backups take, and how much they may.

use crate::cli::{StorageArgs, StorageDeed};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render::{self, StorageReport};
use crate::select;
use crate::session::Session;
use crate::size;
use ibak_dbus::views::{PhoneView, StorageView};
use ibak_dbus::{Bytes, Dict, Udid};

pub(super) async fn storage(
    args: StorageArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    match args.deed {
        Some(StorageDeed::Quota { phone, size }) => {
            quota(phone.as_deref(), &size, as_json, console).await
        }
        None => show(args.phone.as_deref(), as_json, console).await,
    }
}

/// Asks for every row.
pub(super) async fn rows(session: &Session) -> Result<Vec<StorageView>, Failure> {
    let rows = session
        .manager()
        .await?
        .list_storage(Dict::new())
        .await
        .map_err(|error| Failure::of_call("read what is used", error))?;
    Ok(rows.iter().map(StorageView::from_dict).collect())
}

async fn show(asked: Option<&str>, as_json: bool, console: &mut Console) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let status = session.status()?;
    let only: Option<&Udid> = match asked {
        Some(_) => Some(&select::phone(&status.phones, asked, &style)?.udid),
        None => None,
    };
    let rows = rows(&session).await?;
    let view = |udid: &Udid| -> Option<PhoneView> {
        status
            .phones
            .iter()
            .find(|phone| phone.udid == *udid)
            .cloned()
    };
    let report = StorageReport {
        store: status.manager.store_path.clone(),
        whole: rows
            .iter()
            .find(|row| row.phone.is_none())
            .filter(|_| only.is_none())
            .cloned(),
        phones: rows
            .iter()
            .filter(|row| only.is_none() || row.phone.as_ref() == only)
            .filter_map(|row| Some((view(row.phone.as_ref()?), row.clone())))
            .collect(),
    };
    if as_json {
        console.answer_json(&json::storage(&report))?;
    } else {
        console.answer(&render::storage(&report, &style))?;
    }
    Ok(Exit::Done)
}

async fn quota(
    asked: Option<&str>,
    size: &str,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let quota = match size {
        "none" => None,
        size => match size::parse(size).map_err(|why| Failure::new(Exit::Usage, why))? {
            Bytes::ZERO => {
                return Err(Failure::new(Exit::Usage, "no backup fits into nothing").hint(
                    "`none` takes the quota away; `ibakctl retire` ends the backups and keeps what is there",
                ));
            }
            quota => Some(quota),
        },
    };
    let session = Session::open().await?;
    let style = console.out_style();
    let phone = select::phone(&session.phones(), asked, &style)?.clone();
    session
        .phone(&phone)
        .await?
        .set_quota(quota.map_or(0, Bytes::get), Dict::new())
        .await
        .map_err(|error| Failure::of_call("set the quota", error))?;
    if as_json {
        console.answer_json(&json::done("quota-set", Some(&phone.udid)))?;
    } else {
        console.answer(&render::quota_set(&phone, quota, phone.used, &style))?;
    }
    Ok(Exit::Done)
}
