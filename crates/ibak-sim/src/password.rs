//! The backup password of a phone.

use crate::backup::PasscodeAnswer;
use crate::backup::crypto::{BackupLock, Costs};
use crate::host::ask;
use crate::phone::{Phone, locked};
use crate::state::Password;

/// Since then a change of the backup password wants the passcode (LIMD #835).
const ASKS_FROM_MAJOR: u32 = 13;

impl Phone {
    /// Takes a backup password as if another computer had set it, or loses it as by Reset All
    /// Settings. Slow as the phone's costs say.
    pub(crate) fn set_password(&self, password: Option<&Password>) {
        let costs = self.spec().password_costs;
        let lock =
            password.map(|password| BackupLock::set(password.expose(), &costs, &mut rand::rng()));
        locked(&self.memory()).relock(lock);
        self.password_changed();
    }

    /// Tells the computers that look at `com.apple.mobile.backup` to look again.
    pub(crate) fn password_changed(&self) {
        self.post("com.apple.mobile.backup.domain_changed");
    }

    /// Returns the costs of a guess at the next password.
    pub(crate) const fn password_costs(&self) -> Costs {
        self.spec().password_costs
    }

    /// Returns `WillEncrypt`: whether there is a password; `None` if there never was one.
    pub fn will_encrypt(&self) -> Option<bool> {
        let memory = self.memory();
        let memory = locked(&memory);
        memory.had_password.then_some(memory.lock.is_some())
    }

    /// Returns the UUID of the keybag, as 32 hexadecimal digits, if there is a password.
    pub fn keybag_uuid(&self) -> Option<String> {
        let memory = self.memory();
        let memory = locked(&memory);
        memory.lock.as_ref().map(|lock| lock.keybag().uuid_text())
    }
}

/// Asks for the passcode before the password changes.
pub(crate) async fn password_prompt(phone: &Phone) -> PasscodeAnswer {
    if phone.identity().ios.major < ASKS_FROM_MAJOR || !phone.state().passcode.is_on() {
        return PasscodeAnswer::NotAsked;
    }
    ask(phone).await
}
