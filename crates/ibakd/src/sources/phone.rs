//! One present phone: reads its signals when the core asks, and hears its notifications meanwhile.
//!
//! Reads by itself only what the core cannot ask for: a phone that sleeps at its address, and one
//! that does not accept our pairing, are tried again, ever more seldom. A session lives as long as
//! one reading; the notification connection lives as long as the phone is there, and is opened
//! again with the next reading when it broke.

use super::heard::{Heard, Notification, next_notification};
use crate::clock::Clock;
use crate::executor::is_untrusted;
use ibak_core::{Bytes, Fact, Now, Observation, Signal, Source, Transport, Udid};
use ibak_device::{
    Attachment, Deadlines, DeviceError, EDGE_NOTIFICATIONS, Edge, EdgeReader, Imported, Link,
    MuxAddress, NotificationProxy, PairRecord, PairStore, PhoneKeys, Session,
    enable_wifi_connections, greet, read_moment, read_signals, traits,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, debug, info, warn};

/// For how long a reading of power is believed.
const POWER_FOR: Duration = Duration::from_secs(300);
/// For how long a reading of the lock is believed; its notifications correct it sooner.
const LOCK_FOR: Duration = Duration::from_secs(120);
/// For how long the use of the phone's disk is believed.
const DATA_FOR: Duration = Duration::from_secs(86_400);
/// Most readings that wait; the core asks for one at a time.
const ASKS_MAX: usize = 8;
/// A phone without a passcode says when it is locked, and is not asked again: an unlock that was missed
/// must not leave it locked.
const UNHEARD: (Fact, Source) = (Fact::Unheard, Source::Notification);
/// First pause before a phone that slept or did not trust us is tried again; doubles.
const AGAIN_MIN: Duration = Duration::from_secs(30);
/// Longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// What a phone's task tells the loop.
#[derive(Debug)]
pub enum PhoneNews {
    /// Facts were seen.
    Seen(Vec<Observation>),
    /// How its announcements on the network are recognised.
    Keys(Udid, PhoneKeys),
    /// How much it can hold at most.
    Capacity(Udid, Bytes),
}

/// A running phone task; dropping it ends it.
#[derive(Debug)]
pub struct PhoneSource {
    link: Link,
    asks: mpsc::Sender<Vec<Signal>>,
    _stop: DropGuard,
}

/// What a phone's task needs.
#[derive(Clone, Debug)]
pub struct PhoneTask {
    /// Which phone.
    pub udid: Udid,
    /// The way to it.
    pub link: Link,
    /// How usbmuxd shows it; `None` over the network.
    pub attachment: Option<Attachment>,
    /// Where usbmuxd listens.
    pub address: MuxAddress,
    /// Whether usbmuxd's pairing may become ours: not when a person has ended it.
    pub import: bool,
    /// Where our pairing records are.
    pub records: Arc<PairStore>,
    /// For each step.
    pub deadlines: Deadlines,
    /// Both clocks.
    pub clock: Clock,
}

impl PhoneSource {
    /// Starts the task.
    pub fn start(task: PhoneTask, news: mpsc::Sender<PhoneNews>) -> Self {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let stop = CancellationToken::new();
        let link = task.link.clone();
        let span = tracing::info_span!("phone", phone = %task.udid);
        let reader = Reader {
            task,
            news,
            record: None,
            heard: None,
            edges: EdgeReader::default(),
            again: Again::default(),
            just_imported: false,
            power: Vec::new(),
        };
        let token = stop.clone();
        let run = async move {
            token.run_until_cancelled(reader.run(receiver)).await;
        };
        tokio::spawn(run.instrument(span));
        Self {
            link,
            asks,
            _stop: stop.drop_guard(),
        }
    }

    /// Returns the way the task reads by.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Asks for a reading; one too many is dropped, since the core asks again.
    pub fn ask(&self, which: Vec<Signal>) {
        if let Err(error) = self.asks.try_send(which) {
            debug!(%error, "a reading was dropped");
        }
    }
}

