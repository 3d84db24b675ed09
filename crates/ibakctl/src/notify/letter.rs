//! One message on its way.

use crate::render::{Cause, Message, Urgency};
use crate::style::Style;
use crate::{moment, select, text};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{AttentionKind, JobKind, JobState, Phase, StorageState, Trigger};
use ibak_dbus::{Dict, JobId, Lookup, MirrorState, Udid, Wall};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use zbus::wire::OwnedVariant;

/// Is how many characters of a phone's name are passed on.
const NAME_MAX: usize = 64;
/// Is how many characters of any other text of a signal are passed on.
const TEXT_MAX: usize = 400;
/// Is how many details of a signal are passed on.
const DETAILS_MAX: usize = 32;
/// Is how many members of a list are passed on.
const LIST_MAX: usize = 64;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `Manager.Attention`, or what it would have said.
    Attention(AttentionKind),
    /// A backup was finished: nothing to tell a person, and what a watchdog waits for.
    BackupDone,
}

impl What {
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Attention(kind) => kind.as_str(),
            Self::BackupDone => "backup-done",
        }
    }
}

/// What makes two messages the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The kind's word.
    pub(crate) kind: String,
    /// Whose; `None` for the whole.
    pub(crate) phone: Option<Udid>,
    /// Which backup asks for the passcode.
    pub(crate) job: Option<JobId>,
}

/// One message: what it says, and where it may go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    /// What is told.
    pub(crate) what: What,
    /// About which phone.
    pub(crate) phone: Option<Udid>,
    /// Its name, harmless and short; empty without one.
    name: String,
    /// How it is named on a command line, with a space before.
    me: String,
    /// Where it goes; empty = everywhere.
    channels: Vec<String>,
    last_backup: Option<Wall>,
    details: Dict,
}

impl Letter {
    /// Takes a signal down.
    pub(crate) fn of_signal(
        kind: &AttentionKind,
        phone: Option<&Udid>,
        details: &Dict,
        state: &MirrorState,
    ) -> Self {
        let mut letter = Self::about(What::Attention(kind.clone()), phone, details.clone(), state);
        if details.contains_key("channels") {
            letter.channels = details.texts("channels");
        }
        // The daemon's word counts when its object has not told one, or is gone.
        let told = text::bare(details.text("name").unwrap_or_default(), NAME_MAX);
        let is_known = phone.is_none_or(|udid| letter.name != udid.as_str());
        if !told.is_empty() && (letter.name.is_empty() || !is_known) {
            letter.name = told;
        }
        letter
    }

    /// Makes a letter of what the state says.
    pub(crate) fn about(
        what: What,
        phone: Option<&Udid>,
        details: Dict,
        state: &MirrorState,
    ) -> Self {
        let view = phone.and_then(|udid| state.phone(udid));
        let channels = match (&view, phone) {
            (Some(view), _) => view.notify.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => state.manager().map(|it| it.notify).unwrap_or_default(),
        };
        let name = view.as_ref().map(|view| text::bare(&view.name, NAME_MAX));
        let name = name.filter(|name| !name.is_empty());
        let udid = || phone.map(Udid::to_string);
        Self {
            what,
            phone: phone.cloned(),
            name: name.or_else(udid).unwrap_or_default(),
            me: view
                .as_ref()
                .map_or_else(String::new, |view| me(view, state)),
            channels,
            last_backup: view.and_then(|view| view.last_backup),
            details,
        }
    }

    /// Returns what makes it the same as another.
    pub(crate) fn key(&self) -> Key {
        let asking = What::Attention(AttentionKind::Asking);
        let job = self.details.number("job").filter(|_| self.what == asking);
        Key {
            kind: self.what.word().to_owned(),
            phone: self.phone.clone(),
            job: job.map(JobId::new),
        }
    }

    /// Returns the word of what went wrong, if it is known.
    pub(crate) fn reason(&self) -> Option<&str> {
        ["reason", "result"]
            .iter()
            .find_map(|key| self.details.text(key))
    }

    /// Says whether it may go to this channel.
    pub(crate) fn goes_to(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|it| it == channel)
    }

    /// Makes it ready to be put into words.
    pub(crate) fn cause<'a>(&'a self, kind: &'a AttentionKind, host: &'a str) -> Cause<'a, Dict> {
        Cause {
            kind,
            name: Some(self.name.as_str()).filter(|name| !name.is_empty()),
            me: &self.me,
            host,
            details: &self.details,
        }
    }

    /// Writes it for a person.
    pub(crate) fn message(&self, host: &str, style: &Style) -> Message {
        match &self.what {
            What::Attention(kind) => self.cause(kind, host).message(style),
            What::BackupDone => Message {
                subject: format!("{} is backed up", self.name),
                text: format!("A backup of {} is finished on {host}.", self.name),
                urgency: Urgency::Low,
            },
        }
    }

    /// Lists what a hook is told in its environment. Every value is one short line.
    pub(crate) fn variables(&self, host: &str, style: &Style) -> Vec<(&'static str, String)> {
        let message = self.message(host, style);
        let time = |at: Option<Wall>| at.and_then(moment::rfc3339).unwrap_or_default();
        let now = Wall::from_micros(style.now.as_microsecond());
        let phone = self.phone.as_ref().map(Udid::to_string);
        [
            ("IBAK_KIND", self.what.word().to_owned()),
            ("IBAK_PHONE", phone.unwrap_or_default()),
            ("IBAK_NAME", self.name.clone()),
            ("IBAK_SUBJECT", message.subject),
            ("IBAK_TEXT", message.text),
            ("IBAK_URGENCY", message.urgency.word().to_owned()),
            ("IBAK_REASON", self.reason().unwrap_or_default().to_owned()),
            ("IBAK_LAST_BACKUP", time(self.last_backup)),
            ("IBAK_TIME", time(Some(now))),
            ("IBAK_HOST", host.to_owned()),
        ]
        .map(|(key, value)| (key, text::bare(&value, TEXT_MAX)))
        .into()
    }

    /// Writes the same for programs, with the signal's details.
    pub(crate) fn json(&self, host: &str, style: &Style) -> Value {
        let mut all: Map<String, Value> = self
            .variables(host, style)
            .into_iter()
            .map(|(key, value)| {
                let key = key.trim_start_matches("IBAK_").to_lowercase();
                let key = if key == "phone" {
                    "udid".to_owned()
                } else {
                    key
                };
                let value = if value.is_empty() {
                    Value::Null
                } else {
                    value.into()
                };
                (key, value)
            })
            .collect();
        let mut details: Vec<_> = self.details.iter().collect();
        details.sort_by_key(|(key, _)| key.as_str());
        let details: Map<String, Value> = details
            .into_iter()
            .filter(|(key, _)| !matches!(key.as_str(), "name" | "channels"))
            .take(DETAILS_MAX)
            .map(|(key, _)| (text::bare(key, NAME_MAX), plain(&self.details, key)))
            .collect();
        all.insert("details".to_owned(), details.into());
        crate::json::message("attention", json!(all))
    }
}

