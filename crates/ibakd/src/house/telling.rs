//! What goes out as `Attention`: each message with the phone's name and the channels it may take.
//! The sentences are made by `ibakctl notify`, which also carries them to people.

use super::book::Book;
use super::{House, answer};
use crate::config::Config;
use ibak_core::Udid;
use ibak_dbus::words::AttentionKind;
use ibak_dbus::{Dict, Error};
use tokio::sync::oneshot;
use tracing::info;
use zbus::wire::{OwnedVariant, Str, Variant};

impl House {
    /// Has a message go out with what this step shows.
    pub(super) fn call_attention(
        &mut self,
        phone: Option<Udid>,
        kind: &'static str,
        mut details: Dict,
    ) {
        let view = self.machine.view();
        let channels = channels(&self.book, &self.config, phone.as_ref());
        if let Ok(channels) = Variant::from(channels).try_into_owned() {
            details.insert("channels".to_owned(), channels);
        }
        let known = phone.as_ref().and_then(|udid| view.phones.get(udid));
        if let Some(identity) = known.and_then(|phone| phone.identity.as_ref()) {
            let name = OwnedVariant::from(Str::from(identity.name.clone()));
            details.insert("name".to_owned(), name);
        }
        info!(
            phone = phone.as_ref().map(Udid::as_str),
            kind, "needs attention"
        );
        self.attention.push((phone, kind, details));
    }

    /// Sends a message that asks for nothing; it is answered once the message is out.
    pub(super) fn test_notification(
        &mut self,
        phone: Udid,
        reply: oneshot::Sender<Result<(), Error>>,
    ) {
        let sent = if self.machine.view().phones.contains_key(&phone) {
            self.call_attention(Some(phone), AttentionKind::Test.as_str(), Dict::new());
            Ok(())
        } else {
            Err(Error::Failed(format!("no phone {phone} is known")))
        };
        self.replies.push(Box::new(move || answer(reply, sent)));
    }
}

/// Returns where messages about a phone, or about no single one, go; empty = everywhere.
pub(super) fn channels(book: &Book, config: &Config, phone: Option<&Udid>) -> Vec<String> {
    let rules = phone.map_or(&config.rules, |udid| book.rules(config, udid));
    rules.notify.clone()
}
