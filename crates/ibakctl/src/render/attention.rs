//! What people are told unasked: every sentence of it, for `watch`, the desktop and the hooks.

use super::outcome;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{AttentionKind, ConditionReason, JobKind, Outcome};
use ibak_dbus::{Bytes, Lookup, Wall};

/// How much a message presses, in the desktop's three degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It is good to know.
    Low,
    /// Somebody should look today.
    Normal,
    /// It is worth nothing in ten minutes.
    Critical,
}

impl Urgency {
    /// Returns the word for hooks.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }
}

/// A message as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A few words, for a title.
    pub subject: String,
    /// Whole sentences that say what to do.
    pub text: String,
    /// How much it presses.
    pub urgency: Urgency,
}

/// What a message is made of. Names may be shown as they are: whoever fills this in has made them
/// harmless.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a, D> {
    /// What it is about.
    pub kind: &'a AttentionKind,
    /// The phone's name, if it is about one.
    pub name: Option<&'a str>,
    /// How that phone is named on a command line, with a space before it, or nothing.
    pub me: &'a str,
    /// This computer's name.
    pub host: &'a str,
    /// The signal's details.
    pub details: &'a D,
}

impl<D: Lookup> Cause<'_, D> {
    /// Writes the message.
    pub fn message(&self, style: &Style) -> Message {
        let name = self.name();
        let (subject, urgency) = match self.kind {
            AttentionKind::Asking => (format!("{name} asks for its passcode"), Urgency::Critical),
            AttentionKind::FailedNeedsYou => (format!("{name} needs you"), Urgency::Normal),
            AttentionKind::Overdue => (format!("{name} has no fresh backup"), Urgency::Normal),
            AttentionKind::StoreTrouble => ("The backups need you".to_owned(), Urgency::Normal),
            AttentionKind::DoneAfterGap => (format!("{name} is backed up again"), Urgency::Low),
            AttentionKind::MadeRoom => ("Old backups were removed".to_owned(), Urgency::Low),
            AttentionKind::CheckPassword => (
                format!("Is the backup password of {name} still known?"),
                Urgency::Low,
            ),
            AttentionKind::Test => ("A test message of ibak".to_owned(), Urgency::Normal),
            AttentionKind::Other(_) => (format!("About {name}"), Urgency::Normal),
        };
        let text = match self.kind {
            // Whoever holds the phone reads this, and has a minute.
            AttentionKind::Asking => format!(
                "Your phone will now ask for its passcode: {} backup to {}. Enter it, lock it, leave it on the charger.",
                todays(style),
                self.host
            ),
            AttentionKind::FailedNeedsYou
            | AttentionKind::Overdue
            | AttentionKind::StoreTrouble
            | AttentionKind::DoneAfterGap
            | AttentionKind::MadeRoom
            | AttentionKind::CheckPassword
            | AttentionKind::Test
            | AttentionKind::Other(_) => format!("{}.", text::capital(&self.clause(style))),
        };
        Message {
            subject: text::capital(&subject),
            text,
            urgency,
        }
    }

    /// Says it in one line of a log: lower case, no final dot.
    pub fn clause(&self, style: &Style) -> String {
        let (name, me) = (self.name(), self.me);
        match self.kind {
            AttentionKind::Asking => format!(
                "{name} will now ask for its passcode, for {} backup to {}",
                todays(style),
                self.host
            ),
            AttentionKind::FailedNeedsYou => self.failed(),
            AttentionKind::Overdue => self.overdue(style),
            AttentionKind::StoreTrouble => trouble(self.name, me, self.details),
            AttentionKind::DoneAfterGap => match self.details.number("gap-secs") {
                Some(gap @ 1..) => {
                    format!("{name} is backed up again, after {}", text::span(gap))
                }
                Some(0) | None => format!("{name} is backed up again"),
            },
            AttentionKind::MadeRoom => made_room(self.name, self.details),
            AttentionKind::CheckPassword => format!(
                "nobody has shown for long that the backup password of {name} is still known; `ibakctl encryption check{me}` does"
            ),
            AttentionKind::Test => {
                format!("messages about {name} arrive here; nothing needs to be done")
            }
            AttentionKind::Other(word) => format!("{name}: {}", text::escape(word, style)),
        }
    }

    fn name(&self) -> &str {
        self.name.unwrap_or("a phone")
    }

    fn failed(&self) -> String {
        let (name, me) = (self.name(), self.me);
        let result = self.details.text("result").unwrap_or_default();
        let outcome = Outcome::parse(result);
        if let Outcome::Other(_) = outcome {
            return format!(
                "{name} could not be backed up and needs you; `ibakctl why{me}` says more"
            );
        }
        let what = format!("the backup of {name} {}", outcome::phrase(&outcome));
        match outcome::remedy_of(&JobKind::Backup, &outcome, me) {
            Some(remedy) => format!("{what}; what helps: {remedy}"),
            None => format!("{what}; `ibakctl why{me}` says more"),
        }
    }

    fn overdue(&self, style: &Style) -> String {
        let (name, me) = (self.name(), self.me);
        let ago = |at: Wall| u64::try_from(style.seconds_since(at)).ok();
        let last = self.details.time("last-backup").and_then(ago);
        let seen = self.details.time("first-seen").and_then(ago);
        let what = match (last, seen) {
            (Some(gap), _) => format!("{name} has been without a backup for {}", text::span(gap)),
            (None, Some(gap)) => format!(
                "{name} has never been backed up, and has been known for {}",
                text::span(gap)
            ),
            (None, None) => format!("{name} has been without a backup for too long"),
        };
        format!("{what}; `ibakctl why{me}` says why")
    }
}

