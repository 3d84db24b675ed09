//! `cargo xtask demo`, as the README promises it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the processes and the directory of a killed demo may take to go.
const GONE_MAX: Duration = Duration::from_secs(30);
/// How long a demo takes until its daemon runs: it may wait for cargo, which others use as well.
const BEGIN_MAX: Duration = Duration::from_secs(180);

fn demo(arguments: &[&str], place: &Path) -> Command {
    let mut command = Command::new(ibak_tests::programs::path("xtask").unwrap());
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", place)
        .env(
            xtask::workspace::PROGRAMS_VARIABLE,
            ibak_tests::programs::directory().unwrap(),
        )
        .stdin(Stdio::null());
    command
}

/// The processes that have this directory in their arguments or their environment.
fn processes_of(place: &Path) -> Vec<String> {
    let place = place.to_string_lossy();
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    numbers
        .filter(|process| {
            process
                .file_name()
                .is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
        })
        .filter(|process| {
            // A process may end while it is looked at, and the daemon hides its environment.
            let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
            [read("cmdline"), read("environ")]
                .iter()
                .any(|text| String::from_utf8_lossy(text).contains(&*place))
        })
        .map(|process| {
            String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default())
                .replace('\0', " ")
        })
        .collect()
}

fn wait_until(what: &str, longest: Duration, wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + longest;
    while !wanted() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn entries(place: &Path) -> Vec<PathBuf> {
    fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn two_backups_are_committed_and_nothing_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let output = demo(&["--json"], place.path()).output().unwrap();
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let result: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&result["committed"], &result["verified"]),
        (&2.into(), &2.into()),
        "{result}"
    );

    let store = PathBuf::from(result["store"].as_str().unwrap());
    let udid = result["udid"].as_str().unwrap();
    let generations = store.join(udid).join("gens");
    assert_eq!(fs::read_dir(&generations).unwrap().count(), 2);
    for generation in fs::read_dir(&generations).unwrap() {
        let backup = generation.unwrap().path().join(udid);
        let status = plist::Value::from_file(backup.join("Status.plist")).unwrap();
        let status = status.as_dictionary().unwrap();
        assert_eq!(
            status
                .get("SnapshotState")
                .and_then(plist::Value::as_string),
            Some("finished")
        );
    }
    // Each evening the story says why.
    assert!(story.matches("$ ibakctl why ada").count() >= 5, "{story}");
    // And a phone that asks is waited for until its screen is locked.
    assert!(
        story.contains(
            "Ben's iPhone has its passcode; its backup begins when its screen is locked."
        ),
        "{story}"
    );
    assert!(story.contains("Ben's iPhone was backed up"), "{story}");
    assert_eq!(processes_of(place.path()), Vec::<String>::new());
}

#[test]
fn a_killed_demo_takes_everything_with_it() {
    killed(&[]);
}

#[test]
fn a_demo_to_be_kept_that_is_killed_takes_everything_with_it() {
    killed(&["--keep"]);
}

fn killed(arguments: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let mut child = demo(arguments, place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = |name: &str| {
        processes_of(place.path())
            .iter()
            .any(|line| line.contains(name))
    };
    wait_until("the daemon never ran", BEGIN_MAX, || {
        running("ibakd --config") && running("ibakctl watch")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("processes are left", GONE_MAX, || {
        processes_of(place.path()).is_empty()
    });
    wait_until("the directory is left", GONE_MAX, || {
        entries(place.path()).is_empty()
    });
}

#[test]
fn what_is_kept_running_can_be_played_with_and_ended() {
    let place = tempfile::tempdir().unwrap();
    let output = demo(&["--json", "--keep"], place.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    let result: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let environment = result["env"].as_object().unwrap();
    let status = Command::new(ibak_tests::programs::path("ibakctl").unwrap())
        .args(["status", "--json"])
        .envs(
            environment
                .iter()
                .map(|(name, value)| (name, value.as_str().unwrap())),
        )
        .output()
        .unwrap();
    // Ends it before anything can fail, or it would go on.
    let stopped = Command::new(result["stop"].as_str().unwrap())
        .status()
        .unwrap();
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stderr)
    );
    assert!(String::from_utf8_lossy(&status.stdout).contains(result["udid"].as_str().unwrap()));
    assert!(stopped.success());
    wait_until("processes are left", GONE_MAX, || {
        processes_of(place.path()).is_empty()
    });
    wait_until("the directory is left", GONE_MAX, || {
        entries(place.path()).is_empty()
    });
}
