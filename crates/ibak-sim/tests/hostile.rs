//! Attacks come over the wire as their names say, and each of them ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{BoxStream, Lockdown, Mux, Rig, request};
use ibak_sim::Attack;
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends a DeviceLink message.
async fn say(stream: &mut BoxStream, message: Vec<Value>) {
    let mut bytes = Vec::new();
    Value::Array(message).to_writer_binary(&mut bytes).unwrap();
    stream.write_u32(bytes.len() as u32).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
}

async fn hear(stream: &mut BoxStream) -> Vec<Value> {
    let bytes = common::receive_bytes(stream).await.unwrap();
    Value::from_reader(std::io::Cursor::new(bytes))
        .unwrap()
        .into_array()
        .unwrap()
}

/// Greets the backup service and asks for a backup; what follows is the attack.
async fn asked(rig: &Rig, attack: Attack) -> BoxStream {
    rig.set(&[&format!("attack={attack}")]).await;
    let mut stream = rig.service("com.apple.mobilebackup2").await;
    let version = hear(&mut stream).await;
    let agreed = vec![
        "DLMessageVersionExchange".into(),
        "DLVersionsOk".into(),
        version[1].clone(),
    ];
    say(&mut stream, agreed).await;
    assert_eq!(hear(&mut stream).await, ["DLMessageDeviceReady".into()]);
    for name in ["Hello", "Backup"] {
        let named = Dictionary::from_iter([("MessageName".to_owned(), Value::from(name))]);
        say(
            &mut stream,
            vec!["DLMessageProcessMessage".into(), named.into()],
        )
        .await;
        if name == "Hello" {
            assert_eq!(hear(&mut stream).await[0], "DLMessageProcessMessage".into());
        }
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_said_in_every_operation() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let udid = rig.udid();
    let mut said = 0;
    for attack in Attack::paths() {
        let Attack::Path(usage, spelling) = attack else {
            panic!("{attack} is no path");
        };
        let path = spelling.write(&udid);
        let mut stream = asked(&rig, attack).await;
        let message = hear(&mut stream).await;
        let mut heard = format!("{message:?}");
        if usage == ibak_sim::hostile::PathUse::Upload {
            let dir = common::receive_bytes(&mut stream).await.unwrap();
            assert!(!dir.is_empty());
            let name = common::receive_bytes(&mut stream).await.unwrap();
            heard = format!("{:?}", String::from_utf8(name).unwrap());
            assert_eq!(
                common::receive_bytes(&mut stream).await.unwrap(),
                b"\x0cowned"
            );
            assert_eq!(common::receive_bytes(&mut stream).await.unwrap(), b"\0");
            assert_eq!(stream.read_u32().await.unwrap(), 0);
        }
        let quoted = format!("{path:?}");
        assert!(heard.contains(&quoted), "{attack}: {heard}");
        // A host that does not defend itself says yes, and that is counted.
        if usage == ibak_sim::hostile::PathUse::Download {
            for part in [&path.as_bytes()[..path.len().min(9)], b"\x0cstolen", b"\0"] {
                if part.is_empty() {
                    continue;
                }
                stream.write_u32(part.len() as u32).await.unwrap();
                stream.write_all(part).await.unwrap();
            }
            if path.is_empty() {
                // An empty name would be the end of the files.
                continue;
            }
            stream.write_u32(0).await.unwrap();
        }
        let yes = vec!["DLMessageStatusResponse".into(), 0.into(), "".into()];
        say(&mut stream, yes).await;
        let done = hear(&mut stream).await;
        assert_eq!(done[1].as_dictionary().unwrap()["ErrorCode"], 0.into());
        say(&mut stream, vec!["DLMessageDisconnect".into()]).await;
        assert_eq!(drain(&mut stream, 1).await, 0);
        said += 1;
    }
    assert!(said >= 200, "{said}");
    let loot = rig.sim.phones()[0].loot();
    assert_eq!(loot.granted, said);
    assert!(loot.bytes >= 6 * 60, "{loot:?}");
}

/// Reads until the phone falls silent for good or leaves, at most so many bytes.
async fn drain(stream: &mut BoxStream, most: u64) -> u64 {
    let mut buffer = vec![0; 64 << 10];
    let mut all = 0;
    while all < most {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => all += n as u64,
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_batches_and_endless_ones_come_as_named() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    for (name, at_least) in [
        ("devicelink/giant", 8 << 20),
        ("devicelink/bomb-deep", 90_000),
        ("devicelink/half", 504),
        ("batch/giant-block", 96 << 20),
        ("batch/endless-file", 64 << 20),
        ("batch/endless-files", 16 << 20),
        ("batch/endless-batches", 1 << 20),
        ("batch/giant-dir-name", 8 << 20),
    ] {
        let mut stream = asked(&rig, name.parse().unwrap()).await;
        assert!(drain(&mut stream, at_least).await >= at_least, "{name}");
    }
    let mut stream = asked(&rig, "endless/endless-free-space".parse().unwrap()).await;
    for _ in 0..500 {
        assert_eq!(
            hear(&mut stream).await,
            ["DLMessageGetFreeDiskSpace".into()]
        );
        let answer = vec![
            "DLMessageStatusResponse".into(),
            0.into(),
            "".into(),
            1.into(),
        ];
        say(&mut stream, answer).await;
    }
    let mut stream = asked(&rig, "lie/progress-nan".parse().unwrap()).await;
    assert!(hear(&mut stream).await[2].as_real().unwrap().is_nan());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_services_are_hostile_too() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    rig.set(&["attack=lockdown-early/bomb-wide"]).await;
    let mut lockdown = rig.lockdown().await;
    let bomb = lockdown.ask_bytes(request("QueryType", [])).await;
    assert!(bomb.starts_with(b"bplist00") && bomb.len() < 2_000);
    rig.set(&["attack=lockdown/entities"]).await;
    let mut lockdown = rig.session().await;
    let xml = lockdown.ask_bytes(request("GetValue", [])).await;
    assert!(xml.windows(9).any(|part| part == b"<!DOCTYPE"));

    rig.set(&["attack=notice-flood"]).await;
    let mut notices = rig.service("com.apple.mobile.notification_proxy").await;
    assert!(drain(&mut notices, 1 << 20).await >= 1 << 20);

    rig.set(&["attack=afc/giant-packet"]).await;
    let mut afc = rig.service("com.apple.afc").await;
    let mut packet = b"CFA6LPAA".to_vec();
    for field in [42_u64, 42, 1, 3] {
        packet.extend(field.to_le_bytes());
    }
    packet.extend(b"/\0");
    afc.write_all(&packet).await.unwrap();
    let mut head = [0; 16];
    afc.read_exact(&mut head).await.unwrap();
    assert_eq!(head[8..], (1_u64 << 63).to_le_bytes());

    rig.set(&["attack=usbmuxd/giant"]).await;
    let mut mux = Mux::open(&rig.mux()).await;
    let list = common::dict([("MessageType", "ListDevices".into())]);
    mux.send(list).await;
    assert_eq!(mux.stream.read_u32_le().await.unwrap(), u32::MAX);
    rig.set(&["attack=none"]).await;
    rig.session().await;
}

/// Begins a session as a careful host does; the error it ends in, if it does.
async fn careful(rig: &Rig) -> Result<(Dictionary, Lockdown), std::io::Error> {
    let record = rig.record();
    let mut lockdown = rig.lockdown().await;
    let reply = lockdown.start(&record).await;
    if reply.get("EnableSessionSSL") != Some(&Value::Boolean(true)) {
        return Ok((reply, lockdown));
    }
    let stream = common::tls(lockdown.stream, &record, "Host").await?;
    Ok((reply, Lockdown { stream }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_does_not_pass_for_the_phone() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    // An honest session, of which the impostor has a recording.
    careful(&rig).await.unwrap();
    for name in ["wrong-key", "replay", "downgrade", "noise"] {
        rig.set(&[&format!("attack=tls/{name}")]).await;
        assert!(careful(&rig).await.is_err(), "{name}");
    }
    assert_eq!(rig.sim.phones()[0].loot().heard, [""; 0]);
    // Only a host that does not look tells it anything.
    rig.set(&["attack=tls/plain"]).await;
    let (reply, mut lockdown) = careful(&rig).await.unwrap();
    assert_eq!(reply["EnableSessionSSL"], Value::Boolean(false));
    let bag = [
        ("Service", Value::from("com.apple.mobilebackup2")),
        ("EscrowBag", rig.record()["EscrowBag"].clone()),
    ];
    let answer = lockdown.ask(request("StartService", bag)).await;
    assert!(answer.contains_key("Port"), "{answer:?}");
    let heard = rig.sim.phones()[0].loot().heard;
    assert_eq!(heard, ["StartService and EscrowBag"]);
    rig.set(&["attack=none"]).await;
    careful(&rig).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "the phone shows the DeviceCertificate of the record")]
async fn a_certificate_of_its_own_is_another_one() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    rig.set(&["attack=tls/self-signed"]).await;
    careful(&rig).await.unwrap();
}
