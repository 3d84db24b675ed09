//! What has to be true of a store whatever happened to it (I1 to I6, I9 of store.md).

use crate::chores::{beside, copy, theirs};
use crate::device::*;
use crate::fault::FaultFs;
use crate::fs::disk::{BLOCK, Disk, Tree, difference};
use crate::fs::{Rules, SimFs};
use crate::scenarios::{Announced, Deed, Promise, Scenario, What, one, two};
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
impl Told {
    /// What had been told when a crash came, as seen from after it.
    pub fn as_of(&self, at: usize) -> Self {
        let seen = |seen: &Seen| Seen {
            at: if seen.at <= at { 0 } else { usize::MAX },
            disk: seen.disk.clone(),
        };
        let mut told = Self::new(|| panic!("nothing more is told"));
        for promise in &self.promises {
            let mut promise = promise.clone();
            promise.when = seen(&promise.when);
            for deed in &mut promise.deeds {
                deed.begun = seen(&deed.begun);
                deed.done = deed.done.as_ref().map(seen);
            }
            told.promises.push(promise);
        }
        told.copied = self.copied.as_ref().map(seen);
        told
    }
}

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

fn home(store: &Path, id: &BackupId) -> String {
    format!("{}/{UDID}/gens/{id}", store.display())
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
    told: &'a Told,
    trees: Vec<Tree>,
    /// What a backup that nobody was told of may hold.
    contents: [&'static Files; 3],
}

static ONE: LazyLock<Files> = LazyLock::new(|| one().backup());
static TWO: LazyLock<Files> = LazyLock::new(|| two().backup());
static THEIRS: LazyLock<Files> = LazyLock::new(theirs);

impl<'a> Expected<'a> {
    /// Takes the backups as they were when they were announced, after making sure that they
    /// held what the phone had sent.
    pub fn new(told: &'a Told) -> Self {
        let mut trees = Vec::new();
        for promise in &told.promises {
            let tree = promise.when.disk.tree(&home(path(), &promise.made.id));
            let found = sent(&tree);
            assert_eq!(found, promise.files, "{}", promise.made.id);
            trees.push(tree);
        }
        Self {
            told,
            trees,
            contents: [&ONE, &TWO, &THEIRS],
        }
    }

    /// How many events there were up to `at`: the same disk may be right before one and wrong
    /// after it.
    pub fn due(&self, at: usize) -> usize {
        let deeds = |promise: &'a Promise<Seen>| {
            let seen = |deed: &'a Deed<Seen>| [Some(&deed.begun), deed.done.as_ref()];
            [Some(&promise.when)]
                .into_iter()
                .chain(promise.deeds.iter().flat_map(seen))
        };
        let events = self.told.promises.iter().flat_map(deeds);
        let events = events.chain([self.told.copied.as_ref()]).flatten();
        events.filter(|seen| seen.at <= at).count()
    }

    /// Checks a disk on which all up to `at` happened.
    pub fn check(&self, disk: Disk, at: usize, rules: Rules) -> Result<(), Wrong> {
        let sim = SimFs::new(disk, rules);
        if let Some(copied) = &self.told.copied {
            self.check_copy(&SimFs::new(sim.disk(), rules), copied.at <= at)?;
        }
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
        if sent(&disk.tree(&home(path(), &next.id))) != *TWO {
            return wrong("the next backup holds something else", next);
        }
        if !disk.names(&format!("{phone}/staging")).is_empty() {
            return wrong("a working copy stays", recovery);
        }
        self.unchanged(&disk, path(), &list)?;
        let after = store.list(&udid()).or_wrong("it cannot be listed")?;
        let wanted = [list, vec![next]].concat();
        if after.iter().map(lasting).ne(wanted.iter().map(lasting)) {
            return wrong("the list is another", (after, wanted));
        }
        let used = store.used(&udid()).or_wrong("its use cannot be told")?;
        let taken = sim.disk().blocks_below(&phone) * BLOCK as u64;
        if used != taken {
            return wrong("it counts its use wrongly", (used, taken));
        }
        Ok(())
    }

    /// A copy that was finished is a store with everything in it; one that was not can be.
    fn check_copy(&self, sim: &SimFs, is_done: bool) -> Result<(), Wrong> {
        if !is_done {
            let (store, _) =
                Store::open_on(sim.clone(), path(), options(5)).or_wrong("it does not open")?;
            copy(&store, sim, path()).or_wrong("it cannot be copied any more")?;
        }
        let place = beside(path());
        let (store, recovery) =
            Store::open_on(sim.clone(), &place, options(5)).or_wrong("the copy does not open")?;
        let list = store.list(&udid()).or_wrong("the copy cannot be listed")?;
        let promised = self.told.promises.iter().map(|promise| &promise.made);
        if list.iter().map(lasting).ne(promised.map(lasting)) {
            return wrong("the copy has another list", list);
        }
        if recovery.resumable.len() != 1 {
            return wrong("the copy lacks the working copy", recovery);
        }
        self.unchanged(&sim.disk(), &place, &list)
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
        for promise in &self.told.promises {
            let found = list.iter().find(|found| found.id == promise.made.id);
            known += usize::from(found.is_some());
            kept(promise, found, at)?;
        }
        if list.len() > known + 1 {
            return wrong("two backups that nobody was told of", list);
        }
        self.unchanged(&sim.disk(), path(), &list)?;
        for made in &list {
            let mut promised = self.told.promises.iter();
            if promised.any(|promise| promise.made.id == made.id) {
                continue;
            }
            let report = verify(store, made);
            if !report.is_good() {
                return wrong("listed, and not whole", report);
            }
            let files = sent(&sim.disk().tree(&home(path(), &made.id)));
            if !self.contents.contains(&&files) {
                return wrong("a whole backup of something else", made);
            }
        }
        // Which are verified, and when.
        store.list(&udid()).or_wrong("it cannot be listed")
    }

    fn unchanged(&self, disk: &Disk, store: &Path, list: &[Generation]) -> Result<(), Wrong> {
        for (promise, tree) in self.told.promises.iter().zip(&self.trees) {
            let id = &promise.made.id;
            let Some(found) = list.iter().find(|found| found.id == *id) else {
                continue;
            };
            if let Some(path) = difference(tree, &disk.tree(&home(store, id)), &found.damaged) {
                return wrong("changed", (id, path));
            }
        }
        Ok(())
    }
}

