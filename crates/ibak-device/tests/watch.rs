//! usbmuxd absent, restarting, leaving with the last phone, mute, and lying.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::UDID;
use common::mux::{Mind, Mux};
use ibak_device::{
    Attachment, Deadlines, DeviceError, Link, MuxAddress, MuxClient, MuxEvent, MuxRefusal,
    WatchOptions, watch_with,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

fn options() -> WatchOptions {
    WatchOptions {
        deadlines: Deadlines {
            request: Duration::from_millis(200),
            ..Deadlines::default()
        },
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        probe_every: Duration::from_millis(50),
        ..WatchOptions::default()
    }
}

struct Watched {
    dir: tempfile::TempDir,
    look: Arc<Notify>,
    events: mpsc::Receiver<MuxEvent>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start() -> Self {
        Self::start_with(options())
    }

    fn start_with(options: WatchOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tx, events) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let address = MuxAddress::Unix(dir.path().join("usbmuxd"));
        let look = Arc::new(Notify::new());
        let (told, ended) = (Arc::clone(&look), cancel.clone());
        let task = tokio::spawn(watch_with(address, options, told, tx, ended));
        Self {
            dir,
            look,
            events,
            cancel,
            task,
        }
    }

    fn mux(&self, mind: &Arc<Mutex<Mind>>) -> Mux {
        Mux::start(&self.dir.path().join("usbmuxd"), Arc::clone(mind))
    }

    async fn next(&mut self) -> MuxEvent {
        tokio::time::timeout(Duration::from_secs(10), self.events.recv())
            .await
            .expect("no event")
            .unwrap()
    }

    async fn expect_down(&mut self) {
        let event = self.next().await;
        assert!(matches!(event, MuxEvent::Down { .. }), "{event:?}");
    }

    async fn expect_attached(&mut self, id: u32) {
        match self.next().await {
            MuxEvent::Attached(Attachment {
                udid, device_id, ..
            }) => {
                assert_eq!((udid.as_str(), device_id), (UDID, id));
            }
            event => panic!("{event:?}"),
        }
    }

    async fn expect_detached(&mut self, id: u32) {
        let event = self.next().await;
        assert!(
            matches!(&event, MuxEvent::Detached(phone) if phone.device_id == id),
            "{event:?}"
        );
    }

    async fn end(mut self) {
        self.cancel.cancel();
        self.task.await.unwrap();
        assert!(
            self.events.recv().await.is_none(),
            "an event nobody expected"
        );
    }
}

#[tokio::test]
async fn absent_then_there_then_gone_with_the_last_phone() {
    let mut watched = Watched::start();
    watched.expect_down().await;
    let mind = Arc::new(Mutex::new(Mind::default()));
    let mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Up);
    mux.attach(3, UDID);
    watched.expect_attached(3).await;
    mux.detach(3);
    watched.expect_detached(3).await;
    mux.attach(4, UDID);
    watched.expect_attached(4).await;
    mux.stop().await;
    watched.expect_detached(4).await;
    watched.expect_down().await;
    let mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Up);
    watched.expect_attached(4).await;
    mux.stop().await;
    watched.expect_detached(4).await;
    watched.expect_down().await;
    watched.end().await;
}

#[tokio::test]
async fn mute_is_a_state_of_its_own_and_passes() {
    let mut watched = Watched::start();
    watched.expect_down().await;
    let mind = Arc::new(Mutex::new(Mind {
        mute: true,
        ..Mind::default()
    }));
    let _mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Mute);
    mind.lock()
        .unwrap()
        .phones
        .push((1, UDID.into(), "USB".into()));
    mind.lock().unwrap().mute = false;
    assert_eq!(watched.next().await, MuxEvent::Up);
    watched.expect_attached(1).await;
    // Mute in the middle: the listening connection stays open, and only asking shows it.
    mind.lock().unwrap().mute = true;
    watched.expect_detached(1).await;
    assert_eq!(watched.next().await, MuxEvent::Mute);
    mind.lock().unwrap().mute = false;
    assert_eq!(watched.next().await, MuxEvent::Up);
    watched.expect_attached(1).await;
    watched.end().await;
}

