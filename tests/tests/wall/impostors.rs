//! Somebody else answers where the phone should: in usbmuxd's place, and on the network under the
//! phone's own name. Nobody gets a byte of a backup or of a secret.

use crate::evil::{Heard, Lie, Villain};
use crate::siege::holds;
use anyhow::{Context, Result};
use ibak_core::Udid;
use ibak_dbus::views::{JobView, PhoneView};
use ibak_dbus::words::{Outcome, Trust};
use ibak_dbus::{BusChoice, Dict, PhoneProxy, names};
use ibak_sim::state::{Attachment, Switch};
use ibak_sim::{Phone, Setting, SimOptions, Simulator, mdns};
use ibak_tests::night;
use ibak_tests::trouble::{Daemon, House, Watcher, phone, say, udid_of};
use plist::{Dictionary, Value};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long an impostor waits for a visit.
const VISIT_MAX: Duration = Duration::from_secs(60);
const OLD_PASSWORD: &str = "the-old-password-of-ada";
const NEW_PASSWORD: &str = "the-new-password-of-ada";
/// What lockdown is asked before anybody has proved anything: what it is, for a session, and when
/// that failed, how old the phone is.
const OPENING: [&str; 3] = ["QueryType", "StartSession", "GetValue"];

/// A house whose way to the phone leads past a villain.
struct Rig {
    house: House,
    simulator: Simulator,
    _daemon: Daemon,
    watcher: Watcher,
    villain: Arc<Villain>,
    heard: mpsc::UnboundedReceiver<Heard>,
    udid: Udid,
    proxy: PhoneProxy<'static>,
    record: Dictionary,
}

