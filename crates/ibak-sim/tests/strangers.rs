//! Other people's clients believe the simulated phones: Debian's libimobiledevice 1.3.0 and
//! PyPI's pymobiledevice3, against an old iOS (13.3.1) and a newer one (26.3).
//!
//! A missing tool skips its test loudly; `IBAK_STRANGERS=required` makes that a failure, as CI
//! does. pymobiledevice3 is taken from PATH or from `IBAK_PMD3` (default /opt/ibak-pmd3/bin).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr
)]

mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use common::{Rig, spec};
use ibak_sim::PhoneSpec;
use tokio::process::Command;

/// How long a client may take before it counts as hanging.
const CLIENT_MAX: Duration = Duration::from_secs(120);

fn find(tool: &str) -> Option<PathBuf> {
    let extra =
        std::env::var_os("IBAK_PMD3").unwrap_or_else(|| OsString::from("/opt/ibak-pmd3/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from(extra)]);
    let found = dirs.map(|dir| dir.join(tool)).find(|file| file.is_file());
    if found.is_none() {
        assert_ne!(
            std::env::var("IBAK_STRANGERS").as_deref(),
            Ok("required"),
            "{tool} is missing: apt install libimobiledevice-utils, or pip install pymobiledevice3"
        );
        eprintln!(
            "SKIPPED: {tool} is not installed, so nobody else checked this part of the simulator"
        );
    }
    found
}

fn phones() -> Vec<PhoneSpec> {
    let old = PhoneSpec {
        name: "Old".to_owned(),
        paired: false,
        ..spec("13.3.1", "iPhone9,1")
    };
    let new = PhoneSpec {
        name: "New".to_owned(),
        seed: 2,
        paired: true,
        ..spec("26.3", "iPhone17,4")
    };
    vec![old, new]
}

async fn run(mux: &Path, tool: &Path, args: &[&str]) -> Output {
    let home = mux.parent().unwrap();
    let running = Command::new(tool)
        .args(args)
        .env("USBMUXD_SOCKET_ADDRESS", format!("UNIX:{}", mux.display()))
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(CLIENT_MAX, running)
        .await
        .expect("the client ends")
        .unwrap()
}

/// Runs a client that must succeed and returns what it says.
async fn says(mux: &Path, tool: &Path, args: &[&str]) -> String {
    let output = run(mux, tool, args).await;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{} {args:?}: {out}{err}",
        tool.display()
    );
    out.into_owned()
}

/// Like [`says`], as JSON. pymobiledevice3 knows neither `UNIX:` nor that variable's other forms.
async fn says_json(mux: &Path, tool: &Path, args: &[&str]) -> serde_json::Value {
    let place = mux.display().to_string();
    let args: Vec<&str> = args
        .iter()
        .copied()
        .chain(["--usbmux", place.as_str()])
        .collect();
    let home = mux.parent().unwrap();
    let running = Command::new(tool)
        .args(&args)
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CLIENT_MAX, running)
        .await
        .expect("the client ends")
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{args:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
}

fn udids(rig: &Rig) -> [String; 2] {
    [0, 1].map(|at| rig.sim.phones()[at].identity().udid.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn idevice_id_lists_both_phones_and_sees_one_go() {
    let Some(tool) = find("idevice_id") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let [old, new] = udids(&rig);
    let listed = says(&rig.mux(), &tool, &["-l"]).await;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let mut expected = [old.as_str(), new.as_str()];
    expected.sort_unstable();
    assert_eq!(listed, expected);
    rig.set(&["attached=none"]).await;
    assert_eq!(says(&rig.mux(), &tool, &["-l"]).await.trim(), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicepair_pairs_validates_and_unpairs() {
    let Some(tool) = find("idevicepair") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    for udid in udids(&rig) {
        let with = |verb| ["-u".to_owned(), udid.clone(), String::from(verb)];
        let ask = async |verb| {
            let args = with(verb);
            says(&rig.mux(), &tool, &args.each_ref().map(String::as_str)).await
        };
        assert!(
            ask("pair")
                .await
                .contains(&format!("SUCCESS: Paired with device {udid}"))
        );
        assert!(
            ask("validate")
                .await
                .contains(&format!("SUCCESS: Validated pairing with device {udid}"))
        );
        assert!(
            ask("unpair")
                .await
                .contains(&format!("SUCCESS: Unpaired with device {udid}"))
        );
        assert!(rig.sim.phone(&udid).unwrap().hosts().len() < 2);
    }
    let [old, _] = udids(&rig);
    assert_eq!(
        rig.sim.muxer().record(&old),
        None,
        "usbmuxd forgot the record too"
    );
    rig.set(&["trust=ask"]).await;
    let args = ["-u", old.as_str(), "pair"];
    let asked = run(&rig.mux(), &tool, &args).await;
    assert!(
        String::from_utf8_lossy(&asked.stdout).contains("Please accept the trust dialog"),
        "{asked:?}"
    );
    rig.set(&["trust=deny"]).await;
    let denied = run(&rig.mux(), &tool, &args).await;
    assert!(
        String::from_utf8_lossy(&denied.stdout).contains("the user denied the trust dialog"),
        "{denied:?}"
    );
    rig.set(&["trust=accept", "passcode=yes", "locked=yes"])
        .await;
    let locked = run(&rig.mux(), &tool, &args).await;
    assert!(
        String::from_utf8_lossy(&locked.stdout).contains("passcode is set"),
        "{locked:?}"
    );
    rig.set(&["locked=no"]).await;
    assert!(says(&rig.mux(), &tool, &args).await.contains("SUCCESS"));
}

/// Pairs the old phone as Debian's tools do it; the new one is paired from the start.
async fn paired(rig: &Rig) -> Option<()> {
    let tool = find("idevicepair")?;
    let [old, _] = udids(rig);
    says(&rig.mux(), &tool, &["-u", &old, "pair"]).await;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ideviceinfo_reads_the_root_and_other_domains() {
    let Some(tool) = find("ideviceinfo") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let Some(()) = paired(&rig).await else { return };
    rig.set(&["power=on", "battery=37"]).await;
    for (udid, ios, product) in udids(&rig)
        .iter()
        .zip(["13.3.1", "26.3"])
        .zip(["iPhone9,1", "iPhone17,4"])
        .map(|((u, i), p)| (u, i, p))
    {
        let all = says(&rig.mux(), &tool, &["-u", udid]).await;
        for line in [
            format!("ProductVersion: {ios}"),
            format!("ProductType: {product}"),
            format!("UniqueDeviceID: {udid}"),
            "PasswordProtected: false".to_owned(),
        ] {
            assert!(all.lines().any(|own| own == line), "{line} in {all}");
        }
        let simple = says(&rig.mux(), &tool, &["-u", udid, "-s"]).await;
        assert!(
            simple.contains(udid.as_str()) && !simple.contains("PasswordProtected"),
            "without a session"
        );
    }
    let [old, new] = udids(&rig);
    let battery = says(
        &rig.mux(),
        &tool,
        &["-u", &old, "-q", "com.apple.mobile.battery"],
    )
    .await;
    assert!(
        battery.contains("BatteryCurrentCapacity: 37")
            && battery.contains("ExternalConnected: true"),
        "{battery}"
    );
    for domain in [
        "com.apple.disk_usage",
        "com.apple.mobile.backup",
        "com.apple.mobile.wireless_lockdown",
    ] {
        assert!(
            !says(&rig.mux(), &tool, &["-u", &new, "-q", domain])
                .await
                .is_empty(),
            "{domain}"
        );
    }
    let xml = says(&rig.mux(), &tool, &["-u", &new, "-x"]).await;
    assert!(
        plist::Value::from_reader_xml(xml.as_bytes())
            .unwrap()
            .into_dictionary()
            .unwrap()
            .len()
            > 80
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicename_reads_and_changes_the_name() {
    let Some(tool) = find("idevicename") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let Some(()) = paired(&rig).await else { return };
    for (udid, name) in udids(&rig).iter().zip(["Old", "New"]) {
        assert_eq!(says(&rig.mux(), &tool, &["-u", udid]).await.trim(), name);
        says(&rig.mux(), &tool, &["-u", udid, "Ada's other iPhone"]).await;
        assert_eq!(
            says(&rig.mux(), &tool, &["-u", udid]).await.trim(),
            "Ada's other iPhone"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicediagnostics_reads_the_battery_and_gestalt() {
    let Some(tool) = find("idevicediagnostics") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let Some(()) = paired(&rig).await else { return };
    let [old, new] = udids(&rig);
    for (udid, entry) in [(&old, "AppleARMPMUCharger"), (&new, "AppleSmartBattery")] {
        let said = says(&rig.mux(), &tool, &["-u", udid, "ioregentry", entry]).await;
        let registry = plist::Value::from_reader_xml(said.as_bytes())
            .unwrap()
            .into_dictionary()
            .unwrap();
        assert!(
            registry["IORegistry"]
                .as_dictionary()
                .unwrap()
                .contains_key("CurrentCapacity"),
            "{said}"
        );
    }
    let all = says(&rig.mux(), &tool, &["-u", &old, "diagnostics", "All"]).await;
    assert!(all.contains("GasGauge"), "{all}");
    let gestalt = says(
        &rig.mux(),
        &tool,
        &["-u", &old, "mobilegestalt", "ProductType"],
    )
    .await;
    assert!(gestalt.contains("iPhone9,1"), "{gestalt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pymobiledevice3_lists_the_phones_and_reads_lockdown() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let Some(()) = paired(&rig).await else { return };
    let list = says_json(&rig.mux(), &tool, &["usbmux", "list"]).await;
    for (udid, ios) in udids(&rig).iter().zip(["13.3.1", "26.3"]) {
        let own = list
            .as_array()
            .unwrap()
            .iter()
            .find(|own| own["Identifier"] == udid.as_str())
            .expect("listed");
        assert_eq!(
            (
                own["ProductVersion"].as_str(),
                own["ConnectionType"].as_str()
            ),
            (Some(ios), Some("USB"))
        );
        let info = says_json(&rig.mux(), &tool, &["lockdown", "info", "--udid", udid]).await;
        assert_eq!(info["UniqueDeviceID"], udid.as_str());
        assert_eq!(info["ProductVersion"], ios);
        assert!(
            info.as_object().unwrap().contains_key("SerialNumber"),
            "in a session"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pymobiledevice3_uses_afc_the_apps_and_the_battery() {
    let Some(tool) = find("pymobiledevice3") else {
        return;
    };
    let rig = Rig::new(phones()).await;
    let [_, new] = udids(&rig);
    let apps = says_json(
        &rig.mux(),
        &tool,
        &["apps", "list", "--type", "User", "--udid", &new],
    )
    .await;
    assert_eq!(apps.as_object().unwrap().len(), 3);
    let battery = says_json(
        &rig.mux(),
        &tool,
        &["diagnostics", "battery", "single", "--udid", &new],
    )
    .await;
    assert!(battery.as_object().unwrap().contains_key("CurrentCapacity"));
    let place = rig.mux().display().to_string();
    let (file, back) = (
        rig.dir.path().join("there.txt"),
        rig.dir.path().join("back.txt"),
    );
    std::fs::write(&file, "through AFC").unwrap();
    let (file, back) = (file.display().to_string(), back.display().to_string());
    let tail = ["--udid", new.as_str(), "--usbmux", place.as_str()];
    for args in [
        ["afc", "push", &file, "/Downloads/x.txt"],
        ["afc", "pull", "/Downloads/x.txt", &back],
    ] {
        let args: Vec<&str> = args.into_iter().chain(tail).collect();
        says(&rig.mux(), &tool, &args).await;
    }
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "through AFC");
}
