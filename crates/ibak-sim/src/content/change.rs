//! What happens on a phone between two backups.

use std::collections::BTreeSet;

use super::FIRST_MOMENT;
use super::databases;
use super::fill::Flavor;
use super::rng::{Rng, mix};
use super::tree::{Body, FileKind, Planter, Row, Tree};
use super::{drafts, names};

/// How many files of each kind of change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) touch: u64,
    pub(crate) add: u64,
    pub(crate) delete: u64,
}

/// Applies one change; `added` counts the files added in the whole history.
pub(crate) fn change(tree: &mut Tree, revision: u32, added: &mut u64, amounts: Amounts) {
    let moment = FIRST_MOMENT + revision * 86_400;
    let mut rng = Rng::new(mix(tree.seed, u64::from(revision)));
    delete(tree, &mut rng, amounts.delete);
    touch(tree, &mut rng, moment, amounts.touch);
    add(tree, &mut rng, moment, added, amounts.add);
}

/// Draws `count` of the rows that `eligible` lets through.
fn draw(
    tree: &Tree,
    rng: &mut Rng,
    count: u64,
    eligible: impl Fn(&Row) -> bool,
) -> BTreeSet<usize> {
    let mut candidates: Vec<usize> = tree
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| eligible(row))
        .map(|(at, _)| at)
        .collect();
    let count = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(candidates.len());
    for at in 0..count {
        let other = at + usize::try_from(rng.below((candidates.len() - at) as u64)).unwrap_or(0);
        candidates.swap(at, other);
    }
    candidates.into_iter().take(count).collect()
}

const fn is_plain_file(row: &Row) -> bool {
    matches!(row.body, Body::Bytes(_) | Body::Preferences)
}

fn delete(tree: &mut Tree, rng: &mut Rng, count: u64) {
    let gone = draw(tree, rng, count, is_plain_file);
    let mut at = 0;
    tree.rows.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
}

fn touch(tree: &mut Tree, rng: &mut Rng, moment: u32, count: u64) {
    let databases = draw(tree, rng, count, |row| {
        matches!(row.body, Body::Database { .. })
    });
    let others = draw(tree, rng, count - databases.len() as u64, is_plain_file);
    for at in databases.into_iter().chain(others) {
        if let Some(row) = tree.rows.get_mut(at) {
            touch_row(row, moment, rng);
        }
    }
}

fn touch_row(row: &mut Row, moment: u32, rng: &mut Rng) {
    row.version += 1;
    row.modified = moment + u32::try_from(rng.below(80_000)).unwrap_or(0);
    match &mut row.body {
        Body::Database {
            schema,
            key,
            rows,
            bytes,
        } => {
            *rows += 1;
            match databases::build(*schema, *key, *rows) {
                Ok(built) => *bytes = built,
                Err(error) => {
                    tracing::error!(path = %row.path, %error, "a database could not be changed")
                }
            }
            row.size = bytes.len() as u64;
        }
        Body::Bytes(_) | Body::Preferences => {
            if rng.below(2) == 0 && row.size > super::preferences::SMALLEST {
                let step = 1 + rng.below(row.size / 20 + 1);
                row.size += step;
            }
        }
        Body::Directory | Body::Link(_) => {}
    }
}

/// New photos, message attachments and preferences, of the sizes the phone already has.
fn add(tree: &mut Tree, rng: &mut Rng, moment: u32, added: &mut u64, count: u64) {
    let files = tree
        .rows
        .iter()
        .filter(|row| row.kind() == FileKind::Regular)
        .count() as u64;
    let mean = tree.bytes() / files.max(1);
    let mut planter = Planter::new(tree, moment);
    let mut left = count;
    while left > 0 {
        *added += 1;
        let n = *added;
        let size = mean / 4 + rng.below(mean + 1);
        let new = match n % 3 {
            0 => {
                let domain = planter.domain("HomeDomain", names::root_of("HomeDomain"));
                let path = format!("Library/Preferences/com.apple.added.{n}.plist");
                planter.file(
                    domain,
                    &path,
                    Body::Preferences,
                    size.max(super::preferences::SMALLEST),
                )
            }
            1 => {
                let domain = planter.domain("CameraRollDomain", names::root_of("CameraRollDomain"));
                let path = format!(
                    "Media/DCIM/{}APPLE/IMG_{:04}.HEIC",
                    900 + n / 10_000,
                    n % 10_000
                );
                planter.file(domain, &path, Body::Bytes(Flavor::Heic), size)
            }
            _ => {
                let domain = planter.domain("MediaDomain", names::root_of("MediaDomain"));
                let path = drafts::attachment(rng, n);
                planter.file(domain, &path, Body::Bytes(Flavor::Jpeg), size)
            }
        };
        left -= u64::from(new);
    }
}
