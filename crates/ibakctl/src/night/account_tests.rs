//! One row a night: what happened, and the sentence.

use super::*;
use crate::night::script::{at, record};
use crate::render;
use crate::style::Style;
use ibak_dbus::views::AttemptView;

fn style() -> Style {
    Style::plain("2026-11-22T13:00:00Z".parse().unwrap())
}

fn attempt(result: Outcome, from: &str, until: &str) -> AttemptView {
    AttemptView {
        kind: JobKind::Backup,
        started: Some(at(from)),
        ended: Some(at(until)),
        trigger: Trigger::Schedule,
        result: Some(result),
        job: None,
        backup: None,
        bytes: Bytes::from_gib(1),
        files: 212,
        device_code: None,
        detail: String::new(),
        waits_for: Vec::new(),
    }
}

fn sentence(script: &str, attempts: &[AttemptView]) -> String {
    let account = account(&record(script), attempts);
    render::night_sentence("Last night", &account, &style())
}

const FOUR: &str = "power *; wifi *; locked *; space *";

#[test]
fn the_conditions_tell_why() {
    let table = [
        (
            "power -03:02; wifi *; locked 03:10-",
            "it left its charger at 03:02 and was unlocked until 03:10, so the conditions never held together",
        ),
        (
            "power 22:00-03:02; wifi *; locked 03:10-07:00",
            "it was on power only from 22:00 to 03:02 and was locked only from 03:10 to 07:00, so the conditions never held together",
        ),
        (
            "wifi *; locked 23:10-07:00",
            "it was never on power, so nothing could run",
        ),
        (
            "power 22:00-07:00; wifi *",
            "it was never locked, so nothing could run",
        ),
        (
            "power *; locked *; unknown-wifi *",
            "nobody could say whether it was on the network, so nothing could run",
        ),
        (
            "wifi *; space *",
            "it was never on power and was never locked, so nothing could run",
        ),
        (
            "here",
            "it had not been seen since yesterday 12:00, so nothing could run",
        ),
        (
            "here 06:10-06:50; power *; wifi *",
            "it was here only from 06:10 to 06:50 and was never locked, so nothing could run",
        ),
        (
            "power 22:00-23:00 01:00-02:00 04:00-05:00; wifi *; locked 23:10-00:50 02:30-03:50",
            "it was on power only now and then (3 h in all) and was locked only now and then (3 h in all), so the conditions never held together",
        ),
        (
            "power 22:00-; wifi *; locked 02:10-02:11; settling 02:10-02:11",
            "the conditions held together for 60 s at most (from 02:10), which is too short to start",
        ),
        (
            "power *; wifi *; locked *; space",
            "the store could not be used: its directory does not exist",
        ),
        (
            "power 22:00-02:00; wifi *; locked *; space 03:00-",
            "it was on power only from 22:00 to 02:00 and the store could take a backup only from 03:00 on, so the conditions never held together",
        ),
    ];
    for (script, want) in table {
        assert_eq!(
            sentence(script, &[]),
            format!("Last night: {want}."),
            "{script}"
        );
    }
}

#[test]
fn what_else_held_it_back() {
    let table = [
        ("due", "no backup was due"),
        ("due; off *", "automatic backup was off for it"),
        ("pause *", "automatic backups were paused"),
        (
            "window *; wifi *",
            "it was due only outside its backup window",
        ),
        (
            "window -22:00 06:00-; wifi *; locked *; power 18:00-21:00",
            "in its backup window it was never on power, so nothing could run",
        ),
        ("host-power *", "this computer ran from its battery"),
        (
            "backoff *",
            "it was waiting after a failure, to try again later",
        ),
        (
            "passcode *",
            "it asks for its passcode before every backup, and nobody started one",
        ),
        (
            "power 22:00-07:00; wifi *; locked 22:00-07:00; person *",
            "it could have been asked for its passcode from 22:00 to 07:00, but nobody had it unlocked then",
        ),
        (
            "power 22:00-07:00; wifi *; locked 23:00-07:00; network *",
            "the conditions held together from 23:00 to 07:00, but this computer was on a network that backups must not use",
        ),
        (
            "power 22:00-07:00; wifi *; locked 23:00-07:00; slot 23:00-07:00",
            "the conditions held together from 23:00 to 07:00, but other phones' backups took all the time",
        ),
        (
            "power 22:00-07:00; wifi *; locked 23:00-07:00; battery *",
            "the conditions held together from 23:00 to 07:00, but its battery was too low",
        ),
        (
            "power 22:00-07:00; wifi *; locked 23:00-07:00; moon *",
            "the conditions held together from 23:00 to 07:00, but it waited for moon",
        ),
        // Away and paused: the pause would have had to end, too; the phone is the plainer reason.
        (
            "here; pause *",
            "it had not been seen since yesterday 12:00, so nothing could run",
        ),
    ];
    for (script, want) in table {
        assert_eq!(
            sentence(script, &[]),
            format!("Last night: {want}."),
            "{script}"
        );
    }
}

