//! Waiting until the daemon knows of a phone what the next moment takes for known.

use crate::house::House;
use crate::life::PHONES;
use crate::model::Kind;
use ibak_core::Wall;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{ConditionName, ConditionStatus, Passcode};
use ibak_tests::night::PATIENCE;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a reading takes at most here, of real time.
const READ_IN: Duration = Duration::from_secs(10);
/// After how long the daemon reads again, with a second more.
const READ_AGAIN: Duration = Duration::from_secs(11);
/// How often it does at one moment.
const READ_AGAIN_MAX: usize = 2;

fn are_both_heard(all: &BTreeMap<String, usize>) -> bool {
    ["lockcomplete", "lockstate"]
        .iter()
        .all(|name| all.contains_key(&format!("com.apple.springboard.{name}")))
}

impl House {
    /// Waits until the daemon knows which phones are on the network: a good-bye by multicast takes
    /// a second, and a phone that was sought in vain is not sought again for half a minute.
    pub(crate) async fn until_seen_on_network(&mut self) {
        if self.rules.cable || self.night.state().manager().is_none() {
            return;
        }
        for at in 0..PHONES {
            let there = self.night.simulated(at).is_on_network();
            let what = format!("phone {at} is on the network: {there}; {}", self.here);
            self.night
                .until_phone(at, &what, |view| {
                    let announced =
                        view.condition(&ConditionName::Wifi).status == ConditionStatus::Met;
                    (announced, !view.transports.is_empty()) == (there, there)
                })
                .await;
        }
    }

    /// Tells whether a phone is where the daemon looks for it, and answers.
    pub(crate) fn is_there(&self, at: usize) -> bool {
        let phone = self.night.simulated(at);
        if self.rules.cable {
            phone.state().is_on_usb()
        } else {
            phone.is_on_network()
        }
    }

    /// Waits until the daemon has seen a phone locked that is there, once: then it knows that it asks.
    pub(crate) async fn until_known_to_ask(&mut self, at: usize) {
        if self.night.simulated(at).state().locked.is_on() {
            self.night
                .until_phone(at, "it is known to ask", |view| {
                    view.passcode == Passcode::Asks
                })
                .await;
        }
    }

    /// Tells whether somebody hears when a phone is locked and unlocked.
    pub(crate) fn is_heard(&self, at: usize) -> bool {
        are_both_heard(&self.night.simulated(at).watch_observed().borrow())
    }

    /// Waits until the daemon hears the notifications of a phone that has just come, or that it
    /// had lost.
    pub(crate) async fn until_listening(&mut self, at: usize) {
        if std::mem::replace(&mut self.listens[at], true) {
            return;
        }
        let now = self.night.clock.now().wall;
        // While its window is closed, say, nothing is read unless somebody looks.
        self.night.look_at(at).await;
        for _ in 0..READ_AGAIN_MAX {
            let read = tokio::time::timeout(READ_IN, self.until_read(at, now)).await;
            if read.is_ok() {
                break;
            }
            self.advance(READ_AGAIN).await;
        }
        self.until_read(at, now).await;
        let phone = std::sync::Arc::clone(self.night.simulated(at));
        let mut observed = phone.watch_observed();
        let both = observed.wait_for(are_both_heard);
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the daemon listens")
            .unwrap();
    }

    async fn until_read(&mut self, at: usize, since: Wall) {
        let what = format!("phone {at} is read: {}", self.here);
        self.night
            .until_phone(at, &what, |view| {
                view.condition(&ConditionName::Power).observed >= Some(since)
            })
            .await;
    }

    /// Waits until the daemon has heard of a lock or an unlock: what it read before is on its way.
    pub(crate) async fn until_heard(&mut self, at: usize, status: ConditionStatus) {
        if self.listens[at] {
            let what = format!("its lock is {status}: {}", self.here);
            self.night
                .until_phone(at, &what, |view| {
                    view.condition(&ConditionName::Locked).status == status
                })
                .await;
        }
    }

    /// Waits until the daemon knows what a phone says of the conditions that count. What was read in
    /// vain is read again after ten seconds of the daemon's clock, which stands still here.
    pub(crate) async fn until_known(&mut self, at: usize) {
        for _ in 0..READ_AGAIN_MAX {
            let known = tokio::time::timeout(READ_IN, self.until_all_known(at)).await;
            if known.is_ok() {
                return;
            }
            self.advance(READ_AGAIN).await;
        }
        self.until_all_known(at).await;
    }

    pub(crate) async fn until_all_known(&mut self, at: usize) {
        let asks = self.kinds[at] == Kind::Asks;
        let lock_counts = self.rules.lock_counts && !asks;
        let what = format!("the conditions of phone {at} hold: {}", self.here);
        let met = |view: &PhoneView, name| view.condition(&name).status == ConditionStatus::Met;
        self.night
            .until_phone(at, &what, |view| {
                let screen = &view.condition(&ConditionName::Locked).status;
                let locked = (!lock_counts || *screen == ConditionStatus::Met)
                    && (!asks || *screen == ConditionStatus::Unmet);
                let world = [
                    ConditionName::Power,
                    ConditionName::Wifi,
                    ConditionName::Space,
                ];
                locked && world.into_iter().all(|name| met(view, name))
            })
            .await;
    }
}
