//! Who leaves, who takes whose place, and a store that moves.

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

fn retire(phone: &Udid, retired: bool) -> Request {
    Request::SetRetired {
        phone: phone.clone(),
        retired,
    }
}

fn automatic(phone: &Udid, automatic: Automatic) -> Request {
    Request::SetAutomatic {
        phone: phone.clone(),
        automatic,
    }
}

fn errand(phone: &Udid, errand: Errand) -> Request {
    Request::Errand {
        phone: phone.clone(),
        errand,
    }
}

fn forget(phone: &Udid) -> Request {
    Request::Forget {
        phone: phone.clone(),
    }
}

fn begun(answer: Result<Answer, RequestError>) -> JobId {
    match answer {
        Ok(Answer::Job(job)) => job,
        other => panic!("no job: {other:?}"),
    }
}

#[test]
fn a_retired_phone_is_left_in_peace() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.encrypts = true;
    assert_eq!(
        house.ask(retire(&ada, true)),
        Err(RequestError::NoSuchPhone)
    );
    house.bed(&ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    assert_eq!(
        house.ask(retire(&ada, true)),
        Err(RequestError::Busy { job })
    );
    house.succeed(&ada);
    let told = house.messages().len();
    assert_eq!(house.ask(retire(&ada, true)), Ok(Answer::Done));
    assert_eq!(house.ask(retire(&ada, true)), Ok(Answer::AlreadyThere));
    house.restart(Duration::ZERO);
    house.bed(&ada);
    house.pass(100 * DAY);
    let view = house.phone(&ada);
    assert_eq!(view.decision, Decision::Refuse(Refusal::AutomaticOff));
    assert_eq!(
        (view.retired, view.overdue, view.password_due),
        (true, false, false)
    );
    assert_eq!(house.messages().len(), told, "nobody is reminded");
    assert_eq!(house.starts().len(), 1, "nothing starts by itself");
    // Who asks for a backup that does not fit sees it wait.
    let share = |gib| Request::SetQuota {
        phone: udid(1),
        quota: Some(Bytes::from_gib(gib)),
    };
    house.ask(share(1)).unwrap();
    let job = begun(house.back_up(&ada, When::Ready));
    house.pass(DAY);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["space"]);
    assert_eq!(house.messages().len(), told);
    house.ask(Request::Cancel { job }).unwrap();
    house.ask(share(90)).unwrap();
    begun(house.back_up(&ada, When::AtOnce));
    house.succeed(&ada);
    assert_eq!(
        house.ask(automatic(&ada, Automatic::Off)),
        Ok(Answer::AlreadyThere)
    );
    assert!(house.phone(&ada).retired);
    assert_eq!(house.ask(automatic(&ada, Automatic::On)), Ok(Answer::Done));
    assert!(!house.phone(&ada).retired);
    house.pass(DAY);
    assert_eq!(house.starts().len(), 3, "it is back");
}

#[test]
fn a_new_phone_takes_the_place_of_an_old_one() {
    let (old, new) = (udid(1), udid(2));
    let replace = || Request::Replace {
        old: udid(1),
        new: udid(2),
    };
    let mut house = House::quiet();
    assert_eq!(house.ask(replace()), Err(RequestError::NoSuchPhone));
    house.nights(&old, 1);
    let before = house.phone(&old);
    assert_eq!(house.ask(replace()), Err(RequestError::NoSuchPhone));
    assert_eq!(
        house.phone(&old),
        before,
        "nothing is changed for a phone nobody knows"
    );
    let same = Request::Replace {
        old: old.clone(),
        new: old.clone(),
    };
    assert_eq!(house.ask(same), Err(RequestError::SamePhone));
    let quota = Some(Bytes::from_gib(90));
    let phone = old.clone();
    house.ask(Request::SetQuota { phone, quota }).unwrap();
    house.set(&new, |it| it.usb = true);
    house.ask(automatic(&new, Automatic::Off)).unwrap();
    house.ask(retire(&new, true)).unwrap();
    // The old one is there, and its backup runs: nothing is done by halves.
    house.bed(&old);
    house.pass(MINUTE);
    let job = house.job(&old).unwrap();
    assert_eq!(house.ask(replace()), Err(RequestError::Busy { job }));
    house.succeed(&old);
    assert_eq!(house.ask(replace()), Ok(Answer::Done));
    assert_eq!(house.ask(replace()), Ok(Answer::AlreadyThere));
    let (was, is) = (house.phone(&old), house.phone(&new));
    assert_eq!(
        (was.retired, was.automatic, was.share.quota),
        (true, Automatic::Off, quota)
    );
    assert_eq!(
        (is.retired, is.automatic, is.share.quota),
        (false, Automatic::On, quota)
    );
    house.bed(&new);
    house.pass(2 * DAY);
    let starts: Vec<_> = house
        .starts()
        .into_iter()
        .filter_map(|it| it.phone)
        .collect();
    assert_eq!(
        starts,
        [old.clone(), old, new],
        "the old one rests, though it is there"
    );
}

