//! The mock daemon's phone.

use super::objects::{Shared, micros, start};
use ibak_dbus::views::{
    AttemptView, BackupView, ObservationView, PhoneView, PolicyView, conditions_to_dicts,
};
use ibak_dbus::words::{JobKind, PolicySource};
use ibak_dbus::{Dict, Dicts, Error, Udid, check_options, names};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use zbus::wire::{OwnedFd as Fd, OwnedObjectPath};
use zbus::{Connection, interface};

/// Reads a secret to its end, as the daemon does.
fn read_secret(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

impl Shared {
    /// Writes the scripted stream, on a thread of its own: whoever reads it may be slow or gone.
    fn pour(self: &Arc<Self>, out: OwnedFd) {
        let (stream, hold) = {
            let script = self.script();
            (script.stream.clone(), script.hold)
        };
        let shared = self.clone();
        std::thread::spawn(move || {
            let mut out = File::from(out);
            let whole = out.write_all(&stream).is_ok();
            if hold && whole {
                shared.held.lock().unwrap().push(out.into());
            }
        });
    }
}

pub(crate) struct Phone(pub(crate) Arc<Shared>, pub(crate) Udid);

impl Phone {
    fn view(&self) -> PhoneView {
        self.0
            .script()
            .phones
            .iter()
            .find(|phone| phone.udid == self.1)
            .unwrap()
            .clone()
    }
}

#[interface(name = "org.ibak.Ibak1.Phone")]
impl Phone {
    #[zbus(property(emits_changed_signal = "const"))]
    fn udid(&self) -> String {
        self.1.to_string()
    }
    #[zbus(property)]
    fn name(&self) -> String {
        self.view().name
    }
    #[zbus(property)]
    fn product_type(&self) -> String {
        self.view().product_type
    }
    #[zbus(property)]
    fn os_version(&self) -> String {
        self.view().os_version
    }
    #[zbus(property)]
    fn state(&self) -> String {
        self.view().state.to_string()
    }
    #[zbus(property)]
    fn transports(&self) -> Vec<String> {
        self.view()
            .transports
            .iter()
            .map(ToString::to_string)
            .collect()
    }
    #[zbus(property)]
    fn trust(&self) -> String {
        self.view().trust.to_string()
    }
    #[zbus(property)]
    fn automatic(&self) -> bool {
        self.view().automatic
    }
    #[zbus(property)]
    fn conditions(&self) -> Dicts {
        conditions_to_dicts(&self.view().conditions)
    }
    #[zbus(property)]
    fn encryption(&self) -> String {
        self.view().encryption.to_string()
    }
    #[zbus(property)]
    fn passcode(&self) -> String {
        self.view().passcode.to_string()
    }
    #[zbus(property, name = "ICloudBackup")]
    fn icloud_backup(&self) -> String {
        self.view().icloud_backup.to_string()
    }
    #[zbus(property)]
    fn next_attempt(&self) -> u64 {
        micros(self.view().next_attempt)
    }
    #[zbus(property)]
    fn waits_for(&self) -> Vec<String> {
        self.view()
            .waits_for
            .iter()
            .map(ToString::to_string)
            .collect()
    }
    #[zbus(property)]
    fn last_seen(&self) -> u64 {
        micros(self.view().last_seen)
    }
    #[zbus(property)]
    fn last_backup(&self) -> u64 {
        micros(self.view().last_backup)
    }
    #[zbus(property)]
    fn last_result(&self) -> String {
        self.view()
            .last_result
            .map_or_else(String::new, |result| result.to_string())
    }
    #[zbus(property)]
    fn encryption_required(&self) -> bool {
        self.view().encryption_required
    }
    #[zbus(property)]
    fn password_checked(&self) -> u64 {
        micros(self.view().password_checked)
    }
    #[zbus(property)]
    fn password_check_due(&self) -> bool {
        self.view().password_check_due
    }

    #[zbus(property, name = "LastICloudBackup")]
    fn last_icloud_backup(&self) -> u64 {
        micros(self.view().last_icloud_backup)
    }

    #[zbus(property)]
    fn staged_bytes(&self) -> u64 {
        self.view().staged.get()
    }
    #[zbus(property)]
    fn overdue(&self) -> bool {
        self.view().overdue
    }
    #[zbus(property)]
    fn current_job(&self) -> OwnedObjectPath {
        self.view()
            .current_job
            .map_or_else(names::no_object, names::job_path)
    }
    async fn backup(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let checked = check_options(&options, &["when-ready", "full"])?;
        self.0.called(format!(
            "backup when-ready={} full={}",
            checked.flag("when-ready")?,
            checked.flag("full")?
        ))?;
        Ok(start(&self.0, connection, JobKind::Backup, Some(&self.1)).await)
    }
    #[zbus(property)]
    fn used_bytes(&self) -> u64 {
        self.view().used.get()
    }
    #[zbus(property)]
    fn quota_bytes(&self) -> u64 {
        self.view().quota.map_or(0, ibak_dbus::Bytes::get)
    }
    #[zbus(property)]
    fn notify_channels(&self) -> Vec<String> {
        self.view().notify
    }
    #[zbus(property)]
    fn retired(&self) -> bool {
        self.view().retired
    }
    fn remove_backup(&self, id: &str, options: Dict) -> Result<(), Error> {
        let checked = check_options(&options, &["pinned"])?;
        self.0
            .called(format!("remove {id} pinned={}", checked.flag("pinned")?))
    }
    fn pin_backup(&self, id: &str, pinned: bool, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("pin {id} {pinned}"))
    }
    async fn verify_backup(
        &self,
        id: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        check_options(&options, &[])?;
        self.0.called(format!("verify {id}"))?;
        Ok(start(&self.0, connection, JobKind::Verify, Some(&self.1)).await)
    }
    fn set_quota(&self, bytes: u64, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("set-quota {bytes}"))
    }
    fn retire(&self, retired: bool, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("retire {retired}"))
    }
    fn forget(&self, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called("forget".into())
    }
    fn set_automatic(&self, on: bool, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("set-automatic {on}"))
    }
    fn get_policy(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        let script = self.0.script();
        Ok(script.policy.iter().map(PolicyView::to_dict).collect())
    }
    fn set_policy(&self, key: &str, value: &str, options: Dict) -> Result<(), Error> {
        let also = check_options(&options, &["also"])?.texts("also")?;
        self.0
            .called(format!("set-policy {key}={value} {also:?}"))?;
        let changes = also
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in changes.chain([(key, value)]) {
            let mut script = self.0.script();
            let row = script.policy.iter_mut().find(|row| row.key == key).unwrap();
            (row.value, row.source) = match value {
                "" => (row.default.clone(), PolicySource::Default),
                value => (value.to_owned(), PolicySource::Set),
            };
        }
        Ok(())
    }
    fn list_backups(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &["frees", "explain"])?;
        Ok(self
            .0
            .script()
            .backups
            .iter()
            .map(BackupView::to_dict)
            .collect())
    }
    async fn restore(
        &self,
        id: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let checked = check_options(
            &options,
            &[
                "source",
                "password",
                "dry-run",
                "keep-settings",
                "remove-others",
                "no-reboot",
            ],
        )?;
        let mut call = format!(
            "restore {id} source={:?} password={:?}",
            checked.text("source")?.unwrap_or_default(),
            checked.fd("password")?.map(read_secret)
        );
        for flag in ["dry-run", "keep-settings", "remove-others", "no-reboot"] {
            if checked.flag(flag)? {
                call.push_str(&format!(" {flag}"));
            }
        }
        self.0.called(call)?;
        Ok(start(&self.0, connection, JobKind::Restore, Some(&self.1)).await)
    }
    async fn set_encryption(
        &self,
        old: Fd,
        new: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        check_options(&options, &[])?;
        let (old, new) = (read_secret(old.into()), read_secret(new.into()));
        self.0.called(format!("set-encryption {old:?} {new:?}"))?;
        Ok(start(&self.0, connection, JobKind::Encryption, Some(&self.1)).await)
    }
    #[zbus(name = "SetICloudBackup")]
    fn set_icloud_backup(&self, on: bool, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("set-icloud-backup {on}"))
    }
    async fn check_password(
        &self,
        id: &str,
        password: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        check_options(&options, &[])?;
        let password = read_secret(password.into());
        self.0.called(format!("check-password {id} {password:?}"))?;
        Ok(start(&self.0, connection, JobKind::CheckPassword, Some(&self.1)).await)
    }
    fn unpair(&self, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called("unpair".into())
    }
    fn list_files(&self, id: &str, out: Fd, options: Dict) -> Result<(), Error> {
        let checked = check_options(&options, &["password", "domain", "path"])?;
        self.0.called(format!(
            "list-files {id} password={:?} domain={:?} path={:?}",
            checked.fd("password")?.map(read_secret),
            checked.text("domain")?,
            checked.text("path")?
        ))?;
        self.0.pour(out.into());
        Ok(())
    }
    async fn read_files(
        &self,
        id: &str,
        selection: Vec<String>,
        out: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let checked = check_options(&options, &["password", "raw"])?;
        self.0.called(format!(
            "read-files {id} {selection:?} password={:?} raw={}",
            checked.fd("password")?.map(read_secret),
            checked.flag("raw")?
        ))?;
        self.0.pour(out.into());
        Ok(start(&self.0, connection, JobKind::Read, Some(&self.1)).await)
    }
    async fn save_purchases(
        &self,
        out: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let checked = check_options(&options, &["have"])?;
        self.0
            .called(format!("save-purchases {:?}", checked.numbers("have")?))?;
        self.0.pour(out.into());
        Ok(start(&self.0, connection, JobKind::Purchases, Some(&self.1)).await)
    }
    fn list_observations(&self, since: u64, until: u64, options: Dict) -> Result<Vec<Dict>, Error> {
        let quiet = check_options(&options, &[])?.no_user_interaction();
        let mut script = self.0.script();
        let rows = script.observations.clone();
        let rows = rows.ok_or_else(|| Error::NotAuthorized("not yours".into()))?;
        let (since, until) = (since / 1_000_000, until / 1_000_000);
        script
            .calls
            .push(format!("observations {since} {until} quiet={quiet}"));
        Ok(rows.iter().map(ObservationView::to_dict).collect())
    }
    fn list_attempts(&self, _since: u64, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        Ok(self
            .0
            .script()
            .attempts
            .iter()
            .map(AttemptView::to_dict)
            .collect())
    }
}
