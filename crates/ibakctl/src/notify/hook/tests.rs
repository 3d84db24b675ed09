use super::*;
use crate::notify::{Letter, What};
use ibak_dbus::words::AttentionKind;
use ibak_dbus::{Dict, MirrorState, Udid};
use std::os::unix::fs::{PermissionsExt, symlink};
use zbus::wire::{OwnedVariant, Str};

fn style() -> Style {
    Style::plain("2026-11-22T21:04:00Z".parse().unwrap())
}

/// Puts a program there. A child writes it: what this process has open for writing, a child of
/// another test inherits for a moment, and a program that is open for writing cannot be begun.
pub(in crate::notify) fn program(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let draft = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(draft.path(), text).unwrap();
    let mut install = std::process::Command::new("install");
    install.args(["-m", "755"]).arg(draft.path()).arg(&path);
    assert!(install.status().unwrap().success());
    path
}

fn hook_at(path: &Path) -> Hook {
    look(path).unwrap().unwrap()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn letter(name: &str) -> Letter {
    let text = |it: &str| OwnedVariant::from(Str::from(it.to_owned()));
    let details: Dict = [
        ("name".to_owned(), text(name)),
        ("result".to_owned(), text("setup-unfinished")),
        ("odd".to_owned(), text(&"x".repeat(10_000))),
        ("count".to_owned(), OwnedVariant::from(7_u64)),
    ]
    .into_iter()
    .collect();
    Letter::of_signal(
        &AttentionKind::FailedNeedsYou,
        None,
        &details,
        &MirrorState::default(),
    )
}

#[test]
fn channels_are_file_names() {
    for (name, channel) in [
        ("50-ntfy", Some("ntfy")),
        ("50_ntfy.sh", Some("ntfy")),
        ("ntfy-ada", Some("ntfy-ada")),
        ("90-home-assistant.py", Some("home-assistant")),
        ("50", Some("50")),
        ("50-", None),
        ("-x", Some("-x")),
        ("3g", Some("3g")),
        (".hidden", None),
        ("ntfy~", None),
        ("ntfy.bak", None),
        ("ntfy.dpkg-old", None),
        ("a b", None),
        ("a$(x)", None),
    ] {
        assert_eq!(channel_of(name).as_deref(), channel, "{name}");
    }
}

#[test]
fn what_others_could_change_is_refused_with_a_sentence() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("hooks.d");
    std::fs::create_dir(&dir).unwrap();
    mode(&dir, 0o755);
    program(&dir, "10-good", "#!/bin/sh\n");
    let open = program(&dir, "20-open", "#!/bin/sh\n");
    mode(&open, 0o757);
    let group = program(&dir, "30-group", "#!/bin/sh\n");
    mode(&group, 0o775);
    let notes = program(&dir, "notes", "no program");
    mode(&notes, 0o644);
    let elsewhere = outer.path().join("open");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(
        program(&elsewhere, "x", "#!/bin/sh\n"),
        dir.join("40-linked"),
    )
    .unwrap();
    symlink("nowhere", dir.join("50-broken")).unwrap();
    std::fs::create_dir(dir.join("60-directory")).unwrap();
    mode(&elsewhere, 0o777);

    let found = find(&dir).unwrap();
    let names: Vec<_> = found.hooks.iter().map(|it| it.channel.as_str()).collect();
    assert_eq!(names, ["good"]);
    let shown = |path: &Path| path.canonicalize().unwrap().display().to_string();
    let why = |path: &Path, hook: &Path| {
        format!(
            "{} is not run: {1} is writable by others: `chmod go-w {1}` closes it",
            hook.display(),
            shown(path)
        )
    };
    assert_eq!(found.refused.len(), 4, "{:?}", found.refused);
    assert_eq!(found.refused[0], why(&open, &open));
    assert_eq!(found.refused[1], why(&group, &group));
    assert_eq!(found.refused[2], why(&elsewhere, &dir.join("40-linked")));
    assert!(found.refused[3].contains("50-broken is not run: No such file"));

    for bad in [0o777, 0o775] {
        mode(&dir, bad);
        let refusal = find(&dir).unwrap_err();
        assert!(
            refusal.contains("is writable by others: `chmod go-w"),
            "{refusal}"
        );
    }
    mode(&dir, 0o755);
    // Whoever may write above may put another directory in its place; not so under a sticky bit.
    mode(outer.path(), 0o777);
    assert!(find(&dir).is_err());
    mode(outer.path(), 0o1777);
    assert!(find(&dir).is_ok());
    assert!(
        find(Path::new("/nowhere/hooks.d"))
            .unwrap_err()
            .contains("cannot be read")
    );
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.join("10-good"), Some(65_534), None).unwrap();
        let found = find(&dir).unwrap();
        assert!(found.hooks.is_empty());
        assert!(
            found.refused[0].contains("belongs to another user"),
            "{:?}",
            found.refused
        );
    }
}

