//! Other people's clients restore backups to the simulated phones: Debian's idevicebackup2 1.3.0
//! and pymobiledevice3, each what it backed up itself, and every file equals what was backed up.
//!
//! A missing tool skips its test loudly; `IBAK_STRANGERS=required` makes that a failure, as CI
//! does. pymobiledevice3 is taken from PATH or from `IBAK_PMD3` (default /opt/ibak-pmd3/bin).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod backup_host;
mod strangers_kit;

use std::path::Path;
use std::sync::Arc;

use backup_host::scratch;
use ibak_sim::backup::RestoredContent;
use ibak_sim::{Password, Phone, PhoneSpec, SimOptions, Simulator};
use strangers_kit::{CLIENT_MAX, find};

/// The phone whose backup it is, and a new one.
struct Rig {
    dir: tempfile::TempDir,
    sim: Simulator,
}

impl Rig {
    async fn new(ios: &str, product: &str) -> Self {
        Self::with(ios, product, None).await
    }

    /// The first phone has a backup password.
    async fn with(ios: &str, product: &str, password: Option<&str>) -> Self {
        let dir = scratch();
        let phone = |seed, files, bytes| PhoneSpec {
            ios: ios.parse().unwrap(),
            product: product.to_owned(),
            name: format!("Phone {seed}"),
            seed,
            files,
            bytes,
            apps: 4,
            paired: true,
            ..PhoneSpec::default()
        };
        let old = PhoneSpec {
            password: password.map(|text| Password::new(text.to_owned())),
            ..phone(41, 400, 12 << 20)
        };
        let phones = vec![old, phone(42, 30, 1 << 20)];
        let sim = Simulator::start(SimOptions::in_dir(dir.path(), phones))
            .await
            .unwrap();
        std::fs::create_dir(dir.path().join("backups")).unwrap();
        Self { dir, sim }
    }

    fn phone(&self, at: usize) -> Arc<Phone> {
        Arc::clone(&self.sim.phones()[at])
    }

    fn udid(&self, at: usize) -> String {
        self.phone(at).identity().udid.clone()
    }

    fn backups(&self) -> String {
        self.dir.path().join("backups").to_str().unwrap().to_owned()
    }

    /// Runs a client and returns whether it calls that a success, and what it says.
    async fn says(&self, tool: &Path, args: &[&str]) -> (bool, String) {
        strangers_kit::says(self.dir.path(), tool, args).await
    }

    async fn must(&self, tool: &Path, args: &[&str]) -> String {
        let (success, text) = self.says(tool, args).await;
        assert!(success, "{} {args:?}: {text}", tool.display());
        text
    }

    /// What a phone has after a restore equals what the first phone holds.
    fn assert_restored(&self, at: usize) -> RestoredContent {
        let content = self.phone(at).restored().expect("a restore");
        let original = self.phone(0).content();
        let original = original.lock().unwrap();
        assert_eq!(content.differences(&original), [""; 0]);
        assert_eq!(content.apps.len(), original.apps().len());
        assert_eq!(content.source, self.udid(0));
        content
    }

