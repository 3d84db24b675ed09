//! An interrupted backup goes on where it was: by the bytes that were counted, whatever it was at.

use super::{house, ready};
use ibak_dbus::words::{Outcome, PhoneState};
use ibak_sim::backup::Quirk;
use ibak_sim::content::FileKind;
use ibak_tests::night::{Night, Setup, fingerprint, phone};

/// What arrived at nine tenths need not come again, but for what was under way.
const AGAIN_PERCENT: u64 = 12;
/// What a row of the manifest weighs at most, in bytes: it comes last, and whole.
const ROW_BYTES: u64 = 2_400;

/// A phone of so many files that one of its batches weighs little.
async fn many_files(bytes: u64) -> Night {
    let mut spec = phone("Full iPhone");
    (spec.files, spec.bytes, spec.largest_file) = (1_600, bytes, Some(1 << 18));
    // A file that is large itself would have to come again whole, wherever the cut falls.
    spec.seed = 7;
    let setup = Setup::of(vec![spec])
        .by_cable()
        .quirks(&[Quirk::SmallBatches]);
    let mut night = setup.begin().await;
    ready(&mut night, 0).await;
    night
}

/// Returns what each attempt so far has brought, and how it ended.
async fn brought(night: &mut Night) -> Vec<(Option<Outcome>, u64)> {
    let attempts = night.attempts(0).await;
    let told = attempts.into_iter().map(|it| (it.result, it.bytes.get()));
    told.collect()
}

