//! `ibakctl storage`: what is used, what is left, and for how long.

use super::backups::repair;
use super::table::{self, Cell};
use crate::moment;
use crate::select::shown_name;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::{PhoneView, StorageView};
use ibak_dbus::words::ConditionName;
use ibak_dbus::{Bytes, Wall};

/// What `storage` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageReport {
    /// Where the store lies.
    pub store: String,
    /// The whole store, when it is shown.
    pub whole: Option<StorageView>,
    /// Each phone, in order; a phone the daemon does not show has no view.
    pub phones: Vec<(Option<PhoneView>, StorageView)>,
}

/// Renders the table, and beneath it what asks for attention.
pub fn render(report: &StorageReport, style: &Style) -> String {
    let mut rows: Vec<[Cell; 6]> = report
        .whole
        .iter()
        .map(|whole| row("all together", whole, style))
        .collect();
    for (phone, storage) in &report.phones {
        rows.push(row(
            &name_of(phone.as_ref(), storage, style),
            storage,
            style,
        ));
    }
    let mut out = format!(
        "Store: {}\n{}",
        text::escape(&report.store, style),
        table::render(
            ["PHONE", "USED", "QUOTA", "LEFT", "LAST READ", "BACKUPS"],
            &rows,
            style,
        )
    );
    for sentence in sentences(report, style) {
        out.push_str(&format!("{}\n", text::paragraph(&sentence, 0, style)));
    }
    out
}

fn name_of(phone: Option<&PhoneView>, storage: &StorageView, style: &Style) -> String {
    match (phone, &storage.phone) {
        (Some(phone), _) => shown_name(phone, style),
        (None, Some(udid)) => udid.to_string(),
        (None, None) => "all together".to_owned(),
    }
}

fn row(name: &str, storage: &StorageView, style: &Style) -> [Cell; 6] {
    let left = if storage.left == Bytes::ZERO && !storage.retired {
        Cell::toned("none", Tone::Bad)
    } else {
        Cell::new(text::bytes(storage.left))
    };
    [
        Cell::new(name),
        Cell::new(text::bytes(storage.used)),
        Cell::new(storage.quota.map_or_else(|| "none".to_owned(), text::bytes)),
        left,
        Cell::new(
            storage
                .read
                .map_or_else(|| "-".to_owned(), |read| moment::ago(read, style)),
        ),
        backups(storage, style),
    ]
}

/// Says how many backups there are, from when to when, and what is special about them.
fn backups(storage: &StorageView, style: &Style) -> Cell {
    let day = |at: Wall| {
        let full = moment::full(at, style);
        full.split_once(' ')
            .map_or(full.clone(), |(day, _)| day.to_owned())
    };
    let mut words = storage.backups.to_string();
    if let (Some(oldest), Some(newest)) = (storage.oldest, storage.newest) {
        let (oldest, newest) = (day(oldest), day(newest));
        words.push_str(&if oldest == newest {
            format!(" of {oldest}")
        } else {
            format!(" from {oldest} to {newest}")
        });
    }
    if storage.retired {
        words.push_str(", retired");
    }
    if storage.damaged > 0 {
        words.push_str(&format!(", {} damaged", storage.damaged));
        return Cell::toned(words, Tone::Bad);
    }
    Cell::new(words)
}

/// What the table has no column for.
fn sentences(report: &StorageReport, style: &Style) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(whole) = &report.whole {
        said.extend(full("The store", whole, style));
    }
    for (phone, storage) in &report.phones {
        let name = text::capital(&name_of(phone.as_ref(), storage, style));
        if !storage.retired {
            said.extend(bound(&name, storage, report.whole.is_some(), style));
        }
        match storage.damaged {
            0 => {}
            1 => said.push(format!(
                "{name}: one backup is damaged; {}.",
                repair(1, storage.retired)
            )),
            many => said.push(format!(
                "{name}: {many} backups are damaged; {}.",
                repair(many, storage.retired)
            )),
        }
    }
    let trash = report.whole.as_ref().map_or(0, |whole| whole.trash);
    if trash > 0 {
        said.push(format!(
            "{} still being emptied, so some of what is used comes free by itself.",
            text::count(trash, "removed thing is", "removed things are")
        ));
    }
    said
}

/// Says when a phone's room is used up: its own quota's, or everybody's, which has a sentence of
/// its own where the whole store is shown.
fn bound(name: &str, storage: &StorageView, beside_whole: bool, style: &Style) -> Option<String> {
    let own = storage
        .quota
        .map(|quota| quota.get().saturating_sub(storage.used.get()));
    let what = if own.is_some_and(|own| own <= storage.left.get()) {
        format!("{name}: its quota")
    } else if beside_whole {
        return None;
    } else if storage.left == Bytes::ZERO {
        format!("{name}: the store")
    } else {
        format!("{name}: by what it adds alone, the store")
    };
    full(&what, storage, style)
}

/// Says when something is full, if anybody can say.
fn full(what: &str, storage: &StorageView, style: &Style) -> Option<String> {
    if storage.left == Bytes::ZERO {
        return Some(format!("{what} is full."));
    }
    let left = u64::try_from(-style.seconds_since(storage.full?)).unwrap_or(0);
    let days = (left + 43_200) / 86_400;
    Some(match days {
        0 => format!("{what} is full within a day, if it goes on as of late."),
        days => format!(
            "{what} is full in about {}, if it goes on as of late.",
            text::count(days, "day", "days")
        ),
    })
}

/// Says what a new quota means for what is there.
pub fn quota_set(phone: &PhoneView, quota: Option<Bytes>, used: Bytes, style: &Style) -> String {
    let name = shown_name(phone, style);
    let Some(quota) = quota else {
        return format!(
            "The backups of {name} have no quota of their own any more; they take {} now.\n",
            text::bytes(used)
        );
    };
    let mut said = vec![format!(
        "The backups of {name} may take {}; they take {} now.",
        text::bytes(quota),
        text::bytes(used)
    )];
    let left = quota.get().saturating_sub(used.get());
    let needed = phone.condition(&ConditionName::Space).needed;
    if used >= quota {
        said.push(
            "That is used up already: nothing is removed for it at once, and the next backup does not fit until old ones have gone. `ibakctl backups --explain` shows which go by themselves, `ibakctl remove` removes one."
                .to_owned(),
        );
    } else if let Some(needed) = needed.filter(|needed| needed.get() > left) {
        said.push(format!(
            "The next backup is thought to need {}, and {} are left: old ones have to go before it fits.",
            text::bytes(needed),
            text::bytes(Bytes::new(left))
        ));
    }
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}
