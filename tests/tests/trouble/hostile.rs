//! Bad input through the whole daemon: the job fails with a word for it, the daemon lives, nothing
//! is written outside the phone's own working copy, and memory stays bounded (security.md).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use ibak_dbus::words::Outcome;
use ibak_sim::BoxIo;
use ibak_tests::trouble::{House, fingerprint, phone, say, udid_of};
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{MEMORY_MAX, Settled};

/// Another phone's UDID.
const FOREIGN: &str = "00008110-00AABBCCDDEEFF00";
/// The longest message the impostor reads from the host.
const MESSAGE_MAX: u32 = 16 << 20;

/// What the impostor does once the backup was asked for.
#[derive(Clone, Debug)]
enum Act {
    /// A message, whose answer is read.
    Say(Vec<Value>),
    /// A file sent to this place, in one batch.
    Upload(String),
    /// Bytes as they are, then so many zeros, then silence until the host leaves.
    Raw(Vec<u8>, u64),
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn say_to(name: &str, path: &str) -> Act {
    Act::Say(vec![
        text(name),
        text(path),
        Value::Dictionary(Dictionary::new()),
    ])
}

fn say_list(name: &str, paths: &[&str]) -> Act {
    let paths = paths.iter().map(|path| text(path)).collect();
    let empty = Value::Dictionary(Dictionary::new());
    Act::Say(vec![
        text(name),
        Value::Array(paths),
        empty,
        Value::Real(1.0),
    ])
}

fn say_move(from: &str, to: &str) -> Act {
    let mut pairs = Dictionary::new();
    pairs.insert(from.to_owned(), text(to));
    let empty = Value::Dictionary(Dictionary::new());
    Act::Say(vec![
        text("DLMessageMoveItems"),
        Value::Dictionary(pairs),
        empty,
        Value::Real(1.0),
    ])
}

/// Plays the phone's backup service up to the request, acts, and claims that all went well.
async fn play(mut stream: BoxIo, udid: String, act: Act) -> Result<()> {
    let version: Value = Value::Array(vec![text("DLMessageVersionExchange"), 300.into(), 0.into()]);
    send(&mut stream, &version).await?;
    receive(&mut stream).await?;
    send(
        &mut stream,
        &Value::Array(vec![text("DLMessageDeviceReady")]),
    )
    .await?;
    receive(&mut stream).await?;
    let mut hello = Dictionary::new();
    hello.insert("MessageName".into(), text("Response"));
    hello.insert("ErrorCode".into(), 0.into());
    hello.insert("ProtocolVersion".into(), Value::Real(2.1));
    let process = |dictionary| {
        Value::Array(vec![
            text("DLMessageProcessMessage"),
            Value::Dictionary(dictionary),
        ])
    };
    send(&mut stream, &process(hello)).await?;
    receive(&mut stream).await?;
    match act {
        Act::Say(message) => {
            send(&mut stream, &Value::Array(message)).await?;
            receive(&mut stream).await?;
        }
        Act::Upload(path) => {
            upload(&mut stream, &udid, &path).await?;
            receive(&mut stream).await?;
        }
        Act::Raw(bytes, zeros) => {
            stream.write_all(&bytes).await?;
            let block = vec![0_u8; 64 << 10];
            for _ in 0..zeros / block.len() as u64 {
                stream.write_all(&block).await?;
            }
            stream.flush().await?;
            receive(&mut stream).await?;
        }
    }
    let mut done = Dictionary::new();
    done.insert("MessageName".into(), text("Response"));
    done.insert("ErrorCode".into(), 0.into());
    done.insert("ErrorDescription".into(), text(""));
    send(&mut stream, &process(done)).await?;
    receive(&mut stream).await?;
    Ok(())
}

async fn upload(stream: &mut BoxIo, udid: &str, path: &str) -> Result<()> {
    let start = vec![
        text("DLMessageUploadFiles"),
        Value::Dictionary(Dictionary::new()),
        Value::Real(1.0),
        5.into(),
    ];
    send(stream, &Value::Array(start)).await?;
    let mut frames = Vec::new();
    for name in [format!("/.b/{udid}"), path.to_owned()] {
        frames.extend(u32::try_from(name.len())?.to_be_bytes());
        frames.extend(name.as_bytes());
    }
    frames.extend([0, 0, 0, 6, 0x0c]);
    frames.extend(b"owned");
    frames.extend([0, 0, 0, 1, 0, 0, 0, 0, 0]);
    stream.write_all(&frames).await?;
    stream.flush().await?;
    Ok(())
}

async fn send(stream: &mut BoxIo, message: &Value) -> Result<()> {
    let mut bytes = vec![0; 4];
    message.to_writer_binary(&mut bytes)?;
    let length = u32::try_from(bytes.len() - 4)?.to_be_bytes();
    bytes.splice(0..4, length);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

async fn receive(stream: &mut BoxIo) -> Result<()> {
    let length = stream.read_u32().await?;
    ensure!(length <= MESSAGE_MAX, "the host sends {length} bytes");
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await?;
    Ok(())
}

/// Makes a binary plist of nested arrays: `depth` levels, each naming the next `width` times.
fn bomb(depth: u8, width: u8) -> Vec<u8> {
    let mut bytes = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 0..depth {
        offsets.push(u16::try_from(bytes.len()).unwrap());
        bytes.push(0xa0 | width);
        bytes.extend(std::iter::repeat_n(level + 1, usize::from(width)));
    }
    offsets.push(u16::try_from(bytes.len()).unwrap());
    bytes.extend(b"\x54boom");
    let table = bytes.len() as u64;
    bytes.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
    bytes.extend([0, 0, 0, 0, 0, 0, 2, 1]);
    for number in [offsets.len() as u64, 0, table] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

/// A message that starts a batch of files, and then what is no honest batch.
fn batch(rest: &[u8]) -> Vec<u8> {
    let start = Value::Array(vec![
        text("DLMessageUploadFiles"),
        Value::Dictionary(Dictionary::new()),
        Value::Real(1.0),
        5.into(),
    ]);
    let mut bytes = Vec::new();
    start.to_writer_binary(&mut bytes).unwrap();
    let mut all = framed(&bytes);
    all.extend(rest);
    all
}

fn named(name: &str) -> Vec<u8> {
    framed(name.as_bytes())
}

fn acts(udid: &str) -> Vec<Act> {
    let file = format!("{udid}/Snapshot/aa/{}", "a".repeat(40));
    let mut acts: Vec<Act> = [
        "/",
        "",
        "..",
        ".",
        "../../../outside",
        "/etc/outside",
        "a\0b",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("{udid}/../../outside"),
        format!("{udid}/gens"),
        format!("{FOREIGN}/Manifest.db"),
        format!("{udid}//Manifest.db"),
        format!("{udid}/{}", "n".repeat(900)),
    ])
    .map(Act::Upload)
    .collect();
    for path in ["/", "", "..", FOREIGN, "/.."] {
        acts.push(say_list("DLMessageRemoveItems", &[path]));
        acts.push(say_list("DLMessageRemoveFiles", &[path]));
        acts.push(say_to("DLMessageCreateDirectory", path));
        acts.push(say_move(&file, path));
        acts.push(say_move(path, &file));
    }
    acts.push(say_list(
        "DLMessageRemoveItems",
        &[&format!("{FOREIGN}/Manifest.db")],
    ));
    acts.push(say_move(&format!("{FOREIGN}/Manifest.db"), &file));
    let copy = |from: &str, to: &str| {
        Act::Say(vec![
            text("DLMessageCopyItem"),
            text(from),
            text(to),
            Value::Dictionary(Dictionary::new()),
            Value::Real(1.0),
        ])
    };
    acts.push(copy("/etc/passwd", &file));
    acts.push(copy(&format!("{FOREIGN}/Manifest.db"), &file));
    let mut long = named("/d");
    long.extend([0xff, 0xff, 0xff, 0xf0]);
    let mut endless = named("/d");
    endless.extend(named(&file));
    endless.extend([0xf0, 0, 0, 0, 0x0c]);
    acts.extend([
        Act::Raw(vec![0xff; 4], 8 << 20),
        Act::Raw(framed(&bomb(31, 15)), 0),
        Act::Raw(framed(&bomb(200, 1)), 0),
        Act::Raw(framed(b"bplist00"), 0),
        Act::Raw(framed(&[]), 0),
        Act::Raw(batch(&[0xff, 0xff, 0xff, 0xf0]), 8 << 20),
        Act::Raw(batch(&long), 8 << 20),
        Act::Raw(batch(&named(&"d".repeat(2_000))), 0),
        // The last, for it is left hanging: a block that claims 4 GB and brings 96 MiB.
        Act::Raw(batch(&endless), 96 << 20),
    ]);
    acts
}

/// Lists everything in the house that no phone may touch.
fn names(root: &Path, at: &Path, own: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.starts_with(own) || path.file_name().is_some_and(|name| name == "ibakd.state") {
            continue;
        }
        found.insert(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() && !path.is_symlink() {
            names(root, &path, own, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_phone_reaches_nothing() {
    let mut it = Settled::new(81).await;
    let foreign = it.store().join(FOREIGN);
    let committed = foreign.join("gens/somebody").join(FOREIGN);
    std::fs::create_dir_all(&committed).unwrap();
    std::fs::write(committed.join("Manifest.db"), "another's").unwrap();
    let own = it.store().join(it.udid.as_str());
    let outside = it.house.path("");
    let look = |found: &mut BTreeSet<String>| names(&outside, &outside, &own, found);
    let mut before = BTreeSet::new();
    look(&mut before);
    let generations = it.generations();
    let prints = || [&foreign, &generations].map(|at| fingerprint(at).unwrap());
    let printed = prints();
    let acts = acts(it.udid.as_str());
    for act in &acts {
        let (wire, given) = (it.udid.to_string(), act.clone());
        it.phone.impersonate_backup(Some(Arc::new(move |stream| {
            play(stream, wire.clone(), given.clone()).map(drop).boxed()
        })));
        it.watcher.ready(&it.udid).await.unwrap();
        let job = it.house.ask_backup(&it.udid, false).await.unwrap();
        if let Act::Raw(_, 0x600_0000) = act {
            let most =
                |job: &ibak_dbus::views::JobView| job.ended() || job.bytes_done.get() >= 95 << 20;
            it.watcher
                .job(job, "most of the endless block", most)
                .await
                .unwrap();
            assert_eq!(it.house.ctl(&["cancel"]).await.unwrap().code, Some(0));
            assert_eq!(it.watcher.end_of(job).await.unwrap(), Outcome::Cancelled);
            continue;
        }
        let end = it.watcher.end_of(job).await.unwrap();
        assert!(
            matches!(end, Outcome::Protocol | Outcome::NotWhole),
            "{act:?} ended in {end:?}"
        );
    }
    let mut after = BTreeSet::new();
    look(&mut after);
    assert_eq!(before, after);
    assert_eq!(prints(), printed);
    assert!(!Path::new("/etc/outside").exists());
    let peak = it.daemon.as_ref().unwrap().memory_peak().unwrap();
    assert!(peak < MEMORY_MAX, "{peak}");
    it.house.ctl(&["why"]).await.unwrap().says(&["Hint: "]);
    // The phone itself goes on from what it has.
    it.phone.impersonate_backup(None);
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    it.equals_the_phone();
    say(&format!(
        "a hostile phone: {} acts, peak memory {} MiB",
        acts.len(),
        peak >> 20
    ));
}

/// Answers every request of one connection with the same bytes.
async fn answer(mut stream: UnixStream, bytes: Arc<Vec<u8>>) -> Result<()> {
    loop {
        let length = stream.read_u32_le().await?;
        let mut rest = vec![0; (length.clamp(4, 1 << 20) - 4) as usize];
        stream.read_exact(&mut rest).await?;
        stream.write_all(&bytes).await?;
    }
}

/// Makes a usbmuxd message of the plist kind.
fn muxed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [u32::try_from(payload.len() + 16).unwrap(), 1, 8, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_usbmuxd_harms_nobody_and_a_good_one_is_found_again() {
    let mut house = House::without_usbmuxd().await.unwrap();
    let mut giant = muxed(b"");
    giant.splice(0..4, [0xff, 0xff, 0xff, 0xff]);
    let nested = format!("<plist>{}", "<array>".repeat(100_000));
    let entities = "<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><plist><string>&b;</string></plist>";
    let table = [
        giant,
        muxed(&bomb(31, 15)),
        muxed(nested.as_bytes()),
        muxed(entities.as_bytes()),
        muxed(b"<plist><dict><key>DeviceList</key><string>no</string></dict></plist>"),
    ];
    let daemon = house.daemon(&house.config("")).await.unwrap();
    for bytes in table {
        let bytes = Arc::new(bytes);
        let listener = UnixListener::bind(house.path("usbmuxd")).unwrap();
        // Twice: after the first answer it comes back.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.context("nobody comes").unwrap();
            // How a connection ends is the daemon's choice.
            answer(stream, Arc::clone(&bytes)).await.ok();
        }
        house
            .doctor(&["usbmuxd"])
            .await
            .unwrap()
            .says(&["systemctl"]);
        drop(listener);
        std::fs::remove_file(house.path("usbmuxd")).unwrap();
    }
    let peak = daemon.memory_peak().unwrap();
    assert!(peak < MEMORY_MAX, "{peak}");
    house.bring(vec![phone(82, 40, 1 << 20)]).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid_of(&house.phone(0))).await.unwrap();
}
