//! What is exported is a backup to programs that nobody here wrote: one reads it, one gives it
//! back to a phone.

use super::ada;
use ibak_dbus::words::Outcome;
use ibak_sim::content::FileKind;
use ibak_tests::night::Night;
use ibak_tests::programs;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Prints the name, hash and size of every file of a backup.
const READER: &str = "
import hashlib, sys
from pyiosbackup import Backup
for file in Backup.from_path(sys.argv[1]).iter_files():
    print(file.file_id, hashlib.sha1(file.read_bytes()).hexdigest(), file.size)
";

/// Backs a phone up and exports that as a person would.
async fn exported() -> (Night, PathBuf) {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let out = night.dir().join("exported");
    let target = out.display().to_string();
    let said = night
        .ctl(&["export", "Ada's iPhone@latest", &target], "")
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    (night, out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyiosbackup_reads_what_is_exported() {
    let Some(python) = programs::stranger("python") else {
        return;
    };
    let (mut night, out) = exported().await;
    let backup = out.join(&night.simulated(0).identity().udid);
    let mut command = tokio::process::Command::new(python);
    command.args(["-c", READER]).arg(&backup);
    let output = night.drive(command.output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read: BTreeMap<String, (String, u64)> = said
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (
                words[0].to_owned(),
                (words[1].to_owned(), words[2].parse().unwrap()),
            )
        })
        .collect();
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().snapshot();
    let wanted: BTreeMap<String, (String, u64)> = content
        .files()
        .filter(|view| view.kind == FileKind::Regular)
        .map(|view| {
            let sha1 = content.sha1_of(&view).unwrap();
            let hex = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
            (view.id.hex(), (hex, view.size))
        })
        .collect();
    assert_eq!(read, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idevicebackup2_gives_what_is_exported_back_to_the_phone() {
    let Some(program) = programs::of_machine("idevicebackup2") else {
        return;
    };
    let (mut night, out) = exported().await;
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().clone();
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 10, 5, 5).unwrap();
    let socket = format!("UNIX:{}", night.dir().join("usbmuxd").display());
    let mut command = tokio::process::Command::new(program);
    command
        .args([
            "-u",
            &udid,
            "restore",
            "--system",
            "--settings",
            "--no-reboot",
        ])
        .arg(&out)
        .env("USBMUXD_SOCKET_ADDRESS", socket)
        .env("HOME", night.dir());
    let output = night.drive(command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Restore Successful"), "{said}");
    let restored = night.simulated(0).restored().expect("a restored backup");
    assert_eq!(restored.differences(&content), Vec::<String>::new());
}
