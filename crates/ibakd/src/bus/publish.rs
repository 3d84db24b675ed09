//! Tells the bus what changed, in order, without ever making the loop wait.

use super::objects::{Job, Manager, Phone};
use super::wire::Wire;
use super::{Call, Door};
use ibak_core::{JobId, Udid};
use ibak_dbus::{BusChoice, Dict, names};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use zbus::Connection;
use zbus::fdo::{ObjectManager, RequestNameFlags};
use zbus::object_server::SignalEmitter;
use zbus::wire::{OwnedObjectPath, OwnedVariant};

/// Most publications that wait to go out.
const QUEUE_MAX: usize = 64;

/// One step of the picture, what to tell people with it, and what to answer once it can be seen.
pub struct Publication {
    /// The whole picture.
    pub wire: Arc<Wire>,
    /// Attention signals: the phone (`None` = the house), the kind's word, details.
    pub attention: Vec<(Option<Udid>, &'static str, Dict)>,
    /// Answers that must not come before the picture.
    pub answers: Vec<Reply>,
}

/// An answer whose time has come.
pub type Reply = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication")
            .field("wire", &self.wire)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

/// Takes publications from the loop; never waits.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Sender<Publication>,
    waiting: Option<Publication>,
}

impl Publisher {
    /// Hands a publication over; while the bus is slow, newer pictures take the place of older ones.
    pub fn publish(&mut self, publication: Publication) {
        let merged = match self.waiting.take() {
            None => publication,
            Some(mut waiting) => {
                waiting.wire = publication.wire;
                waiting.attention.extend(publication.attention);
                waiting.answers.extend(publication.answers);
                waiting
            }
        };
        match self.queue.try_send(merged) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(merged)) => self.waiting = Some(merged),
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    /// Says whether something waits for a slower bus.
    pub fn behind(&self) -> bool {
        self.waiting.is_some()
    }
}

/// What serving gives back.
#[derive(Debug)]
pub struct Served {
    /// The connection, with the well-known name on it.
    pub connection: Connection,
    /// Where the loop's pictures go.
    pub publisher: Publisher,
    /// Where the clients' calls come from.
    pub calls: mpsc::Receiver<Call>,
    /// Ends when the bus is lost.
    pub lost: oneshot::Receiver<()>,
}

/// Connects, exports the objects of `first` and takes the well-known name last.
///
/// # Errors
/// When the bus cannot be reached, or another daemon has the name.
pub async fn serve(bus: &BusChoice, first: Wire) -> zbus::Result<Served> {
    let (door, calls) = Door::new(Wire {
        phones: Default::default(),
        jobs: Default::default(),
        completed: Default::default(),
        ..first.clone()
    });
    let connection = bus
        .builder()
        .serve_at(names::ROOT_PATH, ObjectManager)
        .serve_at(names::MANAGER_PATH, Manager(Arc::clone(&door)))
        .build()
        .await?;
    let (queue, publications) = mpsc::channel(QUEUE_MAX);
    let (alive, lost) = oneshot::channel();
    let mut shown = Shown {
        connection: connection.clone(),
        door,
    };
    shown
        .step(Publication {
            wire: Arc::new(first),
            attention: Vec::new(),
            answers: Vec::new(),
        })
        .await?;
    // By itself zbus takes a name away from its owner, and lets its own be taken.
    let alone = RequestNameFlags::DO_NOT_QUEUE;
    connection
        .request_name_with_flags(names::BUS_NAME, alone)
        .await?;
    let line = connection.clone();
    tokio::spawn(async move {
        // A lost bus is noticed at once, not when there is next something to tell.
        tokio::select! {
            () = shown.run(publications) => {}
            () = line.closed() => warn!("the bus has closed the connection"),
        }
        drop(alive);
    });
    Ok(Served {
        connection,
        publisher: Publisher {
            queue,
            waiting: None,
        },
        calls,
        lost,
    })
}