/// Is the hour from which on people say tonight.
const EVENING: i8 = 17;

/// Says whose backup one is that is made now.
fn todays(style: &Style) -> &'static str {
    if style.now.to_zoned(style.zone.clone()).hour() >= EVENING {
        "tonight's"
    } else {
        "today's"
    }
}

/// Is a reason of a trouble that is no condition's.
const DAMAGE_FOUND: &str = "damage-found";
/// Is another.
const FULL: &str = "full";

fn trouble(name: Option<&str>, me: &str, details: &impl Lookup) -> String {
    let reason = details.text("reason").unwrap_or_default();
    if reason == DAMAGE_FOUND {
        let which = match (details.number("backups"), name) {
            (Some(count @ 1..), Some(name)) => {
                format!("{} of {name}", text::count(count, "backup", "backups"))
            }
            (Some(count @ 1..), None) => text::count(count, "backup", "backups"),
            (Some(0) | None, Some(name)) => format!("a backup of {name}"),
            (Some(0) | None, None) => "a backup".to_owned(),
        };
        return format!(
            "damage was found in {which}; the next backup repairs that, and `ibakctl backups{me}` shows which are good"
        );
    }
    let no_room = ConditionReason::parse(reason) == ConditionReason::NoRoom;
    if let (true, Some(name)) = (no_room, name) {
        let bytes = |key| details.number(key).map(|it| text::bytes(Bytes::new(it)));
        let how_much = match (bytes("needed-bytes"), bytes("free-bytes")) {
            (Some(needed), Some(free)) => format!(": it needs {needed}, and {free} are free"),
            (Some(_) | None, Some(_) | None) => String::new(),
        };
        return format!(
            "the next backup of {name} has no room{how_much}; `ibakctl why{me}` says what to do"
        );
    }
    if reason == FULL {
        return "the store is full; `ibakctl storage` shows what takes the room".to_owned();
    }
    match super::waits::store_trouble(&ConditionReason::parse(reason)) {
        Some(trouble) => {
            format!("the store cannot be used: {trouble}; `ibakctl doctor` says what to do")
        }
        None => "the store needs you; `ibakctl doctor` says more".to_owned(),
    }
}

fn made_room(name: Option<&str>, details: &impl Lookup) -> String {
    let of = name.map_or_else(String::new, |name| format!(" of {name}"));
    let what = match details.number("removed") {
        Some(count @ 1..) => format!(
            "removed {}{of} to make room",
            text::count(count, "old backup", "old backups")
        ),
        Some(0) | None => format!("old backups{of} were removed to make room"),
    };
    match details.number("freed-bytes") {
        Some(freed @ 1..) => format!("{what}; {} came free", text::bytes(Bytes::new(freed))),
        Some(0) | None => what,
    }
}

/// Says that a test message went out, and where to look for it: nobody can know who showed it.
pub fn test_sent(phone: &PhoneView, style: &Style) -> String {
    let name = shown_name(phone, style);
    let channels: Vec<String> = phone
        .notify
        .iter()
        .map(|it| text::escape(it, style))
        .collect();
    let channels = if channels.is_empty() {
        "to every channel".to_owned()
    } else {
        format!("to {}", text::join(&channels))
    };
    format!(
        "A test message about {name} went out {channels}. Whether it arrived cannot be seen from here:\n  \
         the desktop   `systemctl --user status ibak-notify` in the session it is to show up in\n  \
         the hooks     `journalctl -u ibak-hooks -n 20`\n"
    )
}
