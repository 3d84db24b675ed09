//! What has to be true of a store whatever happened to it (I1 to I6, I9 of store.md).

use crate::device::*;
use crate::fault::FaultFs;
use crate::fs::disk::{Disk, Tree, difference};
use crate::fs::{Rules, SimFs};
use crate::scenarios::{Announced, Promise, Scenario, one, two};
use ibak_core::BackupId;
use ibak_store::fs::Kind;
use ibak_store::{Generation, Store, StoreError};
use std::path::Path;
use std::sync::LazyLock;

pub const PATH: &str = "/store";

/// What is noted of the world when a backup is announced.
#[derive(Clone)]
pub struct Seen {
    /// How much of the journal had been written.
    pub at: usize,
    pub disk: Disk,
}

pub type Told = Announced<Seen>;
pub type SimScenario = Scenario<SimFs, Seen>;
pub type Faulty = FaultFs<SimFs>;

pub fn path() -> &'static Path {
    Path::new(PATH)
}

pub fn looking(sim: &SimFs) -> impl Fn() -> Seen + 'static {
    let sim = sim.clone();
    move || Seen {
        at: sim.noted(),
        disk: sim.disk(),
    }
}

/// The state a scenario begins in.
pub fn stage(scenario: &SimScenario, rules: Rules) -> (Disk, Told) {
    let sim = SimFs::new(Disk::new(), rules);
    let mut told = Told::new(looking(&sim));
    (scenario.before)(path(), &sim, &mut told);
    let mut disk = sim.disk();
    disk.collect();
    (disk, told)
}

pub fn home(id: &BackupId) -> String {
    format!("{PATH}/{UDID}/gens/{id}")
}

/// What is wrong with a store, and the case in hand.
#[derive(Clone, Debug)]
pub struct Wrong {
    pub what: &'static str,
    pub detail: String,
}

fn wrong<T>(what: &'static str, detail: impl std::fmt::Debug) -> Result<T, Wrong> {
    let detail = format!("{detail:?}");
    Err(Wrong { what, detail })
}

trait OrWrong<T> {
    fn or_wrong(self, what: &'static str) -> Result<T, Wrong>;
}

impl<T> OrWrong<T> for Result<T, StoreError> {
    fn or_wrong(self, what: &'static str) -> Result<T, Wrong> {
        self.or_else(|error| wrong(what, error))
    }
}

/// What has to be there, and what may be.
pub struct Expected<'a> {
    pub promises: &'a [Promise<Seen>],
    trees: Vec<Tree>,
    /// What a backup that nobody was told of may hold.
    contents: [&'static Files; 2],
}

static ONE: LazyLock<Files> = LazyLock::new(|| one().backup());
static TWO: LazyLock<Files> = LazyLock::new(|| two().backup());

impl<'a> Expected<'a> {
    /// Takes the backups as they were when they were announced, after making sure that they
    /// held what the phone had sent.
    pub fn new(promises: &'a [Promise<Seen>]) -> Self {
        let mut trees = Vec::new();
        for promise in promises {
            let tree = promise.when.disk.tree(&home(&promise.made.id));
            assert_eq!(sent(&tree), promise.files, "{}", promise.made.id);
            trees.push(tree);
        }
        Self {
            promises,
            trees,
            contents: [&ONE, &TWO],
        }
    }

    /// Checks a disk on which all up to `at` happened.
    pub fn check(&self, disk: Disk, at: usize, rules: Rules) -> Result<(), Wrong> {
        let sim = SimFs::new(disk, rules);
        let (store, recovery) =
            Store::open_on(sim.clone(), path(), options(5)).or_wrong("it does not open")?;
        let list = self.listed(&store, &sim, at)?;
        if recovery.resumable.len() + recovery.rekeyed.len() > 1 {
            return wrong("two working copies to go on with", recovery);
        }
        let phone = format!("{PATH}/{UDID}");
        if !sim.disk().names(&format!("{phone}/scratch")).is_empty() {
            return wrong("something of a reading or a restore stays", recovery);
        }
        let next = back_up(&store, &two(), at_secs(6)).or_wrong("the next backup fails")?;
        let disk = sim.disk();
        if sent(&disk.tree(&home(&next.id))) != *TWO {
            return wrong("the next backup holds something else", next);
        }
        if !disk.names(&format!("{phone}/staging")).is_empty() {
            return wrong("a working copy stays", recovery);
        }
        self.unchanged(&disk, &list)?;
        let after = store.list(&udid()).or_wrong("it cannot be listed")?;
        let wanted = [list, vec![next]].concat();
        if after != wanted {
            return wrong("the list is another", (after, wanted));
        }
        Ok(())
    }

    /// Every announced backup is listed, and every listed one is whole.
    fn listed(
        &self,
        store: &Store<SimFs>,
        sim: &SimFs,
        at: usize,
    ) -> Result<Vec<Generation>, Wrong> {
        let list = store.list(&udid()).or_wrong("it cannot be listed")?;
        let mut known = 0;
        for Promise {
            made,
            when,
            removed: (begun, done),
            ..
        } in self.promises
        {
            let is_listed = list.contains(made);
            known += usize::from(is_listed);
            let is_past = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.at <= at);
            if when.at <= at && !is_past(begun) && !is_listed {
                return wrong("announced, and gone", &made.id);
            }
            if is_past(done) && is_listed {
                return wrong("removed, and there again", &made.id);
            }
        }
        if list.len() > known + 1 {
            return wrong("two backups that nobody was told of", list);
        }
        self.unchanged(&sim.disk(), &list)?;
        for made in &list {
            if self.promises.iter().any(|promise| &promise.made == made) {
                continue;
            }
            let report = verify(store, made);
            if !report.is_good() {
                return wrong("listed, and not whole", report);
            }
            let files = sent(&sim.disk().tree(&home(&made.id)));
            if !self.contents.contains(&&files) {
                return wrong("a whole backup of something else", made);
            }
        }
        // Which are verified, and when.
        store.list(&udid()).or_wrong("it cannot be listed")
    }

    fn unchanged(&self, disk: &Disk, list: &[Generation]) -> Result<(), Wrong> {
        for (promise, tree) in self.promises.iter().zip(&self.trees) {
            if list.contains(&promise.made)
                && let Some(path) = difference(tree, &disk.tree(&home(&promise.made.id)))
            {
                return wrong("changed", (&promise.made.id, path));
            }
        }
        Ok(())
    }
}

fn at_secs(secs: u64) -> ibak_core::Now {
    at(secs)
}

/// What lies in the MobileSync directory of a backup.
fn sent(tree: &Tree) -> Files {
    let inside = format!("{UDID}/");
    tree.iter()
        .filter(|(_, (kind, ..))| *kind == Kind::Regular)
        .filter_map(|(path, (_, _, _, bytes))| {
            let path = path.strip_prefix(&inside)?;
            Some((path.to_owned(), bytes.bytes.clone()))
        })
        .collect()
}

/// Whether everything is to be tried, or a part of it.
pub fn is_slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some()
}