/// What the bus has been told so far.
struct Shown {
    connection: Connection,
    door: Arc<Door>,
}

impl Shown {
    async fn run(&mut self, mut publications: mpsc::Receiver<Publication>) {
        while let Some(publication) = publications.recv().await {
            if let Err(error) = self.step(publication).await {
                warn!(%error, "the bus cannot be told what changed");
                if matches!(error, zbus::Error::InputOutput(_)) {
                    return;
                }
            }
        }
    }

    async fn step(&mut self, publication: Publication) -> zbus::Result<()> {
        let old = self.door.wire();
        let new = publication.wire;
        self.door.show(Arc::clone(&new));
        let told = self.tell(&old, &new).await;
        for (phone, kind, details) in publication.attention {
            let path = phone
                .as_ref()
                .map_or_else(names::no_object, names::phone_path);
            let emitter = SignalEmitter::new(&self.connection, names::MANAGER_PATH)?;
            Manager::attention(&emitter, path.into(), kind, details).await?;
        }
        for answer in publication.answers {
            answer();
        }
        told
    }

    async fn tell(&self, old: &Wire, new: &Wire) -> zbus::Result<()> {
        for udid in new
            .phones
            .keys()
            .filter(|udid| !old.phones.contains_key(udid))
        {
            let phone = Phone {
                door: Arc::clone(&self.door),
                udid: udid.clone(),
            };
            self.connection
                .object_server()
                .at(names::phone_path(udid), phone)
                .await?;
        }
        for id in new.jobs.keys().filter(|id| !old.jobs.contains_key(id)) {
            let job = Job {
                door: Arc::clone(&self.door),
                id: *id,
            };
            self.connection
                .object_server()
                .at(names::job_path(*id), job)
                .await?;
        }
        self.changed(
            names::MANAGER_PATH,
            names::MANAGER_INTERFACE,
            new.manager.changes(&old.manager),
        )
        .await?;
        for (id, job) in &new.jobs {
            if let Some(before) = old.jobs.get(id) {
                self.changed(
                    names::job_path(*id).as_str(),
                    names::JOB_INTERFACE,
                    job.changes(before),
                )
                .await?;
            }
            self.complete(*id, old, new).await?;
        }
        for (udid, phone) in &new.phones {
            if let Some(before) = old.phones.get(udid) {
                self.changed(
                    names::phone_path(udid).as_str(),
                    names::PHONE_INTERFACE,
                    phone.changes(before),
                )
                .await?;
            }
        }
        for id in old.jobs.keys().filter(|id| !new.jobs.contains_key(id)) {
            self.connection
                .object_server()
                .remove::<Job, _>(names::job_path(*id))
                .await?;
        }
        for udid in old
            .phones
            .keys()
            .filter(|udid| !new.phones.contains_key(udid))
        {
            self.connection
                .object_server()
                .remove::<Phone, _>(names::phone_path(udid))
                .await?;
        }
        Ok(())
    }

    async fn complete(&self, id: JobId, old: &Wire, new: &Wire) -> zbus::Result<()> {
        let (None, Some(details), Some(job)) = (
            old.completed.get(&id),
            new.completed.get(&id),
            new.jobs.get(&id),
        ) else {
            return Ok(());
        };
        let emitter = SignalEmitter::new(&self.connection, names::job_path(id))?;
        Job::completed(&emitter, &job.result, details.clone()).await
    }

    /// Sends one `PropertiesChanged` for the whole group.
    async fn changed(
        &self,
        path: &str,
        interface: &str,
        changes: HashMap<&'static str, OwnedVariant>,
    ) -> zbus::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let path = OwnedObjectPath::try_from(path.to_owned())?;
        let body = (interface, changes, Vec::<&str>::new());
        let nobody = None::<zbus::names::BusName<'_>>;
        self.connection
            .emit_signal(
                nobody,
                path,
                "org.freedesktop.DBus.Properties",
                "PropertiesChanged",
                &body,
            )
            .await
    }
}