impl Rig {
    async fn build(seed: u64, network: &str) -> Self {
        let house = House::without_usbmuxd().await.unwrap();
        let mut spec = phone(seed, 40, 1 << 20);
        spec.state.locked = Switch::Off;
        let options = SimOptions {
            usbmuxd: house.path("real-usbmuxd"),
            phones: vec![spec],
            ..SimOptions::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let phone = Arc::clone(&simulator.phones()[0]);
        let udid = udid_of(&phone);
        let (villain, heard) = Villain::of(&phone);
        villain.before_usbmuxd(&house.path("usbmuxd"), house.path("real-usbmuxd"));
        let config = house.config("").replace("mdns = false", network);
        let daemon = house.daemon(&config).await.unwrap();
        let watcher = house.watch().await.unwrap();
        let record = simulator.muxer().record(&phone.identity().udid).unwrap();
        let choice = BusChoice::Address(house.bus_address());
        let connection = choice.connect().await.unwrap();
        let proxy = PhoneProxy::builder(&connection)
            .path(names::phone_path(&udid))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        let mut rig = Self {
            house,
            simulator,
            _daemon: daemon,
            watcher,
            villain,
            heard,
            udid,
            proxy: proxy.unwrap(),
            record: plist::from_bytes(&record).unwrap(),
        };
        assert_eq!(rig.back_up().await.unwrap(), Outcome::Succeeded);
        assert!(rig.villain.has_overheard() > 1000);
        rig
    }

    fn phone(&self) -> &Phone {
        &self.simulator.phones()[0]
    }

    async fn back_up(&mut self) -> Result<Outcome> {
        self.watcher.ready(&self.udid).await?;
        let job = self.house.ask_backup(&self.udid, false).await?;
        self.watcher.end_of(job).await
    }

    async fn unplug(&mut self) {
        self.set(Setting::Attached(Attachment::None)).await;
        let gone = |phone: &PhoneView| phone.transports.is_empty();
        let seen = self.watcher.phone(&self.udid, "no cable", gone).await;
        seen.unwrap();
    }

    async fn replug(&mut self) {
        self.unplug().await;
        self.set(Setting::Attached(Attachment::Usb)).await;
    }

    async fn set(&self, setting: Setting) {
        let udid = self.udid.as_str();
        self.simulator.set(udid, &[setting]).await.unwrap();
    }

    /// Asks for everything in which a secret may travel, one after the other, and waits for its end;
    /// what is refused at once ends there.
    async fn ask(&mut self, deed: Deed) -> Result<Option<JobView>> {
        let path = match deed {
            Deed::Backup => self.proxy.backup(Dict::new()).await,
            Deed::Encryption => {
                let (old, new) = (secret(OLD_PASSWORD), secret(NEW_PASSWORD));
                self.proxy.set_encryption(old, new, Dict::new()).await
            }
            Deed::Restore => {
                let backups = self.house.backups(&self.udid).await?;
                let newest = backups.last().context("no backup")?.id.clone();
                let password = zbus::Variant::Fd(secret(OLD_PASSWORD).into());
                let mut options = Dict::new();
                options.insert("password".to_owned(), password.try_into()?);
                self.proxy.restore(newest.as_str(), options).await
            }
        };
        let Ok(path) = path else { return Ok(None) };
        let job = names::job_of(path.as_str()).context("a job's path")?;
        let ended = self.watcher.job(job, "its end", JobView::ended).await?;
        Ok(Some(ended))
    }

    fn visits(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    async fn visit(&mut self) -> Heard {
        let visit = tokio::time::timeout(VISIT_MAX, self.heard.recv()).await;
        visit.expect("nobody came to the impostor").unwrap()
    }

    /// Fails unless all that was heard are the opening words of somebody who waits for a proof.
    fn assert_nothing_told(&self, lie: Lie, visits: &[Heard]) {
        let secrets = secrets(&self.record);
        for visit in visits {
            let what = format!("{lie:?}: {visit:?}");
            assert!(!visit.believed, "{what}");
            for request in &visit.requests {
                let name = request["Request"].as_string().unwrap();
                assert!(OPENING.contains(&name), "{what}");
                let allowed: &[&str] = match name {
                    "StartSession" => &["Label", "Request", "HostID", "SystemBUID"],
                    "GetValue" => &["Label", "Request", "Key"],
                    _ => &["Label", "Request"],
                };
                for (key, value) in request {
                    assert!(allowed.contains(&key.as_str()), "{key} in {what}");
                    let asked = value.as_string();
                    assert!(
                        key != "Key" || asked == Some("ProductVersion"),
                        "{asked:?} in {what}"
                    );
                }
            }
            assert_eq!(handshakes(&visit.rest), BTreeSet::from([]), "{what}");
            for secret in &secrets {
                assert!(!holds(&visit.all, secret), "a secret in {what}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Backup,
    Encryption,
    Restore,
}

/// Puts a password where a client puts it: into a pipe that is then closed.
fn secret(password: &str) -> zbus::OwnedFd {
    let (reading, mut writing) = std::io::pipe().unwrap();
    writing.write_all(password.as_bytes()).unwrap();
    std::os::fd::OwnedFd::from(reading).into()
}

/// Everything of a pairing that must stay here, in the forms in which it could travel.
fn secrets(record: &Dictionary) -> Vec<Vec<u8>> {
    let mut secrets = vec![
        OLD_PASSWORD.as_bytes().to_vec(),
        NEW_PASSWORD.as_bytes().to_vec(),
        b"SQLite format 3".to_vec(),
        b"DLMessage".to_vec(),
    ];
    for name in [
        "EscrowBag",
        "HostPrivateKey",
        "RootPrivateKey",
        "HostCertificate",
    ] {
        let bytes = record[name].as_data().unwrap();
        // As it is, and as XML writes data.
        let mut xml = Vec::new();
        Value::Data(bytes.to_vec()).to_writer_xml(&mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        let inside = xml.split("<data>").nth(1).unwrap().split("</data>").next();
        let line = inside.unwrap().split_whitespace().next().unwrap();
        assert!(line.len() >= 32, "{name}");
        secrets.extend([bytes.to_vec(), line.as_bytes().to_vec()]);
        // A certificate's lines, and what they stand for: TLS sends it in that form.
        let text = String::from_utf8_lossy(bytes).into_owned();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        if name != "EscrowBag" {
            assert!(body.len() > 100, "{name}");
            let der = format!("<plist><data>{body}</data></plist>");
            let der: Value = plist::from_bytes(der.as_bytes()).unwrap();
            let der = der.into_data().unwrap();
            secrets.extend([body.as_bytes()[60..100].to_vec(), der[40..80].to_vec()]);
        }
    }
    secrets
}

/// Length of an alert in TLS 1.3, encrypted: two bytes, its kind, a tag.
const SEALED_ALERT: usize = 19;

/// Returns what else than a ClientHello and alerts is in the beginning of a TLS connection.
fn handshakes(mut rest: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while let [kind, _, _, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let body = tail.get(..length).unwrap_or(tail);
        match (kind, body) {
            // A ClientHello, an alert, and what TLS 1.3 says before a sealed one.
            (22, [1, ..]) | (21, _) | (20, [1]) => {}
            (23, body) if body.len() == SEALED_ALERT => {}
            (kind, body) => {
                found.insert(format!("record {kind} of {} bytes", body.len()));
            }
        }
        rest = tail.get(length..).unwrap_or_default();
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impostor_behind_usbmuxd_gets_nothing() {
    let mut rig = Rig::build(311, "mdns = false").await;
    for lie in Lie::ALL {
        let mut bytes = 0;
        for deed in [Deed::Backup, Deed::Encryption, Deed::Restore] {
            // A fresh cable, so that nothing of the last villain is remembered.
            rig.replug().await;
            rig.watcher.ready(&rig.udid).await.unwrap();
            let late = rig.visits();
            rig.assert_nothing_told(lie, &late);
            rig.villain.pretend(Some(lie));
            let ended = rig.ask(deed).await.unwrap();
            if let Some(ended) = &ended {
                assert_ne!(ended.result, Some(Outcome::Succeeded), "{lie:?} {deed:?}");
            } else {
                // A reading of the daemon's own has met the impostor first.
                let seen = rig.watcher.phone(&rig.udid, "no trust", |phone| {
                    phone.trust == Trust::Untrusted || phone.transports.is_empty()
                });
                seen.await.unwrap();
            }
            rig.villain.pretend(None);
            let visits = rig.visits();
            let sessions = visits.iter().flat_map(|visit| &visit.requests);
            assert!(
                sessions
                    .into_iter()
                    .any(|it| it["Request"] == "StartSession".into()),
                "{lie:?} {deed:?} was not put to the test: {visits:?} {ended:?}"
            );
            rig.assert_nothing_told(lie, &visits);
            bytes += visits.iter().map(|visit| visit.all.len()).sum::<usize>();
        }
        say(&format!(
            "impostor behind usbmuxd | {lie:?} | {bytes} bytes of opening words | 0 of backup | 0 secrets"
        ));
    }
    // The phone itself is still believed.
    rig.replug().await;
    assert_eq!(rig.back_up().await.unwrap(), Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impostor_on_the_network_gets_nothing() {
    let mut rig = Rig::build(312, "interfaces = [\"lo\"]").await;
    rig.unplug().await;
    let announcer = Announcer::new();
    // The phone's own place, which nobody else on this machine uses, and its neighbours.
    let first = night::phone("a place").wifi_address.unwrap().ip();
    for (number, lie) in Lie::ALL.into_iter().enumerate() {
        let address = neighbour(first, number);
        rig.villain.pretend(Some(lie));
        rig.villain.on_network(address).await;
        announcer.replay(rig.phone(), address);
        let mut visits = vec![rig.visit().await];
        for deed in [Deed::Backup, Deed::Encryption, Deed::Restore] {
            if let Some(ended) = rig.ask(deed).await.unwrap() {
                assert_ne!(ended.result, Some(Outcome::Succeeded), "{lie:?} {deed:?}");
            }
        }
        visits.extend(rig.visits());
        let sessions = visits.iter().flat_map(|visit| &visit.requests);
        assert!(
            sessions
                .into_iter()
                .any(|it| it["Request"] == "StartSession".into()),
            "{lie:?} was not put to the test: {visits:?}"
        );
        rig.assert_nothing_told(lie, &visits);
        let bytes: usize = visits.iter().map(|visit| visit.all.len()).sum();
        say(&format!(
            "impostor on the network | {lie:?} | {bytes} bytes of opening words | 0 of backup | 0 secrets"
        ));
    }
    // The phone itself is still believed: it was not its fault.
    rig.villain.pretend(None);
    rig.set(Setting::Attached(Attachment::Usb)).await;
    let trusted = |phone: &PhoneView| phone.trust == Trust::Trusted;
    rig.watcher
        .phone(&rig.udid, "trust", trusted)
        .await
        .unwrap();
    assert_eq!(rig.back_up().await.unwrap(), Outcome::Succeeded);
}

fn neighbour(first: IpAddr, number: usize) -> IpAddr {
    let IpAddr::V4(first) = first else {
        panic!("{first}")
    };
    let [a, b, c, _] = first.octets();
    IpAddr::V4(Ipv4Addr::new(a, b, c, 200 + u8::try_from(number).unwrap()))
}

/// Announces somebody else's phone under an address of its own.
struct Announcer(mdns_sd::ServiceDaemon);

impl Announcer {
    fn new() -> Self {
        let daemon = mdns_sd::ServiceDaemon::new().unwrap();
        daemon.disable_interface(mdns_sd::IfKind::All).unwrap();
        daemon
            .enable_interface(mdns_sd::IfKind::Name("lo".to_owned()))
            .unwrap();
        Self(daemon)
    }

    fn replay(&self, phone: &Phone, address: IpAddr) {
        let properties: [(&str, &str); 0] = [];
        let service = mdns_sd::ServiceInfo::new(
            "_apple-mobdev2._tcp.local.",
            &mdns::instance(phone.identity()),
            "impostor.local.",
            address,
            mdns::SRV_PORT,
            properties.as_slice(),
        );
        self.0.register(service.unwrap()).unwrap();
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        // It ends with the test in any case.
        self.0.shutdown().ok();
    }
}
