//! What a backup holds, listed, read and exported, without the phone.

use super::{ada, house};
use ibak_dbus::words::{JobKind, JobState, Outcome, Phase, PhoneState, Trigger};
use ibak_dbus::{BackupId, Error};
use ibak_sim::content::FileKind;
use ibak_tests::night::errands::{members_of, pipe, reading, untar};
use ibak_tests::night::{Night, fingerprint, phone};
use std::collections::BTreeSet;
use std::io::Read;

/// Has a backup made and the phone taken away.
async fn backed_up(mut night: Night) -> (Night, BackupId) {
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await[0].id.clone();
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    (night, backup)
}

/// A phone whose content does not fit into a pipe.
async fn large() -> (Night, BackupId) {
    let mut spec = phone("Ada's iPhone");
    spec.bytes = 6 << 20;
    backed_up(house(vec![spec]).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_is_read_with_its_name_time_and_content() {
    let (mut night, backup) = backed_up(ada().await).await;
    let unpacked = night.unpack(0, &backup, None, &[]).await.unwrap();
    assert!(unpacked.whole);
    let content = night.simulated(0).content();
    let wanted = members_of(&content.lock().unwrap().snapshot());
    assert_eq!(unpacked.members, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_says_the_same_a_line_each_and_can_be_narrowed() {
    let (mut night, backup) = backed_up(ada().await).await;
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().snapshot();
    let list = night.list_files(0, &backup, None, &[]).await.unwrap();
    assert_eq!(list.len(), content.len());
    let mut of_list = BTreeSet::new();
    for line in &list {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let row = (
            (text("domain"), text("path")),
            text("kind"),
            line["size"].as_u64().unwrap(),
            line["modified"].as_u64().unwrap(),
            line["mode"].as_u64().unwrap(),
            text("target"),
        );
        assert!(of_list.insert(row), "twice: {line}");
    }
    let of_phone: BTreeSet<_> = content
        .files()
        .map(|view| {
            let kind = match view.kind {
                FileKind::Regular => "file",
                FileKind::Directory => "directory",
                FileKind::Symlink => "symlink",
            };
            (
                (view.domain.to_owned(), view.path.to_owned()),
                kind.to_owned(),
                view.size,
                u64::from(view.modified()),
                u64::from(view.mode() & 0o7777),
                view.target().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    assert_eq!(of_list, of_phone);

    let domain = "HomeDomain";
    let narrowed = night
        .list_files(0, &backup, None, &[("domain", domain)])
        .await
        .unwrap();
    let wanted = content.files().filter(|view| view.domain == domain).count();
    assert!(wanted > 0 && wanted < list.len());
    assert_eq!(narrowed.len(), wanted);
    let below = [("domain", domain), ("path", "Library")];
    let narrowed = night.list_files(0, &backup, None, &below).await.unwrap();
    let beneath = |path: &str| path == "Library" || path.starts_with("Library/");
    let wanted = content
        .files()
        .filter(|view| view.domain == domain && beneath(view.path))
        .count();
    assert!(wanted > 0);
    assert_eq!(narrowed.len(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_is_a_domain_a_directory_or_a_file() {
    let (mut night, backup) = backed_up(ada().await).await;
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().snapshot();
    let all = members_of(&content);
    let file = content
        .files()
        .find(|view| view.kind == FileKind::Regular && view.domain != "HomeDomain")
        .map(|view| format!("{}/{}", view.domain, view.path))
        .unwrap();
    for selection in [
        &["HomeDomain"][..],
        &["HomeDomain/Library"],
        &[file.as_str()],
        &["HomeDomain/Library/", file.as_str()],
    ] {
        let unpacked = night.unpack(0, &backup, None, selection).await.unwrap();
        let wanted: Vec<_> = all
            .iter()
            .filter(|(name, _)| {
                selection.iter().any(|item| {
                    let item = item.trim_end_matches('/');
                    *name == item || name.starts_with(&format!("{item}/"))
                })
            })
            .collect();
        assert!(!wanted.is_empty(), "{selection:?}");
        let got: Vec<_> = unpacked.members.iter().collect();
        assert_eq!(got, wanted, "{selection:?}");
    }
    let nothing = night.unpack(0, &backup, None, &["NoSuchDomain"]).await;
    assert!(nothing.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_not_allowed_is_refused() {
    let (mut night, backup) = backed_up(ada().await).await;
    let other = BackupId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let listed = night.list_files(0, &other, None, &[]).await;
    assert!(matches!(listed, Err(Error::NoSuchBackup(_))), "{listed:?}");
    let read = night.unpack(0, &other, None, &[]).await;
    assert_eq!(read, Err(Outcome::NoSuchBackup));
    let both = night
        .read_files(0, &backup, None, &["HomeDomain"], true)
        .await;
    assert!(matches!(both, Err(Error::InvalidOption(_))), "{both:?}");
    // A password is not needed here; one that is given harms nothing.
    let unpacked = night.unpack(0, &backup, Some("superfluous"), &[]).await;
    assert!(unpacked.unwrap().whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_is_shown_and_its_progress_ends_at_all() {
    let (mut night, backup) = large().await;
    let (job, stream) = night
        .read_files(0, &backup, None, &[], false)
        .await
        .unwrap();
    let view = night.job(job);
    assert_eq!((view.kind, view.trigger), (JobKind::Read, Trigger::User));
    let stream = reading(stream);
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let view = night.job(job);
    assert_eq!(view.bytes_total, Some(view.bytes_done));
    assert!(view.bytes_done.get() >= 6 << 20, "{view:?}");
    assert!(untar(&stream.await.unwrap()).whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_or_calls_it_off_ends_the_job() {
    let (mut night, backup) = large().await;
    let (job, mut stream) = night
        .read_files(0, &backup, None, &[], false)
        .await
        .unwrap();
    let mut first = [0; 4096];
    stream.read_exact(&mut first).unwrap();
    drop(stream);
    assert_eq!(night.ended(job).await, Outcome::ClientGone);

    // One that does not read on is called off like any other.
    let (job, stream) = night
        .read_files(0, &backup, None, &[], false)
        .await
        .unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Copying)
        })
        .await;
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    assert_eq!(night.job(job).state, JobState::Cancelled);
    let rest = reading(stream).await.unwrap();
    assert!(!untar(&rest).whole);

    let (out, stream) = pipe();
    drop(stream);
    let (proxy, id) = (night.phone_proxy(&night.udid(0)).await, backup.clone());
    let listing = async move {
        let options = ibak_dbus::Dict::new();
        proxy.list_files(id.as_str(), out, options).await
    };
    let gone = night.drive(listing).await;
    assert!(matches!(gone, Err(Error::Cancelled(_))), "{gone:?}");
    let unpacked = night.unpack(0, &backup, None, &[]).await.unwrap();
    assert!(unpacked.whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_read_at_once_and_a_fifth_is_told_to_wait() {
    let (mut night, backup) = large().await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let begun = night.read_files(0, &backup, None, &[], false).await;
        jobs.push(begun.unwrap());
    }
    let fifth = night.read_files(0, &backup, None, &[], false).await;
    assert!(matches!(fifth, Err(Error::Busy(_))), "{fifth:?}");
    let listed = night.list_files(0, &backup, None, &[]).await;
    assert!(matches!(listed, Err(Error::Busy(_))), "{listed:?}");
    // They are not the phone's job: it comes back and is backed up meanwhile.
    night.set(0, &["attached=usb"]).await;
    super::ready(&mut night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    for (job, stream) in jobs {
        let stream = reading(stream);
        assert_eq!(night.ended(job).await, Outcome::Succeeded);
        assert!(untar(&stream.await.unwrap()).whole);
    }
    let again = night.unpack(0, &backup, None, &[]).await.unwrap();
    assert!(again.whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_files_come_as_they_lie() {
    let (mut night, backup) = backed_up(ada().await).await;
    let (job, stream) = night.read_files(0, &backup, None, &[], true).await.unwrap();
    let stream = reading(stream);
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let unpacked = untar(&stream.await.unwrap());
    assert!(unpacked.whole);
    let udid = night.simulated(0).identity().udid.clone();
    let lies = fingerprint(&night.backup_dir(0, &backup));
    let lies: Vec<(String, String)> = lies
        .into_iter()
        .filter(|(_, print)| !print.content.is_empty())
        .map(|(path, print)| (format!("{udid}/{path}"), print.content))
        .collect();
    let came: Vec<(String, String)> = unpacked
        .members
        .into_iter()
        .map(|(path, member)| (path, member.content))
        .collect();
    assert_eq!(came, lies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_lists_and_extracts() {
    let (mut night, backup) = backed_up(ada().await).await;
    let newest = "Ada's iPhone@latest";
    let said = night.ctl(&["ls", newest], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.says(&["HomeDomain", "CameraRollDomain"]);
    let said = night.ctl(&["ls", newest, "HomeDomain/Library"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");

    let out = night.dir().join("extracted");
    let target = out.display().to_string();
    let words = ["extract", backup.as_str(), "HomeDomain", "-o", &target];
    let said = night.ctl(&words, "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().snapshot();
    let lies = fingerprint(&out);
    let mut files = 0;
    for (name, member) in members_of(&content) {
        let wanted = name.starts_with("HomeDomain/") && member.kind == FileKind::Regular;
        let found = lies.get(&name);
        assert_eq!(
            found.is_some_and(|it| it.mode & 0o170_000 == 0o100_000),
            wanted,
            "{name}"
        );
        if wanted {
            let found = found.unwrap();
            assert_eq!(found.content, member.content, "{name}");
            let modified = i128::from(member.modified) * 1_000_000_000;
            assert_eq!(found.modified, modified, "{name}");
            files += 1;
        }
    }
    assert!(files > 3);
    let none = night.ctl(&["ls", "Ada's iPhone@2001-01-01"], "").await;
    assert_eq!(none.code, Some(4), "{none:?}");
}