/// So long that no test waits for it.
const NEVER: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_socket_that_appears_is_not_waited_for() {
    let mut watched = Watched::start_with(WatchOptions {
        // The socket is there a moment before anybody listens at it.
        backoff_min: Duration::from_millis(5),
        backoff_max: NEVER,
        backoff_told_max: NEVER,
        ..options()
    });
    watched.expect_down().await;
    // By then the pauses are so long that only being told helps.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let other = std::fs::write(watched.dir.path().join("other"), "nothing of ours");
    other.unwrap();
    let mind = Arc::new(Mutex::new(Mind::default()));
    let begun = std::time::Instant::now();
    let mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Up);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    mux.stop().await;
    watched.expect_down().await;
    watched.end().await;
}

#[tokio::test]
async fn one_without_phones_is_asked_when_a_phone_is_expected() {
    let mut watched = Watched::start_with(WatchOptions {
        probe_idle_every: NEVER,
        ..options()
    });
    watched.expect_down().await;
    let mind = Arc::new(Mutex::new(Mind::default()));
    let mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Up);
    mind.lock().unwrap().mute = true;
    // Nobody asks it: several times as long as one with phones would be left alone.
    let silence = tokio::time::timeout(options().probe_every * 6, watched.events.recv());
    assert!(silence.await.is_err(), "it was asked without a reason");
    watched.look.notify_one();
    assert_eq!(watched.next().await, MuxEvent::Mute);
    mind.lock().unwrap().mute = false;
    assert_eq!(watched.next().await, MuxEvent::Up);
    mux.stop().await;
    watched.expect_down().await;
    watched.end().await;
}

#[tokio::test]
async fn packets_out_of_all_proportion() {
    for raw in [
        vec![0xff; 16],
        vec![15, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0],
    ] {
        let mut watched = Watched::start();
        watched.expect_down().await;
        let mind = Arc::new(Mutex::new(Mind {
            raw: Some(raw),
            ..Mind::default()
        }));
        let mux = watched.mux(&mind);
        let address = MuxAddress::Unix(mux.path.clone());
        let mut client = MuxClient::open(&address, &options().deadlines)
            .await
            .unwrap();
        let error = client.devices().await.unwrap_err();
        assert!(matches!(error, DeviceError::Refused { .. }), "{error:?}");
        watched.end().await;
    }
}

#[tokio::test]
async fn phones_of_the_network_and_things_that_are_no_phones() {
    let mut watched = Watched::start();
    watched.expect_down().await;
    let phones = vec![
        (1, "nonsense".to_owned(), "USB".to_owned()),
        (2, UDID.to_owned(), "Carrier pigeon".to_owned()),
        (3, UDID.to_owned(), "Network".to_owned()),
    ];
    let mind = Arc::new(Mutex::new(Mind {
        phones,
        ..Mind::default()
    }));
    let mux = watched.mux(&mind);
    assert_eq!(watched.next().await, MuxEvent::Up);
    watched.expect_attached(3).await;
    let address = MuxAddress::Unix(mux.path.clone());
    let found = MuxClient::open(&address, &options().deadlines)
        .await
        .unwrap()
        .devices()
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        Link::through(&address, &found[0]).transport(),
        ibak_core::Transport::Wifi
    );
    watched.end().await;
}

#[tokio::test]
async fn a_phone_that_has_gone_cannot_be_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let mux = Mux::start(&dir.path().join("usbmuxd"), Arc::default());
    let link = Link::Mux {
        address: MuxAddress::Unix(mux.path.clone()),
        device_id: 9,
        transport: ibak_core::Transport::Usb,
    };
    let error = link.connect(62078, &options().deadlines).await.unwrap_err();
    assert!(
        matches!(error, DeviceError::MuxRefused(MuxRefusal::BadDevice)),
        "{error:?}"
    );
}
