//! What was told already, also before a restart: nothing is told twice.
//!
//! The daemon tells each cause at most once a day, and remembers that over its own restarts. What
//! is left are its crash between telling and remembering, and what is read from the state when
//! this program starts. A message counts as told before it is carried out: one that is lost comes
//! again the next day, one that comes twice teaches people to look away.

use super::{Key, Letter};
use ibak_dbus::words::AttentionKind;
use ibak_dbus::{Udid, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Is how long the same message is not told again, a little less than the daemon's day.
const AGAIN_SECS: i64 = 23 * 3_600;
/// Is the same for the question that comes once a week.
const AGAIN_WEEKLY_SECS: i64 = 7 * 86_400 - 3_600;
/// Is the same for a passcode prompt whose backup is not known.
const AGAIN_ASKING_SECS: i64 = 600;
/// Is for how long anything is remembered.
const KEPT_SECS: i64 = 30 * 86_400;
/// Is how far a clock may have gone backwards before what it said counts for nothing.
const SKEW_SECS: i64 = 3_600;
/// Is how often one kind of message about one phone is told in its time, for different reasons.
const REASONS_MAX: usize = 3;
/// Is how much of a reason is remembered, in characters.
const REASON_LEN_MAX: usize = 64;
/// Is how many messages are remembered at most.
const TOLD_MAX: usize = 4_096;
/// Is how large the file may be.
const LEN_MAX: u64 = 4 << 20;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Contents {
    /// Keys and reasons as text, and when each was told, in µs since 1970 UTC.
    told: BTreeMap<String, i64>,
    /// The newest backup that was told, by UDID, in µs since 1970 UTC.
    backups: BTreeMap<String, i64>,
}

/// What was told, and where that is kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    path: Option<PathBuf>,
    contents: Contents,
    unsaved: bool,
    /// Since when, by the present clock, the newest backup told of a phone has lain in the future.
    astray: BTreeMap<Udid, Wall>,
}

impl Ledger {
    /// Reads what was told before from `told.json` in the service's state directory, if it has
    /// one; otherwise only this run is remembered.
    pub(crate) fn open(directory: Option<&Path>) -> (Self, Option<io::Error>) {
        let path = directory.map(|it| it.join("told.json"));
        let (contents, error) = match path.as_deref().map(read) {
            None => (Contents::default(), None),
            Some(Ok(contents)) => (contents, None),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                (Contents::default(), None)
            }
            Some(Err(error)) => (Contents::default(), Some(error)),
        };
        let ledger = Self {
            path,
            contents,
            ..Self::default()
        };
        (ledger, error)
    }

    /// Says whether a message is to be told, and counts it as told if so.
    ///
    /// Another reason makes it another message, a few times. What is read from the state has no
    /// reason: it is the same as any.
    pub(crate) fn take(&mut self, letter: &Letter, now: Wall) -> bool {
        let key = letter.key();
        let Some(again) = again_secs(&key) else {
            return true;
        };
        let (cause, reason) = (text_of(&key), reason_of(letter));
        let (mut count, mut is_same) = (0, false);
        for (text, at) in self.contents.told.range(cause.clone()..) {
            let Some(told) = text.strip_prefix(&cause) else {
                break;
            };
            if is_fresh(*at, again, now) {
                count += 1;
                is_same |= told == reason || told.is_empty() || reason.is_empty();
            }
        }
        if is_same || count >= REASONS_MAX {
            return false;
        }
        self.unsaved = true;
        self.contents
            .told
            .insert(format!("{cause}{reason}"), now.as_micros());
        let kept = |at: i64| is_fresh(at, KEPT_SECS, now);
        self.contents.told.retain(|_, at| kept(*at));
        while self.contents.told.len() > TOLD_MAX {
            self.contents.told.pop_first();
        }
        true
    }

    /// Says whether a phone's newest backup is news. Counting begins when the phone is first seen:
    /// what was finished before is not news. A phone whose backups are not read yet shows none or
    /// an older one; that takes nothing back.
    ///
    /// When the clock was wrong while it was counted, it begins anew by the present clock.
    pub(crate) fn take_backup(&mut self, phone: &Udid, last: Option<Wall>, now: Wall) -> bool {
        let known = self.contents.backups.get(phone.as_str()).copied();
        let Some(known) = known.map(Wall::from_micros) else {
            self.keep_backup(phone, last.map_or(now, |last| last.max(now)));
            return false;
        };
        let begin = if is_to_come(known, now) {
            let since = self.astray.entry(phone.clone()).or_insert(now);
            *since = now.min(*since);
            *since
        } else {
            self.astray.remove(phone);
            known
        };
        match last {
            Some(last) if last != known && last > begin => {
                self.keep_backup(phone, last);
                true
            }
            Some(_) | None => false,
        }
    }

    fn keep_backup(&mut self, phone: &Udid, newest: Wall) {
        self.unsaved = true;
        self.astray.remove(phone);
        let newest = newest.as_micros();
        self.contents.backups.insert(phone.to_string(), newest);
    }

    /// Lists what was told and may have to be taken back.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.contents
            .told
            .keys()
            .filter_map(|text| key_of(text))
            .collect()
    }

    /// Writes down what is new, whole or not at all.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.unsaved) else {
            return Ok(());
        };
        self.unsaved = false;
        let fresh = path.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.contents)?)?;
        std::fs::rename(&fresh, path)
    }
}

