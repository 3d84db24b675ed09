//! What the backup service sees of the rest of the phone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backup::crypto::Costs;
use crate::backup::{
    BackupHost, BackupMemory, Faults, Interruption, PasscodeAnswer, Phase, Quirk, Quirks,
    RestoredContent, Standing,
};
use crate::content::Content;
use crate::identity::{Identity, IosVersion};
use crate::password::password_prompt;
use crate::phone::{Phone, locked};
use crate::state;

/// How long after the request the question appears (corpus timings: 1-2 s; here short of it).
const PROMPT_AFTER: Duration = Duration::from_millis(50);
/// How long a person who gives the passcode needs.
const TYPING: Duration = Duration::from_millis(200);

/// Tells whether this iOS asks before each backup (phone.md §1: 16.1, and 15.7.1 within 15).
pub fn asks_for_passcode(ios: IosVersion) -> bool {
    ios >= IosVersion::new(16, 1, 0) || (ios.major == 15 && ios >= IosVersion::new(15, 7, 1))
}

impl BackupHost for Phone {
    fn identity(&self) -> &Identity {
        Self::identity(self)
    }

    fn content(&self) -> Arc<Mutex<Content>> {
        Self::content(self)
    }

    fn quirks(&self) -> &Quirks {
        Self::quirks(self)
    }

    fn memory(&self) -> Arc<Mutex<BackupMemory>> {
        Self::memory(self)
    }

    fn passcode_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        Box::pin(prompt(self))
    }

    fn password_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        Box::pin(password_prompt(self))
    }

    fn password_costs(&self) -> Costs {
        Self::password_costs(self)
    }

    fn requires_encryption(&self) -> bool {
        self.state().requires_encryption.is_on()
    }

    fn password_changed(&self) {
        Self::password_changed(self);
    }

    fn passcode_set(&self) -> bool {
        self.state().passcode.is_on()
    }

    fn interrupted(&self) -> BoxFuture<'_, Interruption> {
        Box::pin(async {
            self.person_cancels.notified().await;
            Interruption::CancelledByPerson
        })
    }

    fn faults(&self) -> Faults {
        let state = self.state();
        self.set(&state::Setting::DropAfter(None));
        self.set(&state::Setting::RefuseWith(None));
        self.set(&state::Setting::FileErrors(0));
        self.set(&state::Setting::RemoteErrors(0));
        self.set(&state::Setting::ErrorsEnd(state::Switch::Off));
        self.set(&state::Setting::DropIn(None));
        Faults {
            drop_after_bytes: state.drop_after.or(state.drop_in.map(|_| 0)),
            local_errors: u64::from(state.file_errors),
            remote_errors: u64::from(state.remote_errors),
            errors_end_with_104: state.errors_end.is_on(),
            refuse_with: state.refuse_with.map(i64::from),
            drop_in: state.drop_in,
        }
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.state().silence_ms.into())
    }

    fn upload_rate(&self) -> Option<u64> {
        self.state().upload_rate
    }

    fn standing(&self) -> Standing {
        let state = self.state();
        Standing {
            setup_unfinished: !state.setup.is_on(),
            find_my: state.find_my.is_on(),
            no_icloud_account: !state.icloud_account.is_on(),
            awaits_reboot: self.awaits_reboot(),
            free_bytes: self.free_bytes(),
        }
    }

    fn restore_applications(&self) -> Option<Vec<u8>> {
        locked(&self.afc).file("iTunesRestore/RestoreApplications.plist")
    }

    fn keep_restored(&self, content: RestoredContent) {
        Self::keep_restored(self, content);
    }

    fn set_cloud_backup(&self, on: bool) {
        self.set(&state::Setting::ICloud(on.into()));
        self.post("com.apple.mobile.backup.domain_changed");
    }

    fn backup_phase(&self, phase: Phase) {
        self.note(|activity| activity.phase = Some(phase));
    }
}

/// Asks before a backup, if this iOS does.
async fn prompt(phone: &Phone) -> PasscodeAnswer {
    if !asks_for_passcode(phone.identity().ios) || !phone.state().passcode.is_on() {
        return PasscodeAnswer::NotAsked;
    }
    ask(phone).await
}