#[test]
fn a_link_is_followed_step_by_step_and_what_was_looked_at_is_run() {
    let outer = tempfile::tempdir().unwrap();
    let at = |name: &str| outer.path().join(name);
    for name in ["hooks.d", "shipped", "bob"] {
        std::fs::create_dir(at(name)).unwrap();
        mode(&at(name), 0o755);
    }
    let program = program(&at("shipped"), "ntfy", "#!/bin/sh\n");
    let place = program.canonicalize().unwrap();
    symlink(&program, at("bob/l")).unwrap();
    symlink("../bob/../bob/l", at("hooks.d/50-ntfy.sh")).unwrap();
    let hook = hook_at(&at("hooks.d/50-ntfy.sh"));
    assert_eq!(
        (hook.channel.as_str(), hook.program),
        ("ntfy", place.clone())
    );

    // Both ends are closed, and in between somebody may turn a link elsewhere.
    mode(&at("bob"), 0o777);
    let why = look(&at("hooks.d/50-ntfy.sh")).unwrap_err();
    assert!(why.contains("bob is writable by others"), "{why}");
    mode(&at("bob"), 0o1777);
    assert_eq!(hook_at(&at("hooks.d/50-ntfy.sh")).program, place);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(at("bob/l"), Some(65_534), None).unwrap();
        let why = look(&at("hooks.d/50-ntfy.sh")).unwrap_err();
        assert!(why.contains("chown -h root"), "{why}");
    }
    symlink("60-b", at("hooks.d/60-a")).unwrap();
    symlink("60-a", at("hooks.d/60-b")).unwrap();
    assert!(look(&at("hooks.d/60-a")).is_err());
    assert!(closed_to_others(&at("hooks.d/60-a")).is_err());
}

const EVIL: &str = "Ada's $(touch /tmp/ibak-owned) `id` \"'\\\n\r\u{1b}[31m\u{202e}; rm -rf / #";

#[tokio::test]
async fn a_hook_is_told_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let script = format!(
        "#!/bin/sh\nenv | grep ^IBAK_ | sort > {0}.env\ncat > {0}.json\necho done; echo oops >&2\n",
        seen.display()
    );
    let path = program(dir.path(), "50-tell.sh", &script);
    let ran = run(hook_at(&path), &letter(EVIL), "attic", &style()).await;
    assert_eq!(
        ran.lines(&style()),
        "tell: done\ntell: oops\nfailed-needs-you was passed to tell\n"
    );
    let env = std::fs::read_to_string(dir.path().join("seen.env")).unwrap();
    insta::assert_snapshot!("environment", env);
    let json = std::fs::read_to_string(dir.path().join("seen.json")).unwrap();
    assert_eq!(json.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let long = json["details"]["odd"].as_str().unwrap().len();
    assert_eq!(long, 400);
    assert_eq!(json["details"]["count"], 7);
    assert_eq!(json["kind"], "failed-needs-you");
    assert!(json["details"].get("name").is_none());
    let name = json["name"].as_str().unwrap();
    assert!(
        name.chars().count() <= 64 && !name.chars().any(char::is_control),
        "{name:?}"
    );
}

