use super::*;
use crate::cli::When;
use ibak_dbus::{Dict, MirrorState, Udid};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;
use zbus::wire::OwnedVariant;

/// Is how long a step may take before the test gives up.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A directory of hooks that write each message onto a tape; those that are slow ask at the gate
/// first.
struct Scene {
    directory: tempfile::TempDir,
    tape: Lines<BufReader<pipe::Receiver>>,
    gate: pipe::Sender,
}

impl Scene {
    fn of(quick: &[&str], slow: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["tape", "gate"] {
            let kind = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, at(name), kind, mode, 0).unwrap();
        }
        let open = |name: &str| (pipe::OpenOptions::new().read_write(true).clone(), at(name));
        let (options, path) = open("tape");
        let tape = BufReader::new(options.open_receiver(path).unwrap()).lines();
        let (options, path) = open("gate");
        let gate = options.open_sender(path).unwrap();
        std::fs::create_dir(at("hooks.d")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(at("hooks.d"), mode).unwrap();
        let (tape_at, gate_at) = (at("tape"), at("gate"));
        let (tape_at, gate_at) = (tape_at.display(), gate_at.display());
        let says = format!("echo \"$IBAK_CHANNEL $IBAK_KIND\" > {tape_at}");
        let asks = format!("echo \"$IBAK_CHANNEL waits\" > {tape_at}; read x < {gate_at}");
        for (names, text) in [
            (quick, format!("#!/bin/sh\n{says}\n")),
            (slow, format!("#!/bin/sh\n{asks}\n{says}\n")),
        ] {
            for name in names {
                hook::tests::program(&at("hooks.d"), name, &text);
            }
        }
        Self {
            directory,
            tape,
            gate,
        }
    }

    /// Runs the hooks beside a story.
    async fn play(mut self, story: impl AsyncFnOnce(&mut Self, mpsc::Sender<News>)) {
        let console = Console::new(When::Never).unwrap();
        let hooks = Hooks::open(&self.directory.path().join("hooks.d"), console).unwrap();
        let (sender, news) = mpsc::channel(64);
        let both = async { tokio::join!(hooks.run(news), story(&mut self, sender)) };
        let both = tokio::time::timeout(WAIT_MAX, both).await;
        assert!(both.is_ok(), "it does not end");
    }

    async fn hears(&mut self, line: &str) {
        let next = tokio::time::timeout(WAIT_MAX, self.tape.next_line()).await;
        let next = next.unwrap_or_else(|_| panic!("nobody said {line:?}"));
        assert_eq!(next.unwrap().unwrap(), line);
    }

    /// Lets one slow hook go on.
    async fn opens(&mut self) {
        self.gate.write_all(b"go\n").await.unwrap();
    }
}

fn letter(kind: AttentionKind, job: Option<u64>) -> Letter {
    let udid = Udid::parse("00008030-001A2B3C4D5E6F70").unwrap();
    let job = job.map(|it| ("job".to_owned(), OwnedVariant::from(it)));
    let details: Dict = job.into_iter().collect();
    let what = What::Attention(kind);
    Letter::about(what, Some(&udid), details, &MirrorState::default())
}

async fn tell(news: &mpsc::Sender<News>, kind: AttentionKind, job: Option<u64>) {
    let letter = Box::new(letter(kind, job));
    news.send(News::Tell(letter)).await.unwrap();
}

#[tokio::test]
async fn a_slow_hook_holds_up_nobody_and_is_told_of_no_prompt_that_is_over() {
    let scene = Scene::of(&["20-quick"], &["10-slow"]);
    let story = async |scene: &mut Scene, news: mpsc::Sender<News>| {
        tell(&news, AttentionKind::Overdue, None).await;
        // Which of the two is first nobody knows.
        let mut lines = Vec::new();
        for _ in 0..2 {
            lines.push(scene.tape.next_line().await.unwrap().unwrap());
        }
        lines.sort();
        assert_eq!(lines, ["quick overdue", "slow waits"]);
        for job in [7, 8] {
            tell(&news, AttentionKind::Asking, Some(job)).await;
            scene.hears("quick asking").await;
        }
        let over = letter(AttentionKind::Asking, Some(7)).key();
        news.send(News::Over(over)).await.unwrap();
        let over = letter(AttentionKind::Overdue, None).key();
        news.send(News::Over(over)).await.unwrap();
        tell(&news, AttentionKind::Test, None).await;
        scene.hears("quick test").await;
        drop(news);
        scene.opens().await;
        scene.hears("slow overdue").await;
        for kind in ["asking", "test"] {
            scene.hears("slow waits").await;
            scene.opens().await;
            scene.hears(&format!("slow {kind}")).await;
        }
    };
    scene.play(story).await;
}

#[tokio::test]
async fn a_queue_has_an_end_and_a_hook_may_go_meanwhile() {
    let scene = Scene::of(&[], &["10-slow"]);
    let path = scene.directory.path().join("hooks.d/10-slow");
    let story = async |scene: &mut Scene, news: mpsc::Sender<News>| {
        tell(&news, AttentionKind::Overdue, None).await;
        scene.hears("slow waits").await;
        for _ in 0..QUEUE_MAX + 5 {
            tell(&news, AttentionKind::Test, None).await;
        }
        drop(news);
        scene.opens().await;
        scene.hears("slow overdue").await;
        for _ in 2..QUEUE_MAX {
            scene.hears("slow waits").await;
            scene.opens().await;
            scene.hears("slow test").await;
        }
        scene.hears("slow waits").await;
        std::fs::remove_file(&path).unwrap();
        scene.opens().await;
        scene.hears("slow test").await;
    };
    // It comes to an end: the last message is not passed on.
    scene.play(story).await;
}
