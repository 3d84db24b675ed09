//! The real daemon, the real store and five simulated phones, led through a day moment by moment.

use crate::life::{Answer, Mishap, Moment, PHONES, Stand, Trouble};
use crate::model::{End, Kind, Model, Rules};
use ibak_core::JobId;
use ibak_dbus::words::{ConditionStatus, JobKind, Trust, WaitsFor};
use ibak_sim::state::Switch;
use ibak_sim::{MuxVerb, PhoneSpec};
use ibak_tests::night::{DAY, EVENING, Night, PATIENCE, SETTLE, Setup, phone};
use ibak_tests::trouble::say;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A phone is silent for so long before a backup in which something is to happen to it.
const SILENCE: &str = "silence-ms=600";
/// The trouble of a phone with this code is one that passes: "error reading or writing a file".
const REFUSAL: &str = "refuse-with=104";
/// How often the settling time passes at a moment.
const SETTLINGS_MAX: usize = 3;
/// Where the house stands.
const ZONE: &str = "Europe/Berlin";
/// When somebody counts as there, with a second more.
const IN_HAND: Duration = Duration::from_secs(11);
/// What leaves no room for a backup.
const NO_ROOM: &str = "quota = \"1MiB\"";

/// A house and its model.
pub(crate) struct House {
    pub(crate) night: Night,
    model: Model,
    pub(crate) rules: Rules,
    keys: &'static str,
    pub(crate) kinds: [Kind; PHONES],
    pub(crate) stands: [Stand; PHONES],
    /// Whether the daemon hears a phone's notifications, where that matters.
    pub(crate) listens: [bool; PHONES],
    /// The midnight before the first evening, on the daemon's monotonic clock.
    midnight: Duration,
    /// By how much somebody set the wall clock, in minutes.
    set: i64,
    /// What the house lacks since the moment before.
    lacks: Option<Mishap>,
    /// How many backups ended how.
    pub(crate) ends: BTreeMap<&'static str, u32>,
    /// The backups that were seen to run, and whose they are.
    pub(crate) seen_running: BTreeMap<JobId, usize>,
    /// How backups ended of which nobody asked yet, and whose they were.
    pub(crate) told: Vec<(usize, End)>,
    /// Where it is, for messages.
    pub(crate) here: String,
}

fn spec(at: usize, kind: Kind) -> PhoneSpec {
    let names = ["Ada", "Ben", "Cleo", "Dan", "Eve"];
    let mut spec = phone(&format!("{}'s iPhone", names[at]));
    (spec.files, spec.bytes, spec.apps) = (12, 300 << 10, 1);
    spec.state.attached = ibak_sim::state::Attachment::None;
    if kind != Kind::Never {
        spec.ios = "17.2".parse().unwrap();
        spec.product = "iPhone15,2".to_owned();
        // Nobody waits three minutes for who does not answer.
        spec.state.passcode_patience_secs = 1;
    }
    if kind == Kind::Open {
        spec.state.passcode = Switch::Off;
    }
    spec
}

impl House {
    /// Moves in: at a midnight, with every phone away.
    pub(crate) async fn begin(
        rules: Rules,
        kinds: [Kind; PHONES],
        keys: &'static str,
        first_day: u64,
    ) -> Self {
        let phones = std::array::from_fn::<_, PHONES, _>(|at| spec(at, kinds[at]));
        let mut setup = Setup::of(phones.to_vec()).keys(keys).zone(ZONE);
        if !rules.lock_counts {
            // A house with cables begins its table itself.
            let head = if rules.cable { "" } else { "[conditions]\n" };
            setup = setup.tables(&format!("{head}locked = \"ignored\""));
        }
        if rules.cable {
            setup = setup.by_cable();
        }
        let mut night = setup.begin().await;
        for at in 0..PHONES {
            // The pairing is taken over from usbmuxd by cable.
            night.set(at, &["attached=usb"]).await;
            night
                .until_phone(at, "it is trusted", |view| view.trust == Trust::Trusted)
                .await;
            night.set(at, &["attached=none"]).await;
        }
        let morning = DAY.as_secs() - EVENING.as_secs().rem_euclid(86_400).unsigned_abs();
        let midnight = night.clock.now().monotonic.since_origin() + Duration::from_secs(morning);
        let days = DAY * u32::try_from(first_day).unwrap();
        night.advance(Duration::from_secs(morning) + days).await;
        Self {
            midnight,
            night,
            model: Model::new(rules, kinds),
            rules,
            keys,
            kinds,
            stands: [Stand::default(); PHONES],
            listens: [false; PHONES],
            set: 0,
            lacks: None,
            ends: BTreeMap::new(),
            seen_running: BTreeMap::new(),
            told: Vec::new(),
            here: String::new(),
        }
    }

