//! When a backup begins by itself, and when not one byte moves.

use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, Outcome, PhoneState, Trigger, WaitsFor,
};
use ibak_sim::state::Switch;
use ibak_tests::night::{ALL_MET, DAY, FOUR, Night, SETTLE, Setup, phone, statuses};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// By when the daemon reads a phone's power again.
const POWER_READ: Duration = Duration::from_secs(225);

/// Lets the settling time pass twice with the conditions known and as they are, and looks that
/// nothing began.
async fn nothing_begins(night: &mut Night, wanted: &[ConditionStatus; 4]) {
    let unmet: Vec<&str> = FOUR
        .iter()
        .zip(wanted)
        .filter(|(_, status)| **status != ConditionStatus::Met)
        .map(|(name, _)| name.as_str())
        .collect();
    for _ in 0..2 {
        let view = night.until_conditions(0, wanted).await;
        let waits: Vec<&str> = view.waits_for.iter().map(WaitsFor::as_str).collect();
        assert_eq!(waits, unmet, "the phone says what it waits for");
        night.advance(SETTLE).await;
        assert_eq!(night.phone(0).current_job, None, "{}", night.picture());
    }
    assert_eq!(night.state().jobs(), [], "{}", night.picture());
    assert_eq!(night.bytes_sent(0), 0);
    assert_eq!(night.simulated(0).activity().backups_begun, 0);
    assert!(!night.is_staged(0));
}

fn status(met: bool) -> ConditionStatus {
    if met {
        ConditionStatus::Met
    } else {
        ConditionStatus::Unmet
    }
}

