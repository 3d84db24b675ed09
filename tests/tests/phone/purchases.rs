//! What was bought in the stores, copied off the phone: all of it, only what is missing, and as a
//! stream that does not look whole when it is not.

use super::{house, ready};
use ibak_dbus::Error;
use ibak_dbus::words::{JobKind, Outcome, Phase, PhoneState};
use ibak_tests::night::errands::{Member, reading, untar};
use ibak_tests::night::{Night, fingerprint, phone};
use std::collections::BTreeMap;
use std::io::Read;

/// Bytes of all purchases.
const BYTES: u64 = 3_000_001;
/// How many there are, beside the phone's own list of them.
const COUNT: u32 = 7;

async fn customer() -> Night {
    let mut spec = phone("Ada's iPhone");
    (spec.purchases, spec.purchase_bytes) = (COUNT, BYTES);
    house(vec![spec]).await
}

async fn save(night: &mut Night, have: &[(String, u64)]) -> BTreeMap<String, Member> {
    ready(night, 0).await;
    let (job, stream) = night.save_purchases(0, have).await.unwrap();
    assert_eq!(night.job(job).kind, JobKind::Purchases);
    let stream = reading(stream);
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let unpacked = untar(&stream.await.unwrap());
    assert!(unpacked.whole);
    unpacked.members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_them_arrive_and_what_is_there_is_not_copied_again() {
    let mut night = customer().await;
    let all = save(&mut night, &[]).await;
    let of_folder = |folder: &str| all.keys().filter(|path| path.starts_with(folder)).count();
    let (music, books) = (of_folder("Purchases/"), of_folder("Books/Purchases/"));
    assert_eq!(books, 2, "{all:?}");
    assert_eq!(music + books, all.len(), "{all:?}");
    let bought = all.values().filter(|member| member.size > 0);
    assert_eq!(bought.clone().count(), COUNT as usize);
    assert_eq!(bought.map(|member| member.size).sum::<u64>(), BYTES);

    let have: Vec<(String, u64)> = all
        .iter()
        .take(4)
        .map(|(path, member)| (path.clone(), member.size))
        .collect();
    let rest = save(&mut night, &have).await;
    let wanted: BTreeMap<String, Member> = all.clone().into_iter().skip(4).collect();
    assert_eq!(rest, wanted);
    // One that is there in part comes whole.
    let (path, member) = all.iter().find(|(_, member)| member.size > 9).unwrap();
    let have: Vec<(String, u64)> = all
        .iter()
        .map(|(name, of)| (name.clone(), of.size - u64::from(name == path)))
        .collect();
    let one = save(&mut night, &have).await;
    assert_eq!(one, BTreeMap::from([(path.clone(), member.clone())]));
    assert_eq!(night.attempts(0).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_unplugged_in_the_middle_ends_the_job_and_not_the_stream() {
    let mut night = customer().await;
    let (job, mut stream) = night.save_purchases(0, &[]).await.unwrap();
    let mut first = vec![0; 100_000];
    let begun = tokio::task::spawn_blocking(move || {
        stream.read_exact(&mut first).unwrap();
        (stream, first)
    });
    let (stream, mut first) = night.drive(begun).await.unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Copying)
        })
        .await;
    night.set(0, &["attached=none"]).await;
    let rest = reading(stream);
    let end = night.ended(job).await;
    assert_eq!(end, Outcome::LostConnection);
    first.extend(rest.await.unwrap());
    assert!(!untar(&first).whole);
    night.until_state(0, PhoneState::Absent).await;
    let gone = night.save_purchases(0, &[]).await;
    assert!(matches!(gone, Err(Error::NotConnected(_))), "{gone:?}");
    night.set(0, &["attached=usb"]).await;
    assert_eq!(save(&mut night, &[]).await.len(), COUNT as usize + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_or_calls_it_off_ends_it() {
    let mut night = customer().await;
    let (job, stream) = night.save_purchases(0, &[]).await.unwrap();
    drop(stream);
    assert_eq!(night.ended(job).await, Outcome::ClientGone);
    ready(&mut night, 0).await;
    let (job, stream) = night.save_purchases(0, &[]).await.unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Copying)
        })
        .await;
    let busy = night.back_up(0, &[]).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    assert!(!untar(&reading(stream).await.unwrap()).whole);
    ready(&mut night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_saves_them_and_saves_again() {
    let mut night = customer().await;
    let all = save(&mut night, &[]).await;
    let out = night.dir().join("bought");
    let target = out.display().to_string();
    ready(&mut night, 0).await;
    let said = night
        .ctl(&["purchases", "save", "Ada's iPhone", &target], "")
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let files: BTreeMap<String, String> = fingerprint(&out)
        .into_iter()
        .filter(|(_, print)| !print.content.is_empty())
        .map(|(path, print)| (path, print.content))
        .collect();
    let wanted: BTreeMap<String, String> = all
        .iter()
        .map(|(path, member)| (path.clone(), member.content.clone()))
        .collect();
    assert_eq!(files, wanted);
    let lost = all.iter().find(|(_, member)| member.size > 0).unwrap().0;
    std::fs::remove_file(out.join(lost)).unwrap();
    ready(&mut night, 0).await;
    let said = night
        .ctl(&["purchases", "save", "Ada's iPhone", &target], "")
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(out.join(lost).is_file());
}
