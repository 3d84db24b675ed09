//! The mock daemon's objects: the contract's interfaces over scripted state.

use super::fixtures;
use super::mock::{Script, Step};
use ibak_dbus::views::{CheckView, JobView, ManagerView, StorageView};
use ibak_dbus::words::{JobKind, JobState, Outcome, StorageState};
use ibak_dbus::{Dict, Error, JobId, Udid, Wall, check_options, names};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use zbus::wire::{OwnedFd as Fd, OwnedObjectPath, OwnedVariant, Variant};
use zbus::{Connection, interface};

/// What all objects of the mock daemon look into.
pub(crate) struct Shared {
    pub(crate) manager: Mutex<ManagerView>,
    pub(crate) script: Mutex<Script>,
    pub(crate) gate: Notify,
    /// Pipes that the daemon keeps open.
    pub(crate) held: Mutex<Vec<OwnedFd>>,
}

impl Shared {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Writes a call down, and refuses it if the script says so.
    pub(crate) fn called(&self, call: String) -> Result<(), Error> {
        let mut script = self.script();
        script.calls.push(call);
        script.refuse.map_or(Ok(()), |refuse| Err(refuse()))
    }
}

pub(crate) fn micros(time: Option<Wall>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap())
}

pub(crate) struct Manager(pub(crate) Arc<Shared>);

impl Manager {
    fn view(&self) -> ManagerView {
        self.0.manager.lock().unwrap().clone()
    }

    /// Uses the store that the configuration names, and tells what it is like.
    async fn take_up_store(&self, connection: &Connection) {
        let Ok(text) = std::fs::read_to_string(self.view().config_path) else {
            return;
        };
        let read: toml_edit::DocumentMut = text.parse().unwrap();
        let store = read["store"].as_str().unwrap().to_owned();
        let Some(look) = self.0.script().look else {
            return;
        };
        let state = look(&store);
        {
            let mut manager = self.0.manager.lock().unwrap();
            manager.store_path.clone_from(&store);
            manager.storage_state = state.clone();
        }
        let text = |text: &str| Variant::from(text.to_owned()).try_into_owned().unwrap();
        let path = OwnedObjectPath::try_from(names::MANAGER_PATH).unwrap();
        // First the place alone, as long as nobody has looked there.
        for (state, store) in [(&StorageState::Unknown, &store), (&state, &store)] {
            let changed = HashMap::from([
                ("StorageState".to_owned(), text(state.as_str())),
                ("StorePath".to_owned(), text(store)),
            ]);
            tell(connection, &path, names::MANAGER_INTERFACE, changed).await;
        }
    }
}