struct Reader {
    task: PhoneTask,
    news: mpsc::Sender<PhoneNews>,
    record: Option<Arc<PairRecord>>,
    heard: Option<Heard>,
    edges: EdgeReader,
    again: Again,
    /// Whether the pairing was taken over since the last reading.
    just_imported: bool,
    /// What was last told of its power.
    power: Vec<Fact>,
}

/// When a reading that failed is tried again without being asked for.
#[derive(Debug, Default)]
struct Again {
    at: Option<Instant>,
    failures: u32,
}

impl Again {
    fn failed(&mut self, now: Instant) {
        let pause = AGAIN_MIN.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.at = Some(now + pause.min(AGAIN_MAX));
    }
}

impl Reader {
    async fn run(mut self, mut asks: mpsc::Receiver<Vec<Signal>>) {
        loop {
            let deadline = self.edges.deadline();
            // What was heard during a reading counts before the deadline that passed meanwhile.
            tokio::select! {
                biased;
                news = next_notification(&mut self.heard) => self.notified(news).await,
                asked = asks.recv() => match asked {
                    Some(which) => self.read(&which).await,
                    None => return,
                },
                () = until(deadline) => {
                    if let Some((fact, source)) = self.edges.expire(Instant::now()).and_then(|edge| edge.fact()) {
                        self.tell(vec![(fact, source)], self.task.clock.now()).await;
                    }
                }
                () = until(self.again.at) => self.read(&Signal::ALL).await,
            }
        }
    }

    async fn notified(&mut self, news: Option<Notification>) {
        let Some(news) = news else {
            self.heard = None;
            let now = self.task.clock.now();
            return self.tell(vec![UNHEARD], now).await;
        };
        let edges = self.edges.notified(&news.name, news.instant);
        let facts: Vec<_> = edges.iter().filter_map(|edge| edge.fact()).collect();
        if !facts.is_empty() {
            self.tell(facts, news.at).await;
        }
        // An edge that proves nothing is worth asking about, and one that proves is worth confirming.
        if !edges.is_empty() {
            let which = [Signal::Power, Signal::Locked];
            let asked = if edges.contains(&Edge::Power) {
                &which[..]
            } else {
                &which[1..]
            };
            self.read(asked).await;
        }
    }

    /// What is read has the date at which it was asked for: the computer may have slept meanwhile.
    async fn read(&mut self, which: &[Signal]) {
        let asked = self.task.clock.now();
        match self.try_read(which).await {
            Ok(mut facts) => {
                self.again = Again::default();
                leave_out_power(&mut facts, which, &mut self.power);
                if let Link::Tcp { .. } = self.task.link {
                    facts.push((
                        Fact::Reachable {
                            transport: Transport::Wifi,
                            reachable: true,
                        },
                        Source::Heartbeat,
                    ));
                }
                self.tell(facts, asked).await;
            }
            Err(error) => {
                debug!(%error, "the phone's signals cannot be read");
                self.record = None;
                self.power.clear();
                let refused = is_untrusted(&error) && !matches!(error, DeviceError::NotPaired);
                if refused && self.again.failures == 0 {
                    warn!(%error, "the phone does not accept this computer's pairing");
                }
                if is_untrusted(&error) || self.task.link.transport() == Transport::Wifi {
                    self.again.failed(Instant::now());
                }
                let mut facts = unread(which, &self.task.link, &error);
                // Whoever shows a wrong key is asked nothing more.
                if matches!(error, DeviceError::NotPaired) || is_too_old(&error) {
                    facts.extend(self.greeting().await);
                }
                self.tell(facts, asked).await;
            }
        }
    }