#[tokio::test]
async fn what_a_hook_says_is_bounded_and_escaped_and_how_it_ends_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (
            "loud",
            "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\n",
            "was passed to loud",
        ),
        (
            "rude",
            "#!/bin/sh\nprintf 'a\\033[31mb\\n'; exit 3\n",
            "rude did not take failed-needs-you: exit status: 3",
        ),
        (
            "deaf",
            "#!/bin/sh\nexec <&-\nexit 0\n",
            "was passed to deaf",
        ),
        (
            "alien",
            "#!/nowhere/sh\n",
            "alien did not take failed-needs-you: No such file",
        ),
    ];
    for (name, text, end) in cases {
        let path = program(dir.path(), name, text);
        let said = run(hook_at(&path), &letter("Ada"), "attic", &style())
            .await
            .lines(&style());
        assert!(said.len() < 6_000 && said.contains(end), "{name}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

/// The sleeper's child holds the pipe open as well: all of them end.
#[tokio::test]
async fn a_hook_that_takes_too_long_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!(
        "#!/bin/sh\nsleep 1000 &\necho $! $$ > {}.new\nmv {0}.new {0}\nwait\n",
        pids.display()
    );
    let path = program(dir.path(), "slow", &script);
    let hook = hook_at(&path);
    let letter = letter("Ada");
    let style = style();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let clock = {
        let pids = pids.clone();
        async move {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // From here on time is ours: the minute is over at once.
            tokio::time::pause();
            tokio::time::advance(TIME_MAX).await;
            wait.await.unwrap();
        }
    };
    let work = async {
        let ran = run(hook, &letter, "attic", &style).await;
        tokio::time::resume();
        go.send(()).unwrap();
        ran
    };
    let (ran, ()) = tokio::join!(work, clock);
    assert_eq!(
        ran.lines(&style),
        "slow did not take failed-needs-you: it was ended after 60 s\n"
    );
    let started = std::fs::read_to_string(&pids).unwrap();
    for pid in started.split_whitespace() {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let gone = async {
            while state().is_ok_and(|it| !it.contains(") Z")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
        assert!(gone.is_ok(), "{pid} lives on");
    }
}

/// One that works on when the hook has ended, out of sight or with its output open.
#[tokio::test]
async fn what_a_hook_leaves_behind_is_ended_and_changes_nothing() {
    for silent in [">&- 2>&- <&-", ""] {
        let dir = tempfile::tempdir().unwrap();
        let held = dir.path().join("held");
        let (fifo, owner) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &held, fifo, owner, 0).unwrap();
        let reader = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&held);
        let mut reader = reader.unwrap();
        let text = format!(
            "#!/bin/sh\nexec 9>{}\nsleep 1000 {silent} &\necho sent\n",
            held.display()
        );
        let path = program(dir.path(), "test", &text);
        let ran = run(hook_at(&path), &letter("Ada"), "attic", &style()).await;
        assert_eq!(
            ran.lines(&style()),
            "test: sent\nfailed-needs-you was passed to test\n"
        );
        let gone = tokio::time::timeout(Duration::from_secs(30), reader.read(&mut [0])).await;
        assert!(matches!(gone, Ok(Ok(0))), "it lives on: {gone:?}");
    }
}

#[test]
fn a_finished_backup_is_told_without_pressing() {
    let udid = Udid::parse("00008030-001A2B3C4D5E6F70").unwrap();
    let letter = Letter::about(
        What::BackupDone,
        Some(&udid),
        Dict::new(),
        &MirrorState::default(),
    );
    let told: Vec<_> = letter.variables("attic", &style());
    assert!(told.contains(&("IBAK_KIND", "backup-done".to_owned())));
    assert!(told.contains(&("IBAK_URGENCY", "low".to_owned())));
    assert!(told.contains(&("IBAK_NAME", udid.to_string())), "{told:?}");
}