    /// Lives through one moment of day number `day`, and compares what happened with the model.
    pub(crate) async fn live(&mut self, day: i64, moment: &Moment) {
        let minute = day * 1440 + moment.minute;
        let moment = &self.fitting(*moment);
        self.here = format!("day {day}, {moment:?}");
        self.what_ends(moment).await;
        self.go_to(minute).await;
        self.what_begins(moment).await;
        if let Some(Mishap::Clock(by)) = moment.mishap {
            self.set += by;
            let now = self.night.clock.now().wall.as_secs();
            self.night
                .clock
                .set(ibak_core::Wall::from_secs(now + by * 60));
            self.settle().await;
        }
        let wanted = self.model.at(moment, minute, minute + self.set);
        self.tell(&wanted);
        self.arm(moment).await;
        let mut ends = [None; PHONES];
        for _ in 0..SETTLINGS_MAX {
            // Who waits for a slot is looked at again when there is one.
            let left: [_; PHONES] =
                std::array::from_fn(|at| wanted[at].filter(|_| ends[at].is_none()));
            self.let_begin(&left).await;
            for (at, end) in self.backups(moment, &left).await.into_iter().enumerate() {
                assert!(ends[at].is_none() || end.is_none(), "twice: {}", self.here);
                ends[at] = ends[at].or(end);
            }
            if (0..PHONES).all(|at| wanted[at].is_none() || ends[at].is_some()) {
                break;
            }
        }
        assert_eq!(ends, wanted, "{}{}", self.here, self.night.picture());
        self.look_around(&wanted).await;
        self.disarm(moment).await;
    }

    /// Says what is to come, when asked to (`IBAK_YEAR_TELL=1`).
    fn tell(&self, wanted: &[Option<End>; PHONES]) {
        if std::env::var_os("IBAK_YEAR_TELL").is_some() {
            say(&format!("{} wants {wanted:?}", self.here));
        }
    }

    /// Where one backup runs at a time, which of them is stopped midway is not the model's business.
    fn fitting(&self, moment: Moment) -> Moment {
        let stops = moment.mishap == Some(Mishap::StopsMidway) && !self.rules.together;
        Moment {
            mishap: moment.mishap.filter(|_| !stops),
            ..moment
        }
    }

    /// Lets the time come; what was known of the phones is old then.
    async fn go_to(&mut self, minute: i64) {
        let now = self.night.clock.now().monotonic.since_origin();
        let then = self.midnight + Duration::from_secs(u64::try_from(minute * 60).unwrap());
        self.advance(then - now).await;
    }

    pub(crate) async fn advance(&mut self, step: Duration) {
        self.night.clock.advance(step);
        self.settle().await;
    }

    /// Waits until the daemon has considered everything, if there is one.
    pub(crate) async fn settle(&mut self) {
        if self.night.state().manager().is_some() {
            self.night.settle().await;
            self.note_ends();
        }
    }

