//! Looking back at nights: `why`, `timeline` and `history` as they are run.

use super::fixtures::{ada, attempt, wall};
use super::mock::{Mock, Ran, Script};
use ibak_dbus::views::{AttemptView, ObservationView, PhoneView};
use ibak_dbus::words::{
    ConditionName, ConditionReason, EvidenceSource, ObservationKind, Outcome, WaitsFor,
};

/// A morning after: 22 November 2026, 08:30 UTC.
const MORNING: &str = "2026-11-22T08:30:00Z";

fn row(at: &str, what: ObservationKind, word: &str) -> ObservationView {
    ObservationView::new(wall(at), what, word)
}

fn seen(at: &str, what: ObservationKind, word: &str, reason: ConditionReason) -> ObservationView {
    ObservationView {
        reason: Some(reason),
        source: Some(EvidenceSource::Notification),
        ..row(at, what, word)
    }
}

fn waits(at: &str, waits_for: &[WaitsFor]) -> ObservationView {
    ObservationView {
        waits_for: waits_for.to_vec(),
        ..row(at, ObservationKind::Decision, "wait")
    }
}

/// It lay on its charger and was never locked, but for an hour before it was there.
fn observations() -> Vec<ObservationView> {
    use ObservationKind::{Locked, Power, Space, State, Wifi};
    let evening = "2026-11-21T11:00:00Z";
    let mut rows = vec![
        seen(evening, Power, "unmet", ConditionReason::OnBattery),
        seen(evening, Wifi, "met", ConditionReason::OnNetwork),
        seen(evening, Locked, "met", ConditionReason::ScreenLocked),
        seen(evening, Space, "met", ConditionReason::EnoughRoom),
        row(evening, State, "waiting"),
        waits(evening, &[WaitsFor::Power]),
        seen(
            "2026-11-21T22:00:00Z",
            Locked,
            "unmet",
            ConditionReason::Unlocked,
        ),
        waits("2026-11-21T22:00:00Z", &[WaitsFor::Power, WaitsFor::Locked]),
        seen(
            "2026-11-21T22:40:00Z",
            Power,
            "met",
            ConditionReason::ExternalPower,
        ),
        waits("2026-11-21T22:40:00Z", &[WaitsFor::Locked]),
    ];
    for row in &mut rows {
        if row.what == Space {
            row.source = None;
        }
    }
    rows
}

/// The phone as anybody sees it: when its lock changed is not for everybody.
fn private() -> PhoneView {
    let mut phone = PhoneView {
        last_backup: Some(wall("2026-11-20T02:14:00Z")),
        ..ada()
    };
    let locked = phone.conditions.get_mut(&ConditionName::Locked).unwrap();
    (locked.since, locked.source, locked.observed) = (None, None, None);
    phone
}

async fn house(observations: Option<Vec<ObservationView>>, attempts: Vec<AttemptView>) -> Mock {
    Mock::start(Script {
        phones: vec![private()],
        observations,
        attempts,
        ..Script::default()
    })
    .await
}

async fn in_the_morning(mock: &Mock, args: &[&str]) -> Ran {
    let mut command = mock.command(args);
    command.env("IBAK_TIMESTAMP", MORNING);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Ran::of(&output.await.unwrap())
}

const MISSED: &str = "Last night: it came to power only at 22:40 and was unlocked from 22:00 on, \
                      so the conditions never held together.";

#[tokio::test]
async fn the_first_sentence_after_a_missed_night_says_why() {
    let mock = house(Some(observations()), vec![]).await;
    let ran = in_the_morning(&mock, &["why"]).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], MISSED, "{}", ran.out);
    assert_eq!(
        lines[1],
        "Ada's iPhone is due and waits for its screen to be locked."
    );
    assert!(
        ran.out
            .contains("NO   locked   the screen is unlocked since yesterday 22:00"),
        "{}",
        ran.out
    );
    // Nobody is asked for a password only to say how things are.
    assert_eq!(
        mock.script().calls,
        ["observations 1795262400 1795336201 quiet=true"]
    );
    let json = in_the_morning(&mock, &["why", "--json"]).await.json();
    assert_eq!(json["missed"], MISSED);
    assert_eq!(json["nights"][0]["cause"], "never-together");
    assert_eq!(
        json["phone"]["conditions"]["locked"]["since"],
        "2026-11-21T22:00:00Z"
    );
}

