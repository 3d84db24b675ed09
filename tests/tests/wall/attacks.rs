//! Every attack of the simulator's hostile mode but the paths, against the real daemon as a
//! process of its own: how it ends, what memory that took, and whether the daemon works afterwards.

use crate::siege::Siege;
use ibak_core::JobId;
use ibak_dbus::views::{JobView, PhoneView};
use ibak_dbus::words::{Outcome, Phase};
use ibak_sim::Setting;
use ibak_sim::hostile::{AfcAttack, Attack, Batch, Endless, Impostor, Lie, Place, Wrong};
use ibak_sim::state::Attachment;
use ibak_tests::trouble::say;
use std::fmt::Write;
use std::fs;
use std::time::Instant;

/// The most memory that the daemon may ever hold, in bytes.
const MEMORY_MAX: u64 = 96 << 20;

/// What one attack came to.
struct Row {
    attack: Attack,
    outcome: String,
    peak: u64,
    took: u128,
}

/// Tells whether an attack ends in silence, which a person would call off, or which takes a minute.
fn falls_silent(attack: Attack) -> bool {
    match attack {
        Attack::Message(place, wrong) => {
            place == Place::DeviceLink && matches!(wrong, Wrong::Half | Wrong::Long | Wrong::Giant)
        }
        Attack::Batch(batch) => matches!(
            batch,
            Batch::HalfFile
                | Batch::GiantBlock
                | Batch::EndlessFile
                | Batch::EndlessFiles
                | Batch::EndlessBatches
        ),
        Attack::Endless(_) => true,
        Attack::Path(..)
        | Attack::Lie(_)
        | Attack::NoticeFlood
        | Attack::Afc(_)
        | Attack::Tls(_) => false,
    }
}

/// Tells whether a backup may end well in spite of it: it strikes beside the conversation, or lies
/// about what nobody relies on, or asks for the same ever again, and then says that nothing has
/// changed.
fn may_succeed(attack: Attack) -> bool {
    match attack {
        Attack::NoticeFlood | Attack::Afc(_) | Attack::Endless(_) => true,
        Attack::Message(place, _) => matches!(place, Place::Notices | Place::Muxer),
        Attack::Lie(lie) => !matches!(
            lie,
            Lie::NoCode | Lie::TextCode | Lie::LongWords | Lie::EscapingWords | Lie::EarlyEnd
        ),
        // Over a cable services have no TLS in any case, and the session had it.
        Attack::Tls(impostor) => impostor == Impostor::PlainService,
        Attack::Path(..) | Attack::Batch(_) => false,
    }
}

impl Siege {
    /// Has the phone attack a backup, and tells how that ended.
    async fn suffer(&mut self, attack: Attack) -> Row {
        self.watcher.ready(&self.udid).await.unwrap();
        self.daemon.forget_memory_peak();
        let begun = Instant::now();
        self.attack(Some(attack)).await;
        let outcome = match self.house.ask_backup(&self.udid, false).await {
            Ok(job) => self.outlast(attack, job).await,
            // What was read of the phone meanwhile said already that it is not to be trusted.
            Err(error) => format!("refused: {error}"),
        };
        let took = begun.elapsed().as_millis();
        let peak = self.daemon.memory_peak().unwrap();
        assert!(peak <= MEMORY_MAX, "{attack}: {peak}");
        assert!(self.daemon.lives().unwrap(), "{attack}");
        self.attack(None).await;
        self.replug().await;
        Row {
            attack,
            outcome,
            peak,
            took,
        }
    }

    /// Pulls the cable and puts it in again, so that the phone is looked at anew.
    async fn replug(&mut self) {
        self.set(Setting::Attached(Attachment::None)).await;
        let gone = |phone: &PhoneView| phone.transports.is_empty();
        self.watcher
            .phone(&self.udid, "no cable", gone)
            .await
            .unwrap();
        self.set(Setting::Attached(Attachment::Usb)).await;
    }