/// Has the connection cut once so many bytes went, and waits until the phone is back and what
/// arrived is shown.
async fn cut_at(night: &mut Night, settings: &[&str]) {
    night.set(0, settings).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::LostConnection);
    ready(night, 0).await;
    assert!(night.is_staged(0));
    night
        .until_phone(0, "what arrived is shown", |view| view.staged.get() > 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_nine_tenths_an_eighth_comes_again_at_most() {
    let mut night = many_files(96 << 20).await;
    let (content, rows) = {
        let content = night.simulated(0).content();
        let content = content.lock().unwrap();
        (content.used_bytes(), content.files().len() as u64)
    };
    let cut = (content + rows * ROW_BYTES) / 10 * 9;
    assert!(
        cut < content,
        "the manifest weighs too much: {cut} of {content}"
    );
    cut_at(&mut night, &[&format!("drop-after={cut}")]).await;
    let said = night.ctl(&["status"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.says(&["MiB"]);
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await.remove(0);
    let (whole, told) = (backup.size.get(), brought(&mut night).await);
    assert_eq!(told[0].0, Some(Outcome::LostConnection));
    assert!(told[0].1 * 100 >= whole * 88, "{told:?} of {whole}");
    assert!(
        told[1].1 * 100 <= whole * AGAIN_PERCENT,
        "{told:?} of {whole}"
    );
    assert!(night.simulated(0).activity().files_resumed > 1_300);
    night.assert_equals_phone(0, &backup.id);
    night
        .until_phone(0, "nothing is left over", |view| view.staged.get() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_while_it_moves_nothing_is_sent_twice() {
    let mut night = many_files(48 << 20).await;
    cut_at(&mut night, &["drop-in=moving", "drop-after=20000"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await.remove(0);
    let (whole, told) = (backup.size.get(), brought(&mut night).await);
    assert!(
        told[1].1 * 100 <= whole * AGAIN_PERCENT,
        "{told:?} of {whole}"
    );
    night.assert_equals_phone(0, &backup.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_while_it_removes_the_next_one_is_whole() {
    let mut night = many_files(48 << 20).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 0, 400, 200).unwrap();
    cut_at(&mut night, &["drop-in=removing", "drop-after=100"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await.remove(1);
    let (whole, told) = (backup.size.get(), brought(&mut night).await);
    assert!(
        told[2].1 * 100 <= whole * AGAIN_PERCENT,
        "{told:?} of {whole}"
    );
    night.assert_equals_phone(0, &backup.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_in_every_other_phase_the_next_one_is_whole() {
    let mut night = house(vec![phone("Ada's iPhone")]).await;
    for phase in ["asked", "scanning", "uploading", "verifying"] {
        let udid = night.simulated(0).identity().udid.clone();
        night.sim.change(&udid, 10, 5, 5).unwrap();
        night
            .set(0, &[&format!("drop-in={phase}"), "drop-after=100"])
            .await;
        assert_eq!(
            night.back_up_now(0, &[]).await,
            Outcome::LostConnection,
            "{phase}"
        );
        ready(&mut night, 0).await;
        assert_eq!(
            night.back_up_now(0, &[]).await,
            Outcome::Succeeded,
            "{phase}"
        );
        let backups = night.backups(0).await;
        night.assert_equals_phone(0, &backups.last().unwrap().id);
    }
}

/// The phone finds that its last backup lacks a file: nothing of the history is lost over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_vanished_from_the_store_costs_a_full_backup_and_no_history() {
    for payload in [false, true] {
        let mut night = house(vec![phone("Ada's iPhone")]).await;
        assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
        let first = night.backups(0).await[0].id.clone();
        let dir = night.backup_dir(0, &first);
        let lies = fingerprint(&dir);
        let vanishes = lies.iter().find(|(path, print)| {
            let is_payload = path.as_bytes().get(2) == Some(&b'/');
            is_payload == payload
                && (is_payload || *path == "Manifest.db")
                && !print.content.is_empty()
        });
        std::fs::remove_file(dir.join(vanishes.unwrap().0)).unwrap();
        let before = fingerprint(&dir);
        ready(&mut night, 0).await;
        assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
        assert!(night.simulated(0).activity().last_was_full);
        let backups = night.backups(0).await;
        assert_eq!(backups.len(), 2);
        assert_eq!(backups[0].id, first);
        assert_eq!(fingerprint(&dir), before);
        night.assert_equals_phone(0, &backups[1].id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_break_on_the_way_come_with_the_next_backup() {
    let mut night = house(vec![phone("Ada's iPhone")]).await;
    night.set(0, &["remote-errors=3"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let first = night.backups(0).await[0].clone();
    // What did not come is not in the backup, also not in its list.
    let content = night.simulated(0).content();
    let on_phone = content.lock().unwrap().files().len();
    let unpacked = night.unpack(0, &first.id, None, &[]).await.unwrap();
    assert!(unpacked.whole);
    let files = unpacked.members.values();
    let files = files.filter(|it| it.kind == FileKind::Regular).count();
    assert!(files < on_phone, "{files} of {on_phone}");
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[1].id);

    night.set(0, &["file-errors=2", "errors-end=on"]).await;
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 10, 5, 5).unwrap();
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::PhoneReadWrite);
    night.set(0, &["errors-end=off"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups.last().unwrap().id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_of_the_phone_is_a_word_and_a_sentence() {
    let mut night = house(vec![phone("Ada's iPhone")]).await;
    let table = [
        (1, Outcome::PhoneInternal, "internal error"),
        (3, Outcome::SnapshotLeft, "estart"),
        (25, Outcome::ICloudRestore, "iCloud"),
        (104, Outcome::PhoneReadWrite, "read"),
        (203, Outcome::Version, "version"),
        (208, Outcome::NotConfirmed, "passcode"),
        (210, Outcome::NoICloudAccount, "iCloud"),
        (211, Outcome::FindMy, "Find My"),
        (212, Outcome::SetupUnfinished, "setup"),
    ];
    for (code, word, sentence) in table {
        night.set(0, &[&format!("refuse-with={code}")]).await;
        let said = night.ctl(&["backup", "--wait"], "").await;
        let exit = if code == 208 { 7 } else { 1 };
        assert_eq!(said.code, Some(exit), "{code}: {said:?}");
        let text = format!("{}{}", said.answer, said.conversation).to_lowercase();
        assert!(text.contains(&sentence.to_lowercase()), "{code}: {said:?}");
        let attempt = night.attempts(0).await.pop().unwrap();
        assert_eq!(
            (attempt.result, attempt.device_code),
            (Some(word), Some(code))
        );
        let why = night.ctl(&["why"], "").await;
        assert_eq!(why.code, Some(0), "{why:?}");
    }
    assert_ne!(night.phone(0).state, PhoneState::Absent);
    assert_eq!(night.backups(0).await, []);
}