#[interface(name = "org.ibak.Ibak1.Manager")]
impl Manager {
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.view().version
    }
    #[zbus(property)]
    fn mode(&self) -> String {
        self.view().mode.to_string()
    }
    #[zbus(property)]
    fn paused_until(&self) -> u64 {
        micros(self.view().paused_until)
    }
    #[zbus(property)]
    fn storage_state(&self) -> String {
        self.view().storage_state.to_string()
    }
    #[zbus(property)]
    fn storage_free_bytes(&self) -> u64 {
        self.view().storage_free.get()
    }
    #[zbus(property)]
    fn storage_used_bytes(&self) -> u64 {
        self.view().storage_used.get()
    }
    #[zbus(property)]
    fn quota_bytes(&self) -> u64 {
        self.view().quota.map_or(0, ibak_dbus::Bytes::get)
    }
    #[zbus(property)]
    fn notify_channels(&self) -> Vec<String> {
        self.view().notify
    }
    fn test_notification(
        &self,
        phone: zbus::wire::ObjectPath<'_>,
        options: Dict,
    ) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("test-notification {phone}"))
    }
    fn pause(&self, until: u64, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("pause {until}"))
    }
    fn resume(&self, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called("resume".into())
    }
    #[zbus(property)]
    fn store_path(&self) -> String {
        self.view().store_path
    }
    #[zbus(property)]
    fn config_path(&self) -> String {
        self.view().config_path
    }
    async fn reload(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called("reload".into())?;
        self.take_up_store(connection).await;
        Ok(())
    }
    fn list_storage(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        let script = self.0.script();
        Ok(script.storage.iter().map(StorageView::to_dict).collect())
    }
    async fn adopt(
        &self,
        udid: &str,
        input: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let size = check_options(&options, &["size"])?.number("size")?;
        self.0.called(format!("adopt {udid} {}", size.unwrap()))?;
        let phone = Udid::parse(udid).map_err(|error| Error::Failed(error.to_string()))?;
        let shared = self.0.clone();
        let input = OwnedFd::from(input);
        let hold = self.0.script().hold;
        if hold {
            shared.held.lock().unwrap().push(input);
            return Ok(start(&self.0, connection, JobKind::Adopt, Some(&phone)).await);
        }
        std::thread::spawn(move || {
            let mut poured = Vec::new();
            File::from(input).read_to_end(&mut poured).unwrap();
            shared.script().poured = Some(poured);
            shared.gate.notify_one();
        });
        Ok(start(&self.0, connection, JobKind::Adopt, Some(&phone)).await)
    }
    fn replace(&self, old: &str, new: &str, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("replace {old} {new}"))
    }
    async fn move_store(
        &self,
        target: Fd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        check_options(&options, &[])?;
        let flags = rustix::fs::fcntl_getfl(target.as_fd()).unwrap();
        let wanted = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        assert!(flags.contains(wanted), "{flags:?}");
        let path = rustix::fs::readlink(
            format!(
                "/proc/self/fd/{}",
                std::os::fd::AsRawFd::as_raw_fd(&target.as_fd())
            ),
            Vec::new(),
        );
        self.0
            .called(format!("move-store {}", path.unwrap().to_string_lossy()))?;
        Ok(start(&self.0, connection, JobKind::MoveStore, None).await)
    }
    async fn pair(
        &self,
        udid: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        check_options(&options, &[])?;
        self.0.called(format!("pair {udid}"))?;
        let phone = Udid::parse(udid).map_err(|error| Error::Failed(error.to_string()))?;
        Ok(start(&self.0, connection, JobKind::Pair, Some(&phone)).await)
    }
    fn diagnose(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        self.0.called("diagnose".into())?;
        Ok(self
            .0
            .script()
            .checks
            .iter()
            .map(CheckView::to_dict)
            .collect())
    }
}

struct Job(Arc<Shared>, Arc<Mutex<JobView>>);

impl Job {
    fn view(&self) -> JobView {
        self.1.lock().unwrap().clone()
    }
}

#[interface(name = "org.ibak.Ibak1.Job")]
impl Job {
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        self.view().kind.to_string()
    }
    #[zbus(property(emits_changed_signal = "const"))]
    fn phone(&self) -> OwnedObjectPath {
        self.view()
            .phone
            .map_or_else(names::no_object, |udid| names::phone_path(&udid))
    }
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> u64 {
        micros(self.view().started)
    }
    #[zbus(property)]
    fn state(&self) -> String {
        self.view().state.to_string()
    }
    #[zbus(property)]
    fn phase(&self) -> String {
        self.view().phase.to_string()
    }
    fn cancel(&self, options: Dict) -> Result<(), Error> {
        check_options(&options, &[])?;
        self.0.called(format!("cancel {}", self.view().id))
    }
}

/// The properties of a job that change, as one signal carries them.
fn changing(job: &JobView) -> HashMap<String, OwnedVariant> {
    let text = |text: &str| Variant::from(text.to_owned()).try_into_owned().unwrap();
    HashMap::from([
        ("State".to_owned(), text(job.state.as_str())),
        ("Phase".to_owned(), text(job.phase.as_str())),
        ("Progress".to_owned(), job.progress.unwrap_or(0.0).into()),
        ("ProgressValid".to_owned(), job.progress.is_some().into()),
        ("BytesDone".to_owned(), job.bytes_done.get().into()),
        (
            "BytesTotal".to_owned(),
            job.bytes_total.map_or(0, ibak_dbus::Bytes::get).into(),
        ),
        (
            "Rate".to_owned(),
            job.rate.map_or(0, ibak_dbus::Bytes::get).into(),
        ),
        (
            "ExpectedEndTime".to_owned(),
            micros(job.expected_end).into(),
        ),
        (
            "Result".to_owned(),
            text(job.result.as_ref().map_or("", Outcome::as_str)),
        ),
    ])
}

