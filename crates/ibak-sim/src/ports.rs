//! Service ports: a new one for each StartService, good for one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use rustls::server::ServerConfig;

use crate::phone::locked;
use crate::profile::LOCKDOWN_PORT;

/// How long a started service waits for its connection, in seconds.
pub(crate) const SERVICE_WAIT_MAX: Duration = Duration::from_secs(60);

/// A started service that waits for its connection.
pub(crate) struct Waiting {
    /// The service's name.
    pub(crate) service: String,
    /// How the connection is encrypted; plain when `None`.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    since: Instant,
}

impl Waiting {
    pub(crate) fn new(service: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            service: service.to_owned(),
            tls,
            since: Instant::now(),
        }
    }
}

/// The ports of the services that wait, reached through usbmuxd.
#[derive(Default)]
pub(crate) struct Ports(Mutex<HashMap<u16, Waiting>>);

impl Ports {
    /// Opens a port for a service.
    pub(crate) fn open(&self, waiting: Waiting) -> u16 {
        let mut ports = locked(&self.0);
        ports.retain(|_, other| other.since.elapsed() < SERVICE_WAIT_MAX);
        let mut port = draw();
        while ports.contains_key(&port) {
            port = draw();
        }
        ports.insert(port, waiting);
        port
    }

    /// Takes the service behind a port; it is connected to once.
    pub(crate) fn take(&self, port: u16) -> Option<Waiting> {
        locked(&self.0)
            .remove(&port)
            .filter(|waiting| waiting.since.elapsed() < SERVICE_WAIT_MAX)
    }

    /// Closes every port.
    pub(crate) fn close(&self) {
        locked(&self.0).clear();
    }
}

/// Draws a port in the range real phones use (corpus: 49xxx to 65xxx); lockdown's own lies in it.
pub(crate) fn draw() -> u16 {
    let mut rng = rand::rng();
    loop {
        let port = rng.random_range(49_152..=65_535);
        if port != LOCKDOWN_PORT {
            return port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_new_each_time_and_good_for_one_connection() {
        let ports = Ports::default();
        let one = ports.open(Waiting::new("com.apple.afc", None));
        let two = ports.open(Waiting::new("com.apple.afc", None));
        assert_ne!(one, two);
        assert_eq!(ports.take(one).unwrap().service, "com.apple.afc");
        assert!(ports.take(one).is_none());
        ports.close();
        assert!(ports.take(two).is_none());
    }
}
