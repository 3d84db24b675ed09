//! Rows of `ListStorage`.

use crate::dict::{Dict, Lookup, Writer};
use ibak_core::{Bytes, Udid, Wall};

/// What one phone, or the whole store, uses: a row of `ListStorage`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageView {
    /// `phone`: its UDID; `None` is the row of the whole store.
    pub phone: Option<Udid>,
    /// `used-bytes`: what it takes on the disk, shared blocks once.
    pub used: Bytes,
    /// `quota-bytes`: the most it may take; `None` without a quota.
    pub quota: Option<Bytes>,
    /// `left-bytes`: what may still be written for it, quotas and the reserve counted.
    pub left: Bytes,
    /// `full`: when that is used up if it goes on as of late; `None` if nobody can say.
    pub full: Option<Wall>,
    /// `backups`: how many there are.
    pub backups: u64,
    /// `damaged`: how many of them were found damaged.
    pub damaged: u64,
    /// `oldest`: when the oldest of them was made.
    pub oldest: Option<Wall>,
    /// `newest`: when the newest of them was made.
    pub newest: Option<Wall>,
    /// `read`: since when each of them was read again; `None` without backups.
    pub read: Option<Wall>,
    /// `trash`: things that were removed and still take room, in the row of the whole store.
    pub trash: u64,
    /// `retired`: its backups are kept, and no further ones made or missed.
    pub retired: bool,
}

impl StorageView {
    /// Reads a row.
    pub fn from_dict(dict: &impl Lookup) -> Self {
        let number = |key| dict.number(key).unwrap_or(0);
        Self {
            phone: dict.text("phone").and_then(|udid| Udid::parse(udid).ok()),
            used: Bytes::new(number("used-bytes")),
            quota: dict.number("quota-bytes").map(Bytes::new),
            left: Bytes::new(number("left-bytes")),
            full: dict.time("full"),
            backups: number("backups"),
            damaged: number("damaged"),
            oldest: dict.time("oldest"),
            newest: dict.time("newest"),
            read: dict.time("read"),
            trash: number("trash"),
            retired: dict.flag("retired").unwrap_or(false),
        }
    }

    /// Writes a row; an absent phone and quota are left out.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text_if("phone", self.phone.as_ref().map(Udid::as_str))
            .number("used-bytes", self.used.get())
            .number_if("quota-bytes", self.quota.map(Bytes::get))
            .number("left-bytes", self.left.get())
            .time("full", self.full)
            .number("backups", self.backups)
            .number("damaged", self.damaged)
            .time("oldest", self.oldest)
            .time("newest", self.newest)
            .time("read", self.read)
            .number("trash", self.trash)
            .flag("retired", self.retired)
            .done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_as_written() {
        let row = StorageView {
            phone: Some(Udid::parse("00008110-000A1B2C3D4E5F60").unwrap()),
            used: Bytes::from_gib(288),
            quota: Some(Bytes::from_gib(500)),
            left: Bytes::from_gib(212),
            full: Some(Wall::from_secs(1_767_225_600)),
            backups: 27,
            damaged: 1,
            oldest: Some(Wall::from_secs(1_700_000_000)),
            newest: Some(Wall::from_secs(1_763_691_240)),
            read: Some(Wall::from_secs(1_763_000_000)),
            trash: 2,
            retired: true,
        };
        assert_eq!(StorageView::from_dict(&row.to_dict()), row);
        let whole = StorageView::default();
        assert_eq!(StorageView::from_dict(&whole.to_dict()), whole);
    }
}