/// Sends `PropertiesChanged`.
pub(crate) async fn tell(
    connection: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
    changed: HashMap<String, OwnedVariant>,
) {
    connection
        .emit_signal(
            None::<&str>,
            path,
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &(interface, changed, Vec::<String>::new()),
        )
        .await
        .unwrap();
}

/// Adds a job object and lets it play its script in a task.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    connection: &Connection,
    kind: JobKind,
    phone: Option<&Udid>,
) -> OwnedObjectPath {
    let (id, steps) = {
        let mut script = shared.script();
        script.jobs += 1;
        let steps = script.queue.pop_front().unwrap_or(script.steps.clone());
        (JobId::new(100 + script.jobs), steps)
    };
    let view = JobView {
        id,
        kind,
        phone: phone.cloned(),
        ..fixtures::job()
    };
    let state = Arc::new(Mutex::new(view));
    let path = names::job_path(id);
    connection
        .object_server()
        .at(&path, Job(shared.clone(), state.clone()))
        .await
        .unwrap();
    tokio::spawn(play(
        shared.clone(),
        connection.clone(),
        path.clone(),
        state,
        steps,
    ));
    path
}

async fn play(
    shared: Arc<Shared>,
    connection: Connection,
    path: OwnedObjectPath,
    state: Arc<Mutex<JobView>>,
    steps: Vec<Step>,
) {
    for step in steps {
        match step {
            Step::Gate => shared.gate.notified().await,
            Step::Refuse(refuse) => shared.script().refuse = Some(refuse),
            Step::Show(view) => {
                let view = {
                    let mut state = state.lock().unwrap();
                    *state = JobView {
                        id: state.id,
                        kind: state.kind.clone(),
                        phone: state.phone.clone(),
                        ..view
                    };
                    state.clone()
                };
                tell(&connection, &path, names::JOB_INTERFACE, changing(&view)).await;
            }
            Step::End(result, details) => {
                let view = {
                    let mut state = state.lock().unwrap();
                    state.state = if result == Outcome::Succeeded {
                        JobState::Succeeded
                    } else {
                        JobState::Failed
                    };
                    state.result = Some(result.clone());
                    state.clone()
                };
                tell(&connection, &path, names::JOB_INTERFACE, changing(&view)).await;
                connection
                    .emit_signal(
                        None::<&str>,
                        &path,
                        names::JOB_INTERFACE,
                        "Completed",
                        &(result.as_str(), details.to_dict()),
                    )
                    .await
                    .unwrap();
            }
            Step::Vanish(result) => {
                let phone = state.lock().unwrap().phone.clone().unwrap();
                vanish(&shared, &connection, &path, &phone, &result).await;
            }
        }
    }
}

/// Takes a job away; its phone remembers how it ended.
async fn vanish(
    shared: &Shared,
    connection: &Connection,
    path: &OwnedObjectPath,
    phone: &Udid,
    result: &Outcome,
) {
    shared
        .script()
        .phones
        .iter_mut()
        .find(|view| view.udid == *phone)
        .unwrap()
        .last_result = Some(result.clone());
    let word = Variant::from(result.to_string()).try_into_owned().unwrap();
    tell(
        connection,
        &names::phone_path(phone),
        names::PHONE_INTERFACE,
        HashMap::from([("LastResult".to_owned(), word)]),
    )
    .await;
    connection
        .object_server()
        .remove::<Job, _>(path)
        .await
        .unwrap();
}
