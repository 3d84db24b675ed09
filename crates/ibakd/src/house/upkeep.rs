//! Upkeep of the store, seen from the loop.

use super::{House, Input};
use crate::executor::UpkeepNews;
use ibak_core::Event;
use ibak_store::Store;
use tokio::sync::mpsc;

impl House {
    /// Begins upkeep of a store that was just opened.
    pub(super) fn begin_upkeep(&mut self, store: &Store) {
        let (news, told) = mpsc::channel(1);
        self.forward(told, Input::Upkeep);
        self.scrub_within.send_replace(self.config.scrub);
        let within = self.scrub_within.subscribe();
        self.upkeep
            .begin(store.clone(), within, self.clock.clone(), news);
    }

    pub(super) fn upkeep_news(&mut self, news: UpkeepNews) {
        match news {
            UpkeepNews::Swept(_) => {
                self.look_at_store();
                // Each may take less by now.
                for phone in self.machine.view().phones.into_keys() {
                    self.look_at_contents(phone);
                }
            }
            UpkeepNews::Read { phone, damaged } => {
                if damaged > 0 {
                    self.handle(Event::DamageFound(phone.clone(), damaged));
                }
                self.look_at_contents(phone);
            }
        }
    }
}
