//! The daemon killed anywhere in a backup, again and again: nothing announced is lost, nothing under
//! `gens/` is half, it comes up by itself, and the phone is backed up in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ibak_core::{JobId, Udid};
use ibak_dbus::words::Outcome;
use ibak_sim::Phone;
use ibak_sim::backup::Phase;
use ibak_tests::trouble::{Daemon, Dice, House, ensure_equal, phone, say, udid_of};

use crate::ear::Ear;
use crate::trap::{Spot, Trap};
use crate::tree::{Found, Place};

/// How many of the newest backups the configuration keeps whatever else it says.
const KEPT: usize = 3;
/// The seed of where it is killed.
const SEED: u64 = 0x1bac_dead;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_anywhere_loses_nothing_and_needs_no_hands() {
    let kills = if ibak_tests::slow() { 1_000 } else { 25 };
    let begun = Instant::now();
    let mut trial = Trial::begin(SEED).await.unwrap();
    for number in 0..kills {
        let spot = trial.draw();
        trial
            .kill(spot)
            .await
            .with_context(|| format!("kill {number}, {spot:?}, seed {SEED:#x}"))
            .unwrap();
        if trial.kills % 100 == 0 {
            trial.tell(begun.elapsed());
        }
    }
    trial.finish().await.unwrap();
    trial.tell(begun.elapsed());
    // Places that were never met would prove nothing.
    for met in ["while files arrive", "in the commit", "as it was announced"] {
        assert!(
            trial.met.keys().any(|place| *place == met),
            "{:?}",
            trial.met
        );
    }
}

struct Trial {
    house: House,
    config: String,
    phone: Arc<Phone>,
    udid: Udid,
    place: Place,
    ear: Ear,
    dice: Dice,
    /// What the tree held when it was last read: backups stay as they were.
    known: Vec<Found>,
    /// What the phone sends in a whole backup, in bytes.
    whole: u64,
    to_ready: Vec<Duration>,
    to_phone: Vec<Duration>,
    met: BTreeMap<&'static str, usize>,
    kills: usize,
    backups: usize,
}

impl Trial {
    async fn begin(seed: u64) -> Result<Self> {
        let house = House::build(vec![phone(71, 160, 2 << 20)]).await?;
        let phone = house.phone(0);
        let udid = udid_of(&phone);
        let config = house.config("");
        // An ear needs somebody to listen to.
        let first = house.daemon(&config).await?;
        let ear = Ear::open(&house).await?;
        let mut trial = Self {
            config,
            place: Place::new(&house.path("store"), udid.as_str()),
            ear,
            house,
            phone,
            udid,
            dice: Dice::new(seed),
            known: Vec::new(),
            whole: 0,
            to_ready: Vec::new(),
            to_phone: Vec::new(),
            met: BTreeMap::new(),
            kills: 0,
            backups: 0,
        };
        trial.end(first).await?;
        let daemon = trial.start().await?;
        trial.back_up().await?;
        trial.whole = trial.phone.bytes_sent();
        trial.end(daemon).await?;
        trial.look()?;
        Ok(trial)
    }

    fn draw(&mut self) -> Spot {
        let dice = &mut self.dice;
        let micros = |most: u64, dice: &mut Dice| Duration::from_micros(dice.below(most));
        match dice.below(10) {
            // A backup in small batches goes on from there, so the next one is as long.
            0..=2 => Spot::Bytes(dice.below(self.whole / 4)),
            3 | 4 => {
                let at = dice.below(Phase::CUTTABLE.len() as u64 - 1);
                Spot::Phase(Phase::CUTTABLE[at as usize], micros(4_000, dice))
            }
            5 => Spot::Phase(Phase::Ended, micros(30_000, dice)),
            6..=8 => Spot::Commit {
                deeds: dice.below(12),
                later: micros(500, dice),
            },
            _ => Spot::Time(micros(400_000, dice)),
        }
    }

    /// Starts it and kills it there; what it was doing by then is held against what it had said.
    async fn kill(&mut self, spot: Spot) -> Result<()> {
        let was = self.place.generations();
        let announced = match spot {
            Spot::Time(_) => self.killed_as_it_starts(spot).await?,
            Spot::Bytes(_) | Spot::Phase(..) | Spot::Commit { .. } => {
                self.killed_in_a_backup(spot).await?
            }
        };
        self.kills += 1;
        let fresh = self
            .place
            .generations()
            .iter()
            .filter(|id| !was.contains(id))
            .count();
        let state = self.place.working_copy().map(|copy| phase_of(&copy));
        let met = match (&spot, announced, fresh, state.as_deref()) {
            (Spot::Time(_), ..) => "as it started",
            (_, 1.., ..) => "as it was announced",
            (_, 0, 1.., _) => "committed, not announced",
            (_, 0, 0, Some("committing" | "whole")) => "in the commit",
            (_, 0, 0, Some("finished" | "moving" | "removing")) => "while files are put in place",
            (_, 0, 0, Some("uploading")) => "while files arrive",
            (_, 0, 0, Some(_) | None) => "before a file arrived",
        };
        *self.met.entry(met).or_default() += 1;
        ensure!(announced <= fresh, "announced and not there: {spot:?}");
        self.look()
    }

    async fn killed_as_it_starts(&mut self, spot: Spot) -> Result<usize> {
        let mut daemon = self.house.spawn(&self.config, "ibakd")?;
        let trap = Trap::set(daemon.pid()?, spot, &self.phone, &self.place.phone)?;
        let status = daemon.ended().await?;
        ensure!(
            trap.take(),
            "it ended by itself: {status:?}\n{}",
            daemon.last_words()
        );
        self.ear.until_gone().await?;
        Ok(0)
    }

