//! Tries this crate by hand against whatever usbmuxd shows: a real phone or the simulated one.
//!
//! `probe list | info | signals | pair | notes | wifi IFACE | backup-open | usb`, with
//! `USBMUXD_SOCKET_ADDRESS` and `IBAK_PROBE_RECORDS` (a directory; default `./probe-records`).
//! With `IBAK_PROBE_ADDRESS` (an address and port) the phone is reached over the network.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use ibak_core::Udid;
use ibak_device::{
    Attachment, BackupSession, Deadlines, DeviceError, EDGE_NOTIFICATIONS, Imported, Link,
    MdnsOptions, MuxAddress, MuxClient, NotificationProxy, PairOptions, PairStore, PhoneKeys,
    Session, browse, info_plist, pair, presence, read_signals, traits,
};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    let variable = std::env::var(MuxAddress::VARIABLE).ok();
    let probe = Probe {
        address: MuxAddress::from_variable(variable.as_deref())?,
        records: std::env::var_os("IBAK_PROBE_RECORDS")
            .map_or_else(|| "probe-records".into(), PathBuf::from),
        deadlines: Deadlines::default(),
    };
    match verb.as_str() {
        "list" => println!("{:#?}", probe.devices().await?),
        "info" => probe.info().await?,
        "signals" => probe.signals().await?,
        "pair" => probe.pair().await?,
        "notes" => probe.notes().await?,
        "wifi" => probe.wifi(words.next()).await?,
        "backup-open" => probe.backup_open().await?,
        "usb" => usb().await,
        _ => {
            eprintln!("probe list | info | signals | pair | notes | wifi IFACE | backup-open | usb")
        }
    }
    Ok(())
}

struct Probe {
    address: MuxAddress,
    records: PathBuf,
    deadlines: Deadlines,
}

impl Probe {
    async fn devices(&self) -> Result<Vec<Attachment>, DeviceError> {
        MuxClient::open(&self.address, &self.deadlines)
            .await?
            .devices()
            .await
    }

    async fn first(&self) -> Result<Attachment, Failure> {
        self.devices()
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| "no phone is there".into())
    }

    fn link(&self, phone: &Attachment) -> Result<Link, Failure> {
        match std::env::var("IBAK_PROBE_ADDRESS") {
            Ok(address) => Ok(Link::Tcp {
                address: address.parse()?,
            }),
            Err(_) => Ok(Link::through(&self.address, phone)),
        }
    }

    async fn record(&self, phone: &Attachment) -> Result<Arc<ibak_device::PairRecord>, Failure> {
        let store = PairStore::open(&self.records)?;
        match store.import(&self.address, phone, &self.deadlines).await? {
            Imported::AlreadyOurs(record) => Ok(Arc::new(record)),
            Imported::FromUsbmuxd(record) => {
                println!("took over usbmuxd's record");
                Ok(Arc::new(record))
            }
            Imported::None => Err("not paired: try `probe pair`".into()),
        }
    }

    async fn session(&self) -> Result<Session, Failure> {
        let phone = self.first().await?;
        let link = self.link(&phone)?;
        let record = self.record(&phone).await?;
        Ok(Session::open(&link, record, &phone.udid, &self.deadlines).await?)
    }

    async fn info(&self) -> Result<(), Failure> {
        let mut session = self.session().await?;
        println!("{:#?}", session.get_domain(None).await?);
        println!("{:#?}", traits(&mut session).await?);
        Ok(session.stop().await?)
    }

    async fn signals(&self) -> Result<(), Failure> {
        let mut session = self.session().await?;
        for (fact, source) in read_signals(&mut session).await? {
            println!("{fact:?} from {source:?}");
        }
        Ok(())
    }

    async fn pair(&self) -> Result<(), Failure> {
        let phone = self.first().await?;
        let store = PairStore::open(&self.records)?;
        let (tx, mut events) = mpsc::channel(4);
        let printer = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                println!("{event:?}");
            }
        });
        pair(&self.address, &phone, &store, &PairOptions::default(), &tx).await?;
        drop(tx);
        Ok(printer.await?)
    }

    async fn notes(&self) -> Result<(), Failure> {
        let mut session = self.session().await?;
        let mut proxy = NotificationProxy::open(&mut session).await?;
        proxy.observe(&EDGE_NOTIFICATIONS).await?;
        while let Some(name) = proxy.next().await? {
            println!("{name}");
        }
        Ok(())
    }

    async fn wifi(&self, interface: Option<String>) -> Result<(), Failure> {
        let store = PairStore::open(&self.records)?;
        let mut keys: Vec<(Udid, PhoneKeys)> = Vec::new();
        for phone in store.phones()? {
            keys.extend(
                store
                    .load(&phone)?
                    .map(|record| (phone, PhoneKeys::of(&record, None))),
            );
        }
        let (tx, mut events) = mpsc::channel(16);
        let browsing = tokio::spawn(browse(
            MdnsOptions {
                interface,
                ..MdnsOptions::default()
            },
            tx,
            CancellationToken::new(),
        ));
        while let Some(event) = events.recv().await {
            println!("{event:#?}");
            if let ibak_device::MdnsEvent::Seen(advert) = event {
                for (phone, keys) in &keys {
                    println!("{phone}: {:?}", advert.matches(keys));
                }
            }
        }
        Ok(browsing.await??)
    }

    async fn backup_open(&self) -> Result<(), Failure> {
        let phone = self.first().await?;
        let link = self.link(&phone)?;
        let record = self.record(&phone).await?;
        let mut backup = BackupSession::open(&link, record, &phone.udid, &self.deadlines).await?;
        let info = info_plist(backup.inputs(), None)?;
        println!(
            "escrow {:?}, {} bytes of Info.plist, missing {:?}",
            backup.escrow(),
            info.len(),
            backup.inputs().missing
        );
        let files: Vec<&String> = backup.inputs().itunes_files.keys().collect();
        println!(
            "{} apps, iTunes files {files:?}",
            backup.inputs().apps.len()
        );
        if let Some(mut stream) = backup.take_stream() {
            let mut frame = vec![0; stream.read_u32().await? as usize];
            stream.read_exact(&mut frame).await?;
            println!(
                "the phone says {:?}",
                plist::from_bytes::<plist::Value>(&frame)?
            );
        }
        backup.finish().await;
        Ok(())
    }
}

async fn usb() {
    let (tx, mut events) = mpsc::channel(16);
    tokio::spawn(presence::watch(tx, CancellationToken::new()));
    while let Some(event) = events.recv().await {
        println!("{event:?}");
    }
}
