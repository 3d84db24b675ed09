//! Other people's clients set, change and take away the backup password of simulated phones and
//! back them up, and two readers that nobody here wrote decrypt what they got: pyiosbackup and
//! iphone_backup_decrypt find every file of the phone by its SHA-1, and refuse a wrong password.
//!
//! A missing tool skips its test loudly; `IBAK_STRANGERS=required` makes that a failure, as CI
//! does. The Python tools are taken from `IBAK_PMD3` (default /opt/ibak-pmd3/bin), `IBAK_IBD`
//! (default /opt/ibak-ibd/bin) and PATH.
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

use backup_host::{assert_backup, assert_sealed, scratch};
use ibak_sim::backup::crypto::Costs;
use ibak_sim::content::FileKind;
use ibak_sim::{Password, PhoneSpec, SimOptions, Simulator};
use strangers_kit::{find, find_python};

/// Prints id, SHA-1 and size of every file; an empty one has no key, and neither reader reads it.
const PYIOSBACKUP: &str = "
import hashlib, sys
from pyiosbackup import Backup
for file in Backup.from_path(sys.argv[1], sys.argv[2]).iter_files():
    data = file.read_bytes() if file.size else file.read_raw()
    print(file.file_id, hashlib.sha1(data).hexdigest(), len(data))
";
const IPHONE_BACKUP_DECRYPT: &str = "
import hashlib, sys
from iphone_backup_decrypt import EncryptedBackup
backup = EncryptedBackup(backup_directory=sys.argv[1], passphrase=sys.argv[2])
backup.test_decryption()
with backup.manifest_db_cursor() as rows:
    rows.execute('SELECT fileID, domain, relativePath FROM Files WHERE flags = 1')
    files = rows.fetchall()
for name, domain, path in files:
    try:
        data = backup.extract_file_as_bytes(path, domain_like=domain)
    except ValueError as error:
        if 'not an encrypted file' not in str(error):
            raise
        data = open(f'{sys.argv[1]}/{name[:2]}/{name}', 'rb').read()
        assert data == b''
    print(name, hashlib.sha1(data).hexdigest(), len(data))
";

/// The readers: a name, the Python that has it, and its script.
fn readers() -> Option<[(&'static str, PathBuf, &'static str); 2]> {
    Some([
        (
            "pyiosbackup",
            find_python("IBAK_PMD3", "/opt/ibak-pmd3/bin")?,
            PYIOSBACKUP,
        ),
        (
            "iphone_backup_decrypt",
            find_python("IBAK_IBD", "/opt/ibak-ibd/bin")?,
            IPHONE_BACKUP_DECRYPT,
        ),
    ])
}

struct Rig {
    dir: tempfile::TempDir,
    sim: Simulator,
}

