//! Pause, switch off, configure.

use ibak_dbus::words::{ManagerMode, Outcome, PhoneState, WaitsFor};
use ibak_dbus::{Bytes, Dict, Error};
use ibak_tests::night::{ALL_MET, Night, SETTLE, Setup, phone};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

async fn ada() -> Night {
    Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await
}

async fn pause(night: &mut Night, until: u64) -> Result<(), Error> {
    let manager = night.manager().await;
    night
        .drive(async move { manager.pause(until, Dict::new()).await })
        .await
}

async fn resume(night: &mut Night) {
    let manager = night.manager().await;
    night
        .drive(async move { manager.resume(Dict::new()).await })
        .await
        .unwrap();
}

async fn set_automatic(night: &mut Night, on: bool) {
    let proxy = night.phone_proxy(&night.udid(0)).await;
    night
        .drive(async move { proxy.set_automatic(on, Dict::new()).await })
        .await
        .unwrap();
}

async fn stays_paused(night: &mut Night) {
    let view = night.until_state(0, PhoneState::Paused).await;
    assert!(view.waits_for.contains(&WaitsFor::Pause));
    night.until_conditions(0, &ALL_MET).await;
    night.advance(SETTLE).await;
    assert_eq!((night.state().jobs(), night.bytes_sent(0)), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_until_it_is_ended_also_across_a_restart() {
    let mut night = ada().await;
    pause(&mut night, 0).await.unwrap();
    assert_eq!(night.manager_view().mode, ManagerMode::Paused);
    night.tuck_in(0).await;
    stays_paused(&mut night).await;
    night.restart_daemon().await;
    assert_eq!(night.manager_view().mode, ManagerMode::Paused);
    stays_paused(&mut night).await;
    resume(&mut night).await;
    assert_eq!(night.manager_view().mode, ManagerMode::Automatic);
    night.until_conditions(0, &ALL_MET).await;
    night
        .until_phone(0, "it is backed up or about to be", |view| {
            view.current_job.is_some()
                || view.last_backup.is_some()
                || view.state == PhoneState::Settling
        })
        .await;
    night.advance(SETTLE).await;
    night
        .until_phone(0, "it is backed up", |view| view.last_backup.is_some())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_by_itself_at_its_time() {
    let mut night = ada().await;
    let end = night.clock.now().wall + HOUR;
    let micros = u64::try_from(end.as_micros()).unwrap();
    pause(&mut night, micros).await.unwrap();
    assert_eq!(night.manager_view().paused_until, Some(end));
    night.tuck_in(0).await;
    let view = night.until_state(0, PhoneState::Paused).await;
    assert_eq!(view.next_attempt, Some(end));
    night.advance(HOUR - Duration::from_secs(1)).await;
    assert_eq!(night.manager_view().mode, ManagerMode::Paused);
    assert_eq!(night.bytes_sent(0), 0);
    night.advance(Duration::from_secs(1)).await;
    assert_eq!(night.manager_view().mode, ManagerMode::Automatic);
    night.until_conditions(0, &ALL_MET).await;
    night.let_start(0).await;
    let past = pause(&mut night, micros).await;
    assert!(past.is_err(), "a pause that has ended already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_may_ask_during_a_pause() {
    let mut night = ada().await;
    pause(&mut night, 0).await.unwrap();
    night.tuck_in(0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn automatic_backup_is_switched_off_and_on_for_one_phone() {
    let mut night = ada().await;
    night.tuck_in(0).await;
    set_automatic(&mut night, false).await;
    for again in [true, false] {
        let view = night.until_state(0, PhoneState::Idle).await;
        assert_eq!(
            (view.automatic, view.waits_for),
            (false, vec![WaitsFor::AutomaticOff])
        );
        night.until_conditions(0, &ALL_MET).await;
        night.advance(SETTLE).await;
        assert_eq!((night.state().jobs(), night.bytes_sent(0)), (vec![], 0));
        if again {
            night.restart_daemon().await;
            night
                .until_phone(0, "it is back", |view| !view.transports.is_empty())
                .await;
        }
    }
    set_automatic(&mut night, true).await;
    assert!(night.phone(0).automatic);
    night.until_conditions(0, &ALL_MET).await;
    night
        .until_phone(0, "it is backed up or about to be", |view| {
            view.current_job.is_some()
                || view.last_backup.is_some()
                || view.state == PhoneState::Settling
        })
        .await;
    night.advance(SETTLE).await;
    night
        .until_phone(0, "it is backed up", |view| view.last_backup.is_some())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_is_taken_whole() {
    let mut night = ada().await;
    night.tuck_in(0).await;
    night.configure(|setup| setup.keys("settle = \"90s\"\nquota = \"7GiB\""));
    night.reload().await.unwrap();
    night
        .until("the store was looked at", |state| {
            state.manager().and_then(|it| it.quota) == Some(Bytes::from_gib(7))
        })
        .await;
    let view = night.until_state(0, PhoneState::Settling).await;
    let began = night.clock.now().wall;
    assert_eq!(view.next_attempt, Some(began + Duration::from_secs(90)));
    night.advance(SETTLE).await;
    assert_eq!(night.bytes_sent(0), 0);
    night.let_start(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_is_refused_whole() {
    let mut night = ada().await;
    night.tuck_in(0).await;
    night.configure(|setup| setup.keys("settle = \"90s\"\nparallel_max = 99"));
    let refused = night.reload().await;
    let Err(Error::Failed(text)) = refused else {
        panic!("taken")
    };
    assert!(
        text.contains("parallel_max") && text.contains("line 4"),
        "{text}"
    );
    night.configure(|setup| Setup {
        keys: "settle = \"90s\"\ncolour = 1\n".to_owned(),
        ..setup
    });
    let refused = night.reload().await;
    let Err(Error::Failed(text)) = refused else {
        panic!("taken")
    };
    assert!(text.contains("colour") && text.contains("line 4"), "{text}");
    // What takes a restart is refused with all that came with it.
    let text = std::fs::read_to_string(night.config()).unwrap();
    let moved = text.replace("colour = 1\n", "log = \"debug\"\n");
    std::fs::write(night.config(), moved).unwrap();
    let refused = night.reload().await;
    let Err(Error::Failed(text)) = refused else {
        panic!("taken")
    };
    assert!(text.contains("`log`") && text.contains("restart"), "{text}");

    let view = night.until_state(0, PhoneState::Settling).await;
    assert_eq!(
        view.next_attempt,
        Some(night.clock.now().wall + SETTLE),
        "the old one holds"
    );
}
