//! `ibakctl notify hooks` beside the real daemon: what arrives, once, through every restart.

use super::Carrier;
use super::post::Post;
use ibak_dbus::words::Outcome;
use ibak_tests::programs;
use ibak_tests::trouble::{House, phone, udid_of};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A directory with the hook of ntfy, and one that writes down which messages come.
fn directory(house: &House) -> String {
    let directory = house.path("hooks.d");
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let tape = house.path("tape");
    programs::put(
        &directory.join("10-tape"),
        &format!(
            "#!/bin/sh\necho \"$IBAK_KIND $IBAK_NAME\" >> {}\n",
            tape.display()
        ),
    )
    .unwrap();
    let ntfy = ibak_tests::repository().join("packaging/hooks/ntfy");
    programs::put(
        &directory.join("50-ntfy.sh"),
        &fs::read_to_string(ntfy).unwrap(),
    )
    .unwrap();
    directory.to_str().unwrap().to_owned()
}

fn tape(house: &House) -> Vec<String> {
    let text = fs::read_to_string(house.path("tape")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const LISTENING: &str = "Listening; hooks are run.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_once_through_restarts_of_everybody() {
    if ibak_tests::programs::of_machine("curl").is_none() {
        return;
    }
    let mut post = Post::http("200 OK").await;
    let settings = [("NTFY_URL", format!("http://{}/t", post.address))];
    let house = House::build(vec![phone(72, 40, 1 << 20)]).await.unwrap();
    let hooks = directory(&house);
    let words = ["notify", "hooks", "--dir", &hooks];
    let config = house.config("");

    // It may be there before the daemon.
    let waiting = "The daemon is not running; waiting for it.";
    let mut carrier = Carrier::start(&house, &words, &settings, waiting).await;
    assert_eq!(
        carrier.said.first().unwrap(),
        &format!("Hooks in {hooks}: tape, ntfy.")
    );
    let daemon = house.daemon(&config).await.unwrap();
    carrier.says("The daemon is back.").await;
    let mut watcher = house.watch().await.unwrap();
    let udid = udid_of(&house.phone(0));
    watcher.ready(&udid).await.unwrap();
    house
        .ctl(&["notify", "test"])
        .await
        .unwrap()
        .says(&["went out"]);
    let posted = post.next().await;
    assert_eq!(posted.headers["title"], "A test message of ibak");
    assert_eq!(
        posted.body,
        "Messages about Phone 72 arrive here; nothing needs to be done."
    );
    carrier.says("test was passed to ntfy").await;

    // A finished backup is told to those who wait for it, and no message.
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
    carrier.says("backup-done was passed to").await;
    carrier.says("backup-done was passed to").await;
    assert_eq!(tape(&house), ["test Phone 72", "backup-done Phone 72"]);
    assert_eq!(post.rest(), []);

    // The daemon goes and comes.
    daemon.kill().await.unwrap();
    carrier.says("The daemon went away; waiting for it.").await;
    let daemon = house.daemon(&config).await.unwrap();
    carrier.says("The daemon is back.").await;
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid).await.unwrap();
    house.ctl(&["notify", "test"]).await.unwrap();
    // Which of the two is first nobody knows.
    carrier.says("test was passed to").await;
    carrier.says("test was passed to").await;
    assert_eq!(tape(&house).len(), 3, "{:?}", tape(&house));

    // What happens while nobody listens is told later, and once.
    carrier.end().await;
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
    for round in 0..2 {
        let mut carrier = Carrier::start(&house, &words, &settings, LISTENING).await;
        if round == 0 {
            carrier.says("backup-done was passed to").await;
            carrier.says("backup-done was passed to").await;
        }
        house.ctl(&["notify", "test"]).await.unwrap();
        carrier.says("test was passed to").await;
        carrier.says("test was passed to").await;
        carrier.end().await;
    }
    let tape = tape(&house);
    let done = tape.iter().filter(|it| it.starts_with("backup-done"));
    assert_eq!((done.count(), tape.len()), (2, 6), "{tape:?}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_that_stands_is_told_to_who_comes_late_and_once() {
    let house = House::build(vec![phone(73, 10, 1 << 20)]).await.unwrap();
    let hooks = directory(&house);
    let words = ["notify", "hooks", "--dir", &hooks];
    fs::write(house.path("file"), "no directory").unwrap();
    let config = house.config_at(&house.path("file/store"), "notify = \"tape\"");
    let daemon = house.daemon(&config).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher
        .until("the store's trouble", |state| {
            let manager = state.manager()?;
            (manager.storage_state == ibak_dbus::words::StorageState::Unavailable).then_some(())
        })
        .await
        .unwrap();
    let mut carrier = Carrier::start(&house, &words, &[], LISTENING).await;
    carrier.says("store-trouble was passed to tape").await;
    // A crash of the daemon makes it say it again; who heard it knows.
    daemon.kill().await.unwrap();
    fs::remove_dir_all(house.path("ibakd.state")).unwrap();
    carrier.says("The daemon went away").await;
    let daemon = house.daemon(&config).await.unwrap();
    carrier.says("The daemon is back.").await;
    let mut watcher = house.watch().await.unwrap();
    let udid = udid_of(&house.phone(0));
    watcher
        .phone(&udid, "the phone", |view| view.name == "Phone 73")
        .await
        .unwrap();
    house.ctl(&["notify", "test"]).await.unwrap();
    carrier.says("test was passed to tape").await;
    let said = carrier.end().await;
    assert_eq!(
        tape(&house),
        ["store-trouble ", "test Phone 73"],
        "{said:#?}"
    );
    assert!(
        !said.iter().skip(1).any(|line| line.contains("ntfy")),
        "the channel is tape alone: {said:#?}"
    );
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_may_go_and_come_back() {
    let mut house = House::build(vec![phone(74, 10, 1 << 20)]).await.unwrap();
    let hooks = directory(&house);
    let words = ["notify", "hooks", "--dir", &hooks];
    let config = house.config("notify = \"tape\"");
    let mut daemon = house.daemon(&config).await.unwrap();
    let mut carrier = Carrier::start(&house, &words, &[], LISTENING).await;
    house.end_bus().await.unwrap();
    carrier.says("No connection (").await;
    daemon.ended().await.unwrap();
    house.start_bus_again().await.unwrap();
    let daemon = house.daemon(&config).await.unwrap();
    // It may connect before the daemon is there or after.
    let connected = ["Listening; hooks are run.", "The daemon is back."];
    carrier.says_one_of(&connected).await;
    let mut watcher = house.watch().await.unwrap();
    let udid = udid_of(&house.phone(0));
    watcher
        .phone(&udid, "the phone", |view| view.name == "Phone 74")
        .await
        .unwrap();
    house.ctl(&["notify", "test"]).await.unwrap();
    carrier.says("test was passed to tape").await;
    assert_eq!(tape(&house), ["test Phone 74"]);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_may_write_to_is_refused() {
    let house = House::without_usbmuxd().await.unwrap();
    let hooks = directory(&house);
    fs::set_permissions(&hooks, fs::Permissions::from_mode(0o777)).unwrap();
    let words = ["notify", "hooks", "--dir", &hooks];
    let said = house.ctl(&words).await.unwrap();
    assert_eq!(said.code, Some(1));
    assert_eq!(
        said.conversation,
        format!(
            "Error: no hook can be run\nCaused by:\n1: {hooks} is writable by others\nHint: `chmod go-w {hooks}` closes it\n"
        )
    );
    let said = house.ctl(&["notify", "hooks", "--dir", "/nowhere"]).await;
    said.unwrap()
        .says(&["no hook can be run", "/nowhere cannot be read"]);
}
