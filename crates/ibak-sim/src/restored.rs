//! What a restore leaves on a phone, and the reboot that puts it into place.

use crate::backup::RestoredContent;
use crate::phone::{Phone, locked};
use crate::state::{Attachment, PasscodeAnswer};

/// What iOS itself occupies, in bytes.
pub(crate) const SYSTEM_BYTES: u64 = 10_000_000_000;

/// What restores have left on a phone.
#[derive(Default)]
pub(crate) struct Restored {
    content: Option<RestoredContent>,
    /// It becomes what the phone runs with at its next start.
    awaits_reboot: bool,
}

impl Phone {
    /// Returns what the last restore put onto the phone.
    pub fn restored(&self) -> Option<RestoredContent> {
        locked(&self.restored).content.clone()
    }

    pub(crate) fn keep_restored(&self, content: RestoredContent) {
        *locked(&self.restored) = Restored {
            content: Some(content),
            awaits_reboot: true,
        };
    }

    /// Tells whether a restore waits for the reboot that puts it into place.
    pub(crate) fn awaits_reboot(&self) -> bool {
        locked(&self.restored).awaits_reboot
    }

    /// Reboots: whoever supervises the phone takes it off its cable and its network and brings it
    /// back; a phone with a passcode comes back locked.
    pub fn reboot(&self) {
        self.reboots.notify_one();
    }

    /// Counts a passcode question of pairing; hosts ask again and again while one stays on the
    /// screen, which is one question until it is answered.
    pub(crate) fn ask_pairing_passcode(&self) {
        let unanswered = self.state().passcode_answer == PasscodeAnswer::Ignore;
        self.note(|activity| {
            if !activity.pairing_asks {
                activity.pairing_prompts += 1;
            }
            activity.pairing_asks = unanswered;
        });
    }

    /// Goes down: off the cable and off the network. Returns how it was attached.
    pub(crate) fn go_down(&self) -> Attachment {
        let mut before = Attachment::None;
        self.change_state(|state| {
            before = std::mem::replace(&mut state.attached, Attachment::None);
        });
        self.unplug();
        self.drop_network_hosts();
        before
    }

    /// Comes up again, with what was restored in its place.
    pub(crate) fn start_up(&self, attached: Attachment) {
        locked(&self.restored).awaits_reboot = false;
        self.note(|activity| activity.reboots += 1);
        self.change_state(|state| state.start(attached));
    }

    /// Returns the free bytes of the data partition.
    pub fn free_bytes(&self) -> u64 {
        let (used, disk) = self.disk_usage();
        let own = disk.saturating_sub(SYSTEM_BYTES).saturating_sub(used);
        self.state().free_space.unwrap_or(own)
    }
}
