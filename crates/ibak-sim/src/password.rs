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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plist::{Dictionary, Value};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::backup::Quirks;
    use crate::lockdown::domains;
    use crate::phone::Transport;
    use crate::profile::PhoneSpec;
    use crate::state::{self, Setting, Switch};

    fn phone(ios: &str, change: impl FnOnce(&mut PhoneSpec)) -> Arc<Phone> {
        let mut spec = PhoneSpec {
            ios: ios.parse().unwrap(),
            files: 20,
            bytes: 1 << 20,
            ..PhoneSpec::default()
        };
        change(&mut spec);
        let stop = CancellationToken::new();
        Phone::new(&spec, Quirks::default(), &stop, TaskTracker::new()).unwrap()
    }

    fn domain(phone: &Phone) -> Dictionary {
        domains::values(phone, Transport::Usb, "com.apple.mobile.backup").unwrap()
    }

    #[tokio::test]
    async fn will_encrypt_is_absent_until_there_was_a_password() {
        let phone = phone("15.6", |_| {});
        let mut posts = phone.listen();
        assert_eq!(domain(&phone).get("WillEncrypt"), None);
        let one = Some(Password::new("one".to_owned()));
        phone.set(&Setting::Password(one));
        assert_eq!(domain(&phone)["WillEncrypt"], Value::Boolean(true));
        let told = posts.recv().await.unwrap();
        assert_eq!(told.as_ref(), "com.apple.mobile.backup.domain_changed");
        let keybag = phone.keybag_uuid().unwrap();
        assert_eq!(keybag.len(), 32);
        phone.set(&Setting::Password(Some(Password::new("two".to_owned()))));
        assert_ne!(phone.keybag_uuid(), Some(keybag));
        phone.set(&Setting::Password(None));
        assert_eq!(domain(&phone)["WillEncrypt"], Value::Boolean(false));
        assert_eq!(phone.keybag_uuid(), None);
    }

    #[tokio::test]
    async fn a_phone_may_come_with_a_password() {
        let costs = Costs { dpic: 7, iter: 3 };
        let phone = phone("26.3", |spec| {
            spec.password = Some(Password::new("one".to_owned()));
            spec.password_costs = costs;
        });
        let memory = phone.memory();
        let memory = locked(&memory);
        let lock = memory.lock.as_ref().unwrap();
        assert!(lock.is_opened_by("one") && !lock.is_opened_by("two"));
        assert_eq!(lock.keybag().costs(), costs);
    }

    #[tokio::test]
    async fn a_profile_says_so_on_every_ios() {
        for (ios, otherwise) in [("15.6", Some(0)), ("26.3", None)] {
            let phone = phone(ios, |_| {});
            let value = domain(&phone);
            let value = value.get("RequiresEncryption");
            assert_eq!(value.and_then(Value::as_signed_integer), otherwise);
            phone.set(&Setting::RequiresEncryption(Switch::On));
            assert_eq!(domain(&phone)["RequiresEncryption"], Value::from(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn since_ios_13_a_change_wants_the_passcode_if_there_is_one() {
        let table = [
            ("12.5.7", Switch::On, false),
            ("13.3.1", Switch::On, true),
            ("13.3.1", Switch::Off, false),
            ("26.3", Switch::On, true),
        ];
        for (ios, passcode, asks) in table {
            let phone = phone(ios, |spec| spec.state.passcode = passcode);
            let answer = password_prompt(&phone).await;
            let expected = if asks {
                PasscodeAnswer::Given
            } else {
                PasscodeAnswer::NotAsked
            };
            assert_eq!(answer, expected, "{ios} {passcode}");
            assert_eq!(phone.activity().passcode_prompts, u64::from(asks));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_question_is_the_one_of_a_backup() {
        let phone = phone("13.3.1", |spec| spec.state.passcode = Switch::On);
        phone.set(&Setting::PasscodeAnswer(state::PasscodeAnswer::Ignore));
        phone.set(&Setting::PasscodePatience(90));
        let mut posts = phone.listen();
        let began = Instant::now();
        assert_eq!(password_prompt(&phone).await, PasscodeAnswer::Ignored);
        assert_eq!(began.elapsed().as_secs(), 90);
        for name in ["presented", "dismissed"] {
            let post = posts.recv().await.unwrap();
            let expected = format!("com.apple.LocalAuthentication.ui.{name}");
            assert_eq!(post.as_ref(), expected);
        }
        phone.set(&Setting::PasscodeAnswer(state::PasscodeAnswer::Dismiss));
        assert_eq!(password_prompt(&phone).await, PasscodeAnswer::Dismissed);
    }
}
