//! `ibakctl policy`: what holds for a phone, and setting it.

use crate::cli::PolicyArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render::{self, PolicyReport};
use crate::select;
use crate::session::Session;
use ibak_dbus::views::{PhoneView, PolicyView};
use ibak_dbus::{Dict, Error, PhoneProxy};
use std::collections::HashMap;
use zbus::wire::Variant;

pub(super) async fn policy(
    args: &PolicyArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let (asked, settings) = args.sorted();
    let settings = pairs(&settings)?;
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    let proxy = session.phone(&phone).await?;
    let me = me(&phones, &phone, &style);
    let before = rows(&proxy).await?;
    let rows = match settings.split_first() {
        None => before.clone(),
        Some((first, others)) => {
            set(&proxy, first, others, &me).await?;
            self::rows(&proxy).await?
        }
    };
    let report = PolicyReport { me, rows, phone };
    if as_json {
        console.answer_json(&json::policy(&report))?;
    } else if settings.is_empty() {
        console.answer(&render::policy(&report, &style))?;
    } else {
        let keys: Vec<&str> = settings.iter().map(|(key, _)| *key).collect();
        console.answer(&render::policy_set(&report, &before, &keys, &style))?;
    }
    Ok(Exit::Done)
}

fn me(phones: &[PhoneView], phone: &PhoneView, style: &crate::Style) -> String {
    select::short_name(phones, phone, style).map_or_else(String::new, |name| format!(" {name}"))
}

/// Parts each `KEY=VALUE`.
fn pairs<'a>(settings: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for setting in settings {
        let usage = |what: &str| {
            Failure::new(Exit::Usage, format!("{setting:?} {what}"))
                .hint("write KEY=VALUE without spaces around the =, for example settle=5min")
        };
        let (key, value) = setting
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| usage("is not KEY=VALUE"))?;
        if pairs.iter().any(|(it, _)| *it == key.trim()) {
            return Err(usage("sets that key a second time"));
        }
        pairs.push((key.trim(), value));
    }
    Ok(pairs)
}

async fn rows(proxy: &PhoneProxy<'_>) -> Result<Vec<PolicyView>, Failure> {
    let rows = proxy
        .get_policy(Dict::new())
        .await
        .map_err(|error| Failure::of_call("read the policy", error))?;
    Ok(rows.iter().filter_map(PolicyView::from_dict).collect())
}

/// Sets all of them together.
async fn set(
    proxy: &PhoneProxy<'_>,
    (key, value): &(&str, &str),
    others: &[(&str, &str)],
    me: &str,
) -> Result<(), Failure> {
    let mut options = Dict::new();
    if !others.is_empty() {
        let also: HashMap<String, String> = others
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let also = Variant::from(also)
            .try_into_owned()
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        options.insert("also".to_owned(), also);
    }
    proxy
        .set_policy(key, value, options)
        .await
        .map_err(|error| {
            let unknown = matches!(error, Error::InvalidOption(_));
            let failure = Failure::of_call("set the policy; it is as it was", error);
            if unknown || failure.exit == Exit::Failed {
                failure.hint(format!(
                    "`ibakctl policy{me}` shows every key with its value"
                ))
            } else {
                failure
            }
        })
}
