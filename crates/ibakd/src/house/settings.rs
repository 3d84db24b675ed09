//! What people set for a phone, and what the configuration says of it: asked, changed, kept.
//!
//! A change is taken whole or not at all, and answered once it is on the disk.

use super::book::{Book, LeftOut};
use super::diagnose::bad;
use super::{House, answer};
use crate::config::{Candidate, Key, Matched, Rules, Value, not_a_phones};
use crate::memory::Settings;
use ibak_core::{Automatic, Event, PhoneView, Request, Trust, Udid, View};
use ibak_dbus::views::CheckView;
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Remedy};
use ibak_dbus::{Dict, Error};
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use tracing::{info, warn};

/// Longest value that is read, in bytes.
const VALUE_MAX: usize = 4_096;

/// Lists the phones that tables of the configuration may be about.
pub(super) fn candidates(view: &View, paired: impl Fn(&Udid) -> bool) -> Vec<Candidate> {
    let ours = |phone: &PhoneView| {
        phone.trust == Trust::Trusted || phone.last_backup.is_some() || paired(&phone.udid)
    };
    view.phones
        .values()
        .map(|phone| Candidate {
            udid: phone.udid.clone(),
            name: phone
                .identity
                .as_ref()
                .map(|it| it.name.clone())
                .unwrap_or_default(),
            ours: ours(phone),
            retired: phone.retired,
        })
        .collect()
}

impl House {
    /// Returns what holds for a phone.
    pub(super) fn rules(&self, phone: &Udid) -> &Rules {
        self.book.rules(&self.config, phone)
    }

    /// Finds anew which phone each table is about, when a phone was met, renamed or retired.
    pub(super) fn renew_book(&mut self) {
        if self.config.phones.is_empty() {
            return;
        }
        let candidates = self.candidates();
        if candidates != self.candidates {
            self.candidates = candidates;
            self.rebuild_book();
        }
    }

    /// Puts together anew what is said of each phone.
    pub(super) fn rebuild_book(&mut self) {
        let book = Book::new(&self.config, &self.memory.settings(), &self.candidates);
        if book != self.book {
            self.take_book(book);
        }
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        candidates(&self.machine.view(), |phone| self.network.knows(phone))
    }

    /// Has another book hold, and says what of it is odd.
    pub(super) fn take_book(&mut self, book: Book) {
        let policies = book.policies(&self.config);
        tell_what_is_odd(&self.book, &book);
        self.book = book;
        if policies != self.policies {
            self.policies = policies.clone();
            self.handle(Event::PoliciesChanged(policies));
        }
    }

    pub(super) fn get_policy(&self, phone: &Udid) -> Vec<Dict> {
        let switched = self.machine.switched(phone).map(|it| it == Automatic::On);
        let rows = self.book.rows(&self.config, phone, switched);
        rows.iter()
            .map(ibak_dbus::views::PolicyView::to_dict)
            .collect()
    }

    /// Sets or takes back what holds for a phone, all of it or nothing.
    pub(super) fn set_policy(
        &mut self,
        phone: &Udid,
        changes: Vec<(String, String)>,
        reply: oneshot::Sender<Result<(), Error>>,
    ) {
        let done = self.try_set_policy(phone, changes);
        self.replies.push(Box::new(move || answer(reply, done)));
    }

    fn try_set_policy(
        &mut self,
        phone: &Udid,
        changes: Vec<(String, String)>,
    ) -> Result<(), Error> {
        if !self.machine.view().phones.contains_key(phone) {
            return Err(Error::Failed("this phone is not known any more".to_owned()));
        }
        let mut all = self.memory.settings();
        let mut settings = all.remove(phone).unwrap_or_default();
        let before = settings.clone();
        refuse_interval(self.config.cron.as_deref(), &changes)?;
        let switch = change(&mut settings, changes)?;
        let changed: BTreeSet<Key> = Key::all()
            .filter(|key| before.get(key.name()) != settings.get(key.name()))
            .collect();
        all.insert(phone.clone(), settings.clone());
        let candidates = self.candidates();
        let book = Book::new(&self.config, &all, &candidates);
        if let Some(unfit) = new_ones(&self.book, &book, phone).first() {
            return Err(Error::Failed(unfit.reason.clone()));
        }
        book.policies(&self.config)
            .check()
            .map_err(|error| Error::Failed(error.to_string()))?;
        if !changed.is_empty() {
            self.memory
                .set_settings(phone, settings)
                .map_err(|error| Error::Failed(format!("it cannot be kept: {error}")))?;
            self.candidates = candidates;
            self.take_book(book);
            for key in changed {
                let value = self.rules(phone).text(key);
                info!(%phone, key = key.name(), value, "set");
            }
            if self.rules(phone).is_never_asked() {
                warn!(%phone, "`window` and `ask_window` have no time in common: if the phone asks for its passcode, it is never asked");
            }
        }
        self.switch(phone, switch);
        Ok(())
    }

    /// Switches automatic backup, which the core keeps; the phone is known, so it cannot refuse.
    fn switch(&mut self, phone: &Udid, switch: Switch) {
        let phone = phone.clone();
        let request = match switch {
            Switch::AsItIs => return,
            Switch::Back => Request::UnsetAutomatic { phone },
            Switch::To(automatic) => Request::SetAutomatic { phone, automatic },
        };
        let (asker, told) = oneshot::channel();
        self.ask(request, asker);
        drop(told);
    }

