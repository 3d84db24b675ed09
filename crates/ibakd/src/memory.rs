//! What the daemon remembers beside the backups themselves: a small JSON file, written whole or not at all.
//!
//! Losing it loses no backup: settings fall back to their defaults and are learnt again. It is
//! written by a thread of its own: while a backup keeps the disk busy a sync takes long, and the
//! loop must not wait for it.

mod disk;
mod writer;

pub use disk::Settings;

use disk::Contents;
use ibak_core::{HouseMemory, JobId, PhoneMemory, Udid, Wall};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tracing::warn;
use writer::Writer;

/// How far behind the last start's first job id the next start begins at least.
const JOB_ID_BLOCK: u64 = 1_000;
/// Largest file taken for a memory, in bytes.
const LEN_MAX: u64 = 4 << 20;

/// The file and what is in it.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    contents: Contents,
    writer: Writer,
}

impl Memory {
    /// Reads the memory at `path`; an absent one is empty, an unreadable one is set aside and said.
    ///
    /// # Errors
    /// When the file exists and can neither be read nor be set aside, or no thread can be had.
    pub fn load(path: PathBuf) -> io::Result<Self> {
        let contents = match read_bounded(&path).and_then(|text| Ok(serde_json::from_str(&text)?)) {
            Ok(contents) => contents,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
            Err(error) if is_damage(&error) => {
                let aside = path.with_extension("damaged");
                warn!(%error, path = %path.display(), aside = %aside.display(), "the daemon's memory is damaged: set aside, settings start afresh");
                std::fs::rename(&path, &aside)?;
                Contents::default()
            }
            Err(error) => return Err(error),
        };
        let writer = Writer::start(path.clone())?;
        Ok(Self {
            path,
            contents,
            writer,
        })
    }

    /// Reads what is kept about every phone, and what people set for it, and changes nothing: for
    /// whoever is not the daemon.
    ///
    /// # Errors
    /// When the file is not there, cannot be read or is damaged.
    pub fn peek(path: &Path) -> io::Result<(Vec<PhoneMemory>, BTreeMap<Udid, Settings>)> {
        let contents: Contents = serde_json::from_str(&read_bounded(path)?)?;
        Ok((contents.recall_phones(), contents.recall_settings()))
    }

    /// Returns a wait for all that was given to be kept until here; `None` when it is.
    pub fn unwritten(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.writer.unwritten()
    }

    /// Returns this start's first job id: milliseconds since 1970, or behind the last start's block.
    ///
    /// A daemon makes far fewer jobs than a thousand a second, so no start repeats an id, not even
    /// after the memory was lost, and not even after the clock went back while it was kept.
    ///
    /// # Errors
    /// When the new counter cannot be written: then no id may be given out.
    pub fn reserve_job_ids(&mut self, now: Wall) -> io::Result<JobId> {
        let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        let first = self.contents.next_job.max(millis).max(1);
        self.contents.next_job = first.saturating_add(JOB_ID_BLOCK);
        // At the start, before anything else is written.
        write_whole(&self.path, &self.text()?)?;
        Ok(JobId::new(first))
    }

    /// Returns what was kept about every phone.
    pub fn phones(&self) -> Vec<PhoneMemory> {
        self.contents.recall_phones()
    }

    /// Returns what people set for each phone, as it was kept.
    pub fn settings(&self) -> BTreeMap<Udid, Settings> {
        self.contents.recall_settings()
    }

    /// Keeps what people set for a phone, in place of what was kept before.
    ///
    /// # Errors
    /// As [`Memory::remember`].
    pub fn set_settings(&mut self, phone: &Udid, settings: Settings) -> io::Result<()> {
        let phone = phone.as_str().to_owned();
        if settings.is_empty() {
            self.contents.settings.remove(&phone);
        } else {
            self.contents.settings.insert(phone, settings);
        }
        self.save()
    }

    /// Returns what was kept about the house.
    pub fn house(&self) -> HouseMemory {
        self.contents.house.recall()
    }

    /// Keeps this about a phone, in place of what was kept before.
    ///
    /// # Errors
    /// When it cannot be put into words; what the disk says to them is logged.
    pub fn remember(&mut self, phone: &PhoneMemory) -> io::Result<()> {
        self.contents
            .phones
            .insert(phone.phone.as_str().to_owned(), disk::Phone::keep(phone));
        self.save()
    }

    /// Forgets a phone; whether its pairing may be taken over stays as it is.
    ///
    /// # Errors
    /// As [`Memory::remember`].
    pub fn forget(&mut self, phone: &Udid) -> io::Result<()> {
        let known = self.contents.phones.remove(phone.as_str()).is_some();
        let set = self.contents.settings.remove(phone.as_str()).is_some();
        if known || set { self.save() } else { Ok(()) }
    }

    /// Keeps this about the house, in place of what was kept before.
    ///
    /// # Errors
    /// When it cannot be put into words; what the disk says to them is logged.
    pub fn remember_house(&mut self, house: &HouseMemory) -> io::Result<()> {
        self.contents.house = disk::House::keep(house);
        self.save()
    }

    /// Returns the uuid of the store once seen at `path`: an empty folder there is an unmounted disk.
    pub fn store_uuid(&self, path: &Path) -> Option<&str> {
        self.contents.store_uuids.get(path).map(String::as_str)
    }

    /// Remembers the uuid of the store at `path`.
    ///
    /// # Errors
    /// As [`Memory::remember`].
    pub fn set_store_uuid(&mut self, path: &Path, uuid: &str) -> io::Result<()> {
        if self.store_uuid(path) == Some(uuid) {
            return Ok(());
        }
        self.contents
            .store_uuids
            .insert(path.to_owned(), uuid.to_owned());
        self.save()
    }