#[test]
fn a_try_says_it_all() {
    let worked = attempt(Outcome::Succeeded, "02:14", "02:20");
    let lost = attempt(Outcome::LostPower, "00:40", "01:02");
    let silent = attempt(Outcome::NotConfirmed, "22:31", "22:36");
    let never = attempt(Outcome::NotReadyInTime, "20:00", "08:00");
    let user = AttemptView {
        trigger: Trigger::User,
        ..worked.clone()
    };
    let proof = AttemptView {
        kind: JobKind::Verify,
        ..worked.clone()
    };
    let table: [(&str, Vec<AttemptView>, &str); 9] = [
        (
            FOUR,
            vec![lost.clone(), worked.clone()],
            "it was backed up at 02:14: 1 GiB in 6 min",
        ),
        (
            FOUR,
            vec![user],
            "it was backed up at 02:14, as it was asked to: 1 GiB in 6 min",
        ),
        (
            FOUR,
            vec![worked, lost.clone()],
            "it was backed up at 02:14: 1 GiB in 6 min",
        ),
        (
            "",
            vec![lost.clone()],
            "the backup that began at 00:40 stopped because the phone lost its power; what arrived is kept",
        ),
        (
            "",
            vec![silent.clone(), lost],
            "2 backups were tried; the last, begun at 00:40, stopped because the phone lost its power; what arrived is kept",
        ),
        (
            "",
            vec![silent.clone()],
            "it asked for its passcode at 22:31, and nobody typed it",
        ),
        (
            "",
            vec![silent.clone(), silent],
            "it asked for its passcode 2 times, and nobody typed it",
        ),
        (
            "",
            vec![attempt(Outcome::NotLockedInTime, "22:31", "22:36")],
            "its passcode was typed at 22:31, and its screen was not locked in time",
        ),
        (
            "wifi *; locked *",
            vec![never, proof],
            "it was never on power, so nothing could run",
        ),
    ];
    for (script, attempts, want) in table {
        assert_eq!(
            sentence(script, &attempts),
            format!("Last night: {want}."),
            "{attempts:?}"
        );
    }
}

#[test]
fn gaps_tell_why_only_where_a_backup_could_have_run() {
    let table = [
        // Half of the day asleep, and awake for the whole window.
        (
            "window -22:00 08:00-; wifi *; locked *; asleep 12:00-22:00 08:00-11:58",
            "in its backup window it was never on power, so nothing could run; from 12:00 to 22:00 this computer was asleep",
        ),
        (
            "window -02:00 03:00-; wifi *; locked *; asleep 12:10-01:00 04:00-11:50",
            "in its backup window it was never on power, so nothing could run; from 12:10 to 01:00 this computer was asleep",
        ),
        // Awake by day, and asleep for the whole window, or nearly.
        (
            "window -22:00 08:00-; wifi *; locked *; asleep 21:50-08:10",
            "this computer was asleep from 21:50 to 08:10, so nothing could run",
        ),
        (
            "window -22:00 08:00-; wifi *; locked *; asleep 22:20-08:10",
            "this computer was asleep from 22:20 to 08:10, so nothing could run",
        ),
        (
            "due; asleep 22:00-10:30",
            "no backup was due; from 22:00 to 10:30 this computer was asleep",
        ),
        (
            "due; stopped 22:00-",
            "no backup was due; from 22:00 to 12:00 ibakd was not running",
        ),
        (
            "due 02:00-; wifi *; locked *; asleep 22:00-11:40",
            "this computer was asleep from 22:00 to 11:40, so nothing could run",
        ),
        (
            "off *; asleep 22:00-10:30",
            "automatic backup was off for it; from 22:00 to 10:30 this computer was asleep",
        ),
        (
            "due 09:00-; window 08:00-; asleep 10:00-11:00",
            "it was due only outside its backup window; from 10:00 to 11:00 this computer was asleep",
        ),
        // Many gaps are as much as one.
        (
            "wifi *; locked *; asleep 12:05-14:00 14:10-17:00 17:10-20:00 20:10-23:00 23:10-02:00 02:10-05:00 05:10-08:00 08:10-11:50",
            "this computer was asleep for 23 h in all between 12:05 and 11:50, so nothing could run",
        ),
        (
            "wifi *; locked *; asleep 12:05-21:59; stopped 22:00-11:50",
            "this computer was asleep from 12:05 to 21:59 and ibakd was not running from 22:00 to 11:50, so nothing could run",
        ),
        (
            "wifi *; locked *; asleep 12:05-21:59; unseen 22:00-11:50",
            "this computer was asleep from 12:05 to 21:59 and ibakd ended unseen between 22:00 and 11:50, so nobody can say",
        ),
    ];
    for (script, want) in table {
        assert_eq!(
            sentence(script, &[]),
            format!("Last night: {want}."),
            "{script}"
        );
    }
}

#[test]
fn what_nobody_watched_is_not_told() {
    let table = [
        (
            "wifi *; locked *; stopped 13:00-11:00",
            "ibakd was not running from 13:00 to 11:00, so nothing could run",
        ),
        (
            "wifi *; locked *; unseen 13:00-11:00",
            "ibakd ended unseen between 13:00 and 11:00, so nobody can say what could have run",
        ),
        (
            "wifi *; locked *; asleep 20:00-09:00",
            "it was never on power, so nothing could run; from 20:00 to 09:00 this computer was asleep",
        ),
        (
            "wifi *; locked *; stopped 23:10-06:02",
            "it was never on power, so nothing could run; from 23:10 to 06:02 ibakd was not running",
        ),
        // That nobody watched for an hour does not mean that it left its charger.
        (
            "power 23:30-; wifi *; locked -23:10; stopped 01:00-02:00",
            "it came to power only at 23:30 and was unlocked from 23:10 on, so the conditions never held together; from 01:00 to 02:00 ibakd was not running",
        ),
        (
            "wifi *; locked *; stopped 23:10-23:20",
            "it was never on power, so nothing could run",
        ),
    ];
    for (script, want) in table {
        assert_eq!(
            sentence(script, &[]),
            format!("Last night: {want}."),
            "{script}"
        );
    }
    let nothing = crate::night::reconstruct(&[], at("12:00"), at("11:59"));
    let account = account(&nothing, &[]);
    assert_eq!(
        render::night_sentence("Last night", &account, &style()),
        "Last night: nothing was noted, so nobody can say."
    );
}