    /// Everything that ends before this moment.
    async fn what_ends(&mut self, moment: &Moment) {
        match moment.mishap {
            Some(Mishap::Down) => {
                self.night.stop_daemon().await;
                self.listens = [false; PHONES];
            }
            Some(Mishap::Full) => self.room(NO_ROOM).await,
            Some(Mishap::UsbmuxdGone) => {
                self.night.sim.mux(MuxVerb::Stop).await.unwrap();
                self.listens = self.listens.map(|listens| listens && !self.rules.cable);
            }
            Some(_) | None => {}
        }
        for (at, now) in moment.phones.into_iter().enumerate() {
            let (was, mut settings) = (self.stands[at], Vec::new());
            if was.locked && !now.locked {
                settings.push("locked=no");
            }
            if was.plugged && !now.plugged {
                settings.push("power=off");
                settings.extend(self.rules.cable.then_some("attached=none"));
            }
            if was.near && !now.near && !self.rules.cable {
                settings.push("wifi=off");
            }
            self.change(at, &settings).await;
            let connected = if self.rules.cable {
                now.plugged == was.plugged && now.near
            } else {
                was.near && now.near
            };
            // An unlock is known after a second of silence: hours pass here in a tenth of that.
            if self.kinds[at] == Kind::Open && was.locked && !now.locked && connected {
                self.until_heard(at, ConditionStatus::Unmet).await;
            }
            let reboots = moment.troubles[at] == Some(Trouble::Reboots);
            if reboots && now.locked && self.kinds[at] != Kind::Open {
                self.reboot(at).await;
            }
        }
        self.until_seen_on_network().await;
    }

    /// Everything that begins at this moment; what the moment before lacked is there again.
    async fn what_begins(&mut self, moment: &Moment) {
        match self.lacks.take() {
            Some(Mishap::Down) => self.night.start_daemon().await,
            Some(Mishap::Full) => self.room("").await,
            Some(Mishap::UsbmuxdGone) => self.night.sim.mux(MuxVerb::Start).await.unwrap(),
            Some(_) | None => {}
        }
        for (at, now) in moment.phones.into_iter().enumerate() {
            let (was, mut settings) = (self.stands[at], Vec::new());
            if !was.plugged && now.plugged {
                settings.push("power=on");
                settings.extend(self.rules.cable.then_some("attached=usb"));
            }
            if !was.near && now.near && !self.rules.cable {
                settings.push("wifi=on");
            }
            if !was.locked && now.locked {
                settings.push("locked=yes");
                if self.kinds[at] == Kind::Asks {
                    self.listens[at] = self.is_heard(at);
                }
            }
            self.change(at, &settings).await;
        }
        // Who was locked just now is not known to a daemon that begins after that.
        match moment.mishap {
            Some(Mishap::Restart) => {
                self.night.restart_daemon().await;
                self.listens = [false; PHONES];
            }
            Some(Mishap::UsbmuxdRestart) => {
                self.night.sim.mux(MuxVerb::Restart).await.unwrap();
                self.listens = self.listens.map(|listens| listens && !self.rules.cable);
            }
            lacks @ Some(Mishap::Down | Mishap::Full | Mishap::UsbmuxdGone) => self.lacks = lacks,
            Some(Mishap::StopsMidway | Mishap::Clock(_)) | None => {}
        }
        self.until_seen_on_network().await;
        let before = std::mem::replace(&mut self.stands, moment.phones);
        for (at, was) in before.into_iter().enumerate() {
            let locks = !was.locked && self.stands[at].locked;
            if self.kinds[at] == Kind::Never || !self.is_reached(at) || !self.is_there(at) {
                self.listens[at] = false;
                continue;
            }
            if locks {
                self.until_heard(at, ConditionStatus::Met).await;
            }
            match self.kinds[at] {
                Kind::Asks => self.until_known_to_ask(at).await,
                Kind::Open => self.until_listening(at).await,
                Kind::Never => {}
            }
        }
    }

    /// Tells whether the daemon can talk to a phone that does not keep silent.
    pub(crate) fn is_reached(&self, at: usize) -> bool {
        let stand = self.stands[at];
        let by_cable = stand.plugged && self.lacks != Some(Mishap::UsbmuxdGone);
        let way = if self.rules.cable {
            by_cable
        } else {
            stand.near
        };
        way && self.lacks != Some(Mishap::Down)
    }

    async fn change(&mut self, at: usize, settings: &[&str]) {
        if !settings.is_empty() {
            self.night.set(at, settings).await;
        }
    }

    /// Starts a phone again, which then answers nobody until it is unlocked: not over Wi-Fi, and
    /// a cable into a phone that is locked for long carries no data.
    async fn reboot(&mut self, at: usize) {
        self.night.set(at, &["usb-restricted=on"]).await;
        let phone = std::sync::Arc::clone(self.night.simulated(at));
        let mut state = phone.watch_state();
        phone.reboot();
        let restarted = state.wait_for(|state| !state.unlocked_once.is_on());
        tokio::time::timeout(PATIENCE, restarted)
            .await
            .expect("it starts again")
            .unwrap();
        self.settle().await;
    }

