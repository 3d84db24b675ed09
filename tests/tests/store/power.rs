//! The power cut at the instant after success was said, on real file systems: by the daemon of a
//! backup, and by Debian's `idevicebackup2` of its one backup in place.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ibak_dbus::words::Outcome;
use ibak_sim::content::{FileKind, Tree};
use ibak_sim::{Phone, PhoneSpec};
use ibak_tests::trouble::{House, phone, say, udid_of};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::ear::Ear;
use crate::image::{Image, Kind};
use crate::tree::Place;

/// What else happens right before the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// Nothing.
    Nothing,
    /// Another program syncs a file of its own, which writes the log of a journaling file system.
    Sync,
}

impl Beside {
    fn happen(self, image: &Image) {
        if self == Self::Sync {
            let file = File::create(image.mountpoint().join("another")).unwrap();
            file.sync_all().unwrap();
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Sync => " while another program syncs a file",
        }
    }
}

/// How much is left of what was said to be saved.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    damaged: usize,
    files: usize,
}

/// An image and its cut: it is stopped where it can be, else copied as it is.
fn stop(image: &Image) {
    match image.kind {
        Kind::Ext4 | Kind::Xfs => image.stop(),
        Kind::Btrfs => image.copy_as_it_is(),
    }
}

fn again(image: &Image) {
    match image.kind {
        Kind::Ext4 | Kind::Xfs => image.again(),
        Kind::Btrfs => image.back_to_the_copy(),
    }
}

fn spec(seed: u64) -> PhoneSpec {
    PhoneSpec {
        // An iOS that idevicebackup2 1.3.0 still speaks to.
        ios: "13.3.1".parse().unwrap(),
        product: "iPhone9,1".to_owned(),
        ..phone(seed, 300, 6 << 20)
    }
}

