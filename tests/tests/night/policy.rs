//! What holds for one phone: its table in the configuration, what a person set, and who goes first.

use ibak_dbus::views::{CheckView, PolicyView};
use ibak_dbus::words::{CheckDetail, CheckStatus, PhoneState, WaitsFor};
use ibak_dbus::{Dict, Error};
use ibak_tests::night::{Night, Setup, phone};
use std::collections::HashMap;
use zbus::wire::Variant;

const ADA: &str = "Ada's iPhone";

fn ada() -> Setup {
    Setup::of(vec![phone(ADA)]).by_cable()
}

/// Begins a night once every phone has said what it is called.
async fn begin(setup: Setup) -> Night {
    let phones = setup.phones.len();
    let mut night = setup.begin().await;
    for at in 0..phones {
        named(&mut night, at).await;
    }
    night
}

async fn named(night: &mut Night, phone: usize) {
    night
        .until_phone(phone, "it has a name", |view| !view.name.is_empty())
        .await;
}

/// Ends the daemon and starts it again, and waits for its phone.
async fn restart(night: &mut Night) {
    night.restart_daemon().await;
    named(night, 0).await;
}

/// A table that says how long conditions must hold for the phone of this name.
fn settling(name: &str, settle: &str) -> String {
    format!("[phone.{name:?}]\nsettle = {settle:?}")
}

/// Returns a key's value and who says so.
async fn policy(night: &mut Night, phone: usize, key: &str) -> (String, String) {
    let proxy = night.phone_proxy(&night.udid(phone)).await;
    let rows = night
        .drive(async move { proxy.get_policy(Dict::new()).await })
        .await
        .unwrap();
    let rows = rows.iter().filter_map(PolicyView::from_dict);
    let row = rows.into_iter().find(|row| row.key == key).unwrap();
    (row.value, row.source.to_string())
}

async fn says(night: &mut Night, key: &str, value: &str, source: &str) {
    let found = policy(night, 0, key).await;
    assert_eq!(
        (found.0.as_str(), found.1.as_str()),
        (value, source),
        "{key}"
    );
}

/// Sets the first of these and, with it, the others.
async fn set(night: &mut Night, phone: usize, all: &[(&str, &str)]) -> Result<(), Error> {
    let proxy = night.phone_proxy(&night.udid(phone)).await;
    let ((key, value), also) = all.split_first().unwrap();
    let also: HashMap<String, String> = also
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut options = Dict::new();
    if !also.is_empty() {
        let also = Variant::from(also).try_into_owned().unwrap();
        options.insert("also".to_owned(), also);
    }
    let (key, value) = ((*key).to_owned(), (*value).to_owned());
    night
        .drive(async move { proxy.set_policy(&key, &value, options).await })
        .await
}

/// Lists what `doctor` finds odd about tables and settings.
async fn odd(night: &mut Night) -> Vec<(CheckDetail, String)> {
    let manager = night.manager().await;
    let rows = night
        .drive(async move { manager.diagnose(Dict::new()).await })
        .await
        .unwrap();
    rows.iter()
        .filter_map(CheckView::from_dict)
        .filter(|check| {
            matches!(
                check.detail,
                CheckDetail::TableOfNobody
                    | CheckDetail::TableOfSeveral
                    | CheckDetail::TableTwice
                    | CheckDetail::SettingLeftOut
            )
        })
        .inspect(|check| assert_eq!(check.status, CheckStatus::Warn))
        .map(|check| (check.detail, check.subject))
        .collect()
}

