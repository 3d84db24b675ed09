//! The part of a phone the backup service needs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use ibak_sim::backup::crypto::{BackupLock, Costs};
use ibak_sim::backup::{
    BackupHost, BackupMemory, Faults, Interruption, PasscodeAnswer, Phase, Quirks, RestoredContent,
    Standing,
};
use ibak_sim::content::{Content, ContentSpec};
use ibak_sim::{Identity, IosVersion};

/// The part of a phone the backup service needs.
pub struct TestPhone {
    pub identity: Identity,
    pub content: Arc<Mutex<Content>>,
    pub quirks: Quirks,
    pub memory: Arc<Mutex<BackupMemory>>,
    pub passcode: PasscodeAnswer,
    pub faults: Mutex<Faults>,
    pub interruption: Option<(Interruption, tokio::sync::Notify)>,
    pub phases: Mutex<Vec<Phase>>,
    pub phase_times: Mutex<Vec<(Phase, Instant)>>,
    pub silence: Duration,
    pub rate: Option<u64>,
    pub standing: Standing,
    pub applications: Option<Vec<u8>>,
    pub restored: Mutex<Option<RestoredContent>>,
    pub cloud: Mutex<Option<bool>>,
    pub requires_encryption: bool,
    pub password_changes: Mutex<usize>,
}

impl TestPhone {
    pub fn new(ios: &str, spec: &ContentSpec) -> Self {
        let ios: IosVersion = ios.parse().unwrap();
        let identity = Identity::draw(spec.seed, "Ada's iPhone", "iPhone9,1", ios, None);
        let content = Content::generate(spec, &identity);
        Self {
            identity,
            content: Arc::new(Mutex::new(content)),
            quirks: Quirks::default(),
            memory: Arc::default(),
            passcode: PasscodeAnswer::NotAsked,
            faults: Mutex::default(),
            interruption: None,
            phases: Mutex::default(),
            phase_times: Mutex::default(),
            silence: Duration::ZERO,
            rate: None,
            standing: Standing::default(),
            applications: None,
            restored: Mutex::default(),
            cloud: Mutex::default(),
            requires_encryption: false,
            password_changes: Mutex::default(),
        }
    }

    pub fn small(ios: &str) -> Self {
        Self::new(
            ios,
            &ContentSpec {
                seed: 11,
                files: 300,
                bytes: 6 << 20,
                apps: 3,
                largest_file: None,
            },
        )
    }

    /// Gives it a backup password, as another computer would.
    pub fn with_password(self, password: &str) -> Self {
        let costs = self.password_costs();
        let lock = BackupLock::set(password, &costs, &mut rand::rng());
        self.memory.lock().unwrap().relock(Some(lock));
        self
    }

    pub fn change(&self, touch: u64, add: u64, delete: u64) {
        self.content.lock().unwrap().change(touch, add, delete);
    }
}

impl BackupHost for TestPhone {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn content(&self) -> Arc<Mutex<Content>> {
        Arc::clone(&self.content)
    }
    fn quirks(&self) -> &Quirks {
        &self.quirks
    }
    fn memory(&self) -> Arc<Mutex<BackupMemory>> {
        Arc::clone(&self.memory)
    }
    fn passcode_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        Box::pin(std::future::ready(self.passcode))
    }
    fn password_costs(&self) -> Costs {
        Costs { dpic: 40, iter: 20 }
    }
    fn requires_encryption(&self) -> bool {
        self.requires_encryption
    }
    fn password_changed(&self) {
        *self.password_changes.lock().unwrap() += 1;
    }
    fn passcode_set(&self) -> bool {
        true
    }
    fn interrupted(&self) -> BoxFuture<'_, Interruption> {
        Box::pin(async {
            match &self.interruption {
                Some((interruption, when)) => {
                    when.notified().await;
                    *interruption
                }
                None => std::future::pending().await,
            }
        })
    }
    fn faults(&self) -> Faults {
        self.faults.lock().unwrap().clone()
    }
    fn silence(&self) -> Duration {
        self.silence
    }
    fn upload_rate(&self) -> Option<u64> {
        self.rate
    }
    fn standing(&self) -> Standing {
        self.standing
    }
    fn restore_applications(&self) -> Option<Vec<u8>> {
        self.applications.clone()
    }
    fn keep_restored(&self, content: RestoredContent) {
        *self.restored.lock().unwrap() = Some(content);
    }
    fn set_cloud_backup(&self, on: bool) {
        *self.cloud.lock().unwrap() = Some(on);
    }
    fn backup_phase(&self, phase: Phase) {
        self.phases.lock().unwrap().push(phase);
        self.phase_times
            .lock()
            .unwrap()
            .push((phase, Instant::now()));
    }
}

impl TestPhone {
    /// Says how long each phase of the last backup took.
    pub fn durations(&self) -> String {
        let times = std::mem::take(&mut *self.phase_times.lock().unwrap());
        times
            .windows(2)
            .map(|pair| format!("{:?} {:.1?} ", pair[0].0, pair[1].1 - pair[0].1))
            .collect()
    }
}
