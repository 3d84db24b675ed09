//! The real binary as it goes on: waiting, watching, pipes that close, Ctrl-C.

use super::end_to_end::two;
use super::fixtures::ada;
use super::jobs::receiving;
use super::mock::{Mock, Ran, Script, Step};
use super::tty::Tty;
use ibak_dbus::views::{CompletedView, PhoneView};
use ibak_dbus::words::{Outcome, PhoneState};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

/// Starts the binary and reads lines of one of its streams as they come.
fn spawn(mock: &Mock, args: &[&str]) -> Child {
    mock.command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads lines until one holds `wanted`.
async fn until<R: Read + Send + 'static>(
    mut lines: BufReader<R>,
    wanted: &'static str,
) -> (BufReader<R>, String) {
    tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "ended before {wanted:?}"
            );
            if line.contains(wanted) {
                return (lines, line);
            }
        }
    })
    .await
    .unwrap()
}

/// Waits for the end; gives the exit code and the rest of a stream.
async fn end<R: Read + Send + 'static>(
    mut child: Child,
    mut rest: BufReader<R>,
) -> (Option<i32>, String) {
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        rest.read_to_string(&mut text).unwrap();
        (child.wait().unwrap().code(), text)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_daemon_that_goes_away_ends_the_wait() {
    let mut mock = Mock::start(Script {
        steps: vec![receiving(0.5), Step::Gate],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let mut child = spawn(&mock, &["backup", "--wait"]);
    let (lines, _) = until(
        BufReader::new(child.stderr.take().unwrap()),
        "receiving: 50 %",
    )
    .await;
    mock.kill_daemon().await;
    let (code, rest) = end(child, lines).await;
    assert_eq!(code, Some(6), "{rest}");
    assert!(rest.contains("Error: the ibak daemon went away while we waited\nCaused by:\n1: what had arrived is kept"), "{rest}");
}

#[tokio::test]
async fn ctrl_c_leaves_the_backup_alone() {
    let mock = Mock::start(Script {
        steps: vec![receiving(0.5), Step::Gate, receiving(0.9)],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let mut child = spawn(&mock, &["backup", "--wait"]);
    let (lines, _) = until(
        BufReader::new(child.stderr.take().unwrap()),
        "receiving: 50 %",
    )
    .await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (code, rest) = end(child, lines).await;
    assert_eq!(code, Some(130), "{rest}");
    assert_eq!(
        rest,
        "The backup of Ada's iPhone goes on without you (job 101). `ibakctl cancel` ends it.\n"
    );
    assert_eq!(
        mock.calls(),
        ["backup when-ready=false full=false"],
        "nothing was cancelled"
    );
    mock.open_gate();
}

#[tokio::test]
async fn watch_tells_changes_as_json_lines() {
    let mut mock = Mock::ada().await;
    let mut child = spawn(&mock, &["watch", "--json"]);
    let (lines, _) = until(
        BufReader::new(child.stdout.take().unwrap()),
        r#""message_type":"manager""#,
    )
    .await;
    let (lines, line) = until(lines, r#""message_type":"phone""#).await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["state"],
        "waiting"
    );
    mock.set_phone(PhoneView {
        state: PhoneState::Settling,
        ..ada()
    })
    .await;
    let (lines, line) = until(lines, "settling").await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["message_type"],
        "phone"
    );
    mock.script().steps = vec![
        receiving(0.5),
        Step::End(Outcome::Succeeded, CompletedView::default()),
    ];
    mock.run(&["backup"]).await;
    let (lines, line) = until(lines, r#""message_type":"job""#).await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["job"],
        101
    );
    let (lines, _) = until(lines, r#""message_type":"completed""#).await;
    mock.kill_daemon().await;
    let (lines, _) = until(lines, r#""message_type":"lost""#).await;
    mock.start_daemon().await;
    let (lines, _) = until(lines, r#""message_type":"phone""#).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (code, _) = end(child, lines).await;
    assert_eq!(code, Some(130));
}

#[tokio::test]
async fn watch_tells_people() {
    let mock = Mock::ada().await;
    let mut child = spawn(&mock, &["watch"]);
    let (lines, line) = until(BufReader::new(child.stdout.take().unwrap()), "Ada's iPhone").await;
    assert_eq!(
        line,
        "23:05:00  Ada's iPhone: waiting for its screen to be locked\n"
    );
    mock.script().steps = vec![
        receiving(0.5),
        Step::End(Outcome::LostPower, CompletedView::default()),
    ];
    mock.run(&["backup"]).await;
    let (lines, _) = until(lines, "Ada's iPhone: backup receiving: 50 %").await;
    let (lines, line) = until(lines, "stopped because").await;
    assert_eq!(
        line,
        "23:05:00  Ada's iPhone: backup stopped because the phone lost its power; what arrived is kept\n"
    );
    // The reader goes away: the next line has nowhere to go, and that is no failure.
    drop(lines);
    mock.set_phone(PhoneView {
        state: PhoneState::Settling,
        ..ada()
    })
    .await;
    let err = BufReader::new(child.stderr.take().unwrap());
    let (code, said) = end(child, err).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_closed_pipe_is_no_panic() {
    let mock = Mock::start(two()).await;
    for args in [
        &["status"][..],
        &["completions", "zsh"],
        &["--help"],
        &["why", "ada"],
        &["status", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = mock.command(args);
        command.stdout(writer).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let ran = Ran::of(&output);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (Some(0), ""),
            "{args:?}: {ran:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_there_is_a_bar() {
    let mock = Mock::start(Script {
        steps: vec![
            receiving(0.41),
            Step::Gate,
            Step::End(Outcome::NotConfirmed, CompletedView::default()),
        ],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let mut command = mock.command(&["backup", "--wait"]);
    // Set to nothing, it is as if it were not set.
    command.env("NO_COLOR", "");
    let mut tty = Tty::with(command);
    tty.until("\rreceiving  \u{1b}[32m━━━━━━━━─────────────\u{1b}[0m  41 %  3.1 of 7.6 GiB  42 MiB/s  12 min left\u{1b}[K");
    mock.open_gate();
    let (code, shown) = tty.end();
    assert_eq!(code, Some(7), "{shown}");
    // The bar keeps its line, and the error begins on its own.
    assert!(
        shown.contains("\u{1b}[K\n\u{1b}[31mError:\u{1b}[0m the backup did not start"),
        "{shown:?}"
    );
}