    /// Asks a phone on the cable with which there is no session for its name, so that people know
    /// which it is.
    async fn greeting(&self) -> Option<(Fact, Source)> {
        let transport = self.task.link.transport();
        if transport != Transport::Usb {
            return None;
        }
        match greet(&self.task.link, &self.task.deadlines).await {
            Ok(identity) => Some((identity?, Source::Lockdown(transport))),
            Err(error) => {
                debug!(%error, "the phone does not say who it is");
                None
            }
        }
    }

    async fn try_read(&mut self, which: &[Signal]) -> Result<Vec<(Fact, Source)>, DeviceError> {
        let record = self.record().await?;
        let mut session = Session::open(
            &self.task.link,
            record,
            &self.task.udid,
            &self.task.deadlines,
        )
        .await?;
        let whole = which.iter().any(|signal| match signal {
            Signal::Trust | Signal::Identity | Signal::DataUsed => true,
            Signal::Power | Signal::Wifi | Signal::Locked => false,
        });
        let mut facts = if whole {
            let told = traits(&mut session).await?;
            if std::mem::take(&mut self.just_imported) && told.wifi_connections == Some(false) {
                let_on_wifi(&mut session).await;
            }
            if let Some(capacity) = told.data_capacity {
                self.send(PhoneNews::Capacity(self.task.udid.clone(), capacity))
                    .await;
            }
            self.tell_keys(told.bonjour_name).await;
            read_signals(&mut session).await?
        } else {
            let mut facts = read_moment(&mut session).await?;
            facts.push((
                Fact::Trusted(Some(true)),
                Source::Lockdown(self.task.link.transport()),
            ));
            facts
        };
        if self.heard.is_none() {
            self.heard = self.listen(&mut session).await;
            facts.push(UNHEARD);
        }
        if let Err(error) = session.stop().await {
            debug!(%error, "the session did not end well");
        }
        Ok(facts)
    }

    async fn listen(&self, session: &mut Session) -> Option<Heard> {
        let opened = async {
            let mut proxy = NotificationProxy::open(session).await?;
            proxy.observe(&EDGE_NOTIFICATIONS).await?;
            Ok::<_, DeviceError>(proxy)
        };
        opened
            .await
            .map_err(|error| debug!(%error, "the phone's notifications cannot be heard"))
            .ok()
            .map(|proxy| Heard::of(proxy, self.task.clock.clone()))
    }

    /// Returns our pairing record, imported once from usbmuxd when a cable vouches for it.
    async fn record(&mut self) -> Result<Arc<PairRecord>, DeviceError> {
        if let Some(record) = &self.record {
            return Ok(Arc::clone(record));
        }
        let attachment = self.task.attachment.as_ref();
        let record = match attachment.filter(|_| self.task.import) {
            Some(attachment) => {
                match self
                    .task
                    .records
                    .import(&self.task.address, attachment, &self.task.deadlines)
                    .await?
                {
                    Imported::AlreadyOurs(record) => Some(record),
                    Imported::FromUsbmuxd(record) => {
                        info!("took over this computer's pairing from usbmuxd");
                        self.just_imported = true;
                        Some(record)
                    }
                    Imported::None => None,
                }
            }
            None => self.task.records.load(&self.task.udid)?,
        };
        let record = Arc::new(record.ok_or(DeviceError::NotPaired)?);
        self.record = Some(Arc::clone(&record));
        Ok(record)
    }

    async fn tell_keys(&self, bonjour_name: Option<String>) {
        if let Some(record) = &self.record {
            let keys = PhoneKeys::of(record, bonjour_name);
            self.send(PhoneNews::Keys(self.task.udid.clone(), keys))
                .await;
        }
    }

    async fn tell(&self, facts: Vec<(Fact, Source)>, at: Now) {
        let observe = |(fact, source): (Fact, Source)| {
            let time_to_live = time_to_live(&fact);
            Observation {
                phone: self.task.udid.clone(),
                fact,
                source,
                at,
                time_to_live,
            }
        };
        self.send(PhoneNews::Seen(facts.into_iter().map(observe).collect()))
            .await;
    }