fn read(path: &Path) -> io::Result<Contents> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LEN_MAX)
        .read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Is `None` for what is told as often as it comes.
fn again_secs(key: &Key) -> Option<i64> {
    match (AttentionKind::parse(&key.kind), key.job) {
        (AttentionKind::Test, _) => None,
        (AttentionKind::Asking, Some(_)) => Some(KEPT_SECS),
        (AttentionKind::Asking, None) => Some(AGAIN_ASKING_SECS),
        (AttentionKind::CheckPassword, _) => Some(AGAIN_WEEKLY_SECS),
        // A finished backup counts by its date.
        (AttentionKind::Other(word), _) if word == "backup-done" => None,
        (
            AttentionKind::FailedNeedsYou
            | AttentionKind::Overdue
            | AttentionKind::StoreTrouble
            | AttentionKind::DoneAfterGap
            | AttentionKind::MadeRoom
            | AttentionKind::Other(_),
            _,
        ) => Some(AGAIN_SECS),
    }
}

fn is_fresh(at: i64, secs: i64, now: Wall) -> bool {
    let age = now.as_micros().saturating_sub(at).div_euclid(1_000_000);
    (-SKEW_SECS..secs).contains(&age)
}

fn is_to_come(at: Wall, now: Wall) -> bool {
    let ahead = at.as_micros().saturating_sub(now.as_micros());
    ahead > SKEW_SECS * 1_000_000
}

/// Writes a key; the reason comes behind it.
fn text_of(key: &Key) -> String {
    let phone = key.phone.as_ref().map(Udid::as_str).unwrap_or_default();
    let job = key.job.map(|job| job.get().to_string()).unwrap_or_default();
    format!("{} {phone} {job} ", key.kind)
}

/// Returns the reason as one short word; empty without one.
fn reason_of(letter: &Letter) -> String {
    let reason = letter.reason().unwrap_or_default();
    crate::text::bare(reason, REASON_LEN_MAX).replace(' ', "-")
}

