//! The connection to the daemon.

use crate::failure::{Exit, Failure};
use crate::render::StatusView;
use ibak_dbus::views::{ManagerView, PhoneView};
use ibak_dbus::{BUS_VARIABLE, BusChoice, Dict, JobProxy, ManagerProxy, Mirror, PhoneProxy, names};
use std::time::Duration;
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// Is how long the bus may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);

/// A connection and the mirror on it.
pub(crate) struct Session {
    connection: Connection,
    pub(crate) mirror: Mirror,
}

/// Returns the bus the environment chooses.
pub(crate) fn bus() -> BusChoice {
    BusChoice::parse(std::env::var(BUS_VARIABLE).ok().as_deref())
}

/// Connects to the bus.
pub(crate) async fn connect(bus: &BusChoice) -> Result<Connection, Failure> {
    let unreachable = |why: String| {
        Failure::new(Exit::NoDaemon, format!("cannot reach the bus ({bus})"))
            .because(why)
            .hint("see whether D-Bus runs, and what IBAK_BUS says")
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, bus.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!(
            "no answer within {} s",
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

impl Session {
    /// Connects, and learns everything the daemon shows.
    pub(crate) async fn open() -> Result<Self, Failure> {
        let connection = connect(&bus()).await?;
        let mirror = Mirror::open(&connection)
            .await
            .map_err(|error| Failure::of_mirror(&error))?;
        Ok(Self { connection, mirror })
    }

    /// Opens a session on a connection that is there already.
    pub(crate) async fn on(connection: Connection) -> Result<Self, Failure> {
        let mirror = Mirror::open(&connection)
            .await
            .map_err(|error| Failure::of_mirror(&error))?;
        Ok(Self { connection, mirror })
    }

    pub(crate) fn status(&self) -> Result<StatusView, Failure> {
        let state = self.mirror.state();
        let manager: ManagerView = state.manager().ok_or_else(Failure::no_daemon)?;
        Ok(StatusView {
            manager,
            phones: state.phones(),
            jobs: state.jobs(),
        })
    }

    pub(crate) fn phones(&self) -> Vec<PhoneView> {
        self.mirror.state().phones()
    }

    pub(crate) async fn manager(&self) -> Result<ManagerProxy<'static>, Failure> {
        ManagerProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| Failure::of_bus("cannot reach the daemon", &error))
    }

    pub(crate) async fn phone(&self, phone: &PhoneView) -> Result<PhoneProxy<'static>, Failure> {
        PhoneProxy::builder(&self.connection)
            .path(names::phone_path(&phone.udid))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| Failure::of_bus("cannot reach the daemon", &error))
    }

    pub(crate) async fn job(&self, job: ibak_dbus::JobId) -> Result<JobProxy<'static>, Failure> {
        JobProxy::builder(&self.connection)
            .path(names::job_path(job))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| Failure::of_bus("cannot reach the daemon", &error))
    }
}

/// Makes options of flags that are set.
pub(crate) fn options(flags: &[(&str, bool)]) -> Dict {
    flags
        .iter()
        .filter(|(_, set)| *set)
        .map(|(key, _)| ((*key).to_owned(), true.into()))
        .collect()
}