    async fn send(&self, news: PhoneNews) {
        if self.news.send(news).await.is_err() {
            debug!("the loop has ended before the phone's task");
        }
    }
}

/// Does for a pairing that was taken over what ours does at once (phone.md §3): without it the phone
/// never announces itself on the network.
async fn let_on_wifi(session: &mut Session) {
    match enable_wifi_connections(session).await {
        Ok(true) => info!("the phone may be reached over Wi-Fi from here on"),
        Ok(false) => debug!("the phone does not let itself be reached over Wi-Fi"),
        Err(error) => debug!(%error, "the phone does not let itself be reached over Wi-Fi"),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// For how long a fact is believed; `None` until it is contradicted.
#[expect(clippy::wildcard_enum_match_arm, reason = "the core's facts are open")]
pub fn time_to_live(fact: &Fact) -> Option<Duration> {
    match fact {
        Fact::ExternalPower(_) | Fact::BatteryPercent(_) => Some(POWER_FOR),
        Fact::ScreenLocked(_) => Some(LOCK_FOR),
        Fact::DataUsed(_) => Some(DATA_FOR),
        _ => None,
    }
}

/// Says of a phone that is too old to be read what lets a backup begin, which then says why there is
/// none. Nothing of what it holds can come, so nothing is what it needs.
const TOO_OLD: [Fact; 2] = [Fact::Trusted(Some(true)), Fact::DataUsed(Some(Bytes::ZERO))];

/// Leaves out what was read of the power along with other things, unless it is news.
///
/// Everybody may see when power was last heard of. Told after each look at the lock, it would tell
/// everybody when the screen was locked and unlocked.
fn leave_out_power(facts: &mut Vec<(Fact, Source)>, which: &[Signal], told: &mut Vec<Fact>) {
    let is_power = |fact: &Fact| matches!(fact, Fact::ExternalPower(_) | Fact::BatteryPercent(_));
    let all = facts.iter().map(|(fact, _)| fact);
    let power: Vec<Fact> = all.filter(|fact| is_power(fact)).cloned().collect();
    let asked = which.iter().any(|it| match it {
        Signal::Power | Signal::Trust | Signal::Identity => true,
        Signal::Wifi | Signal::Locked | Signal::DataUsed => false,
    });
    if !asked && power == *told {
        facts.retain(|(fact, _)| !is_power(fact));
    }
    *told = power;
}

const fn is_too_old(error: &DeviceError) -> bool {
    matches!(error, DeviceError::TooOld { .. })
}

/// Says of each signal that was asked for that it is not known.
fn unread(which: &[Signal], link: &Link, error: &DeviceError) -> Vec<(Fact, Source)> {
    let source = Source::Lockdown(link.transport());
    let mut facts = Vec::new();
    // Whoever answers at an address may be anybody: that it is not the phone says nothing of it.
    let stranger = matches!(
        (link, error),
        (Link::Tcp { .. }, DeviceError::WrongKey { .. })
    );
    if is_untrusted(error) && !stranger {
        facts.push((Fact::Trusted(Some(false)), source));
    }
    if is_too_old(error) {
        facts.extend(TOO_OLD.map(|fact| (fact, source)));
        return facts;
    }
    if let Link::Tcp { .. } = link {
        facts.push((
            Fact::Reachable {
                transport: Transport::Wifi,
                reachable: false,
            },
            source,
        ));
    }
    for signal in which {
        match signal {
            Signal::Power => facts.push((Fact::ExternalPower(None), source)),
            Signal::Locked => facts.push((Fact::ScreenLocked(None), source)),
            Signal::DataUsed => facts.push((Fact::DataUsed(None), source)),
            Signal::Trust | Signal::Identity | Signal::Wifi => {}
        }
    }
    facts
}

#[cfg(test)]
#[path = "phone_tests.rs"]
mod tests;