/// Returns in how many seconds a phone that settles begins.
async fn settles_for(night: &mut Night, phone: usize) -> u64 {
    let view = night.until_state(phone, PhoneState::Settling).await;
    let left = view.next_attempt.unwrap();
    left.saturating_since(night.clock.now().wall).as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_layer_goes_before_the_one_beneath() {
    let mut night = begin(ada()).await;
    night.tuck_in(0).await;
    assert_eq!(settles_for(&mut night, 0).await, 60);
    says(&mut night, "settle", "60s", "default").await;
    night.configure(|setup| setup.keys("settle = \"90s\""));
    night.reload().await.unwrap();
    says(&mut night, "settle", "90s", "config").await;
    assert_eq!(settles_for(&mut night, 0).await, 90);
    night.configure(|setup| setup.tables(&settling("ADA’S  IPHONE", "30s")));
    night.reload().await.unwrap();
    says(&mut night, "settle", "30s", "config-phone").await;
    assert_eq!(settles_for(&mut night, 0).await, 30);
    set(&mut night, 0, &[("settle", "200s")]).await.unwrap();
    says(&mut night, "settle", "200s", "set").await;
    assert_eq!(settles_for(&mut night, 0).await, 200);
    night.reload().await.unwrap();
    says(&mut night, "settle", "200s", "set").await;
    set(&mut night, 0, &[("settle", "")]).await.unwrap();
    says(&mut night, "settle", "30s", "config-phone").await;
    assert_eq!(settles_for(&mut night, 0).await, 30);
    night.let_start(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_holds_after_a_restart() {
    let mut night = begin(ada()).await;
    let all = [
        ("settle", " 5 min "),
        ("window", "Mon-Fri 22:00-7:00;Sat,Sun 20:00-10:00"),
    ];
    set(&mut night, 0, &all).await.unwrap();
    restart(&mut night).await;
    says(&mut night, "settle", "5min", "set").await;
    let window = "Mon-Fri 22:00-07:00; Sat,Sun 20:00-10:00";
    says(&mut night, "window", window, "set").await;
    // What is shown is what can be set.
    set(&mut night, 0, &[("window", window)]).await.unwrap();
    says(&mut night, "window", window, "set").await;
    set(&mut night, 0, &[("window", "always")]).await.unwrap();
    night.tuck_in(0).await;
    assert_eq!(settles_for(&mut night, 0).await, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_taken_whole_or_not_at_all() {
    let mut night = begin(ada()).await;
    let refused = [
        (
            &[("settle", "5min"), ("interval", "soon")][..],
            "`interval`",
        ),
        (
            &[("settle", "5min"), ("backoff.first", "5h")],
            "`backoff.longest`",
        ),
        (&[("settle", "2h")], "from 0s to 1h"),
        (
            &[("settle", "5min"), ("owner", "ada")],
            "configuration file only",
        ),
        (
            &[("settle", "5min"), ("automatic", "perhaps")],
            "true or false",
        ),
    ];
    for (all, want) in refused {
        let Err(Error::Failed(words)) = set(&mut night, 0, all).await else {
            panic!("{all:?} was taken")
        };
        assert!(words.contains(want), "{words}");
    }
    for (key, want) in [("setle", "is `settle` meant?"), ("cron", "whole house")] {
        let all = [("settle", "5min"), (key, "x")];
        let Err(Error::InvalidOption(words)) = set(&mut night, 0, &all).await else {
            panic!("{key} was taken")
        };
        assert!(words.contains(want), "{words}");
    }
    says(&mut night, "settle", "60s", "default").await;
    // Together they fit.
    let both = [("backoff.first", "5h"), ("backoff.longest", "10h")];
    set(&mut night, 0, &both).await.unwrap();
    says(&mut night, "backoff.first", "5h", "set").await;
    let one = set(&mut night, 0, &[("backoff.longest", "")]).await;
    assert!(one.is_err(), "four hours are less than five");
    says(&mut night, "backoff.longest", "10h", "set").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_follows_the_name() {
    let setup = ada().tables(&settling(ADA, "2min"));
    let mut night = begin(setup).await;
    night.tuck_in(0).await;
    assert_eq!(settles_for(&mut night, 0).await, 120);
    assert_eq!(odd(&mut night).await, []);
    restart(&mut night).await;
    says(&mut night, "settle", "2min", "config-phone").await;
    night.simulated(0).rename("Grace's iPhone");
    restart(&mut night).await;
    night
        .until_phone(0, "it is renamed", |view| view.name == "Grace's iPhone")
        .await;
    says(&mut night, "settle", "60s", "default").await;
    let table = format!("[phone.{ADA:?}]");
    assert_eq!(
        odd(&mut night).await,
        [(CheckDetail::TableOfNobody, table.clone())]
    );
    // By its UDID it is found under any name, and that goes before the name.
    let udid = night.udid(0);
    let by_udid = settling(udid.as_str(), "3min");
    night.configure(|setup| setup.tables(&by_udid));
    night.configure(|setup| setup.tables(&settling("Grace's iPhone", "4min")));
    night.reload().await.unwrap();
    says(&mut night, "settle", "3min", "config-phone").await;
    assert_eq!(
        odd(&mut night).await,
        [
            (CheckDetail::TableOfNobody, table),
            (
                CheckDetail::TableTwice,
                "[phone.\"Grace's iPhone\"]".to_owned()
            )
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_two_go_by_is_nobodys() {
    let phones = vec![phone(ADA), phone(ADA)];
    let setup = Setup::of(phones).by_cable().tables(&settling(ADA, "2min"));
    let mut night = begin(setup).await;
    for at in [0, 1] {
        night.tuck_in(at).await;
        assert_eq!(settles_for(&mut night, at).await, 60);
    }
    assert_eq!(odd(&mut night).await[0].0, CheckDetail::TableOfSeveral);
    // The new phone of a person has the name of the old one, which leaves it.
    set(&mut night, 0, &[("conditions.power", "ignored")])
        .await
        .unwrap();
    let manager = night.manager().await;
    let (old, new) = (night.udid(0), night.udid(1));
    night
        .drive(async move {
            manager
                .replace(old.as_str(), new.as_str(), Dict::new())
                .await
        })
        .await
        .unwrap();
    assert_eq!(odd(&mut night).await, []);
    assert_eq!(settles_for(&mut night, 1).await, 120);
    let inherited = policy(&mut night, 1, "conditions.power").await;
    assert_eq!(inherited, ("ignored".to_owned(), "set".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_goes_before_what_the_configuration_says() {
    let setup = ada().tables(&format!("[phone.{ADA:?}]\nautomatic = false"));
    let mut night = begin(setup).await;
    night.tuck_in(0).await;
    let view = night.until_state(0, PhoneState::Idle).await;
    assert_eq!(view.waits_for, [WaitsFor::AutomaticOff]);
    says(&mut night, "automatic", "false", "config-phone").await;
    set(&mut night, 0, &[("automatic", "true")]).await.unwrap();
    says(&mut night, "automatic", "true", "set").await;
    night.until_state(0, PhoneState::Settling).await;
    let proxy = night.phone_proxy(&night.udid(0)).await;
    night
        .drive(async move { proxy.set_automatic(false, Dict::new()).await })
        .await
        .unwrap();
    says(&mut night, "automatic", "false", "set").await;
    set(&mut night, 0, &[("automatic", "")]).await.unwrap();
    says(&mut night, "automatic", "false", "config-phone").await;
    assert!(!night.phone(0).automatic);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_no_longer_fits_is_left_out_and_told() {
    let mut night = begin(ada()).await;
    let set_before = [("backoff.first", "2h"), ("settle", "5min")];
    set(&mut night, 0, &set_before).await.unwrap();
    night.configure(|setup| setup.tables("[backoff]\nlongest = \"1h\""));
    night.reload().await.unwrap();
    says(&mut night, "backoff.first", "5min", "default").await;
    says(&mut night, "settle", "5min", "set").await;
    let left_out = (CheckDetail::SettingLeftOut, "backoff.first=2h".to_owned());
    assert_eq!(odd(&mut night).await, std::slice::from_ref(&left_out));
    restart(&mut night).await;
    assert_eq!(odd(&mut night).await, [left_out]);
    // Other keys can be set all the same, and it can be taken back.
    set(&mut night, 0, &[("settle", "6min")]).await.unwrap();
    set(&mut night, 0, &[("backoff.first", "")]).await.unwrap();
    assert_eq!(odd(&mut night).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_table_is_refused_with_its_line() {
    let mut night = begin(ada()).await;
    night.configure(|setup| setup.tables(&settling(ADA, "2h")));
    let Err(Error::Failed(words)) = night.reload().await else {
        panic!("taken")
    };
    assert!(words.contains("phone.\"Ada's iPhone\".settle"), "{words}");
    assert!(words.contains("line 9"), "{words}");
    says(&mut night, "settle", "60s", "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_is_forgotten_with_its_phone() {
    let mut night = begin(ada()).await;
    night.tuck_in(0).await;
    set(&mut night, 0, &[("settle", "5min")]).await.unwrap();
    let proxy = night.phone_proxy(&night.udid(0)).await;
    night
        .drive(async move { proxy.forget(Dict::new()).await })
        .await
        .unwrap();
    says(&mut night, "settle", "60s", "default").await;
    restart(&mut night).await;
    says(&mut night, "settle", "60s", "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sets_it_with_ibakctl() {
    let mut night = begin(ada()).await;
    let said = night
        .ctl(
            &["policy", "ada", "settle=5min", "conditions.wifi=required"],
            "",
        )
        .await;
    assert_eq!((said.code, said.conversation.as_str()), (Some(0), ""));
    assert_eq!(
        said.answer,
        "settle is 5min for Ada's iPhone; it was 60s.\n\
         conditions.wifi is required for Ada's iPhone; it was or-usb.\n"
    );
    let said = night.ctl(&["policy", "ada", "settel=5min"], "").await;
    assert_eq!(
        (said.code, said.conversation.as_str()),
        (
            Some(1),
            "Error: cannot set the policy; it is as it was\n\
             Caused by:\n\
             1: `settel`: there is no such key; is `settle` meant?\n\
             Hint: `ibakctl policy` shows every key with its value\n"
        )
    );
    let shown = night.ctl(&["policy"], "").await.answer;
    for line in [
        "What holds for Ada's iPhone:",
        "automatic                 true          default",
        "settle                    5min          set",
        "owner                     (nobody)      default",
        "conditions.wifi           required      set",
        "ask_window                19:00-23:30   default",
        "keep.yearly               0             default",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}\n{shown}");
    }
}