/// Writes one detail: a number, a truth, a text, or texts.
fn plain(details: &Dict, key: &str) -> Value {
    if let Some(text) = details.text(key) {
        return text::bare(text, TEXT_MAX).into();
    }
    if let Some(number) = details.number(key) {
        return number.into();
    }
    if let Some(flag) = details.flag(key) {
        return flag.into();
    }
    let texts = details.texts(key).into_iter().take(LIST_MAX);
    texts
        .map(|text| Value::from(text::bare(&text, TEXT_MAX)))
        .collect()
}

fn me(phone: &PhoneView, state: &MirrorState) -> String {
    let style = Style::plain(jiff::Timestamp::UNIX_EPOCH);
    select::short_name(&state.phones(), phone, &style)
        .map_or_else(String::new, |name| format!(" {name}"))
}

/// Lists what stands at the moment, as the letters that would tell it; empty while the daemon is
/// away.
pub(crate) fn standing(state: &MirrorState) -> Vec<Letter> {
    let mut letters = Vec::new();
    let mut add = |kind, phone: Option<&Udid>, details: Dict| {
        letters.push(Letter::about(What::Attention(kind), phone, details, state));
    };
    let trouble = |reason: Option<&str>| -> Dict {
        let reason = reason.map(|it| zbus::wire::Str::from(it.to_owned()));
        let reason = reason.map(|it| ("reason".to_owned(), OwnedVariant::from(it)));
        reason.into_iter().collect()
    };
    match state.manager().map(|manager| manager.storage_state) {
        Some(StorageState::Unavailable) => add(AttentionKind::StoreTrouble, None, trouble(None)),
        Some(StorageState::Full) => add(AttentionKind::StoreTrouble, None, trouble(Some("full"))),
        Some(
            StorageState::Ok | StorageState::Low | StorageState::Unknown | StorageState::Other(_),
        )
        | None => {}
    }
    for phone in state.phones().iter().filter(|phone| !phone.retired) {
        if phone.overdue {
            let last = phone
                .last_backup
                .and_then(|at| u64::try_from(at.as_micros()).ok());
            let details = last.map(|last| ("last-backup".to_owned(), OwnedVariant::from(last)));
            add(
                AttentionKind::Overdue,
                Some(&phone.udid),
                details.into_iter().collect(),
            );
        }
        if phone.password_check_due {
            add(AttentionKind::CheckPassword, Some(&phone.udid), Dict::new());
        }
    }
    for job in state.jobs() {
        let is_asking = (&job.kind, &job.trigger) == (&JobKind::Backup, &Trigger::Schedule)
            && job.state == JobState::Running
            && job.phase == Phase::Asking;
        if let (true, Some(phone)) = (is_asking, &job.phone) {
            let number = OwnedVariant::from(job.id.get());
            let details = [("job".to_owned(), number)].into_iter().collect();
            add(AttentionKind::Asking, Some(phone), details);
        }
    }
    letters
}

/// Says which letters that were told stand no more, so that nobody need read them.
pub(crate) fn is_over(key: &Key, state: &MirrorState, standing: &BTreeSet<Key>) -> bool {
    let Some(manager) = state.manager() else {
        return false;
    };
    // While the store is not read, nobody knows what is overdue.
    let known = matches!(
        manager.storage_state,
        StorageState::Ok | StorageState::Low | StorageState::Full
    );
    match AttentionKind::parse(&key.kind) {
        // It is told before the phone asks.
        AttentionKind::Asking => !key.job.and_then(|id| state.job(id)).is_some_and(|job| {
            let before = [
                Phase::Queued,
                Phase::Connecting,
                Phase::Preparing,
                Phase::Asking,
            ];
            job.state == JobState::Running && before.contains(&job.phase)
        }),
        AttentionKind::Overdue | AttentionKind::CheckPassword => {
            // After a restart the store's state is told before what it holds of each phone.
            let view = key.phone.as_ref().and_then(|udid| state.phone(udid));
            let is_read = view.is_none_or(|it| it.retired || it.last_backup.is_some());
            known && is_read && !standing.contains(key)
        }
        AttentionKind::StoreTrouble => known && key.phone.is_none() && !standing.contains(key),
        AttentionKind::FailedNeedsYou
        | AttentionKind::DoneAfterGap
        | AttentionKind::MadeRoom
        | AttentionKind::Test
        | AttentionKind::Other(_) => false,
    }
}