    async fn room(&mut self, quota: &str) {
        let keys = format!("{}\n{quota}\n", self.keys);
        self.night.configure(|setup| Setup { keys, ..setup });
        self.night.reload().await.unwrap();
    }

    /// Has the troubles of this moment wait for a backup.
    async fn arm(&mut self, moment: &Moment) {
        for (at, answer) in moment.answers.into_iter().enumerate() {
            let answer = match answer {
                Answer::Gives | Answer::Stays => "passcode-answer=give",
                Answer::Ignores => "passcode-answer=ignore",
                Answer::Dismisses => "passcode-answer=dismiss",
            };
            if self.kinds[at] == Kind::Asks {
                self.change(at, &[answer]).await;
            }
        }
        for (at, trouble) in moment.troubles.into_iter().enumerate() {
            let setting = match trouble {
                _ if moment.mishap == Some(Mishap::StopsMidway) => SILENCE,
                Some(Trouble::Refuses) => REFUSAL,
                Some(Trouble::Breaks) => "drop-in=uploading",
                Some(Trouble::Leaves | Trouble::Unlocked) => SILENCE,
                Some(Trouble::Reboots) | None => continue,
            };
            self.change(at, &[setting]).await;
        }
    }

    /// Takes back what no backup met.
    async fn disarm(&mut self, moment: &Moment) {
        for (at, trouble) in moment.troubles.into_iter().enumerate() {
            if trouble.is_some() || moment.mishap == Some(Mishap::StopsMidway) {
                let none = ["silence-ms=0", "refuse-with=none", "drop-in=none"];
                self.change(at, &none).await;
            }
        }
    }

    /// Has the settling time pass with what is wanted known, a second time if a reading came late.
    async fn let_begin(&mut self, wanted: &[Option<End>; PHONES]) {
        for _ in 0..SETTLINGS_MAX {
            for (at, wanted) in wanted.iter().enumerate() {
                if wanted.is_some() && !self.has_begun(at) {
                    self.until_known(at).await;
                }
            }
            self.advance(IN_HAND).await;
            self.advance(SETTLE + SECOND - IN_HAND).await;
            if (0..PHONES).all(|at| wanted[at].is_none() || self.has_begun(at)) {
                return;
            }
        }
    }

    /// Tells whether a phone's backup runs, has ended, or only waits for the others.
    fn has_begun(&self, at: usize) -> bool {
        let udid = self.night.udid(at);
        let ended = self
            .night
            .state()
            .jobs()
            .iter()
            .any(|job| job.phone.as_ref() == Some(&udid) && job.kind == JobKind::Backup);
        let view = self.night.phone(at);
        let told = self.told.iter().any(|(whose, _)| *whose == at);
        ended || told || view.current_job.is_some() || view.waits_for == [WaitsFor::Slot]
    }

    /// What is true after every moment.
    async fn look_around(&mut self, ends: &[Option<End>; PHONES]) {
        if self.lacks == Some(Mishap::Down) {
            return;
        }
        for (at, end) in ends.iter().enumerate() {
            let Some(end) = end else { continue };
            *self.ends.entry(end.word()).or_default() += 1;
            if *end != End::Done {
                continue;
            }
            let view = self.night.phone(at);
            let last = view.last_backup.expect("there is one").as_secs();
            let wanted = self.model.last(at).unwrap() * 60 + self.origin();
            assert!((0..900).contains(&(last - wanted)), "{}", self.here);
            assert!(!self.night.is_staged(at), "{}", self.here);
            let newest = self.night.backups(at).await.pop().expect("there is one");
            self.night.assert_equals_phone(at, &newest.id);
            let udid = self.night.udid(at);
            self.night.sim.change(udid.as_str(), 2, 1, 1).unwrap();
        }
    }

    /// Returns the first midnight in seconds of the wall clock.
    fn origin(&self) -> i64 {
        EVENING.as_secs().div_euclid(86_400) * 86_400 + 86_400
    }
}