#[tokio::test]
async fn whoever_may_not_read_the_night_sees_the_present() {
    let mock = house(None, vec![attempt(Outcome::Succeeded)]).await;
    let ran = in_the_morning(&mock, &["why"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.out
            .starts_with("Ada's iPhone is due and waits for its screen to be locked.\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("NO   locked   the screen is unlocked\n"),
        "{}",
        ran.out
    );
    for args in [
        &["timeline"][..],
        &["timeline", "--json"],
        &["why", "--night", "2026-11-19"],
    ] {
        let ran = in_the_morning(&mock, args).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(5), ""), "{args:?}");
        assert!(
            ran.err
                .contains("Hint: a phone's nights are for its owner and root"),
            "{}",
            ran.err
        );
    }
    // That a backup was made is for everybody to see.
    let ran = in_the_morning(&mock, &["why", "--night", "2026-11-20"]).await;
    let first = "In the night of Fri 20 Nov: it was backed up at 02:08: 1.2 GiB in 6 min.\n";
    assert!(ran.out.starts_with(first), "{}", ran.out);
    let ran = in_the_morning(&mock, &["history", "--days", "2"]).await;
    insta::assert_snapshot!(format!("{}{}", ran.out, ran.err));
    // That nothing was noted is not known to whoever may not read it.
    let json = in_the_morning(&mock, &["history", "--days", "2", "--json"]).await;
    let json = json.json();
    let (last, before) = (&json["nights"][0], &json["nights"][1]);
    assert_eq!(
        (&last["known"], &last["cause"], &last["sentence"]),
        (&false.into(), &().into(), &().into())
    );
    assert_eq!(before["cause"], "backed-up");
}

#[tokio::test]
async fn one_night_in_words_and_as_a_picture() {
    let mock = house(Some(observations()), vec![]).await;
    let words = in_the_morning(&mock, &["why", "--night", "last"]).await;
    let picture = in_the_morning(&mock, &["timeline", "--date", "2026-11-21"]).await;
    let hours = in_the_morning(&mock, &["timeline", "--hours", "6"]).await;
    let table = in_the_morning(&mock, &["history", "--days", "2"]).await;
    let several = in_the_morning(&mock, &["why", "--last", "2"]).await;
    insta::assert_snapshot!(format!(
        "{}\n{}\n{}\n{}\n{}",
        words.out, picture.out, hours.out, table.out, several.out
    ));
    let calls = mock.script().calls.clone();
    assert_eq!(
        calls,
        [
            "observations 1795262400 1795336200 quiet=false",
            "observations 1795262400 1795336200 quiet=false",
            "observations 1795316400 1795336200 quiet=false",
            "observations 1795176000 1795336200 quiet=true",
            "observations 1795176000 1795336201 quiet=true",
        ]
    );
    let json = in_the_morning(&mock, &["why", "--night", "2026-11-21", "--json"]).await;
    let json = json.json();
    assert_eq!(
        (&json["message_type"], &json["night"]),
        (&"why".into(), &"2026-11-21".into())
    );
    assert_eq!(json["sentence"], MISSED);
    let locked = &json["record"]["conditions"]["locked"];
    assert_eq!(locked[1]["reason"], "unlocked");
    assert_eq!(locked[1]["from"], "2026-11-21T22:00:00Z");
    let json = in_the_morning(&mock, &["timeline", "--json"]).await.json();
    assert_eq!(json["from"], "2026-11-21T21:00:00Z");
    assert_eq!(json["until"], "2026-11-22T09:00:00Z");
}

#[tokio::test]
async fn a_night_that_is_none_is_a_question_of_usage() {
    let mock = house(Some(observations()), vec![]).await;
    for args in [
        &["why", "--night", "yesterday"][..],
        &["why", "--night", "2027-01-01"],
        &["why", "--night", "last", "--last", "2"],
        &["timeline", "--date", "2026-99-01"],
        &["timeline", "--date", "last", "--hours", "3"],
        &["timeline", "--hours", "0"],
        &["history", "--days", "0"],
    ] {
        let ran = in_the_morning(&mock, args).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(2), ""),
            "{args:?}: {}",
            ran.err
        );
    }
    assert_eq!(mock.script().calls, Vec::<String>::new());
}