    /// Waits until a phone has rebooted so often.
    async fn rebooted(&self, at: usize, times: u64) {
        let phone = self.phone(at);
        let mut watch = phone.watch_state();
        let back = async {
            while phone.activity().reboots < times {
                watch.changed().await.unwrap();
            }
        };
        tokio::time::timeout(CLIENT_MAX, back)
            .await
            .expect("a reboot");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idevicebackup2_restores_what_it_backed_up() {
    let Some(tool) = find("idevicebackup2") else {
        return;
    };
    for (ios, product) in [("12.5.7", "iPhone7,2"), ("13.3.1", "iPhone9,1")] {
        let rig = Rig::new(ios, product).await;
        let (old, new, backups) = (rig.udid(0), rig.udid(1), rig.backups());
        rig.must(&tool, &["-u", &old, "backup", "--full", &backups])
            .await;
        let args = ["-u", &old, "restore", "--system", "--no-reboot", &backups];
        let text = rig.must(&tool, &args).await;
        assert!(text.contains("Restore Successful"), "{text}");
        let content = rig.assert_restored(0);
        assert!(!content.options.reboot && content.options.system_files && !content.options.copy);
        assert_eq!(rig.phone(0).activity().reboots, 0);
        // Not again before the reboot that puts the first restore into place.
        let (success, text) = rig.says(&tool, &args).await;
        assert!(!success && text.contains("MBErrorDomain/102"), "{text}");
        rig.phone(0).reboot();
        rig.rebooted(0, 1).await;

        let args = [
            "-u",
            &new,
            "-s",
            &old,
            "restore",
            "--system",
            "--settings",
            "--copy",
            "--remove",
            &backups,
        ];
        let text = rig.must(&tool, &args).await;
        assert!(text.contains("Restore Successful"), "{text}");
        let content = rig.assert_restored(1);
        assert!(content.options.copy && content.options.remove_others);
        let applications = content
            .restore_applications
            .expect("RestoreApplications.plist");
        assert_eq!(applications, content.apps);
        rig.rebooted(1, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idevicebackup2_hears_why_a_phone_takes_no_backup() {
    let Some(tool) = find("idevicebackup2") else {
        return;
    };
    let rig = Rig::new("13.3.1", "iPhone9,1").await;
    let (udid, backups) = (rig.udid(0), rig.backups());
    rig.must(&tool, &["-u", &udid, "backup", "--full", &backups])
        .await;
    for (on, off, code) in [
        ("find-my=on", "find-my=off", 211),
        ("setup=unfinished", "setup=done", 212),
        ("free-space=1 MiB", "free-space=none", 105),
    ] {
        rig.phone(0).set(&on.parse().unwrap());
        let (success, text) = rig
            .says(&tool, &["-u", &udid, "restore", "--system", &backups])
            .await;
        assert!(
            !success && text.contains(&format!("MBErrorDomain/{code}")),
            "{text}"
        );
        rig.phone(0).set(&off.parse().unwrap());
    }
    rig.must(&tool, &["-u", &udid, "cloud", "off", &backups])
        .await;
    assert!(!rig.phone(0).state().icloud.is_on());
    rig.must(&tool, &["-u", &udid, "cloud", "on", &backups])
        .await;
    assert!(rig.phone(0).state().icloud.is_on());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymobiledevice3_restores_newer_phones() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    for (ios, product) in [("15.6", "iPhone14,5"), ("26.3", "iPhone17,4")] {
        let rig = Rig::new(ios, product).await;
        let (old, new, backups) = (rig.udid(0), rig.udid(1), rig.backups());
        let usbmux = rig.dir.path().join("usbmuxd");
        let usbmux = usbmux.to_str().unwrap();
        let at = ["--usbmux", usbmux, "--udid"];
        let backup = ["backup2", "backup", "--full", &backups];
        let args: Vec<&str> = backup.into_iter().chain(at).chain([old.as_str()]).collect();
        rig.must(&tool, &args).await;
        let restore = [
            "backup2",
            "restore",
            "--system",
            "--copy",
            "--no-reboot",
            "--source",
            &old,
            &backups,
        ];
        let args: Vec<&str> = restore
            .into_iter()
            .chain(at)
            .chain([new.as_str()])
            .collect();
        rig.must(&tool, &args).await;
        let content = rig.assert_restored(1);
        assert!(content.options.copy && !content.options.reboot);
        let applications = content
            .restore_applications
            .expect("RestoreApplications.plist");
        assert_eq!(applications, content.apps);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_restore_an_encrypted_backup_and_only_with_its_password() {
    let (Some(idevice), Some(pmd3)) = (find("idevicebackup2"), find("pymobiledevice3")) else {
        return;
    };
    let rig = Rig::with("13.3.1", "iPhone9,1", Some("correct horse")).await;
    let (old, new, backups) = (rig.udid(0), rig.udid(1), rig.backups());
    rig.must(&idevice, &["-u", &old, "backup", "--full", &backups])
        .await;
    let usbmux = rig.dir.path().join("usbmuxd");
    let usbmux = usbmux.to_str().unwrap();
    for password in ["wrong horse", "correct horse"] {
        let right = password == "correct horse";
        let args = [
            "-u",
            &new,
            "-s",
            &old,
            "restore",
            "--system",
            "--no-reboot",
            "--password",
            password,
            &backups,
        ];
        let (success, text) = rig.says(&idevice, &args).await;
        assert_eq!(success, right, "{text}");
        assert!(right || text.contains("MBErrorDomain/207"), "{text}");
        assert_eq!(rig.phone(1).restored().is_some(), right);
    }
    assert!(rig.assert_restored(1).encrypted);
    for password in ["wrong horse", "correct horse"] {
        let right = password == "correct horse";
        let before = rig.phone(0).restored().is_some();
        let args = [
            "backup2",
            "restore",
            "--system",
            "--no-reboot",
            "--password",
            password,
            &backups,
            "--usbmux",
            usbmux,
            "--udid",
            &old,
        ];
        let (_, text) = rig.says(&pmd3, &args).await;
        assert_eq!(rig.phone(0).restored().is_some(), right, "{text}");
        assert!(!before && (right || text.contains("207")), "{text}");
    }
    assert!(rig.assert_restored(0).encrypted);
}