impl Rig {
    async fn new(ios: &str, product: &str, change: impl FnOnce(&mut PhoneSpec)) -> Self {
        let dir = scratch();
        let mut phone = PhoneSpec {
            ios: ios.parse().unwrap(),
            product: product.to_owned(),
            name: "Ada's iPhone".to_owned(),
            seed: 37,
            files: 400,
            bytes: 12 << 20,
            apps: 4,
            paired: true,
            ..PhoneSpec::default()
        };
        change(&mut phone);
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

    fn last_was_full(&self) -> bool {
        self.sim.phones()[0].activity().last_was_full
    }

    /// Runs a program; returns whether it ended well and what it said.
    async fn runs(&self, tool: &Path, args: &[&str]) -> (bool, String) {
        strangers_kit::says(self.dir.path(), tool, args).await
    }

    async fn says(&self, tool: &Path, args: &[&str]) -> String {
        let (well, text) = self.runs(tool, args).await;
        assert!(well, "{} {args:?}: {text}", tool.display());
        text
    }

    /// Runs idevicebackup2 with the phone and, behind the words, the backups' directory.
    async fn idevicebackup2(&self, tool: &Path, words: &[&str]) -> String {
        let (udid, backups) = (self.udid(), self.backups());
        let args = [&["-u", udid.as_str()], words, &[backups.as_str()]].concat();
        self.says(tool, &args).await
    }

    async fn pymobiledevice3(&self, tool: &Path, words: &[&str]) -> String {
        let (udid, usbmux) = (self.udid(), self.dir.path().join("usbmuxd"));
        let usbmux = ["--usbmux", usbmux.to_str().unwrap(), "--udid", &udid];
        self.says(tool, &[&["backup2"], words, &usbmux].concat())
            .await
    }

    /// Has both readers open the backup with the password and refuse another, and holds every file
    /// they found against the phone.
    async fn assert_read(&self, password: &str, wrong: &str) {
        let tree = {
            let content = self.sim.phones()[0].content();
            content.lock().unwrap().snapshot_with_secrets()
        };
        assert_sealed(&self.backup(), &tree, password);
        let expected: BTreeMap<String, (String, u64)> = tree
            .files()
            .filter(|file| file.kind == FileKind::Regular)
            .map(|file| {
                let sha1 = tree.sha1_of(&file).unwrap();
                let hex = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
                (file.id.hex(), (hex, file.size))
            })
            .collect();
        let backup = self.backup();
        let backup = backup.to_str().unwrap();
        for (name, python, script) in readers().into_iter().flatten() {
            let text = self.says(&python, &["-c", script, backup, password]).await;
            let read: BTreeMap<String, (String, u64)> = text
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    let facts = (words[1].to_owned(), words[2].parse().unwrap());
                    (words[0].to_owned(), facts)
                })
                .collect();
            assert_eq!(read, expected, "{name}");
            let (well, text) = self.runs(&python, &["-c", script, backup, wrong]).await;
            assert!(!well, "{name} takes a wrong password: {text}");
        }
    }

    fn assert_plain(&self) {
        let content = self.sim.phones()[0].content();
        assert_backup(&self.backup(), &content.lock().unwrap(), &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idevicebackup2_turns_encryption_on_changes_the_password_and_turns_it_off() {
    let Some(tool) = find("idevicebackup2") else {
        return;
    };
    for (ios, product) in [("12.5.7", "iPhone7,2"), ("13.3.1", "iPhone9,1")] {
        let rig = Rig::new(ios, product, |_| {}).await;
        let text = rig
            .idevicebackup2(&tool, &["encryption", "on", "old harbour"])
            .await;
        assert!(text.contains("enabled successfully"), "{text}");
        assert_eq!(rig.sim.phones()[0].will_encrypt(), Some(true));
        let text = rig.idevicebackup2(&tool, &["backup", "--full"]).await;
        assert!(text.contains("will be encrypted"), "{text}");
        assert!(text.contains("Backup Successful"), "{text}");
        rig.assert_read("old harbour", "new harbour").await;

        rig.sim.change(&rig.udid(), 9, 4, 3).unwrap();
        rig.idevicebackup2(&tool, &["backup"]).await;
        assert!(!rig.last_was_full());
        rig.assert_read("old harbour", "new harbour").await;

        let args = ["-u", &rig.udid(), "changepw", "wrong", "new harbour"];
        let (_, text) = rig.runs(&tool, &args).await;
        assert!(text.contains("ErrorCode 207: Invalid password"), "{text}");
        assert!(text.contains("Could not change"), "{text}");
        let text = rig
            .idevicebackup2(&tool, &["changepw", "old harbour", "new harbour"])
            .await;
        assert!(text.contains("changed successfully"), "{text}");
        rig.idevicebackup2(&tool, &["backup"]).await;
        rig.assert_read("new harbour", "old harbour").await;

        let text = rig
            .idevicebackup2(&tool, &["encryption", "off", "new harbour"])
            .await;
        assert!(text.contains("disabled successfully"), "{text}");
        assert_eq!(rig.sim.phones()[0].will_encrypt(), Some(false));
        let text = rig.idevicebackup2(&tool, &["backup"]).await;
        assert!(text.contains("will be unencrypted"), "{text}");
        assert!(rig.last_was_full());
        rig.assert_plain();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymobiledevice3_does_the_same_with_newer_phones_and_stays_incremental() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    for (ios, product) in [("15.6", "iPhone14,5"), ("26.3", "iPhone17,4")] {
        let rig = Rig::new(ios, product, |_| {}).await;
        let backups = rig.backups();
        let on = ["encryption", "-b", &backups, "on", "old harbour"];
        rig.pymobiledevice3(&tool, &on).await;
        let full = ["backup", "--full", &backups];
        rig.pymobiledevice3(&tool, &full).await;
        rig.assert_read("old harbour", "new harbour").await;

        let other = ["old harbour", "new harbour", "-b", &backups];
        let other = [&["change-password"], &other[..]].concat();
        rig.pymobiledevice3(&tool, &other).await;
        rig.assert_read("new harbour", "old harbour").await;
        rig.sim.change(&rig.udid(), 9, 4, 3).unwrap();
        rig.pymobiledevice3(&tool, &["backup", &backups]).await;
        assert!(!rig.last_was_full(), "the host kept the new keybag");
        rig.assert_read("new harbour", "old harbour").await;

        let off = ["encryption", "-b", &backups, "off", "new harbour"];
        rig.pymobiledevice3(&tool, &off).await;
        rig.pymobiledevice3(&tool, &["backup", &backups]).await;
        assert!(rig.last_was_full());
        rig.assert_plain();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readers_open_a_backup_with_the_rounds_of_a_real_phone() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    let rig = Rig::new("26.3", "iPhone17,4", |phone| {
        phone.files = 60;
        phone.password_costs = Costs::REAL;
        phone.password = Some(Password::new("from another computer".to_owned()));
    })
    .await;
    let backups = rig.backups();
    rig.pymobiledevice3(&tool, &["backup", "--full", &backups])
        .await;
    rig.assert_read("from another computer", "from this one")
        .await;
}
