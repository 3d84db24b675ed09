//! What is noted of a night, and what is made of it in the morning.

use ibak_core::Wall;
use ibak_dbus::Dict;
use ibak_dbus::views::ObservationView;
use ibak_dbus::words::{ConditionStatus, ObservationKind, Outcome, WaitsFor};
use ibak_tests::night::{DAY, EVENING, Night, Setup, phone};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const MET: ConditionStatus = ConditionStatus::Met;
const UNMET: ConditionStatus = ConditionStatus::Unmet;

async fn ada() -> Night {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night.set(0, &["power=off", "locked=yes"]).await;
    night.until_conditions(0, &[UNMET, MET, MET, MET]).await;
    night
}

/// Goes on to this many minutes after 20:00.
async fn go_to(night: &mut Night, minutes: u32) {
    let left = (EVENING + MINUTE * minutes).saturating_since(night.clock.now().wall);
    night.advance(left).await;
}

async fn observations(night: &mut Night, since: Wall, until: Wall) -> Vec<ObservationView> {
    let proxy = night.phone_proxy(&night.udid(0)).await;
    let micros = |at: Wall| u64::try_from(at.as_micros()).unwrap();
    let (since, until) = (micros(since), micros(until));
    let rows = night
        .drive(async move { proxy.list_observations(since, until, Dict::new()).await })
        .await
        .unwrap();
    rows.iter()
        .map(|row| ObservationView::from_dict(row).unwrap())
        .collect()
}

/// Writes rows as `minutes-after-20:00 what word`, those about one thing.
fn of(rows: &[ObservationView], what: &ObservationKind) -> Vec<String> {
    let rows = rows.iter().filter(|row| row.what == *what);
    rows.map(|row| {
        let minutes = row.at.saturating_since(EVENING).as_secs() / 60;
        format!("{minutes} {}", row.word)
    })
    .collect()
}