    /// Lets a phone inherit what was set for the one whose place it takes.
    pub(super) fn inherit(&mut self, old: &Udid, new: &Udid) {
        let all = self.memory.settings();
        let Some(settings) = all.get(old).filter(|it| all.get(new) != Some(it)) else {
            return;
        };
        if let Err(error) = self.memory.set_settings(new, settings.clone()) {
            warn!(%error, phone = %new, "what it inherits cannot be kept");
        }
        self.rebuild_book();
    }

    /// Checks that every table and every setting holds for somebody.
    pub(super) fn check_settings(&self, view: &View) -> Vec<CheckView> {
        let mut checks = Vec::new();
        for table in self.book.tables() {
            let detail = match table.about {
                Matched::Phone(_) => continue,
                Matched::Nobody => CheckDetail::TableOfNobody,
                Matched::Several(_) => CheckDetail::TableOfSeveral,
                Matched::Elsewhere(_) => CheckDetail::TableTwice,
            };
            checks.push(CheckView {
                subject: format!("[phone.{:?}]", table.name),
                ..bad(
                    CheckId::Config,
                    CheckStatus::Warn,
                    detail,
                    Remedy::NameByUdid,
                )
            });
        }
        for udid in view.phones.keys() {
            for left_out in self.book.left_out(udid) {
                checks.push(CheckView {
                    phone: Some(udid.clone()),
                    subject: format!("{}={}", left_out.key, left_out.value),
                    ..bad(
                        CheckId::PhoneSettings,
                        CheckStatus::Warn,
                        CheckDetail::SettingLeftOut,
                        Remedy::SetAnew,
                    )
                });
            }
        }
        checks
    }
}

/// What becomes of the switch of automatic backup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    AsItIs,
    Back,
    To(Automatic),
}

/// Refuses an interval that has no effect, as a cron expression says when backups are due.
fn refuse_interval(cron: Option<&str>, changes: &[(String, String)]) -> Result<(), Error> {
    let sets = |(name, text): &(String, String)| {
        Key::find(name) == Some(Key::Interval) && !text.trim().is_empty()
    };
    match cron {
        Some(cron) if changes.iter().any(sets) => Err(Error::Failed(format!(
            "`interval`: has no effect while the configuration's `cron` (`{cron}`) says for all \
             phones when backups are due"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Puts changes into the settings; each is checked for itself.
fn change(settings: &mut Settings, changes: Vec<(String, String)>) -> Result<Switch, Error> {
    let mut switch = Switch::AsItIs;
    for (name, text) in changes {
        let Some(key) = Key::find(&name) else {
            let why = not_a_phones(&name);
            return Err(Error::InvalidOption(format!("`{}`: {why}", shown(&name))));
        };
        if key == Key::Owner {
            return Err(Error::Failed(
                "`owner` says who may see when the phone's person was awake: it is set in the \
                 configuration file only"
                    .to_owned(),
            ));
        }
        let refused = |why: String| Error::Failed(format!("`{name}`: {why}"));
        if text.len() > VALUE_MAX {
            return Err(refused(format!("must be at most {VALUE_MAX} bytes")));
        }
        let mut rules = Rules::default();
        let taken_back = text.trim().is_empty();
        if !taken_back {
            rules.set(key, &Value::typed(&text)).map_err(refused)?;
        }
        match (key, taken_back) {
            (Key::Automatic, true) => switch = Switch::Back,
            (Key::Automatic, false) if rules.automatic => switch = Switch::To(Automatic::On),
            (Key::Automatic, false) => switch = Switch::To(Automatic::Off),
            (_, true) => drop(settings.remove(key.name())),
            (_, false) => drop(settings.insert(name, rules.text(key))),
        }
    }
    Ok(switch)
}

/// Cuts a name that a client made up.
fn shown(name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    name.escape_debug().to_string()
}

/// Lists what a book leaves out of a phone's settings, and the one before it did not.
fn new_ones<'a>(before: &Book, book: &'a Book, phone: &Udid) -> Vec<&'a LeftOut> {
    let known = before.left_out(phone);
    let left_out = book.left_out(phone).iter();
    left_out.filter(|it| !known.contains(it)).collect()
}

/// Logs what a new book cannot take, once.
fn tell_what_is_odd(before: &Book, book: &Book) {
    for table in book
        .tables()
        .iter()
        .filter(|it| !before.tables().contains(it))
    {
        let (name, line) = (&table.name, table.line);
        match &table.about {
            Matched::Phone(phone) => info!(%phone, name, line, "the phone has a table of its own"),
            Matched::Nobody => info!(name, line, "no known phone goes by the name of this table"),
            Matched::Several(phones) => warn!(
                name,
                line, phones, "several phones go by the name of this table: it holds for none"
            ),
            Matched::Elsewhere(phone) => warn!(
                %phone, name, line, "another table names this phone by its UDID: this one holds for none"
            ),
        }
    }
    for udid in book.phones() {
        for LeftOut { key, value, reason } in new_ones(before, book, udid) {
            warn!(phone = %udid, key, value, reason, "what was set is left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_without_effect_is_refused() {
        let refused = |cron: Option<&str>, key: &str, value: &str| {
            refuse_interval(cron, &[(key.to_owned(), value.to_owned())]).is_err()
        };
        assert!(refused(Some("0 2 * * *"), "interval", "12h"));
        assert!(!refused(Some("0 2 * * *"), "interval", ""), "taken back");
        assert!(!refused(Some("0 2 * * *"), "settle", "2min"));
        assert!(!refused(None, "interval", "12h"));
    }
}