    /// Returns how many backups were announced.
    async fn killed_in_a_backup(&mut self, spot: Spot) -> Result<usize> {
        let mut daemon = self.start().await?;
        if self.place.working_copy().is_none() {
            self.phone.change(30, 6, 6);
        }
        let trap = Trap::set(daemon.pid()?, spot, &self.phone, &self.place.phone)?;
        let asked = self.house.ask_backup(&self.udid, false).await;
        let job = match asked {
            Ok(job) => job,
            Err(error) => {
                daemon.ended().await?;
                ensure!(trap.take(), "it does not begin: {error:#}");
                self.ear.until_gone().await?;
                return Ok(0);
            }
        };
        tokio::select! {
            ended = daemon.ended() => {
                ensure!(trap.take(), "it ended by itself: {ended:?}\n{}", daemon.last_words());
            }
            ended = self.ear.end_of(job) => {
                // It was faster: then as it has been announced.
                let outcome = ended?;
                let sprang = trap.take();
                ensure!(outcome == Outcome::Succeeded, "{outcome:?}\n{}", daemon.last_words());
                if sprang {
                    daemon.ended().await?;
                } else {
                    daemon.kill().await?;
                }
            }
        }
        self.ear.until_gone().await?;
        match self.ear.outcome(job) {
            None => Ok(0),
            Some(Outcome::Succeeded) => Ok(1),
            Some(other) => bail!("it ended with {other:?}"),
        }
    }

    /// Starts it and waits until the phone can be backed up; it lists what the tree holds.
    async fn start(&mut self) -> Result<Daemon> {
        let begun = Instant::now();
        let daemon = self.house.daemon(&self.config).await?;
        self.to_ready.push(begun.elapsed());
        let ready = self.ear.ready(&self.udid).await;
        ready.with_context(|| daemon.last_words())?;
        self.to_phone.push(begun.elapsed());
        let rows = self.house.backups(&self.udid).await?;
        let listed: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        // A working copy that was whole has become a backup by now.
        self.look()?;
        let lying: Vec<String> = self.known.iter().map(|found| found.id.clone()).collect();
        ensure!(listed == lying, "listed {listed:?}, lying there {lying:?}");
        Ok(daemon)
    }

    /// Reads the tree whole. What was there is as it was, unless `KEPT` newer ones are there; what
    /// is new holds what the phone holds.
    fn look(&mut self) -> Result<()> {
        let found = self.place.read_all()?;
        let newest = self.known.len().saturating_sub(KEPT);
        for known in self.known.iter().skip(newest) {
            let newer = found.iter().filter(|other| other.id > known.id).count();
            ensure!(
                found.contains(known)
                    || (newer >= KEPT && !found.iter().any(|it| it.id == known.id)),
                "{} is lost or has changed",
                known.id
            );
        }
        for fresh in &found {
            if self.known.iter().any(|known| known.id == fresh.id) {
                ensure!(self.known.contains(fresh), "{} has changed", fresh.id);
                continue;
            }
            let content = self.phone.content().lock().unwrap().snapshot();
            ensure_equal(&self.place.backup(&fresh.id), &content)
                .with_context(|| format!("backup {}", fresh.id))?;
            self.backups += 1;
        }
        self.known = found;
        Ok(())
    }

    async fn back_up(&mut self) -> Result<()> {
        let job: JobId = self.house.ask_backup(&self.udid, false).await?;
        let end = self.ear.end_of(job).await?;
        ensure!(end == Outcome::Succeeded, "{end:?}");
        Ok(())
    }

    async fn end(&mut self, daemon: Daemon) -> Result<()> {
        daemon.stop().await?;
        self.ear.until_gone().await
    }

    /// After all that the phone is backed up, and once more.
    async fn finish(&mut self) -> Result<()> {
        for _ in 0..2 {
            let daemon = self.start().await?;
            self.back_up().await.with_context(|| daemon.last_words())?;
            self.end(daemon).await?;
            self.look()?;
            self.phone.change(10, 2, 2);
        }
        let set_aside = self.place.phone.join("quarantine");
        let aside = std::fs::read_dir(set_aside).map_or(0, Iterator::count);
        ensure!(aside == 0, "{aside} were set aside");
        Ok(())
    }

    fn tell(&mut self, took: Duration) {
        let met: Vec<String> = self
            .met
            .iter()
            .map(|(place, times)| format!("{place} {times}"))
            .collect();
        say(&format!(
            "SIGKILL: {} kills in {:.0} s ({}); {} backups, none lost, none half; {} files not sent again",
            self.kills,
            took.as_secs_f64(),
            met.join(", "),
            self.backups,
            self.phone.activity().files_resumed,
        ));
        for (what, times) in [
            ("ready on the bus", &mut self.to_ready),
            ("a phone that can be backed up", &mut self.to_phone),
        ] {
            times.sort();
            let at = |percent: usize| {
                let at = (times.len() * percent / 100).min(times.len() - 1);
                times[at].as_secs_f64() * 1e3
            };
            say(&format!(
                "restart after SIGKILL to {what}, {} times: median {:.0} ms, 95 % {:.0} ms, longest {:.0} ms",
                times.len(),
                at(50),
                at(95),
                at(100)
            ));
        }
    }
}

/// What a working copy says of itself; one with a record and without a state is whole.
fn phase_of(copy: &std::path::Path) -> String {
    let Ok(text) = std::fs::read(copy.join("state.json")) else {
        let whole = copy.join("commit.json").exists();
        return if whole { "whole" } else { "none" }.to_owned();
    };
    let state: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    state["phase"].as_str().unwrap_or("none").to_owned()
}
