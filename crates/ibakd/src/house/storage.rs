//! The store, looked at and opened beside the loop.

use super::{House, Input, answer};
use crate::executor::blocking;
use crate::sources::store::{Held, StoreLook, StoreSettings, backups_of, look};
use ibak_core::{Event, Fact, Identity, Source, Udid};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tracing::{debug, error, warn};

/// For how long the earlier store may be held on to.
const LET_GO_MAX: Duration = Duration::from_secs(10);
/// When a store that we hold ourselves is tried again: somebody was just reading it.
const OURS_AGAIN: Duration = Duration::from_secs(1);

impl House {
    /// Looks at the store, unless a look is under way.
    pub(super) fn look_at_store(&mut self) {
        if self.looks.busy {
            return;
        }
        self.looks.busy = true;
        let settings = StoreSettings::of(
            &self.config,
            self.memory.store_uuid(&self.config.store).is_some(),
        );
        let (store, clock, inputs) = (self.store.clone(), self.clock.clone(), self.inputs.clone());
        let (number, gone) = (self.looks.store, self.upkeep.gone());
        tokio::spawn(async move {
            // Whoever still holds the earlier store would keep this one from being opened.
            if tokio::time::timeout(LET_GO_MAX, gone).await.is_err() {
                warn!("the earlier store is not let go of; its disk may hang");
            }
            let at = clock.clone();
            // A look that broke must be told as well, or there would never be another.
            let found = match spawn_blocking(move || look(store, &settings, &at)).await {
                Ok(found) => found,
                Err(error) => {
                    error!(%error, "looking at the store broke");
                    StoreLook::broken(&clock)
                }
            };
            if inputs.send(Input::Store(number, found)).await.is_err() {
                debug!("the loop has ended before the look");
            }
        });
    }

    pub(super) fn store_seen(&mut self, number: u64, look: StoreLook) {
        if number != self.looks.store {
            debug!("a look at the store that was");
            return;
        }
        self.looks.busy = false;
        if let Some(trouble) = look
            .trouble
            .as_ref()
            .filter(|it| self.store_trouble.as_ref() != Some(*it))
        {
            warn!(trouble, "the store cannot be used");
        }
        // Let go of a store that has failed: its disk may come back, and only opening it helps then.
        if look.lost && !self.store_is_used() {
            self.close_store();
        }
        if look.held_by_us {
            let inputs = self.inputs.clone();
            tokio::spawn(async move {
                tokio::time::sleep(OURS_AGAIN).await;
                if inputs.send(Input::LookAtStore).await.is_err() {
                    debug!("the loop has ended before the look");
                }
            });
            return;
        }
        self.store_trouble = look.trouble.clone();
        // Who hears that there is room may begin at once: what it holds is told before.
        if let Some(opened) = look.opened {
            let uuid = opened.store.facts().uuid.clone();
            if let Err(error) = self.memory.set_store_uuid(&self.config.store, &uuid) {
                warn!(%error, "the store's identity cannot be kept");
            }
            self.begin_upkeep(&opened.store);
            self.store = Some(opened.store);
            self.recovered(opened.contents);
        }
        self.handle(Event::Store(look.observation));
        for reply in std::mem::take(&mut self.reloading) {
            self.replies.push(Box::new(move || answer(reply, Ok(()))));
        }
    }

    /// Says whether it is known how the store is.
    pub(super) fn store_was_looked_at(&self) -> bool {
        self.store.is_some() || self.store_trouble.is_some()
    }

    fn recovered(&mut self, contents: Vec<(Udid, Held)>) {
        // What looks at the store before saw is old.
        for udid in self.machine.view().phones.into_keys() {
            self.looks_of_it_are_old(udid);
        }
        let mut backups = Vec::new();
        let mut names = Vec::new();
        for (udid, held) in contents {
            names.extend(held.identity.map(|identity| (udid.clone(), identity)));
            backups.push((udid, held.backups));
        }
        self.handle(Event::StoreRecovered(backups));
        for (udid, identity) in names {
            self.name_by_its_backup(&udid, identity);
        }
    }

    /// Names a phone that never said who it is, as its newest backup does.
    fn name_by_its_backup(&mut self, udid: &Udid, identity: Identity) {
        let view = self.machine.view();
        if view
            .phones
            .get(udid)
            .is_some_and(|phone| phone.identity.is_none())
        {
            let Identity {
                name,
                product_type,
                os_version,
            } = identity;
            let fact = Fact::Identity {
                name,
                product_type,
                os_version,
            };
            self.observe(udid, fact, Source::Store);
        }
    }

    /// Says whether a job holds the store open.
    pub(super) fn store_is_used(&self) -> bool {
        self.running.values().any(|it| it.kind.uses_store())
    }

    /// Lets go of the store; the next look opens it anew.
    pub(super) fn close_store(&mut self) {
        self.upkeep.end();
        self.store = None;
    }

    /// Reads anew what the store holds of one phone.
    pub(super) fn look_at_contents(&mut self, udid: Udid) {
        let Some(store) = self.store.clone() else {
            return;
        };
        let (inputs, now) = (self.inputs.clone(), self.clock.now().wall);
        self.looks.asked += 1;
        let number = self.looks.asked;
        tokio::spawn(async move {
            let phone = udid.clone();
            match blocking(move || backups_of(&store, &phone, now)).await {
                Ok(held) => {
                    if inputs
                        .send(Input::StoreContents(udid, number, held))
                        .await
                        .is_err()
                    {
                        debug!("the loop has ended before the look");
                    }
                }
                Err(error) => warn!(%error, phone = %udid, "the phone's backups cannot be listed"),
            }
        });
    }

    /// Takes what was seen of a phone's backups for old, and what looks under way will see.
    pub(super) fn looks_of_it_are_old(&mut self, udid: Udid) {
        self.looks.seen.insert(udid, self.looks.asked);
    }

    /// Takes in what a look at a phone's backups saw; one that began earlier than another that was
    /// seen already is old.
    pub(super) fn contents_seen(&mut self, udid: Udid, number: u64, held: Held) {
        let newest = self.looks.seen.entry(udid.clone()).or_default();
        if number <= *newest {
            return;
        }
        *newest = number;
        self.note_use(&udid, held.backups.used);
        self.handle(Event::BackupsKnown(udid.clone(), held.backups));
        if let Some(identity) = held.identity {
            self.name_by_its_backup(&udid, identity);
        }
    }
}
