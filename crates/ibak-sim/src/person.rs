//! What a person does on the phone's screen, and what the phone posts then.

use crate::backup::Quirk;
use crate::phone::Phone;

impl Phone {
    /// Locking posts lockcomplete and lockstate within a second, unlocking a lone lockstate, and
    /// hasBlankedScreen comes with both (phone.md §2).
    pub(crate) fn lock_notifications(&self, locks: bool) -> &'static [&'static str] {
        const LOCK: &[&str] = &[
            "com.apple.springboard.hasBlankedScreen",
            "com.apple.springboard.lockcomplete",
            "com.apple.springboard.lockstate",
        ];
        const UNLOCK: &[&str] = &[
            "com.apple.springboard.hasBlankedScreen",
            "com.apple.springboard.lockstate",
        ];
        const SILENT: &[&str] = &["com.apple.springboard.hasBlankedScreen"];
        let no_passcode = !self.state().passcode.is_on();
        match (locks, no_passcode && self.quirks().has(Quirk::SilentLock)) {
            (true, true) => SILENT,
            (true, false) => LOCK,
            (false, _) => UNLOCK,
        }
    }

    /// The person looks at the screen and leaves it locked: it lights up and goes dark, and both
    /// say no more than that (phone.md §2: "fires on both edges: no level").
    pub fn glance(&self) {
        for _ in 0..2 {
            self.post("com.apple.springboard.hasBlankedScreen");
        }
    }

    /// The person taps ✕ on the phone while a sync or backup runs.
    pub fn person_cancels(&self) {
        self.post("com.apple.itunes-client.syncCancelRequest");
        self.person_cancels.notify_waiters();
    }
}