fn key_of(text: &str) -> Option<Key> {
    let mut parts = text.split(' ');
    let (kind, phone, job) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Key {
        kind: kind.to_owned(),
        phone: Udid::parse(phone).ok(),
        job: job.parse().ok().map(ibak_dbus::JobId::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::What;
    use ibak_dbus::{Dict, MirrorState};
    use zbus::wire::{OwnedVariant, Str};

    const HOUR: i64 = 3_600_000_000;

    fn letter(kind: AttentionKind, job: Option<u64>) -> Letter {
        let job = job.map(|it| ("job".to_owned(), OwnedVariant::from(it)));
        about(kind, job.into_iter().collect())
    }

    fn because(kind: AttentionKind, key: &str, reason: &str) -> Letter {
        let reason = OwnedVariant::from(Str::from(reason.to_owned()));
        about(kind, [(key.to_owned(), reason)].into_iter().collect())
    }

    fn about(kind: AttentionKind, details: Dict) -> Letter {
        let udid = Udid::parse("00008030-001A2B3C4D5E6F70").unwrap();
        Letter::about(
            What::Attention(kind),
            Some(&udid),
            details,
            &MirrorState::default(),
        )
    }

    #[test]
    fn each_cause_once_a_day_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let start = 1_795_291_200_000_000;
        let at = |hours: i64| Wall::from_micros(start + hours * HOUR);
        let open = || {
            let (ledger, error) = Ledger::open(Some(dir.path()));
            assert!(error.is_none(), "{error:?}");
            ledger
        };
        let overdue = letter(AttentionKind::Overdue, None);
        let mut ledger = open();
        assert!(ledger.take(&overdue, at(0)));
        assert!(!ledger.take(&overdue, at(1)));
        assert!(ledger.take(&letter(AttentionKind::StoreTrouble, None), at(1)));
        ledger.save().unwrap();
        let mut ledger = open();
        assert!(!ledger.take(&overdue, at(20)));
        // The daemon's day is 24 hours.
        assert!(ledger.take(&overdue, at(24)));
        // A clock that was wrong by years silences nobody.
        assert!(ledger.take(&overdue, at(-100_000)));

        for hours in [24, 25] {
            assert!(ledger.take(&letter(AttentionKind::Test, None), at(hours)));
        }
        let check = letter(AttentionKind::CheckPassword, None);
        assert!(ledger.take(&check, at(24)));
        assert!(!ledger.take(&check, at(24 + 6 * 24)));
        assert!(ledger.take(&check, at(24 + 7 * 24)));
    }

    #[test]
    fn another_reason_is_another_message_a_few_times_a_day() {
        let at = |hours: i64| Wall::from_micros(HOUR * (10_000 + hours));
        let failed = |result| because(AttentionKind::FailedNeedsYou, "result", result);
        let mut ledger = Ledger::default();
        assert!(ledger.take(&failed("not-trusted"), at(8)));
        assert!(!ledger.take(&failed("not-trusted"), at(9)));
        assert!(ledger.take(&failed("encryption-required"), at(22)));
        assert!(ledger.take(&failed("setup-unfinished"), at(23)));
        assert!(!ledger.take(&failed("another one"), at(23)), "too many");
        assert!(ledger.take(&failed("not-trusted"), at(32)), "the next day");
        assert!(ledger.keys().iter().all(|key| key.phone.is_some()));

        // The state does not say why; whoever was told why is not told again, nor the other way.
        let trouble = |reason| because(AttentionKind::StoreTrouble, "reason", reason);
        let stands = letter(AttentionKind::StoreTrouble, None);
        assert!(ledger.take(&trouble("store-missing"), at(8)));
        assert!(!ledger.take(&stands, at(9)));
        assert!(ledger.take(&stands, at(40)));
        assert!(!ledger.take(&trouble("store-missing"), at(41)));
    }

    #[test]
    fn each_prompt_is_told_once() {
        let mut ledger = Ledger::default();
        let at = |minutes: i64| Wall::from_micros(HOUR * 10_000 + minutes * HOUR / 60);
        let ask = |job| letter(AttentionKind::Asking, job);
        assert!(ledger.take(&ask(Some(7)), at(0)));
        assert!(!ledger.take(&ask(Some(7)), at(300)));
        assert!(ledger.take(&ask(Some(8)), at(300)));
        assert!(ledger.take(&ask(None), at(300)));
        assert!(!ledger.take(&ask(None), at(305)));
        assert!(ledger.take(&ask(None), at(311)));
        let mut keys = ledger.keys();
        keys.sort();
        let jobs: Vec<_> = keys.iter().map(|key| key.job.map(|id| id.get())).collect();
        assert_eq!(jobs, [None, Some(7), Some(8)]);
    }

    #[test]
    fn a_backup_is_news_once() {
        let dir = tempfile::tempdir().unwrap();
        let udid = Udid::parse("00008030-001A2B3C4D5E6F70").unwrap();
        let other = Udid::parse("00008030-001A2B3C4D5E6F71").unwrap();
        let at = |hour: i64| Some(Wall::from_micros(HOUR * hour));
        let now = Wall::from_micros(HOUR * 20);
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        assert!(
            !ledger.take_backup(&udid, at(5), now),
            "it was there before"
        );
        assert!(!ledger.take_backup(&other, None, now));
        assert!(
            !ledger.take_backup(&other, at(6), now),
            "read later, made before"
        );
        let now = Wall::from_micros(HOUR * 30);
        assert!(ledger.take_backup(&udid, at(29), now));
        assert!(ledger.take_backup(&other, at(29), now), "its first");
        ledger.save().unwrap();
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        for last in [at(29), None, at(29)] {
            assert!(
                !ledger.take_backup(&udid, last, now),
                "a restart of the daemon"
            );
        }
        let now = Wall::from_micros(HOUR * 80);
        assert!(
            ledger.take_backup(&udid, at(53), now),
            "made while nobody looked"
        );
        assert!(
            !ledger.take_backup(&udid, at(29), now),
            "the newest was removed"
        );
        assert!(ledger.take_backup(&udid, at(77), now));
    }

    #[test]
    fn a_clock_that_was_wrong_hides_no_backup_and_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let udid = Udid::parse("00008030-001A2B3C4D5E6F70").unwrap();
        let at = |hour: i64| Wall::from_micros(HOUR * hour);
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        // First seen years ahead; and so was a backup.
        assert!(!ledger.take_backup(&udid, None, at(90_000)));
        assert!(!ledger.take_backup(&udid, None, at(1_000)));
        assert!(ledger.take_backup(&udid, Some(at(1_002)), at(1_002)));
        assert!(ledger.take_backup(&udid, Some(at(90_001)), at(90_001)));
        ledger.save().unwrap();
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        for _ in 0..2 {
            assert!(!ledger.take_backup(&udid, Some(at(90_001)), at(1_010)));
        }
        assert!(ledger.take_backup(&udid, Some(at(1_011)), at(1_012)));
        // A clock that begins in 1970 until somebody tells it the time.
        for last in [None, Some(at(1_011))] {
            assert!(!ledger.take_backup(&udid, last, at(0)));
        }
        assert!(!ledger.take_backup(&udid, Some(at(1_011)), at(1_013)));
        assert!(ledger.take_backup(&udid, Some(at(1_014)), at(1_014)));
    }

    #[test]
    fn a_damaged_file_is_said_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("told.json");
        std::fs::write(&path, "{").unwrap();
        let (mut ledger, error) = Ledger::open(Some(dir.path()));
        assert!(error.is_some());
        assert!(ledger.take(
            &letter(AttentionKind::Overdue, None),
            Wall::from_micros(HOUR)
        ));
        ledger.save().unwrap();
        assert!(Ledger::open(Some(dir.path())).1.is_none());
    }
}