    /// Says whether usbmuxd's pairing of this phone may become ours.
    pub fn may_import(&self, phone: &Udid) -> bool {
        !self.contents.unpaired.contains(phone.as_str())
    }

    /// Remembers whether usbmuxd's pairing of this phone may become ours.
    ///
    /// # Errors
    /// As [`Memory::remember`].
    pub fn set_import(&mut self, phone: &Udid, may: bool) -> io::Result<()> {
        let changed = if may {
            self.contents.unpaired.remove(phone.as_str())
        } else {
            self.contents.unpaired.insert(phone.as_str().to_owned())
        };
        if changed { self.save() } else { Ok(()) }
    }

    fn save(&self) -> io::Result<()> {
        self.writer.write(self.text()?);
        Ok(())
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(&self.contents)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Replaces the file as a whole or not at all; durable when this returns.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    std::fs::File::open(parent)?.sync_all()
}

/// Says whether it is the text that is bad, not the reading of it.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
    )
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > LEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is too large for a memory",
        ));
    }
    io::Read::read_to_string(&mut io::Read::take(file, LEN_MAX), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibak_core::{
        Asking, AttentionKind, Automatic, Bytes, Calendar, Failure, Identity, JobResult, LastAsked,
        LastResult, Pause, Told, Topic, Udid,
    };

    fn phone() -> PhoneMemory {
        PhoneMemory {
            phone: Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
            identity: Some(Identity {
                name: "Ada's iPhone".into(),
                product_type: "iPhone14,5".into(),
                os_version: "15.6".into(),
            }),
            automatic: Some(Automatic::Off),
            quota: Some(Bytes::from_gib(200)),
            retired: true,
            passcode_learned: Some(Asking::Never),
            asked: Some(LastAsked {
                at: Wall::from_secs(9),
                day: ibak_core::Day(20_000),
                count: 1,
            }),
            lock_ever_seen: true,
            last_result: Some(LastResult {
                result: JobResult::Failed(Failure::NoSpace),
                at: Wall::from_secs(7),
            }),
            password_proved: Some(Wall::from_secs(1_750_000_000)),
            failures: 3,
            not_before: Some(Wall::from_secs(8)),
            first_seen: Wall::from_secs(1),
            last_seen: None,
            data_used: Some(Bytes::new(9)),
            told: vec![Told {
                topic: Topic::of(AttentionKind::Overdue),
                at: Wall::from_secs(5),
            }],
        }
    }

    #[tokio::test]
    async fn what_was_said_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let house = HouseMemory {
            pause: Some(Pause {
                until: Some(Wall::from_secs(99)),
            }),
            told: vec![Told {
                topic: Topic::parse("store-trouble/no-room").unwrap(),
                at: Wall::from_secs(6),
            }],
            calendar: Calendar {
                fired: Some(Wall::from_secs(11)),
                next: None,
            },
        };
        let mut memory = Memory::load(path.clone()).unwrap();
        assert_eq!(
            (memory.phones(), memory.house()),
            (Vec::new(), HouseMemory::default())
        );
        memory.remember(&phone()).unwrap();
        memory.remember_house(&house).unwrap();
        memory.set_store_uuid(Path::new("/srv"), "u1").unwrap();
        let settings = Settings::from([("window".to_owned(), "22:00-08:00".to_owned())]);
        memory
            .set_settings(&phone().phone, settings.clone())
            .unwrap();
        let ended = phone().phone;
        assert!(memory.may_import(&ended));
        memory.set_import(&ended, false).unwrap();
        if let Some(written) = memory.unwritten() {
            written.await;
        }
        assert!(memory.unwritten().is_none());
        let mut again = Memory::load(path.clone()).unwrap();
        assert_eq!(
            Memory::peek(&path).unwrap(),
            (again.phones(), again.settings())
        );
        assert_eq!(again.phones(), [phone()]);
        assert_eq!(again.house(), house);
        let kept = BTreeMap::from([(phone().phone, settings)]);
        assert_eq!(again.settings(), kept);
        assert!(
            !again.may_import(&ended),
            "an ended pairing is not taken back"
        );
        assert_eq!(again.store_uuid(Path::new("/srv")), Some("u1"));
        assert_eq!(again.store_uuid(Path::new("/mnt")), None);
        again.forget(&ended).unwrap();
        assert_eq!((again.phones(), again.settings().len()), (vec![], 0));
    }

    #[test]
    fn job_ids_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let reserve = |at| {
            Memory::load(path.clone())
                .unwrap()
                .reserve_job_ids(Wall::from_secs(at))
                .unwrap()
                .get()
        };
        assert_eq!(reserve(50), 50_000);
        assert_eq!(reserve(50), 50_000 + JOB_ID_BLOCK);
        assert_eq!(reserve(20), 50_000 + 2 * JOB_ID_BLOCK);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reserve(60), 60_000);
    }

    #[test]
    fn a_damaged_memory_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let damages: [&[u8]; 4] = [b"{ not json", b"", b"{\"phones\": 7}", &[0xff, 0xfe]];
        for damage in damages {
            std::fs::write(&path, damage).unwrap();
            let memory = Memory::load(path.clone()).unwrap();
            assert_eq!(memory.phones(), []);
            assert_eq!(
                std::fs::read(path.with_extension("damaged")).unwrap(),
                damage
            );
        }
    }
}