    async fn outlast(&mut self, attack: Attack, job: JobId) -> String {
        if falls_silent(attack) && !ibak_tests::slow() {
            let under_way = |job: &JobView| {
                job.ended()
                    || job.phase == Phase::Receiving
                    || (matches!(attack, Attack::Message(..) | Attack::Endless(_))
                        && job.phase == Phase::Scanning)
            };
            let what = format!("{attack} under way");
            let seen = self.watcher.job(job, &what, under_way).await.unwrap();
            if !seen.ended() {
                self.house.ctl(&["cancel"]).await.unwrap();
            }
        }
        let end = self.watcher.long_end_of(job).await.unwrap();
        if end == Outcome::Succeeded {
            // Then it is a backup: whole, and what the phone holds.
            assert!(may_succeed(attack), "{attack} ended well");
            self.equals_the_phone();
        }
        end.to_string()
    }

    /// Suffers each of some attacks; after each, the phone itself is backed up as ever.
    async fn suffer_all(seed: u64, attacks: impl IntoIterator<Item = Attack>) {
        let mut siege = Self::lay(seed).await;
        let mut fence = siege.fence();
        let mut rows = Vec::new();
        for attack in attacks {
            rows.push(siege.suffer(attack).await);
            assert_eq!(siege.back_up().await, Outcome::Succeeded, "after {attack}");
        }
        fence.take();
        fence.assert_untouched();
        siege.honest_again().await;
        tell(&rows);
    }
}

/// Says the table, and leaves it where a note can take it from.
fn tell(rows: &[Row]) {
    let mut table = String::new();
    for row in rows {
        let Row {
            attack,
            outcome,
            peak,
            took,
        } = row;
        let line = format!(
            "| {attack} | {outcome} | {} MiB | {took} ms |",
            peak.div_ceil(1 << 20)
        );
        say(&line);
        writeln!(table, "{line}").unwrap();
    }
    let first = rows.first().unwrap().attack.to_string();
    let group = first.replace('/', "-");
    let directory = ibak_tests::programs::directory().unwrap();
    let place = directory.join("../wall");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(format!("{group}.md")), &table).unwrap();
    let mut parts: Vec<_> = fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    parts.sort();
    let all: String = parts
        .iter()
        .map(|part| fs::read_to_string(part).unwrap())
        .collect();
    let head = "| case | outcome | peak RSS | took |\n|---|---|---|---|\n";
    fs::write(directory.join("../wall.md"), format!("{head}{all}")).unwrap();
}

fn messages(places: &[Place]) -> Vec<Attack> {
    places
        .iter()
        .flat_map(|place| {
            Wrong::ALL
                .iter()
                .map(|wrong| Attack::Message(*place, *wrong))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_messages_of_the_backup_service_are_outlasted() {
    Siege::suffer_all(321, messages(&[Place::DeviceLink])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_batches_are_outlasted() {
    Siege::suffer_all(322, Batch::ALL.iter().copied().map(Attack::Batch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_and_endless_conversations_are_outlasted() {
    let lies = Lie::ALL.iter().copied().map(Attack::Lie);
    let endless = Endless::ALL.iter().copied().map(Attack::Endless);
    Siege::suffer_all(323, lies.chain(endless)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_messages_of_lockdown_are_outlasted() {
    Siege::suffer_all(324, messages(&[Place::LockdownEarly, Place::Lockdown])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_messages_of_usbmuxd_are_outlasted() {
    Siege::suffer_all(325, messages(&[Place::Muxer])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_and_endless_notices_are_outlasted() {
    let all = messages(&[Place::Notices]).into_iter();
    Siege::suffer_all(326, all.chain([Attack::NoticeFlood])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_media_partition_and_impostors_are_outlasted() {
    let media = AfcAttack::ALL.iter().copied().map(Attack::Afc);
    let impostors = Impostor::ALL.iter().copied().map(Attack::Tls);
    Siege::suffer_all(327, media.chain(impostors)).await;
}