#[test]
fn the_place_of_a_phone_that_was_retired_before_is_taken_too() {
    let policies = Policies {
        default: Policy {
            automatic: false,
            ..Policy::default()
        },
        ..Policies::default()
    };
    let (mut house, old, new) = (House::new(policies), udid(1), udid(2));
    for phone in [&old, &new] {
        house.bed(phone);
    }
    house.ask(automatic(&old, Automatic::On)).unwrap();
    house.ask(retire(&old, true)).unwrap();
    let replace = Request::Replace {
        old,
        new: new.clone(),
    };
    assert_eq!(house.ask(replace.clone()), Ok(Answer::Done));
    assert_eq!(house.phone(&new).automatic, Automatic::On);
    assert_eq!(house.ask(replace), Ok(Answer::AlreadyThere));
}

#[test]
fn a_forgotten_phone_that_is_away_is_unknown() {
    let (mut house, ada) = (House::quiet(), udid(1));
    assert_eq!(house.ask(forget(&ada)), Err(RequestError::NoSuchPhone));
    house.nights(&ada, 1);
    let job = begun(house.ask(errand(&ada, Errand::Read)));
    assert_eq!(house.ask(forget(&ada)), Err(RequestError::Busy { job }));
    house.end(job, Outcome::Done);
    house.backups.remove(&ada);
    assert_eq!(house.ask(forget(&ada)), Ok(Answer::Done));
    assert!(matches!(house.log.last(), Some((_, Effect::Answer { .. }))));
    assert!(house.memory.is_empty() && house.machine.view().phones.is_empty());
    // A look at the store that was under way brings nothing back, nor does time.
    house.list(&ada);
    house.pass(10 * DAY);
    assert!(house.memory.is_empty() && house.machine.view().phones.is_empty());
    assert_eq!(house.messages(), []);
}

#[test]
fn a_forgotten_phone_that_is_there_begins_anew() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.nights(&ada, 1);
    let (phone, quota) = (ada.clone(), Some(Bytes::from_gib(90)));
    house.ask(Request::SetQuota { phone, quota }).unwrap();
    house.bed(&ada);
    house.pass(MINUTE);
    house.succeed(&ada);
    house.backups.remove(&ada);
    house.ask(forget(&ada)).unwrap();
    let view = house.phone(&ada);
    assert_eq!((view.backups, view.share), (vec![], PhoneShare::default()));
    assert_eq!((view.automatic, view.retired), (Automatic::Off, false));
    assert_eq!((view.first_seen, view.last_result), (house.now.wall, None));
    assert_eq!(
        (view.trust, view.reach.usb),
        (Trust::Trusted, true),
        "it is read afresh"
    );
    assert_eq!(
        house.memory[&ada].automatic,
        Some(Automatic::Off),
        "after a restart, too"
    );
    house.pass(10 * DAY);
    assert_eq!((house.starts().len(), house.messages()), (2, vec![]));
    house.ask(automatic(&ada, Automatic::On)).unwrap();
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 3);
}

#[test]
fn who_holds_the_store_keeps_it_from_moving() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.nights(&ada, 1);
    house.bed(&ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    let in_use = |job| Err(RequestError::StoreInUse { job });
    assert_eq!(house.ask(Request::MoveStore), in_use(job));
    house.succeed(&ada);
    for it in [Errand::Read, Errand::Verify, Errand::Adopt, Errand::Restore] {
        let job = begun(house.ask(errand(&ada, it)));
        assert_eq!(house.ask(Request::MoveStore), in_use(job), "{it:?}");
        house.end(job, Outcome::Done);
    }
    let job = begun(house.ask(errand(&ada, Errand::ICloud)));
    let moving = begun(house.ask(Request::MoveStore));
    let start = StartJob {
        job: moving,
        phone: None,
        kind: JobKind::MoveStore,
        trigger: Trigger::User,
        extent: Extent::Changes,
        transport: None,
        hold_until_locked: None,
    };
    assert_eq!(house.starts().pop(), Some(start));
    assert_eq!(house.ask(Request::MoveStore), in_use(moving));
    house.end(job, Outcome::Done);
    assert_eq!(house.ask(Request::Cancel { job: moving }), Ok(Answer::Done));
    assert_eq!(house.stops(), [StopWhy::ByUser]);
}

