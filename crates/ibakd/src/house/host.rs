//! This computer itself: what it tells, and what is wished of it.

use super::{House, Input};
use crate::config::{Config, Metered};
use crate::sources::host::{HostNews, HostOptions, HostSource, NetworkRule, Wishes};
use ibak_core::{Errand, Event, JobKind, Monotonic, Signal, Udid, View};
use std::time::Duration;
use tokio::sync::mpsc;

/// Most news of the computer that wait for the loop.
const NEWS_MAX: usize = 8;
/// Within this time all that tells of waking tells of the same.
const WAKING: Duration = Duration::from_secs(5);

/// Takes from the configuration on which networks backups may run.
fn networks(config: &Config) -> NetworkRule {
    let metered_waits = match config.metered {
        Metered::Wait => true,
        Metered::Any => false,
    };
    NetworkRule::new(&config.networks, metered_waits)
}

impl House {
    /// Begins to look after the computer; what can be told at once is told before anything else.
    pub(super) fn start_host(&mut self, options: HostOptions) {
        let networks = networks(&self.config);
        let host = crate::sources::host::at_once(&options, &networks);
        self.handle(Event::Zone(self.clock.zone()));
        self.handle(Event::Host(host));
        let (tx, rx) = mpsc::channel(NEWS_MAX);
        let source = HostSource::start(options, networks, self.clock.clone(), tx);
        self.host = Some(source);
        self.forward(rx, Input::Host);
    }

    pub(super) fn host_news(&mut self, news: HostNews) {
        match news {
            HostNews::Is(host) => self.handle(Event::Host(host)),
            HostNews::Zone(zone) => {
                self.handle(Event::Zone(zone));
                self.plan_schedule();
            }
            // What runs was held off from this; whoever sleeps all the same knows why.
            HostNews::Sleeps => {}
            HostNews::Woke => self.woke(),
        }
    }

    /// Looks at everything again after a sleep, or after the clock was set.
    fn woke(&mut self) {
        self.handle(Event::Tick);
        let now = self.clock.now().monotonic;
        if !is_same_waking(self.woke_at, now) {
            self.woke_at = Some(now);
            self.look_at_store();
            let there: Vec<Udid> = self.phones.keys().cloned().collect();
            for udid in there {
                self.read_phone(&udid, Signal::ALL.to_vec());
            }
        }
        self.plan_schedule();
    }

    /// Says what is wished of the computer, now that things are as they are.
    pub(super) fn wish(&self, view: &View) {
        let Some(host) = &self.host else {
            return;
        };
        let on_battery = view.house.host.is_on_battery();
        let busy = self.running.values().any(|it| is_cut_by_sleep(it.kind));
        host.wish(Wishes {
            awake: busy && !on_battery,
            attentive: busy || self.is_anybody_there(),
            networks: networks(&self.config),
        });
    }
}

/// Says whether waking is what was told just before: the clock and logind both tell it.
fn is_same_waking(before: Option<Monotonic>, now: Monotonic) -> bool {
    before.is_some_and(|before| now.saturating_since(before) < WAKING)
}

/// Says whether sleep would cut what a phone and we have begun: a backup, and the way back of one,
/// which leaves a phone half done.
fn is_cut_by_sleep(kind: JobKind) -> bool {
    match kind {
        JobKind::Backup => true,
        JobKind::Errand(errand) => errand == Errand::Restore,
        JobKind::Pair | JobKind::MoveStore => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_is_one_waking() {
        let at = |secs| Monotonic::ZERO + Duration::from_secs(secs);
        assert!(!is_same_waking(None, at(100)));
        assert!(is_same_waking(Some(at(100)), at(100)));
        assert!(is_same_waking(Some(at(100)), at(104)));
        assert!(!is_same_waking(Some(at(100)), at(105)));
    }
}
