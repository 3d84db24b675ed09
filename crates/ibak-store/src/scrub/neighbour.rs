//! What was read already in this pass, and what of it a backup shares.

use super::{Pass, go_on};
use crate::error::StoreError;
use crate::fs::{Fs, Stat};
use crate::index::{IndexEntry, IndexReader};
use crate::marks::{Findings, Stats};
use crate::record::CommitRecord;
use crate::verify::whole_tree;
use ibak_core::BackupId;

/// Neighbours looked at for each file at most.
const NEIGHBOURS_MAX: usize = 6;

/// A backup that was read in this pass and may share files with the one being read.
pub(super) struct Neighbour<'a, F: Fs> {
    id: BackupId,
    stats: Stats<'a, F>,
    index: IndexReader,
    damaged: Findings,
    since_unix_us: i64,
}

impl<F: Fs> Pass<'_, F> {
    /// Opens what was read in this pass and may share files with a backup: those next to it in
    /// time, the one it was cloned from, and those cloned from it.
    pub(super) fn neighbours<'f>(
        &self,
        fs: &'f F,
        id: &BackupId,
        record: &CommitRecord,
    ) -> Result<Vec<Neighbour<'f, F>>, StoreError> {
        let checks = self.phone.checks()?;
        let done = || self.state.done.iter().filter(|(_, done)| done.is_whole);
        let newer = done().find(|(other, _)| other.as_str() > id.as_str());
        let older = done().rfind(|(other, _)| other.as_str() < id.as_str());
        let kin = done().filter(|(other, done)| {
            record.parent.as_ref() == Some(*other) || done.parent.as_deref() == Some(id.as_str())
        });
        let mut neighbours: Vec<Neighbour<'f, F>> = Vec::new();
        for (other, done) in newer
            .into_iter()
            .chain(older)
            .chain(kin)
            .take(NEIGHBOURS_MAX)
        {
            let Ok(other) = BackupId::parse(other) else {
                continue;
            };
            if neighbours.iter().any(|known| known.id == other) {
                continue;
            }
            // Removed meanwhile, or not to be opened: then nothing is taken from it.
            let opened = self.phone.generation(&other).and_then(|(dir, record)| {
                let index = IndexReader::open(fs, &dir)?;
                Ok((whole_tree(fs, &dir, &record, |_| true, &mut go_on)?, index))
            });
            let Ok((Ok(tree), index)) = opened else {
                continue;
            };
            let check = checks.checks.get(other.as_str());
            neighbours.push(Neighbour {
                stats: Stats::new(fs, tree),
                index,
                damaged: check
                    .iter()
                    .flat_map(|check| check.damaged.iter().cloned())
                    .collect(),
                since_unix_us: done.since_unix_us,
                id: other,
            });
        }
        Ok(neighbours)
    }
}

/// Returns since when a file counts as read, if a neighbour has the very same one and that is good.
pub(super) fn taken<F: Fs>(
    neighbours: &mut [Neighbour<'_, F>],
    entry: &IndexEntry,
    stat: &Stat,
) -> Result<Option<i64>, StoreError> {
    if stat.links < 2 {
        return Ok(None);
    }
    for neighbour in neighbours {
        let same = matches!(neighbour.stats.stat(&entry.path), Ok(twin)
            if (twin.device, twin.inode) == (stat.device, stat.inode));
        if same
            && neighbour.index.seek(&entry.path)?.as_ref() == Some(entry)
            && !neighbour.damaged.contains(&entry.path)
        {
            return Ok(Some(neighbour.since_unix_us));
        }
    }
    Ok(None)
}