/// Shows the question and waits for the person, who may change their mind meanwhile.
pub(crate) async fn ask(phone: &Phone) -> PasscodeAnswer {
    sleep(PROMPT_AFTER).await;
    phone.note(|activity| activity.passcode_prompts += 1);
    phone.post("com.apple.LocalAuthentication.ui.presented");
    let patience = Duration::from_secs(phone.state().passcode_patience_secs.into());
    let given_up = Instant::now() + patience;
    let mut watch = phone.watch_state();
    let hidden = phone.quirks().has(Quirk::PromptHidden);
    let decided = watch.wait_for(|state| {
        let seen = !(hidden && state.is_protected());
        seen && state.passcode_answer != state::PasscodeAnswer::Ignore
    });
    let answer = match timeout_at(given_up, decided).await {
        Ok(Ok(state)) => state.passcode_answer,
        Ok(Err(_)) | Err(_) => state::PasscodeAnswer::Ignore,
    };
    let answer = match answer {
        state::PasscodeAnswer::Give => {
            sleep(TYPING).await;
            PasscodeAnswer::Given
        }
        state::PasscodeAnswer::Dismiss => PasscodeAnswer::Dismissed,
        state::PasscodeAnswer::Ignore => PasscodeAnswer::Ignored,
    };
    phone.post("com.apple.LocalAuthentication.ui.dismissed");
    answer
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::profile::PhoneSpec;
    use crate::state::{Setting, Switch};

    #[test]
    fn the_versions_that_ask() {
        for (text, asks) in [
            ("13.3.1", false),
            ("15.6", false),
            ("15.7", false),
            ("15.7.1", true),
            ("16.0", false),
            ("16.1", true),
            ("26.4", true),
        ] {
            assert_eq!(asks_for_passcode(text.parse().unwrap()), asks, "{text}");
        }
    }

    fn phone(ios: &str, passcode: Switch) -> Arc<Phone> {
        let mut spec = PhoneSpec {
            ios: ios.parse().unwrap(),
            files: 20,
            bytes: 1 << 20,
            ..PhoneSpec::default()
        };
        spec.state.passcode = passcode;
        Phone::new(
            &spec,
            Quirks::default(),
            &CancellationToken::new(),
            TaskTracker::new(),
        )
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_without_a_passcode_or_with_an_older_ios_does_not_ask() {
        for (ios, passcode) in [("26.3", Switch::Off), ("15.6", Switch::On)] {
            let phone = phone(ios, passcode);
            assert_eq!(prompt(&phone).await, PasscodeAnswer::NotAsked);
            assert_eq!(phone.activity().passcode_prompts, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_question_is_shown_and_goes_away_whatever_the_person_does() {
        let table = [
            (state::PasscodeAnswer::Give, PasscodeAnswer::Given, 0),
            (state::PasscodeAnswer::Dismiss, PasscodeAnswer::Dismissed, 0),
            (state::PasscodeAnswer::Ignore, PasscodeAnswer::Ignored, 180),
        ];
        for (does, expected, secs) in table {
            let phone = phone("16.3.1", Switch::On);
            phone.set(&Setting::PasscodeAnswer(does));
            let mut posts = phone.listen();
            let began = Instant::now();
            assert_eq!(prompt(&phone).await, expected);
            assert_eq!(began.elapsed().as_secs(), secs, "{expected:?}");
            let presented = posts.recv().await.unwrap();
            assert_eq!(
                presented.as_ref(),
                "com.apple.LocalAuthentication.ui.presented"
            );
            let dismissed = posts.recv().await.unwrap();
            assert_eq!(
                dismissed.as_ref(),
                "com.apple.LocalAuthentication.ui.dismissed"
            );
            assert_eq!(phone.activity().passcode_prompts, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hidden_question_waits_for_the_screen_to_be_unlocked() {
        let mut spec = PhoneSpec {
            ios: "26.3".parse().unwrap(),
            files: 20,
            bytes: 1 << 20,
            ..PhoneSpec::default()
        };
        (spec.state.passcode, spec.state.locked) = (Switch::On, Switch::On);
        let quirks = [Quirk::PromptHidden].into_iter().collect();
        let phone = Phone::new(&spec, quirks, &CancellationToken::new(), TaskTracker::new());
        let phone = phone.unwrap();
        assert_eq!(prompt(&phone).await, PasscodeAnswer::Ignored);
        let waking_up = async {
            sleep(Duration::from_secs(30)).await;
            phone.set(&Setting::Locked(Switch::Off));
        };
        let (answer, ()) = tokio::join!(prompt(&phone), waking_up);
        assert_eq!(answer, PasscodeAnswer::Given);
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_may_come_back_and_give_it() {
        let phone = phone("26.3", Switch::On);
        phone.set(&Setting::PasscodeAnswer(state::PasscodeAnswer::Ignore));
        let coming_back = async {
            sleep(Duration::from_secs(30)).await;
            phone.set(&Setting::PasscodeAnswer(state::PasscodeAnswer::Give));
        };
        let (answer, ()) = tokio::join!(prompt(&phone), coming_back);
        assert_eq!(answer, PasscodeAnswer::Given);
    }

    #[tokio::test]
    async fn faults_are_for_one_backup() {
        let phone = phone("15.6", Switch::Off);
        phone.set(&Setting::DropAfter(Some(7)));
        phone.set(&Setting::RefuseWith(Some(105)));
        phone.set(&Setting::FileErrors(2));
        let expected = Faults {
            drop_after_bytes: Some(7),
            local_errors: 2,
            refuse_with: Some(105),
            ..Faults::default()
        };
        assert_eq!(phone.faults(), expected);
        assert_eq!(phone.faults(), Faults::default());
    }
}
