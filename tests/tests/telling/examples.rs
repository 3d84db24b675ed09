//! The hooks that are shipped, each tried against a server: what arrives is what was to be said,
//! whatever a phone is called, and no secret is in a command line.

use super::post::Post;
use std::fs;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const NAME: &str = "Ada’s \"iPhone\" $(touch owned) `id` '\\ @x & <b> %s ; # 🎉";
const TEXT: &str = "Ada’s \"iPhone\" $(touch owned) `id` '\\ @x & <b> %s ; # 🎉 has been without a backup for 5 days.";
const EVENT: &str = "{\"kind\":\"overdue\",\"name\":\"Ada’s \\\"iPhone\\\" $(touch owned)\"}\n";

struct Try {
    directory: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Try {
    /// Has `curl` and `sendmail` write down how they are called; `curl` then does it.
    fn new() -> Option<Self> {
        let curl = ibak_tests::programs::of_machine("curl")?;
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        let program = |name: &str, text: String| {
            ibak_tests::programs::put(&directory.path().join(name), &text).unwrap();
        };
        program(
            "curl",
            format!(
                "#!/bin/sh\nprintf '%s\\n' \"$@\" >> {at}/argv\nexec {} \"$@\"\n",
                curl.display()
            ),
        );
        program(
            "sendmail",
            format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {at}/argv\ncat > {at}/letter\n"),
        );
        Some(Self {
            directory,
            settings: Vec::new(),
        })
    }

    fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn run(&self, hook: &str, kind: &str) -> Output {
        let path = ibak_tests::repository().join("packaging/hooks").join(hook);
        let search = format!("{}:/usr/bin:/bin", self.directory.path().display());
        let mut child = Command::new(path)
            .env_clear()
            .env("PATH", search)
            .env("IBAK_KIND", kind)
            .env("IBAK_CHANNEL", hook)
            .env("IBAK_NAME", NAME)
            .env("IBAK_SUBJECT", format!("{NAME} has no fresh backup"))
            .env("IBAK_TEXT", TEXT)
            .env(
                "IBAK_URGENCY",
                if kind == "asking" {
                    "critical"
                } else {
                    "normal"
                },
            )
            .env("IBAK_HOST", "attic")
            .env("IBAK_TIME", "2026-11-22T21:04:00Z")
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A hook need not read it.
        stdin.write_all(EVENT.as_bytes()).await.ok();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        assert!(!self.path("owned").exists(), "a phone's name was run");
        output
    }

    async fn works(&self, hook: &str, kind: &str) {
        let output = self.run(hook, kind).await;
        assert!(output.status.success(), "{hook} {kind}: {output:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
    }

    /// Returns the command lines so far.
    fn argv(&self) -> String {
        fs::read_to_string(self.path("argv")).unwrap_or_default()
    }
}

#[tokio::test]
async fn ntfy_gets_the_text_and_keeps_its_token() {
    let mut post = Post::http("200 OK").await;
    let Some(here) = Try::new() else { return };
    let here = here
        .set("NTFY_URL", format!("http://{}/secret-topic", post.address))
        .set("NTFY_TOKEN", "tk_secret");
    here.works("ntfy", "overdue").await;
    let posted = post.next().await;
    assert_eq!(posted.line, "POST /secret-topic HTTP/1.1");
    assert_eq!(posted.body, TEXT);
    assert_eq!(
        posted.headers["title"],
        format!("{NAME} has no fresh backup")
    );
    assert_eq!(posted.headers["priority"], "default");
    assert_eq!(posted.headers["authorization"], "Bearer tk_secret");
    here.works("ntfy", "asking").await;
    assert_eq!(post.next().await.headers["priority"], "urgent");
    for hidden in ["secret", "iPhone", "🎉"] {
        assert!(!here.argv().contains(hidden), "{}", here.argv());
    }
    here.works("ntfy", "backup-done").await;
    let open = Try::new().unwrap();
    let open = open.set("NTFY_URL", format!("http://{}/t", post.address));
    open.works("ntfy", "test").await;
    assert_eq!(post.next().await.headers.get("authorization"), None);
    assert_eq!(post.rest(), []);
}

#[tokio::test]
async fn healthchecks_pings_for_backups_and_fails_for_trouble() {
    let mut post = Post::http("200 OK").await;
    let Some(here) = Try::new() else { return };
    let here = here.set(
        "HEALTHCHECKS_URL",
        format!("http://{}/secret-id", post.address),
    );
    for (kind, path) in [
        ("backup-done", "/secret-id"),
        ("overdue", "/secret-id/fail"),
        ("failed-needs-you", "/secret-id/fail"),
        ("store-trouble", "/secret-id/fail"),
        ("test", "/secret-id/log"),
    ] {
        here.works("healthchecks", kind).await;
        let posted = post.next().await;
        assert_eq!(posted.line, format!("POST {path} HTTP/1.1"), "{kind}");
        assert_eq!(posted.body, TEXT);
    }
    for quiet in ["asking", "made-room", "done-after-gap", "check-password"] {
        here.works("healthchecks", quiet).await;
    }
    assert_eq!(post.rest(), []);
    assert!(!here.argv().contains("secret"), "{}", here.argv());
}

#[tokio::test]
async fn home_assistant_gets_the_event_as_it_is() {
    let mut post = Post::http("200 OK").await;
    let Some(here) = Try::new() else { return };
    let here = here.set(
        "HOME_ASSISTANT_WEBHOOK",
        format!("http://{}/api/webhook/secret", post.address),
    );
    here.works("home-assistant", "overdue").await;
    let posted = post.next().await;
    assert_eq!(posted.line, "POST /api/webhook/secret HTTP/1.1");
    assert_eq!(posted.headers["content-type"], "application/json");
    assert_eq!(posted.body, EVENT);
    assert!(!here.argv().contains("secret"), "{}", here.argv());
}

fn decoded(base64: &str) -> String {
    let mut decode = std::process::Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut decode.stdin.take().unwrap(), base64.as_bytes()).unwrap();
    String::from_utf8(decode.wait_with_output().unwrap().stdout).unwrap()
}

/// Takes a letter apart: its headers as they stand, its subject and its text decoded.
fn read(letter: &str) -> (Vec<&str>, String, String) {
    let (head, body) = letter.split_once("\n\n").unwrap();
    let subject = head
        .lines()
        .find_map(|line| line.strip_prefix("Subject: =?UTF-8?B?"))
        .unwrap();
    let subject = decoded(subject.strip_suffix("?=").unwrap());
    (head.lines().collect(), subject, decoded(body))
}

fn assert_letter(letter: &str, from: &str) {
    let (head, subject, text) = read(letter);
    assert_eq!(subject, format!("{NAME} has no fresh backup"));
    assert_eq!(
        text,
        format!("{TEXT}\n\n-- \nibak on attic, 2026-11-22T21:04:00Z\n")
    );
    assert_eq!(head.len(), 8, "{head:#?}");
    assert_eq!(head[0], format!("From: ibak <{from}>"));
    assert_eq!(head[1], "To: ada@example.org, bob@example.org");
    assert!(
        head[3].starts_with("Date: ") && head[3].is_ascii(),
        "{head:#?}"
    );
}

#[tokio::test]
async fn mail_goes_through_sendmail_or_a_server() {
    let mut post = Post::smtp().await;
    let Some(here) = Try::new() else { return };
    let here = here.set("MAIL_TO", "ada@example.org, bob@example.org");
    here.works("mail", "overdue").await;
    assert_eq!(here.argv(), "-i -t\n");
    assert_letter(
        &fs::read_to_string(here.path("letter")).unwrap(),
        "ibak@attic",
    );

    let here = here
        .set("MAIL_SMTP", format!("smtp://{}", post.address))
        .set("MAIL_FROM", "attic@example.org");
    here.works("mail", "test").await;
    let posted = post.next().await;
    assert_eq!(
        posted.line,
        "MAIL FROM:<attic@example.org>; RCPT TO:<ada@example.org>; RCPT TO:<bob@example.org>; "
    );
    assert_letter(&posted.body, "attic@example.org");
    for quiet in ["backup-done", "asking"] {
        here.works("mail", quiet).await;
    }
    assert_eq!(post.rest(), []);

    // With a password there is no sending in the open.
    let netrc = here.path("netrc");
    fs::write(&netrc, "machine 127.0.0.1 login ada password secret\n").unwrap();
    let here = here.set("MAIL_NETRC", netrc.to_str().unwrap());
    let output = here.run("mail", "test").await;
    assert!(
        !output.status.success() && !output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(!here.argv().contains("secret"), "{}", here.argv());
}

#[tokio::test]
async fn what_does_not_work_is_said_and_ends_badly() {
    let post = Post::http("500 Internal Server Error").await;
    let Some(unset) = Try::new() else { return };
    for (hook, key) in [
        ("ntfy", "NTFY_URL"),
        ("healthchecks", "HEALTHCHECKS_URL"),
        ("home-assistant", "HOME_ASSISTANT_WEBHOOK"),
        ("mail", "MAIL_TO"),
    ] {
        let output = unset.run(hook, "overdue").await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{hook}");
        assert!(
            said.contains(key) && said.contains("is not set in /etc/ibak/hooks.conf"),
            "{hook}: {said}"
        );
    }
    let broken = Try::new()
        .unwrap()
        .set("NTFY_URL", format!("http://{}/t", post.address));
    let output = broken.run("ntfy", "overdue").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("500"), "{said}");
    let file = Try::new().unwrap().set("NTFY_URL", "file:///etc/passwd");
    let output = file.run("ntfy", "overdue").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // The number of a protocol that is not allowed.
    assert!(
        said.contains("curl: (1) ") && said.contains("file"),
        "{said}"
    );
}
