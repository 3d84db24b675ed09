//! Which phone, which backup: what people type, resolved.

use crate::failure::{Exit, Failure};
use crate::moment;
use crate::style::Style;
use crate::text;
use ibak_dbus::Udid;
use ibak_dbus::views::{BackupView, PhoneView};
use jiff::civil::{Date, DateTime};

/// Is how many phones an error lists.
const LISTED_MAX: usize = 10;

/// Finds the phone `asked` names: by UDID in any spelling, by name, or by a unique prefix of
/// either. `None` means the only one.
///
/// # Errors
/// [`Exit::NoSuch`] when there is none or more than one; [`Exit::Usage`] when several are known
/// and none was named.
pub fn phone<'a>(
    phones: &'a [PhoneView],
    asked: Option<&str>,
    style: &Style,
) -> Result<&'a PhoneView, Failure> {
    let Some(asked) = asked else {
        return match phones {
            [] => Err(Failure::new(Exit::NoSuch, "no phone is known yet")
                .hint("plug one in, unlock it, and run `ibakctl pair`")),
            [one] => Ok(one),
            several => Err(Failure::new(
                Exit::Usage,
                "several phones are known, and none was named",
            )
            .hint(choices(several, style))),
        };
    };
    if let Ok(udid) = Udid::parse(asked)
        && let Some(phone) = phones.iter().find(|phone| phone.udid == udid)
    {
        return Ok(phone);
    }
    let wanted = fold(asked);
    let exact: Vec<&PhoneView> = phones
        .iter()
        .filter(|phone| fold(&phone.name) == wanted)
        .collect();
    let found = if exact.is_empty() && !wanted.is_empty() {
        phones
            .iter()
            .filter(|phone| {
                fold(&phone.name).starts_with(&wanted)
                    || fold_udid(phone.udid.as_str()).starts_with(&fold_udid(asked))
            })
            .collect()
    } else {
        exact
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(
            Exit::NoSuch,
            format!("no phone is called {:?}", text::escape(asked, style)),
        )
        .hint(if phones.is_empty() {
            "no phone is known yet: plug one in, unlock it, and run `ibakctl pair`".to_owned()
        } else {
            choices(phones, style)
        })),
        several => {
            let several: Vec<PhoneView> = several.iter().map(|phone| (*phone).clone()).collect();
            Err(Failure::new(
                Exit::NoSuch,
                format!("{:?} is more than one phone", text::escape(asked, style)),
            )
            .hint(choices(&several, style)))
        }
    }
}

fn choices(phones: &[PhoneView], style: &Style) -> String {
    let mut listed: Vec<String> = phones
        .iter()
        .take(LISTED_MAX)
        .map(|phone| format!("{} ({})", shown_name(phone, style), phone.udid))
        .collect();
    if phones.len() > LISTED_MAX {
        listed.push(format!("{} more", phones.len() - LISTED_MAX));
    }
    format!("name one of: {}", listed.join(", "))
}

/// Returns a phone's name as it may be shown; its UDID when it did not tell one.
pub fn shown_name(phone: &PhoneView, style: &Style) -> String {
    if phone.name.trim().is_empty() {
        phone.udid.to_string()
    } else {
        text::name(&phone.name, style)
    }
}

/// Says whether a person who was asked for the phone's name typed it; case, kinds of apostrophe
/// and spaces at the ends do not matter.
pub fn same_name(typed: &str, phone: &PhoneView, style: &Style) -> bool {
    let typed = fold(typed);
    typed == fold(&phone.name) && !typed.is_empty()
        || typed == fold(&shown_name(phone, style))
        || typed == fold(phone.udid.as_str())
}

/// Phones write a typographic apostrophe where people type a plain one.
fn fold(text: &str) -> String {
    text.trim()
        .replace(['\u{2019}', '\u{2018}'], "'")
        .to_lowercase()
}

fn fold_udid(text: &str) -> String {
    text.replace('-', "").to_lowercase()
}

/// Returns the shortest word that names `phone` among `phones`, for hints.
pub fn short_name(phones: &[PhoneView], phone: &PhoneView, style: &Style) -> Option<String> {
    if phones.len() < 2 {
        return None;
    }
    let word: String = fold(&phone.name)
        .chars()
        .take_while(|c| c.is_alphanumeric())
        .collect();
    let unique = |asked: &str| matches!(self::phone(phones, Some(asked), style), Ok(found) if found.udid == phone.udid);
    if !word.is_empty() && unique(&word) {
        Some(word)
    } else {
        Some(phone.udid.to_string())
    }
}

/// A backup as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupName {
    /// `ada@latest`.
    Latest(Option<String>),
    /// `ada@2026-11-20`.
    Day(Option<String>, Date),
    /// `ada@2026-11-20T02:14`.
    Minute(Option<String>, DateTime),
    /// The beginning of an id.
    Id(String),
}

impl BackupName {
    /// Reads a name; `None` when it is none of the four forms.
    pub fn parse(asked: &str) -> Option<Self> {
        let Some((phone, which)) = asked.rsplit_once('@') else {
            let id = asked.len() >= 4
                && asked.len() <= 26
                && asked.bytes().all(|b| b.is_ascii_alphanumeric())
                && asked.starts_with('0');
            return id.then(|| Self::Id(asked.to_ascii_uppercase()));
        };
        let phone = Some(phone)
            .filter(|phone| !phone.is_empty())
            .map(str::to_owned);
        if which == "latest" {
            Some(Self::Latest(phone))
        } else if let (10, Ok(day)) = (which.len(), which.parse()) {
            Some(Self::Day(phone, day))
        } else {
            which.parse().ok().map(|minute| Self::Minute(phone, minute))
        }
    }

    /// Returns the phone it names; `None` is the only one, or any for an id.
    pub fn phone(&self) -> Option<&str> {
        match self {
            Self::Latest(phone) | Self::Day(phone, _) | Self::Minute(phone, _) => phone.as_deref(),
            Self::Id(_) => None,
        }
    }

    /// Returns the backups it means.
    pub fn pick<'a>(&self, backups: &'a [BackupView], style: &Style) -> Vec<&'a BackupView> {
        let at = |backup: &BackupView| {
            backup
                .finished
                .and_then(|finished| moment::civil(finished, style))
        };
        match self {
            Self::Latest(_) => backups
                .iter()
                .max_by_key(|backup| (backup.finished, &backup.id))
                .into_iter()
                .collect(),
            Self::Day(_, day) => backups
                .iter()
                .filter(|backup| at(backup).is_some_and(|at| at.date() == *day))
                .collect(),
            Self::Minute(_, minute) => backups
                .iter()
                .filter(|backup| {
                    at(backup).is_some_and(|at| {
                        at.date() == minute.date()
                            && (at.hour(), at.minute()) == (minute.hour(), minute.minute())
                    })
                })
                .collect(),
            Self::Id(prefix) => backups
                .iter()
                .filter(|backup| backup.id.as_str().starts_with(prefix.as_str()))
                .collect(),
        }
    }
}
