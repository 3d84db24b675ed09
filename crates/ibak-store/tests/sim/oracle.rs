//! What has to be true of a store whatever happened to it (I1 to I6, I9 of store.md).

use crate::device::*;
use crate::fault::FaultFs;
use crate::fs::disk::{Disk, Tree, difference};
use crate::fs::{Rules, SimFs};
use crate::scenarios::{Announced, Promise, Scenario, one, two};
use ibak_core::BackupId;
use ibak_store::fs::Kind;
use ibak_store::{Generation, Store};
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
    pub fn check(&self, disk: Disk, at: usize, rules: Rules) -> Result<(), String> {
        let sim = SimFs::new(disk, rules);
        let (store, recovery) = Store::open_on(sim.clone(), path(), options(5))
            .map_err(|error| format!("it does not open: {error}"))?;
        let list = self.listed(&store, &sim, at)?;
        if recovery.resumable.len() + recovery.rekeyed.len() > 1 {
            return Err(format!("two working copies to go on with: {recovery:?}"));
        }
        let phone = format!("{PATH}/{UDID}");
        if !sim.disk().names(&format!("{phone}/scratch")).is_empty() {
            return Err("something of a reading or a restore stays".to_owned());
        }
        let next = back_up(&store, &two(), at_secs(6))
            .map_err(|error| format!("the next backup fails: {error}"))?;
        let disk = sim.disk();
        if sent(&disk.tree(&home(&next.id))) != *TWO {
            return Err("the next backup holds something else".to_owned());
        }
        if !disk.names(&format!("{phone}/staging")).is_empty() {
            return Err("a working copy stays".to_owned());
        }
        self.unchanged(&disk, &list)?;
        let after = store.list(&udid()).map_err(|error| error.to_string())?;
        let wanted = [list, vec![next]].concat();
        if after != wanted {
            return Err(format!("the list is another: {after:#?} for {wanted:#?}"));
        }
        Ok(())
    }

    /// Every announced backup is listed, and every listed one is whole.
    fn listed(
        &self,
        store: &Store<SimFs>,
        sim: &SimFs,
        at: usize,
    ) -> Result<Vec<Generation>, String> {
        let list = store.list(&udid()).map_err(|error| error.to_string())?;
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
                return Err(format!("announced, and gone: {}", made.id));
            }
            if is_past(done) && is_listed {
                return Err(format!("removed, and there again: {}", made.id));
            }
        }
        if list.len() > known + 1 {
            return Err(format!("{} backups nobody knows", list.len() - known));
        }
        self.unchanged(&sim.disk(), &list)?;
        for made in &list {
            if self.promises.iter().any(|promise| &promise.made == made) {
                continue;
            }
            let report = verify(store, made);
            if !report.is_good() {
                return Err(format!("listed, and not whole: {report:?}"));
            }
            let files = sent(&sim.disk().tree(&home(&made.id)));
            if !self.contents.contains(&&files) {
                return Err("a whole backup of something else".to_owned());
            }
        }
        // Which are verified, and when.
        store.list(&udid()).map_err(|error| error.to_string())
    }

    fn unchanged(&self, disk: &Disk, list: &[Generation]) -> Result<(), String> {
        for (promise, tree) in self.promises.iter().zip(&self.trees) {
            if list.contains(&promise.made)
                && let Some(path) = difference(tree, &disk.tree(&home(&promise.made.id)))
            {
                return Err(format!("{}: {path} is another", promise.made.id));
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
