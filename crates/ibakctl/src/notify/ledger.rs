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
/// Is how many messages are remembered at most.
const TOLD_MAX: usize = 4_096;
/// Is how large the file may be.
const LEN_MAX: u64 = 4 << 20;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Contents {
    /// Keys as text, and when each was told, in µs since 1970 UTC.
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
            unsaved: false,
        };
        (ledger, error)
    }

    /// Says whether a message is to be told, and counts it as told if so.
    pub(crate) fn take(&mut self, letter: &Letter, now: Wall) -> bool {
        let key = letter.key();
        let Some(again) = again_secs(&key) else {
            return true;
        };
        let text = text_of(&key);
        let told = self.contents.told.get(&text);
        if told.is_some_and(|at| is_fresh(*at, again, now)) {
            return false;
        }
        self.unsaved = true;
        self.contents.told.insert(text, now.as_micros());
        let kept = |at: i64| is_fresh(at, KEPT_SECS, now);
        self.contents.told.retain(|_, at| kept(*at));
        while self.contents.told.len() > TOLD_MAX {
            self.contents.told.pop_first();
        }
        true
    }

    /// Says whether a phone's newest backup is news. The first one seen of a phone is where
    /// counting begins: `last` is `None` while it has none.
    pub(crate) fn take_backup(&mut self, phone: &Udid, last: Option<Wall>) -> bool {
        let last = last.map_or(0, Wall::as_micros);
        match self.contents.backups.get_mut(phone.as_str()) {
            None => {
                self.unsaved = true;
                self.contents.backups.insert(phone.to_string(), last);
                false
            }
            Some(before) => {
                let newer = last > *before;
                self.unsaved |= last != *before;
                // An older one means that the newest was removed.
                *before = last;
                newer
            }
        }
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

fn text_of(key: &Key) -> String {
    let phone = key.phone.as_ref().map(Udid::as_str).unwrap_or_default();
    let job = key.job.map(|job| job.get().to_string()).unwrap_or_default();
    format!("{} {phone} {job}", key.kind)
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
    use zbus::wire::OwnedVariant;

    const HOUR: i64 = 3_600_000_000;

    fn letter(kind: AttentionKind, job: Option<u64>) -> Letter {
        let job = job.map(|it| ("job".to_owned(), OwnedVariant::from(it)));
        let details: Dict = job.into_iter().collect();
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
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        assert!(!ledger.take_backup(&udid, at(5)), "it was there before");
        assert!(!ledger.take_backup(&other, None));
        assert!(ledger.take_backup(&udid, at(29)));
        assert!(ledger.take_backup(&other, at(29)), "its first");
        ledger.save().unwrap();
        let (mut ledger, _) = Ledger::open(Some(dir.path()));
        assert!(!ledger.take_backup(&udid, at(29)));
        assert!(
            ledger.take_backup(&udid, at(53)),
            "made while nobody looked"
        );
        assert!(!ledger.take_backup(&udid, at(29)), "the newest was removed");
        assert!(ledger.take_backup(&udid, at(77)));
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
