//! Which backup a command line means.

use crate::failure::{Exit, Failure};
use crate::moment;
use crate::select::{self, BackupName, shown_name};
use crate::session::Session;
use crate::style::Style;
use crate::text;
use ibak_dbus::Dict;
use ibak_dbus::views::{BackupView, PhoneView};

/// Is how many candidates an error lists.
const LISTED_MAX: usize = 6;

/// A backup and the phone it is of.
pub(super) struct Chosen {
    pub(super) phone: PhoneView,
    pub(super) backup: BackupView,
}

/// Lists a phone's backups, oldest first.
pub(super) async fn backups_of(
    session: &Session,
    phone: &PhoneView,
) -> Result<Vec<BackupView>, Failure> {
    backups_with(session, phone, Dict::new()).await
}

/// Lists a phone's backups, oldest first, with what `options` ask for.
pub(super) async fn backups_with(
    session: &Session,
    phone: &PhoneView,
    options: Dict,
) -> Result<Vec<BackupView>, Failure> {
    let rows = session
        .phone(phone)
        .await?
        .list_backups(options)
        .await
        .map_err(|error| Failure::of_call("list the backups", error))?;
    Ok(rows.iter().filter_map(BackupView::from_dict).collect())
}

/// Returns the newest one.
pub(super) fn newest(backups: &[BackupView]) -> Option<&BackupView> {
    backups
        .iter()
        .max_by_key(|backup| (backup.finished, &backup.id))
}

/// Finds the one backup that `asked` names; a phone's name is its newest one.
///
/// # Errors
/// [`Exit::NoSuch`] when it names none, or more than one: those are listed.
pub(super) async fn backup(
    session: &Session,
    asked: &str,
    style: &Style,
) -> Result<Chosen, Failure> {
    let phones = session.phones();
    let as_phone = select::phone(&phones, Some(asked), style);
    let (name, wanted) = match (as_phone, BackupName::parse(asked)) {
        (Ok(phone), _) => (BackupName::Latest(None), vec![phone.clone()]),
        (Err(_), Some(name @ BackupName::Id(_))) => (name, phones.clone()),
        (Err(_), Some(name)) => {
            let phone = select::phone(&phones, name.phone(), style)?.clone();
            (name, vec![phone])
        }
        (Err(failure), None) => return Err(failure),
    };
    let mut found = Vec::new();
    for phone in wanted {
        let backups = backups_of(session, &phone).await?;
        found.extend(name.pick(&backups, style).into_iter().map(|backup| Chosen {
            phone: phone.clone(),
            backup: backup.clone(),
        }));
    }
    one_of(found, asked, style)
}

fn one_of(mut found: Vec<Chosen>, asked: &str, style: &Style) -> Result<Chosen, Failure> {
    let asked = text::escape(asked, style);
    match found.len() {
        0 => Err(
            Failure::new(Exit::NoSuch, format!("there is no backup {asked:?}"))
                .hint("`ibakctl backups` lists them"),
        ),
        1 => found
            .pop()
            .ok_or_else(|| Failure::new(Exit::NoSuch, format!("there is no backup {asked:?}"))),
        many => {
            let mut listed: Vec<String> = found
                .iter()
                .take(LISTED_MAX)
                .map(|chosen| {
                    let when = chosen.backup.finished.map_or_else(
                        || "unknown time".to_owned(),
                        |finished| moment::full(finished, style),
                    );
                    format!(
                        "{} ({} of {when})",
                        chosen.backup.id,
                        shown_name(&chosen.phone, style)
                    )
                })
                .collect();
            if many > LISTED_MAX {
                listed.push(format!("{} more", many - LISTED_MAX));
            }
            Err(
                Failure::new(Exit::NoSuch, format!("{asked:?} is more than one backup"))
                    .hint(format!("name one of: {}", listed.join(", "))),
            )
        }
    }
}
