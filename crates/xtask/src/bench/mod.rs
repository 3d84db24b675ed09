//! `cargo xtask bench`: how fast a backup is, next to Debian's `idevicebackup2`, with the same
//! simulated phone, on the same file system, one right after the other.
//!
//! It measures and never judges: no time makes it fail. What does make it fail is a backup that is
//! not what the phone holds, so that no figure is that of a failure. docs/bench.md says how to read
//! the figures.

mod alone;
mod figures;
mod meter;
mod plan;
mod table;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::figures::{Checked, Figures, Machine, Round, StoreAlone, Workload};
use self::meter::Meter;
use self::plan::{Plan, Who};
use crate::demo::house::House;
use crate::demo::stage::Stage;
use crate::say::Teller;
use crate::tools::{self, For};
use crate::workspace::{self, Profile};

/// The other program; in Debian's libimobiledevice-utils.
const PEER: &str = "idevicebackup2";
/// Nothing starts by itself: a backup is due long after the end, and the phone is not locked.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many small files the second phone holds.
    pub files: u64,
    /// The size of the first phone's one large file, in bytes.
    pub large: u64,
    /// How often everything is measured; who goes first takes turns.
    pub rounds: u32,
    /// How the programs are built, unless `IBAK_PROGRAMS` names a directory that has them.
    pub profile: Profile,
    /// The last line of the output is JSON, and the table goes to the standard error.
    pub json: bool,
}

/// Builds the programs and measures.
///
/// # Errors
/// Something is missing on the machine, does not build, or is not a whole backup in the end.
pub fn bench(options: Options) -> Result<()> {
    tools::ensure_system(For::Demo)?;
    tools::find(PEER).with_context(|| {
        format!("{PEER} is not installed\nHint: sudo apt-get install libimobiledevice-utils")
    })?;
    let teller = Teller::new(options.json);
    let (programs, build) = programs(options.profile)?;
    let mut figures = Figures::new(build, Machine::now()?);
    for (plan, workload) in [
        (Plan::large(options.large), &mut figures.large),
        (Plan::small(options.files), &mut figures.small),
    ] {
        teller.part(&plan.title());
        for round in 0..options.rounds {
            let mut stage =
                Stage::set_up(&programs, &[&plan.phone()], NEVER, Duration::ZERO, false)?;
            play(&mut stage, teller, &plan, round, workload)
                .map_err(|error| stage.explain(error))?;
        }
    }
    figures.end = Machine::now()?;
    table::show(&figures, teller);
    if options.json {
        crate::say::answer(&serde_json::to_string(&figures)?);
    }
    Ok(())
}

/// Measures the store alone, without a phone.
///
/// # Errors
/// As [`bench()`].
pub fn store(options: Options) -> Result<()> {
    alone::bench(options)
}

/// Returns the directory of the programs that are measured, and how they were built.
fn programs(profile: Profile) -> Result<(PathBuf, String)> {
    let packages = ["ibakd", "ibakctl", "ibak-sim", "ibak-tests"];
    if let Some(ready) = std::env::var_os(workspace::PROGRAMS_VARIABLE) {
        return Ok((PathBuf::from(&ready), ready.to_string_lossy().into_owned()));
    }
    let name = match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    };
    Ok((workspace::build(&packages, profile)?, name.to_owned()))
}

fn play(
    stage: &mut Stage,
    teller: Teller,
    plan: &Plan,
    round: u32,
    workload: &mut Workload,
) -> Result<()> {
    House::watch(stage, 0)?.wait_for("the phone", |house| house.phone["trust"] == "trusted")?;
    let order = Who::order(round);
    let mut done = Round::new(order);
    let meter = Meter::new(stage)?;
    for who in order {
        *done.full.of(who) = Some(meter.run(who, plan::Extent::Full)?);
        workload.holds = check(stage, who, 0)?;
        teller.tell(&format!("{}: in full, checked", who.name()));
    }
    if let Some(touched) = plan.touched {
        stage.simulator(&["change", stage.udid(), "--touch", &touched.to_string()])?;
        for who in order {
            *done.changed.of(who) = Some(meter.run(who, plan::Extent::Changes)?);
            workload.holds = check(stage, who, touched)?;
            teller.tell(&format!("{}: {touched} changed, checked", who.name()));
        }
        stage.end("ibakd");
        done.store = Some(store_alone(stage)?);
        teller.tell("the store alone");
    }
    workload.rounds.push(done);
    Ok(())
}

/// Holds a backup against what the phone holds; returns that.
fn check(stage: &Stage, who: Who, touched: u64) -> Result<Checked> {
    let output = stage
        .command("ibak-bench")
        .arg("check")
        .arg(stage.phone_file(0))
        .arg(touched.to_string())
        .arg(who.newest(stage))
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "the backup of {} is not what the phone holds: {}",
        who.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("ibak-bench did not answer in JSON")
}

fn store_alone(stage: &Stage) -> Result<StoreAlone> {
    let output = stage
        .command("ibak-bench")
        .arg("store")
        .arg(stage.store())
        .arg(stage.udid())
        .arg(stage.path().join("copy"))
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "the store alone: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("ibak-bench did not answer in JSON")
}