/// On battery and locked, unlocked at 23:10, on its charger from 23:30; the daemon stopped from
/// 01:00 to 02:00; then it is morning.
async fn missed() -> Night {
    let mut night = ada().await;
    go_to(&mut night, 190).await;
    night.until_conditions(0, &[UNMET, MET, MET, MET]).await;
    night.set(0, &["locked=no"]).await;
    night.until_conditions(0, &[UNMET, MET, UNMET, MET]).await;
    go_to(&mut night, 210).await;
    night.set(0, &["power=on"]).await;
    night.until_conditions(0, &[MET, MET, UNMET, MET]).await;
    go_to(&mut night, 300).await;
    night.until_conditions(0, &[MET, MET, UNMET, MET]).await;
    night.stop_daemon().await;
    night.clock.advance(MINUTE * 60);
    night.start_daemon().await;
    night.until_conditions(0, &[MET, MET, UNMET, MET]).await;
    go_to(&mut night, 690).await;
    night.until_conditions(0, &[MET, MET, UNMET, MET]).await;
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlock_at_ten_past_eleven_is_there_in_the_morning() {
    let mut night = missed().await;
    let now = night.clock.now().wall;
    let rows = observations(&mut night, EVENING, now + MINUTE).await;
    let locked = of(&rows, &ObservationKind::Locked);
    let edges: Vec<&String> = locked
        .iter()
        .filter(|row| !row.ends_with("unknown"))
        .collect();
    // Once before the daemon was stopped and again after; what came between is nobody's guess.
    assert!(
        edges.iter().any(|row| *row == "0 met") && edges.iter().any(|row| *row == "190 unmet"),
        "{locked:?}"
    );
    assert_eq!(
        of(&rows, &ObservationKind::Daemon),
        ["0 started", "300 stopped", "360 started"]
    );
    // A whole night with a restart and two edges.
    assert!(rows.len() < 80, "{}: {rows:#?}", rows.len());
    // How things stood comes first, with its own time.
    let late = observations(&mut night, EVENING + MINUTE * 195, EVENING + MINUTE * 205).await;
    assert_eq!(of(&late, &ObservationKind::Locked), ["190 unmet"]);
    assert_eq!(of(&late, &ObservationKind::State), ["0 waiting"]);
    let decision = late
        .iter()
        .find(|row| row.what == ObservationKind::Decision);
    let waited = &decision.unwrap().waits_for;
    assert_eq!(waited, &[WaitsFor::Power, WaitsFor::Locked]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_says_it_in_one_sentence_and_timeline_draws_it() {
    let mut night = missed().await;
    let why = night.ctl_now(&["why"]).await;
    let lines: Vec<&str> = why.answer.lines().collect();
    assert_eq!(
        lines.first().copied(),
        Some(
            "Last night: it came to power only at 23:30 and was unlocked from 23:10 on, so the \
             conditions never held together; from 01:00 to 02:00 ibakd was not running."
        ),
        "{}{}",
        why.answer,
        why.conversation
    );
    assert!(
        why.answer
            .contains("NO   locked   the screen is unlocked since "),
        "{}",
        why.answer
    );
    let timeline = night.ctl_now(&["timeline"]).await;
    let want = "\
Ada's iPhone, Sat 21 Nov 20:00 to Sun 22 Nov 08:00

        20    21    22    23    00    01    02    03    04    05    06    07
power   ─────────────────────█████████╱╱╱╱╱╱█████████████████████████████████
wifi    ██████████████████████████████╱╱╱╱╱╱█████████████████████████████████
locked  ███████████████████───────────╱╱╱╱╱╱─────────────────────────────────
space   ██████████████████████████████╱╱╱╱╱╱█████████████████████████████████
backup  ······························╱╱╱╱╱╱·································

█ held   ─ did not hold   ╱ nothing noted   · due, and waiting
01:00 to 02:00: ibakd was not running
";
    assert_eq!(timeline.answer, want, "{}", timeline.conversation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_night_is_a_handful_of_notes_and_nothing_is_noted_while_nothing_changes() {
    let mut night = ada().await;
    night.set(0, &["power=on"]).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    night.advance(MINUTE * 20).await;
    let end = EVENING + MINUTE * 900;
    let before = observations(&mut night, EVENING, end).await;
    for _ in 0..5 {
        night.advance(MINUTE * 60).await;
    }
    let after = observations(&mut night, EVENING, end).await;
    let since = |rows: &[ObservationView]| -> Vec<String> {
        rows.iter()
            .skip(before.len())
            .map(|row| format!("{row:?}"))
            .collect()
    };
    assert_eq!(since(&after), Vec::<String>::new());
    // From the first sight to the end of the backup.
    assert!(before.len() < 50, "{}: {before:#?}", before.len());
    let jobs = of(&before, &ObservationKind::Job);
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    let why = night.ctl_now(&["why", "--night", "tonight"]).await;
    let first = why.answer.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("Tonight: it was backed up at 20:01"),
        "{first}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_nothing_kept_finds_nothing() {
    let mut night = ada().await;
    let end = EVENING + MINUTE * 900;
    assert!(!observations(&mut night, EVENING, end).await.is_empty());
    night.configure(|setup| setup.keys("signal_history_days = 0"));
    night.reload().await.unwrap();
    night.set(0, &["locked=no"]).await;
    night.until_conditions(0, &[UNMET, MET, UNMET, MET]).await;
    assert_eq!(observations(&mut night, EVENING, end).await, []);
    let why = night.ctl_now(&["why"]).await;
    assert!(
        why.answer.starts_with("Ada's iPhone is due"),
        "{}",
        why.answer
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_was_never_ready_says_what_was_missing() {
    let mut night = ada().await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    // It gives up after a week; until then it waits for power.
    night.advance(DAY * 7).await;
    assert_eq!(night.job(job).result, Some(Outcome::NotReadyInTime));
    let attempts = night.attempts(0).await;
    let last = attempts.last().unwrap();
    assert_eq!(last.result, Some(Outcome::NotReadyInTime));
    assert!(last.waits_for.contains(&WaitsFor::Power), "{last:?}");
}
