//! The command line's contract, with the real binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_ibak-sim");

struct Serving {
    child: Child,
    dir: tempfile::TempDir,
    lines: Vec<String>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn phone_file(dir: &Path, seed: u64) -> PathBuf {
    let path = dir.join(format!("phone{seed}.toml"));
    let text = format!(
        "ios = \"15.6\"\nproduct = \"iPhone14,5\"\nname = \"Ada's iPhone\"\nseed = {seed}\nfiles = 20\nbytes = \"1 MiB\"\napps = 2\npasscode = true\npaired = false\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

impl Serving {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(BINARY)
            .args(["serve", "--usbmuxd"])
            .arg(dir.path().join("mux"))
            .args([
                "--usbmuxd-tcp",
                "127.0.0.1:0",
                "--quirk",
                "silent-lock",
                "--control",
            ])
            .arg(dir.path().join("control"))
            .arg("--phone")
            .arg(phone_file(dir.path(), 1))
            .arg("--phone")
            .arg(phone_file(dir.path(), 2))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        for line in stdout.lines() {
            let line = line.unwrap();
            if line == "ready" {
                break;
            }
            lines.push(line);
        }
        Self { child, dir, lines }
    }

    fn control(&self, args: &[&str]) -> Output {
        Command::new(BINARY)
            .arg("--control")
            .arg(self.dir.path().join("control"))
            .args(args)
            .output()
            .unwrap()
    }

    fn status(&self) -> Value {
        let output = self.control(&["status", "--json"]);
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn serve_prints_a_line_for_each_phone_and_ready_and_ends_in_order() {
    let mut serving = Serving::start();
    assert_eq!(serving.lines.len(), 2);
    let mut udids = Vec::new();
    for line in &serving.lines {
        assert!(line.starts_with("{\"udid\":\""), "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line.as_object().unwrap().len(), 3);
        assert_eq!(
            (line["name"].as_str(), line["ios"].as_str()),
            (Some("Ada's iPhone"), Some("15.6"))
        );
        udids.push(line["udid"].as_str().unwrap().to_owned());
    }
    assert_ne!(udids[0], udids[1]);
    let status = serving.status();
    assert_eq!(status["usbmuxd"]["shows"], serde_json::json!(udids));

    let pid = rustix::process::Pid::from_child(&serving.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(serving.child.wait().unwrap().success());
    assert!(
        !serving.dir.path().join("mux").exists() && !serving.dir.path().join("control").exists()
    );
}

#[test]
fn set_change_mux_and_status_do_what_the_contract_says() {
    let serving = Serving::start();
    let udid: Value = serde_json::from_str(&serving.lines[0]).unwrap();
    let udid = udid["udid"].as_str().unwrap();
    let output = serving.control(&[
        "set",
        udid,
        "power=on",
        "wifi=on",
        "locked=yes",
        "attached=none",
        "trust=ask",
        "battery=55",
    ]);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let phone = serving.status()["phones"][0].clone();
    for (key, value) in [
        ("power", Value::from(true)),
        ("wifi", true.into()),
        ("locked", true.into()),
        ("attached", "none".into()),
        ("trust", "ask".into()),
        ("battery", 55.into()),
        ("backups_finished", 0.into()),
        ("bytes_sent", 0.into()),
        ("last_error", Value::Null),
    ] {
        assert_eq!(phone[key], value, "{key}");
    }
    assert_eq!(
        serving.status()["usbmuxd"]["shows"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(
        serving
            .control(&[
                "change", udid, "--touch", "1", "--add", "2", "--delete", "1"
            ])
            .status
            .success()
    );
    assert!(serving.control(&["glance", udid]).status.success());
    assert!(serving.control(&["mux", "mute"]).status.success());
    assert_eq!(serving.status()["usbmuxd"]["mode"], "mute");
    assert!(serving.control(&["mux", "restart"]).status.success());
    assert_eq!(serving.status()["usbmuxd"]["mode"], "normal");
    let text = String::from_utf8(serving.control(&["status"]).stdout).unwrap();
    assert!(
        text.contains(&format!("{udid} Ada's iPhone (iPhone14,5, iOS 15.6)")),
        "{text}"
    );
    assert!(
        text.contains("power on, Wi-Fi on, locked, attached none, trust ask, battery 55 %"),
        "{text}"
    );
}

#[test]
fn the_help_names_every_verb_and_every_setting() {
    let help = |args: &[&str]| {
        let output = Command::new(BINARY).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = help(&["--help"]);
    for verb in [
        "serve", "set", "change", "cancel", "glance", "reboot", "attacks", "mux", "status",
    ] {
        assert!(text.contains(&format!("\n  {verb} ")), "{verb}: {text}");
    }
    assert!(text.contains("ibak-sim set --help"), "{text}");
    let text = help(&["set", "--help"]);
    for key in [
        "power",
        "passcode-answer",
        "drop-in",
        "drop-after",
        "upload-rate",
        "silence-ms",
        "refuse-with",
        "file-errors",
        "remote-errors",
        "errors-end",
        "find-my",
        "setup",
        "icloud",
        "icloud-account",
        "free-space",
        "charge-limit",
        "usb-restricted",
        "pairings",
        "tell",
        "attack",
    ] {
        assert!(text.contains(&format!("\n  {key} = ")), "{key}: {text}");
    }
    let attacks = help(&["attacks"]);
    assert!(attacks.lines().count() > 300);
    for name in [
        "path/upload/dotdot",
        "usbmuxd/bomb-wide",
        "tls/wrong-key",
        "notice-flood",
    ] {
        let line = attacks
            .lines()
            .find(|line| line.split('\t').next() == Some(name));
        assert!(
            line.is_some_and(|line| line.len() > name.len() + 10),
            "{name}"
        );
    }
}

#[test]
fn a_phone_reboots_and_is_hostile_on_demand() {
    let serving = Serving::start();
    let udid: Value = serde_json::from_str(&serving.lines[0]).unwrap();
    let udid = udid["udid"].as_str().unwrap();
    let set = [
        "set",
        udid,
        "attack=lie/progress-nan",
        "find-my=on",
        "icloud=off",
        "drop-in=moving",
    ];
    let output = serving.control(&set);
    assert!(output.status.success(), "{output:?}");
    let phone = serving.status()["phones"][0].clone();
    assert_eq!(phone["attack"], "lie/progress-nan");
    assert_eq!(
        (&phone["find_my"], &phone["icloud"]),
        (&true.into(), &false.into())
    );
    assert!(
        serving
            .control(&["set", udid, "attack=none"])
            .status
            .success()
    );
    assert_eq!(serving.status()["phones"][0]["attack"], Value::Null);
    let said = complaint(&serving.control(&["set", udid, "attack=charm"]));
    assert!(
        said.contains("a name that `ibak-sim attacks` shows"),
        "{said}"
    );
    assert!(serving.control(&["reboot", udid]).status.success());
    let mut phone = serving.status()["phones"][0].clone();
    while phone["reboots"] != 1 || phone["attached"] != "usb" {
        std::thread::yield_now();
        phone = serving.status()["phones"][0].clone();
    }
    assert_eq!(phone["locked"], true);
    assert!(complaint(&serving.control(&["reboot", "nobody"])).contains(udid));
}

#[test]
fn bad_arguments_say_what_to_do() {
    let serving = Serving::start();
    let udid: Value = serde_json::from_str(&serving.lines[0]).unwrap();
    let udid = udid["udid"].as_str().unwrap();
    let table: [(&[&str], &str); 7] = [
        (
            &["set", udid, "power=maybe"],
            "power cannot be 'maybe': use on or off",
        ),
        (
            &["set", udid, "colour=red"],
            "there is no setting 'colour': use one of power, wifi",
        ),
        (&["set", udid, "power"], "write KEY=VALUE, such as power=on"),
        (&["set", udid], "<KEY=VALUE>"),
        (&["set", "nobody", "power=on"], udid),
        (&["change", udid], "give --touch N, --add N or --delete N"),
        (
            &["mux", "sing"],
            "mux cannot be 'sing': use mute, normal, restart",
        ),
    ];
    for (args, expected) in table {
        let said = complaint(&serving.control(args));
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let plain = |args: &[&str]| complaint(&Command::new(BINARY).args(args).output().unwrap());
    assert!(plain(&["status"]).contains("ibak-sim --control PATH"));
    assert!(
        plain(&["--control", "/nonexistent/x", "status"])
            .contains("start one with `ibak-sim serve")
    );
    assert!(plain(&["serve"]).contains("--usbmuxd <PATH>"));
    assert!(plain(&["serve", "--usbmuxd", "/tmp/x"]).contains("--phone <FILE.toml>"));
    let missing = plain(&[
        "serve",
        "--usbmuxd",
        "/tmp/x",
        "--phone",
        "/nonexistent/p.toml",
    ]);
    assert!(
        missing.contains("phone file /nonexistent/p.toml: "),
        "{missing}"
    );
    let quirk = plain(&[
        "serve",
        "--usbmuxd",
        "/tmp/x",
        "--quirk",
        "nope",
        "--phone",
        "/nonexistent/p.toml",
    ]);
    assert!(
        quirk.contains("\"nope\": use one of silent-lock"),
        "{quirk}"
    );
}
