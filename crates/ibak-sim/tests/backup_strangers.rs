//! Other people's clients back the simulated phones up, and other people's readers open what they
//! wrote: Debian's idevicebackup2 1.3.0 with iOS 13 and older, pymobiledevice3 with newer ones,
//! pyiosbackup reads both, and every file equals the phone's.
//!
//! A missing tool skips its test loudly; `IBAK_STRANGERS=required` makes that a failure, as CI
//! does. The Python tools are taken from PATH or from `IBAK_PMD3` (default /opt/ibak-pmd3/bin).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod backup_host;
mod strangers_kit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backup_host::{assert_backup, manifest_rows, scratch};
use ibak_sim::content::FileKind;
use ibak_sim::{PhoneSpec, SimOptions, Simulator};
use strangers_kit::find;

struct Rig {
    dir: tempfile::TempDir,
    sim: Simulator,
}

impl Rig {
    async fn new(ios: &str, product: &str) -> Self {
        let dir = scratch();
        let phone = PhoneSpec {
            ios: ios.parse().unwrap(),
            product: product.to_owned(),
            name: "Ada's iPhone".to_owned(),
            seed: 31,
            files: 400,
            bytes: 12 << 20,
            apps: 4,
            paired: true,
            ..PhoneSpec::default()
        };
        let sim = Simulator::start(SimOptions::in_dir(dir.path(), vec![phone]))
            .await
            .unwrap();
        std::fs::create_dir(dir.path().join("backups")).unwrap();
        Self { dir, sim }
    }

    fn udid(&self) -> String {
        self.sim.phones()[0].identity().udid.clone()
    }

    fn backups(&self) -> String {
        self.dir.path().join("backups").to_str().unwrap().to_owned()
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backups").join(self.udid())
    }

    async fn says(&self, tool: &Path, args: &[&str]) -> String {
        let (success, text) = strangers_kit::says(self.dir.path(), tool, args).await;
        assert!(success, "{} {args:?}: {text}", tool.display());
        text
    }

    /// Every row and every file, by our own eyes.
    fn assert_equal(&self) {
        let content = self.sim.phones()[0].content();
        assert_backup(&self.backup(), &content.lock().unwrap(), &[]);
    }

    /// Every file, through pyiosbackup.
    async fn assert_equal_for_pyiosbackup(&self) {
        const READER: &str = "
import hashlib, sys
from pyiosbackup import Backup
for file in Backup.from_path(sys.argv[1]).iter_files():
    print(file.file_id, hashlib.sha1(file.read_bytes()).hexdigest(), file.size)
";
        let Some(python) = find("python3") else {
            return;
        };
        let backup = self.backup();
        let text = self
            .says(&python, &["-c", READER, backup.to_str().unwrap()])
            .await;
        let read: BTreeMap<String, (String, u64)> = text
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                (
                    words[0].to_owned(),
                    (words[1].to_owned(), words[2].parse().unwrap()),
                )
            })
            .collect();
        let content = self.sim.phones()[0].content();
        let content = content.lock().unwrap();
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
}

fn count_of_rows_that_differ(before: &Path, after: &Path) -> usize {
    let (before, after) = (manifest_rows(before), manifest_rows(after));
    after
        .iter()
        .filter(|(id, row)| row.flags == 1 && before.get(*id) != Some(*row))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idevicebackup2_backs_up_in_full_and_in_increments() {
    let Some(tool) = find("idevicebackup2") else {
        return;
    };
    for (ios, product) in [("12.5.7", "iPhone7,2"), ("13.3.1", "iPhone9,1")] {
        let rig = Rig::new(ios, product).await;
        let (udid, backups) = (rig.udid(), rig.backups());
        let text = rig
            .says(&tool, &["-u", &udid, "backup", "--full", &backups])
            .await;
        assert!(text.contains("Backup Successful"), "{text}");
        rig.assert_equal();
        rig.assert_equal_for_pyiosbackup().await;

        let before = rig.dir.path().join("before");
        std::fs::create_dir(&before).unwrap();
        std::fs::copy(rig.backup().join("Manifest.db"), before.join("Manifest.db")).unwrap();
        rig.sim.change(&udid, 14, 6, 5).unwrap();
        let text = rig.says(&tool, &["-u", &udid, "backup", &backups]).await;
        assert!(
            text.contains("Backup Successful") && text.contains("ncremental"),
            "{text}"
        );
        assert_eq!(count_of_rows_that_differ(&before, &rig.backup()), 20);
        rig.assert_equal();
        rig.assert_equal_for_pyiosbackup().await;

        let text = rig.says(&tool, &["-u", &udid, "info", &backups]).await;
        assert!(text.contains("Device Name: Ada's iPhone"), "{text}");
        let text = rig.says(&tool, &["-u", &udid, "list", &backups]).await;
        assert!(
            text.contains("HomeDomain,\"Library/SMS/sms.db\",1"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymobiledevice3_backs_up_newer_phones() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    for (ios, product) in [("15.6", "iPhone14,5"), ("26.3", "iPhone17,4")] {
        let rig = Rig::new(ios, product).await;
        let (udid, backups) = (rig.udid(), rig.backups());
        let usbmux = rig.dir.path().join("usbmuxd");
        let usbmux = usbmux.to_str().unwrap();
        rig.says(
            &tool,
            &[
                "backup2", "backup", "--full", &backups, "--usbmux", usbmux, "--udid", &udid,
            ],
        )
        .await;
        rig.assert_equal();
        rig.assert_equal_for_pyiosbackup().await;

        rig.sim.change(&udid, 9, 4, 3).unwrap();
        rig.says(
            &tool,
            &[
                "backup2", "backup", &backups, "--usbmux", usbmux, "--udid", &udid,
            ],
        )
        .await;
        rig.assert_equal();
        rig.assert_equal_for_pyiosbackup().await;
    }
}