/// All 15 sets of conditions with at least one unmet, in an order that changes one at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_any_condition_unmet_no_byte_moves() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .keys("quota = \"1MiB\"")
        .begin()
        .await;
    let mut met = [false; 4];
    for step in 0_u32..16 {
        let gray = step ^ (step >> 1);
        // Wi-Fi is the highest bit, because a good-bye over multicast takes a second.
        let now = [0, 3, 1, 2].map(|bit| gray & (1 << bit) != 0);
        for (name, (on, was)) in ["power", "wifi", "locked"]
            .into_iter()
            .zip(now.into_iter().zip(met))
        {
            if on != was {
                let setting = format!("{name}={}", if on { "on" } else { "off" });
                night.set(0, &[&setting]).await;
            }
        }
        if now[3] != met[3] {
            let quota = if now[3] { "" } else { "quota = \"1MiB\"\n" };
            night.configure(|setup| Setup {
                keys: quota.to_owned(),
                ..setup
            });
            night.reload().await.unwrap();
        }
        if met[0] && !now[0] {
            // No phone tells that its power went: the next reading does.
            night.advance(POWER_READ).await;
        }
        met = now;
        if met == [true; 4] {
            night.until_conditions(0, &ALL_MET).await;
            continue;
        }
        nothing_begins(&mut night, &met.map(status)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cannot_be_heard_starts_nothing() {
    let mut night = Setup {
        network: false,
        ..Setup::of(vec![phone("Far iPhone")])
    }
    .begin()
    .await;
    night.set(0, &["power=on", "wifi=on", "locked=yes"]).await;
    let wanted = [
        ConditionStatus::Met,
        ConditionStatus::Unknown,
        ConditionStatus::Met,
        ConditionStatus::Met,
    ];
    nothing_begins(&mut night, &wanted).await;
}

/// Such a phone never says that it is locked; that its screen went off is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_without_a_passcode_starts_once_its_screen_was_seen_going_off() {
    let mut open = phone("Open iPhone");
    open.state.passcode = Switch::Off;
    open.state.locked = Switch::On;
    let mut night = Setup::of(vec![open]).begin().await;
    night.set(0, &["power=on", "wifi=on"]).await;
    let wanted = [
        ConditionStatus::Met,
        ConditionStatus::Met,
        ConditionStatus::Unmet,
        ConditionStatus::Met,
    ];
    nothing_begins(&mut night, &wanted).await;
    night.set(0, &["locked=no"]).await;
    night.set(0, &["locked=yes"]).await;
    let seen = night.until_conditions(0, &ALL_MET).await;
    let locked = seen.condition(&ConditionName::Locked);
    // Everybody sees the reason; where it is from and since when is for the phone's people.
    assert_eq!(
        (locked.reason, locked.source, locked.since),
        (ConditionReason::LockSeen, None, None)
    );
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_no_longer_answers_starts_nothing() {
    let mut night = Setup::of(vec![phone("Mute iPhone")]).begin().await;
    night.tuck_in(0).await;
    night.until_state(0, PhoneState::Settling).await;
    night.sim.mux(ibak_sim::MuxVerb::Mute).await.unwrap();
    // What was read grows old before it has held for long enough.
    night.configure(|setup| setup.keys("settle = \"10min\""));
    night.reload().await.unwrap();
    for _ in 0..30 {
        night.advance(Duration::from_secs(60)).await;
        assert_eq!(night.phone(0).current_job, None, "{}", night.picture());
    }
    let known = statuses(&night.phone(0));
    assert_eq!(
        (&known[0], &known[2]),
        (&ConditionStatus::Unknown, &ConditionStatus::Unknown)
    );
    assert_eq!(night.bytes_sent(0), 0);
    assert!(!night.is_staged(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_start_it_exactly_when_settled() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")]).begin().await;
    night.set(0, &["power=on", "wifi=on"]).await;
    let waiting = night
        .until_phone(0, "it waits for its lock alone", |view| {
            view.waits_for == [WaitsFor::Locked]
        })
        .await;
    assert_eq!(waiting.state, PhoneState::Waiting);
    night.advance(SECOND * 7).await;
    night.set(0, &["locked=yes"]).await;
    let settling = night.until_state(0, PhoneState::Settling).await;
    assert_eq!(settling.waits_for, [WaitsFor::Settling]);
    let at = night.clock.now().wall + SETTLE;
    assert_eq!(settling.next_attempt, Some(at));

    night.advance(SETTLE - SECOND).await;
    assert_eq!(night.phone(0).state, PhoneState::Settling);
    assert_eq!((night.phone(0).current_job, night.bytes_sent(0)), (None, 0));
    night.advance(SECOND).await;
    let job = night
        .phone(0)
        .current_job
        .expect("it begins at that very second");
    assert_eq!(night.job(job).trigger, Trigger::Schedule);
    assert_eq!(night.job(job).started, Some(at));
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    assert_eq!(backups.len(), 1);
    night.assert_equals_phone(0, &backups[0].id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_trembles_begins_to_settle_anew() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night.tuck_in(0).await;
    night.until_state(0, PhoneState::Settling).await;
    night.advance(SETTLE - SECOND).await;
    night.set(0, &["locked=no"]).await;
    night
        .until_phone(0, "it is unlocked", |view| {
            view.state == PhoneState::Waiting
        })
        .await;
    night.set(0, &["locked=yes"]).await;
    night.until_state(0, PhoneState::Settling).await;
    night.advance(SETTLE - SECOND).await;
    assert_eq!((night.phone(0).current_job, night.bytes_sent(0)), (None, 0));
    night.let_start(0).await;
}

/// Goes on to the very second at which the phone is due, and not before.
async fn next_day(night: &mut Night) {
    let was = night.until_state(0, PhoneState::Idle).await;
    let due = was.next_attempt.expect("what is not due says until when");
    let left = due.saturating_since(night.clock.now().wall);
    night.advance(left - SECOND).await;
    assert_eq!(night.phone(0).state, PhoneState::Idle);
    assert_eq!(night.phone(0).waits_for, [WaitsFor::Due]);
    night.advance(SECOND).await;
    night.until_conditions(0, &ALL_MET).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_day_also_across_a_restart() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")]).begin().await;
    night.night_of(0).await;
    for hour in 0..20 {
        let idle = night.until_state(0, PhoneState::Idle).await;
        assert_eq!(
            (idle.waits_for, idle.current_job),
            (vec![WaitsFor::Due], None)
        );
        if hour == 7 {
            night.restart_daemon().await;
            night.until_conditions(0, &ALL_MET).await;
        }
        night.advance(Duration::from_secs(3_600)).await;
    }
    assert_eq!(night.backups(0).await.len(), 1);
    assert_eq!(night.simulated(0).activity().backups_begun, 1);
    next_day(&mut night).await;
    assert_eq!(night.backups(0).await.len(), 2);

    night.restart_daemon().await;
    next_day(&mut night).await;
    assert_eq!(night.backups(0).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_passes_while_the_daemon_is_down_counts() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")]).begin().await;
    night.night_of(0).await;
    night.stop_daemon().await;
    night.clock.advance(DAY);
    night.start_daemon().await;
    night.until_conditions(0, &ALL_MET).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_eq!(night.backups(0).await.len(), 2);
}
