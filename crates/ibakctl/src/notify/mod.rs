//! Carrying the daemon's messages to people: to the desktop, and to hooks that reach further.
//!
//! The daemon only emits `Attention`. Two programs of ours listen, each with rights of its own:
//! `notify desktop` in a person's session, `notify hooks` in a service that may use the network. Both
//! [`follow`] the daemon through its restarts and the bus's; what a signal would have told while
//! nobody listened is read from the state, and the [`ledger`] keeps anything from being told twice.

pub(crate) mod desktop;
pub(crate) mod follow;
pub(crate) mod hook;
pub(crate) mod hooks;
pub(crate) mod ledger;
mod letter;

pub(crate) use letter::{Key, Letter, What};

/// Returns this computer's name.
pub(crate) fn host() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let name = crate::text::bare(&name, 64);
        if name.is_empty() {
            "this computer".to_owned()
        } else {
            name
        }
    })
}
