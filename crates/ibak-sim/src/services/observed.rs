//! Which notifications hosts observe at this moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::phone::Phone;

/// How many connections observe each notification.
pub(crate) type Observed = BTreeMap<String, usize>;

/// What one connection observes; forgotten when it ends.
pub(super) struct Ears {
    phone: Arc<Phone>,
    names: Vec<String>,
}

impl Ears {
    pub(super) const fn new(phone: Arc<Phone>) -> Self {
        Self {
            phone,
            names: Vec::new(),
        }
    }

    pub(super) fn hear(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub(super) fn observe(&mut self, name: &str) {
        if !self.hear(name) {
            self.names.push(name.to_owned());
            let more = |all: &mut Observed| *all.entry(name.to_owned()).or_default() += 1;
            self.phone.observed.send_modify(more);
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.phone.observed.send_modify(|all| {
            for name in &self.names {
                if let Some(count) = all.get_mut(name) {
                    *count = count.saturating_sub(1);
                }
            }
            all.retain(|_, count| *count > 0);
        });
    }
}

impl Phone {
    /// Returns a watch on how many connections observe each notification.
    pub fn watch_observed(&self) -> watch::Receiver<BTreeMap<String, usize>> {
        self.observed.subscribe()
    }
}
