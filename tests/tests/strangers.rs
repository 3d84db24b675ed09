//! The clients of Debian 13 believe the simulated phone, also a newer one: they pair with it and
//! back it up, in full and in increments, and every file equals the phone's.
//!
//! They run inside a guest, on a socket that the simulator opens there from out here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use ibak_sim::content::{Content, FileKind};
use ibak_sim::{PhoneSpec, SimOptions, Simulator};
use ibak_tests::guest::{self, Guest, Suite};

/// Prints the name, hash and size of every file of a backup.
const READER: &str = "
import hashlib, sys
from pyiosbackup import Backup
for file in Backup.from_path(sys.argv[1]).iter_files():
    print(file.file_id, hashlib.sha1(file.read_bytes()).hexdigest(), file.size)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libimobiledevice_of_debian_13_pairs_with_newer_phones_and_backs_them_up() {
    let Some(python) = ibak_tests::programs::stranger("python") else {
        return;
    };
    if guest::available() {
        let guest = tokio::task::spawn_blocking(|| Guest::boot(Suite::Trixie))
            .await
            .unwrap()
            .unwrap();
        for (ios, product) in [("15.6", "iPhone14,5"), ("26.3", "iPhone17,4")] {
            backs_up(&guest, &python, ios, product).await.unwrap();
        }
    }
}

async fn backs_up(guest: &Guest, python: &Path, ios: &str, product: &str) -> Result<()> {
    let (house, backups) = (format!("/run/house-{ios}"), format!("/var/backups-{ios}"));
    guest.run(&["mkdir", &house, &backups])?;
    let phone = PhoneSpec {
        ios: ios.parse()?,
        product: product.to_owned(),
        name: "Ada's iPhone".to_owned(),
        seed: 41,
        files: 400,
        bytes: 12 << 20,
        apps: 4,
        paired: false,
        ..PhoneSpec::default()
    };
    let simulator = Simulator::start(SimOptions::in_dir(&guest.path(&house), vec![phone])).await?;
    let phone = &simulator.phones()[0];
    let udid = phone.identity().udid.clone();
    let socket = format!("USBMUXD_SOCKET_ADDRESS=UNIX:{house}/usbmuxd");
    let client = |words: &[&str]| {
        // The simulator goes on in the other threads of this runtime meanwhile.
        tokio::task::block_in_place(|| {
            guest.run(&[&["env", "HOME=/root", &socket], words].concat())
        })
    };

    ensure!(client(&["idevice_id", "-l"])?.contains(&udid));
    client(&["idevicepair", "-u", &udid, "pair"])?;
    client(&["idevicepair", "-u", &udid, "validate"])?;
    ensure!(client(&["ideviceinfo", "-u", &udid, "-k", "ProductVersion"])? == ios);

    let written = guest.path(&format!("{backups}/{udid}"));
    let said = client(&["idevicebackup2", "-u", &udid, "backup", "--full", &backups])?;
    ensure!(said.contains("Backup Successful"), "{said}");
    assert_equal(python, &written, &phone.content().lock().unwrap());

    simulator.change(&udid, 9, 4, 3)?;
    let said = client(&["idevicebackup2", "-u", &udid, "backup", &backups])?;
    ensure!(
        said.contains("Backup Successful") && said.contains("ncremental"),
        "{said}"
    );
    assert_equal(python, &written, &phone.content().lock().unwrap());
    let said = client(&["idevicebackup2", "-u", &udid, "info", &backups])?;
    ensure!(said.contains("Device Name: Ada's iPhone"), "{said}");
    Ok(())
}

/// Every file, as another reader sees it.
fn assert_equal(python: &Path, backup: &Path, content: &Content) {
    let output = Command::new(python)
        .args(["-c", READER])
        .arg(backup)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read: BTreeMap<String, (String, u64)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (
                words[0].to_owned(),
                (words[1].to_owned(), words[2].parse().unwrap()),
            )
        })
        .collect();
    let expected: BTreeMap<String, (String, u64)> = content
        .files()
        .filter(|file| file.kind == FileKind::Regular)
        .map(|file| {
            let sha1 = content.sha1_of(&file).unwrap();
            (
                file.id.hex(),
                (
                    sha1.iter().map(|byte| format!("{byte:02x}")).collect(),
                    file.size,
                ),
            )
        })
        .collect();
    assert_eq!(read, expected);
}
