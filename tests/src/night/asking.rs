//! What a client asks of the daemon.

use super::{Night, PATIENCE};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use ibak_core::{JobId, Udid};
use ibak_dbus::views::{AttemptView, BackupView};
use ibak_dbus::words::Outcome;
use ibak_dbus::{Dict, Error, JobProxy, ManagerProxy, PhoneProxy, names};
use std::pin::pin;
use tokio::time::{Instant, timeout_at};
use zbus::wire::OwnedVariant;

impl Night {
    /// Asks for a backup with these flags set.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn back_up(&mut self, phone: usize, flags: &[&str]) -> Result<JobId, Error> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let options: Dict = flags
            .iter()
            .map(|flag| ((*flag).to_owned(), true.into()))
            .collect();
        let path = self
            .drive(async move { proxy.backup(options).await })
            .await?;
        Ok(names::job_of(path.as_str()).expect("the path of a job"))
    }

    /// Asks for a backup with these flags set and waits for its end.
    pub async fn back_up_now(&mut self, phone: usize, flags: &[&str]) -> Outcome {
        let job = self.back_up(phone, flags).await.unwrap();
        self.ended(job).await
    }

    /// Calls a job off.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn cancel(&mut self, job: JobId) -> Result<(), Error> {
        let built = JobProxy::builder(&self.connection)
            .path(names::job_path(job))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        let proxy = built.unwrap();
        self.drive(async move { proxy.cancel(Dict::new()).await })
            .await
    }

    /// Lists a phone's backups, oldest first.
    pub async fn backups(&mut self, phone: usize) -> Vec<BackupView> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let rows = self
            .drive(async move { proxy.list_backups(Dict::new()).await })
            .await
            .unwrap();
        rows.iter()
            .map(|row| BackupView::from_dict(row).unwrap())
            .collect()
    }

    /// Lists a phone's attempts, oldest first.
    pub async fn attempts(&mut self, phone: usize) -> Vec<AttemptView> {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let rows = self
            .drive(async move { proxy.list_attempts(0, Dict::new()).await })
            .await
            .unwrap();
        rows.iter().map(AttemptView::from_dict).collect()
    }

    /// Returns the Manager's methods; call them through [`Night::drive`].
    pub async fn manager(&self) -> ManagerProxy<'static> {
        let built = ManagerProxy::builder(&self.connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        built.unwrap()
    }

    /// Returns a Phone's methods; call them through [`Night::drive`].
    pub async fn phone_proxy(&self, udid: &Udid) -> PhoneProxy<'static> {
        let built = PhoneProxy::builder(&self.connection)
            .path(names::phone_path(udid))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        built.unwrap()
    }

    /// Looks at a phone's conditions, as `ibakctl why` does: they are read anew for that.
    pub async fn look_at(&mut self, phone: usize) {
        let proxy = self.phone_proxy(&self.udid(phone)).await;
        let looked = self.drive(async move {
            let conditions = proxy.inner().get_property::<OwnedVariant>("Conditions");
            conditions.await.map(drop)
        });
        looked.await.unwrap();
    }

    /// Runs a call while the client goes on listening: its queue must not fill.
    pub async fn drive<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(timeout_at(Instant::now() + PATIENCE, call));
        let answer = loop {
            let event = match select(call.as_mut(), pin!(self.mirror.next())).await {
                Either::Left((answer, _)) => break answer,
                Either::Right((event, _)) => event,
            };
            self.take(event);
        };
        // What the daemon told before it answered is seen before the answer is.
        while let Some(event) = self.mirror.next().now_or_never() {
            self.take(event);
        }
        answer.unwrap_or_else(|_| panic!("no answer{}", self.picture()))
    }
}