#[test]
fn while_the_store_moves_nothing_that_needs_it_starts() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let upkeep = |house: &House| house.machine.view().house.upkeep;
    house.nights(&ada, 1);
    assert_eq!(upkeep(&house), Upkeep::May);
    let job = begun(house.ask(Request::MoveStore));
    assert_eq!(upkeep(&house), Upkeep::Rests);
    for it in Errand::ALL {
        if JobKind::Errand(it).uses_store() {
            let refused = house.ask(errand(&ada, it));
            assert_eq!(refused, Err(RequestError::StoreMoving { job }), "{it:?}");
        }
    }
    let stranger = house.ask(errand(&udid(9), Errand::Adopt));
    assert_eq!(stranger, Err(RequestError::StoreMoving { job }));
    assert!(
        !house.machine.view().phones.contains_key(&udid(9)),
        "nothing was changed"
    );
    assert_eq!(
        house.ask(forget(&ada)),
        Err(RequestError::StoreMoving { job })
    );
    house.bed(&ada);
    let refused = house.back_up(&ada, When::AtOnce);
    assert_eq!(
        refused,
        Err(RequestError::StoreUnavailable(StoreTrouble::Moving))
    );
    house.pass(2 * DAY);
    let starts = house.starts().len();
    assert_eq!(house.phone(&ada).decision.waits_for(), ["space"]);
    let space = house.phone(&ada).conditions.get(Condition::Space).verdict;
    assert_eq!(space, Verdict::Unmet(Unmet::Store(StoreTrouble::Moving)));
    assert_eq!(house.messages(), [], "that is no trouble");
    let ready = begun(house.back_up(&ada, When::Ready));
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), starts);
    house.end(job, Outcome::Cancelled);
    house.pass(MINUTE);
    assert_eq!(house.starts().last().unwrap().job, ready);
    assert_eq!(upkeep(&house), Upkeep::Rests, "a backup runs");
    house.succeed(&ada);
    assert_eq!(upkeep(&house), Upkeep::May);
    house.store = StoreReport::Unavailable(StoreTrouble::Missing);
    house.look_at_store();
    assert_eq!(upkeep(&house), Upkeep::Rests);
}

#[test]
fn what_a_commit_before_the_move_leaves_to_remove_waits_for_its_end() {
    let mut policies = Policies::default();
    policies.default.keep = Keep {
        last: 1,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    let (mut house, ada) = (House::new(policies), udid(1));
    house.nights(&ada, 1);
    house.lists = false;
    house.nights(&ada, 1);
    let job = begun(house.ask(Request::MoveStore));
    house.list(&ada);
    assert!(
        house.removed().is_empty(),
        "a tree that is copied stands still"
    );
    house.end(job, Outcome::Cancelled);
    assert_eq!(house.removed(), [vec![backup_id(1)]]);
}

#[test]
fn a_store_that_was_copied_is_left_alone_until_the_copy_is_there() {
    let upkeep = |house: &House| house.machine.view().house.upkeep;
    for (what, recovers) in [("the copy is there", true), ("nobody reloads", false)] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.nights(&ada, 1);
        let job = begun(house.ask(Request::MoveStore));
        house.bed(&ada);
        house.pass(DAY);
        let ready = begun(house.back_up(&ada, When::Ready));
        house.end(job, Outcome::Done);
        let starts = house.starts().len();
        house.pass(RELOAD_MAX - Duration::from_secs(1));
        assert_eq!(house.starts().len(), starts, "{what}");
        assert!(
            !house.machine.view().jobs.contains_key(&job),
            "{what}: long ended"
        );
        let space = house.phone(&ada).conditions.get(Condition::Space).verdict;
        assert_eq!(space, Verdict::Unmet(Unmet::Store(StoreTrouble::Moving)));
        assert_eq!(upkeep(&house), Upkeep::Rests, "{what}");
        let moving = Err(RequestError::StoreMoving { job });
        for request in [
            errand(&ada, Errand::Verify),
            errand(&udid(9), Errand::Adopt),
            forget(&ada),
            Request::MoveStore,
        ] {
            assert_eq!(house.ask(request), moving, "{what}");
        }
        if recovers {
            let all = house.backups.clone().into_iter().collect();
            house.send(Event::StoreRecovered(all));
        } else {
            let at = house.machine.next_deadline().unwrap();
            assert!(at <= house.now.monotonic + Duration::from_secs(1));
            house.pass(Duration::from_secs(1));
        }
        house.pass(MINUTE);
        assert_eq!(house.starts().last().unwrap().job, ready, "{what}");
    }
}