/// Whether a backup is there, or is not, and says of itself what it has to.
fn kept(promise: &Promise<Seen>, found: Option<&Generation>, at: usize) -> Result<(), Wrong> {
    let made = &promise.made;
    let deed = |what| promise.deeds.iter().find(|deed| deed.what == what);
    let begun = |what| deed(what).is_some_and(|deed| deed.begun.at <= at);
    let done = |what| {
        let done = deed(what).and_then(|deed| deed.done.as_ref());
        done.is_some_and(|done| done.at <= at)
    };
    let Some(found) = found else {
        if promise.when.at <= at && !begun(What::Removed) {
            return wrong("announced, and gone", &made.id);
        }
        return Ok(());
    };
    if done(What::Removed) {
        return wrong("removed, and there again", &made.id);
    }
    if lasting(found) != lasting(made) {
        return wrong("another record", (found, made));
    }
    // What is adopted is pinned before it is there.
    let must = done(What::Pinned) || made.adopted;
    if found.pinned != must && (must || !begun(What::Pinned)) {
        return wrong("pinned or not", found);
    }
    if done(What::Marked) && (found.verified || found.damaged.is_empty()) {
        return wrong("its damage is forgotten", found);
    }
    if !found.verified && !begun(What::Marked) {
        return wrong("taken for damaged", found);
    }
    Ok(())
}

/// What never changes of a backup: the rest is found out or asked for later.
fn lasting(made: &Generation) -> Generation {
    Generation {
        verified: true,
        checked: None,
        damaged: Vec::new(),
        pinned: false,
        guarded: false,
        ..made.clone()
    }
}

fn at_secs(secs: u64) -> ibak_core::Now {
    at(secs)
}

/// What lies in the MobileSync directory of a backup.
fn sent(tree: &Tree) -> Files {
    let inside = format!("{UDID}/");
    tree.iter()
        .filter(|(_, leaf)| leaf.kind == Kind::Regular)
        .filter_map(|(path, leaf)| {
            let path = path.strip_prefix(&inside)?;
            Some((path.to_owned(), leaf.bytes.bytes.clone()))
        })
        .collect()
}

/// Whether everything is to be tried, or a part of it.
pub fn is_slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some()
}