/// Makes an image, or says aloud that this is skipped.
pub fn image(kind: Kind, mib: u64) -> Option<Image> {
    match Image::new(kind, mib) {
        Ok(image) => Some(image),
        Err(reason) => ibak_tests::skip_unless(None, &reason),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_right_after_success_was_said() {
    for kind in Kind::ALL {
        for beside in [Beside::Nothing, Beside::Sync] {
            let Some(disk) = image(kind, 512) else {
                break;
            };
            let left = ours(&disk, beside).await.unwrap();
            tell(kind, "ibakd", beside, left, "2 of 2 backups whole");
            assert_eq!(left.damaged, 0, "{kind:?} {beside:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_other_program_leaves_after_the_same() {
    let Some(program) = ibak_tests::programs::of_machine("idevicebackup2") else {
        return;
    };
    for kind in Kind::ALL {
        for beside in [Beside::Nothing, Beside::Sync] {
            let Some(disk) = image(kind, 512) else {
                break;
            };
            let (left, old) = theirs(&disk, beside, &program).await.unwrap();
            let whole = match (left.damaged, old) {
                (0, _) => "its one backup is whole",
                (_, true) => "its one backup is the earlier one",
                (_, false) => "its one backup is neither this nor the earlier one",
            };
            // Recorded, not judged: it never said that what it wrote is on the disk.
            tell(kind, "idevicebackup2", beside, left, whole);
        }
    }
}

fn tell(kind: Kind, who: &str, beside: Beside, left: Left, whole: &str) {
    say(&format!(
        "power cut after {who} said success{}, {}: {} of {} files damaged or lost; {whole}",
        beside.words(),
        kind.name(),
        left.damaged,
        left.files,
    ));
}

/// Two backups by the daemon; cut when the second is announced.
async fn ours(image: &Image, beside: Beside) -> Result<Left> {
    let house = House::build(vec![spec(81)]).await?;
    let (phone, store) = (house.phone(0), image.mountpoint().join("store"));
    let (udid, config) = (udid_of(&phone), house.config_at(&store, ""));
    let daemon = house.daemon(&config).await?;
    let mut ear = Ear::open(&house).await?;
    for round in 0..2 {
        ear.ready(&udid).await?;
        let job = house.ask_backup(&udid, false).await?;
        let end = ear.end_of(job).await?;
        ensure!(
            end == Outcome::Succeeded,
            "{end:?}\n{}",
            daemon.last_words()
        );
        if round == 0 {
            phone.change(120, 20, 10);
        }
    }
    beside.happen(image);
    // A file system that has stopped lists nothing.
    let place = Place::new(&store, udid.as_str());
    let announced = place.generations();
    ensure!(announced.len() == 2, "{announced:?}");
    stop(image);
    daemon.kill().await?;
    ear.until_gone().await?;
    again(image);

    let mut left = Left::default();
    for id in &announced {
        left.damaged += place.damaged(id).context("a backup is lost")?;
        left.files += place.read(id)?.files;
    }
    let content = phone.content().lock().unwrap().snapshot();
    let (differing, _) = differing(&place.backup(&announced[1]), &content)?;
    ensure!(differing == 0, "{differing} files differ from the phone");
    let daemon = house.daemon(&config).await?;
    ear.ready(&udid).await?;
    let listed = house.backups(&udid).await?;
    ensure!(listed.len() == 2, "{listed:#?}");
    daemon.stop().await?;
    Ok(left)
}

/// Two backups by the other program, the first long on the disk; cut when it says that the second
/// succeeded. Also says whether what is left is the first, whole.
async fn theirs(image: &Image, beside: Beside, program: &Path) -> Result<(Left, bool)> {
    let house = House::build(vec![spec(82)]).await?;
    let phone = house.phone(0);
    let backups = image.mountpoint().join("backups");
    fs::create_dir(&backups)?;
    say_success(&house, program, &phone, &backups, |_| ()).await?;
    rustix::fs::syncfs(File::open(&backups)?)?;
    let before = phone.content().lock().unwrap().snapshot();
    phone.change(120, 20, 10);
    let after = phone.content().lock().unwrap().snapshot();
    say_success(&house, program, &phone, &backups, |_| {
        beside.happen(image);
        stop(image);
    })
    .await?;
    again(image);
    let backup = backups.join(&phone.identity().udid);
    let (damaged, files) = differing(&backup, &after)?;
    let (other, _) = differing(&backup, &before)?;
    Ok((Left { damaged, files }, other == 0))
}

/// Runs the other program and does something as soon as it says that it succeeded.
async fn say_success(
    house: &House,
    program: &Path,
    phone: &Arc<Phone>,
    backups: &Path,
    then: impl Fn(&str) + Send,
) -> Result<()> {
    // Into a pipe it says everything at its end, unless it is told to say lines.
    let mut child = Command::new("stdbuf")
        .args(["-oL"])
        .arg(program)
        .args(["-u", &phone.identity().udid, "backup"])
        .arg(backups)
        .env(
            "USBMUXD_SOCKET_ADDRESS",
            format!("UNIX:{}", house.path("usbmuxd").display()),
        )
        .env("HOME", house.path("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let (mut said, mut succeeded) = (String::new(), false);
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Backup Successful") && !std::mem::replace(&mut succeeded, true) {
            tokio::task::block_in_place(|| then(&line));
        }
        said.push_str(&line);
        said.push('\n');
    }
    child.wait().await?;
    ensure!(succeeded, "it did not succeed:\n{said}");
    Ok(())
}

/// Counts the phone's files that a backup lacks or has with other content, and all of them; the
/// list of files is one of them.
fn differing(backup: &Path, content: &Tree) -> Result<(usize, usize)> {
    let (mut damaged, mut files) = (0, 1);
    for view in content
        .files()
        .filter(|view| view.kind == FileKind::Regular)
    {
        let hex = view.id.hex();
        let path = backup.join(&hex[..2]).join(&hex);
        let found = fs::read(path).map(|bytes| <[u8; 20]>::from(Sha1::digest(bytes)));
        files += 1;
        damaged += usize::from(found.ok() != Some(content.sha1_of(&view)?));
    }
    let listed = rows(&backup.join("Manifest.db"));
    damaged += usize::from(listed != Some(content.len()));
    Ok((damaged, files))
}

/// How many rows a list of files has; none when it is damaged.
fn rows(list: &Path) -> Option<usize> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(list, flags).ok()?;
    let check: String = database
        .query_row("PRAGMA quick_check", [], |row| row.get(0))
        .ok()?;
    let rows: i64 = database
        .query_row("SELECT count(*) FROM Files", [], |row| row.get(0))
        .ok()?;
    (check == "ok").then_some(usize::try_from(rows).ok()?)
}