#[test]
fn a_reload_between_two_stores_is_no_trouble() {
    let mut house = House::quiet();
    house.nights(&udid(1), 1);
    house.store = StoreReport::Unavailable(StoreTrouble::Moving);
    house.look_at_store();
    house.bed(&udid(1));
    house.pass(2 * DAY);
    assert_eq!(house.messages(), []);
    house.store = StoreReport::Unavailable(StoreTrouble::Missing);
    house.look_at_store();
    assert_eq!(house.messages(), [(None, AttentionKind::StoreTrouble)]);
}

#[test]
fn nobody_is_known_for_a_backup_that_was_not_taken_in() {
    type Before = fn(&mut House);
    let refused = Outcome::failed(Failure::NotAdoptable, "");
    let nothing: Before = |_| {};
    for (what, before, outcome, known) in [
        ("it failed", nothing, refused.clone(), false),
        ("it was called off", nothing, Outcome::Cancelled, false),
        (
            "it was taken in",
            nothing,
            Outcome::Adopted(backup_id(7)),
            true,
        ),
        (
            "it came before",
            |house| {
                house.set(&udid(9), |it| it.usb = true);
                house.set(&udid(9), |it| it.usb = false);
            },
            refused.clone(),
            true,
        ),
        (
            "it is here, a stranger",
            |house| {
                house.set(&udid(9), |it| {
                    it.usb = true;
                    it.trusted = false;
                });
            },
            refused.clone(),
            true,
        ),
        (
            "it has backups",
            |house| {
                let stored = house.backups.entry(udid(9)).or_default();
                stored.committed.push(BackupFacts {
                    adopted: true,
                    ..blank_backup()
                });
                house.list(&udid(9));
            },
            refused.clone(),
            true,
        ),
    ] {
        let (mut house, bob) = (House::quiet(), udid(9));
        before(&mut house);
        let job = begun(house.ask(errand(&bob, Errand::Adopt)));
        assert!(house.machine.view().phones.contains_key(&bob), "{what}");
        house.end(job, outcome);
        let view = house.machine.view();
        assert_eq!(view.phones.contains_key(&bob), known, "{what}");
        assert_eq!(house.memory.contains_key(&bob), known, "{what}");
        assert_eq!(
            view.jobs[&job].phone,
            Some(bob),
            "{what}: the job is told of"
        );
    }
    // While another one of the same phone runs it stays.
    let (mut house, bob) = (House::quiet(), udid(9));
    let first = begun(house.ask(errand(&bob, Errand::Adopt)));
    let second = begun(house.ask(errand(&bob, Errand::Adopt)));
    for (job, known) in [(first, true), (second, false)] {
        house.end(job, refused.clone());
        assert_eq!(house.machine.view().phones.contains_key(&bob), known);
    }
}

#[test]
fn what_others_still_write_is_promised() {
    let (mut house, ada, bob) = (House::quiet(), udid(1), udid(2));
    house.bed(&ada);
    house.bed(&bob);
    house.pass(2 * MINUTE);
    let job = house.job(&ada).unwrap();
    assert!(house.job(&bob).is_some());
    let promised = |house: &House, phone| house.machine.promised_to_others(phone);
    let whole = promised(&house, &bob);
    assert!(whole > Bytes::from_gib(20), "{whole:?}");
    let bytes_done = Bytes::from_gib(5);
    let progress = Progress {
        bytes_done,
        ..Progress::default()
    };
    house.send(Event::JobProgress(job, progress));
    let left = Bytes::new(whole.get() - bytes_done.get());
    assert_eq!(promised(&house, &bob), left);
    assert_eq!(promised(&house, &ada), whole, "of the other");
}
