//! Services of other people's that python3-dbusmock plays on a private bus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture of tests fails by panicking"
)]

use futures_util::StreamExt;
use ibak_dbus::BusChoice;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use zbus::export::serde::Serialize;
use zbus::fdo::DBusProxy;
use zbus::{Connection, Variant, zvariant::DynamicType};

const PYTHON: &str = "/usr/bin/python3";
const MOCK: &str = "org.freedesktop.DBus.Mock";
/// How long a mock may take to appear or to answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often something is asked that is not announced.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// logind's name, and the path of its one object.
pub const LOGIND: (&str, &str) = ("org.freedesktop.login1", "/org/freedesktop/login1");
/// NetworkManager's.
pub const NETWORK_MANAGER: (&str, &str) = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
);

/// One such service; it ends when dropped.
#[derive(Debug)]
pub struct Mock {
    process: Child,
    connection: Connection,
    name: &'static str,
    path: &'static str,
}

impl Mock {
    /// Starts a template on the bus at this address; without dbusmock it says aloud that the test
    /// is skipped.
    pub async fn start(
        address: &str,
        template: &str,
        (name, path): (&'static str, &'static str),
    ) -> Option<Self> {
        let there = Command::new(PYTHON)
            .args(["-c", "import dbusmock"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let reason = "python3-dbusmock is not installed (Debian: python3-dbusmock)";
        crate::skip_unless(there.then_some(()), reason)?;
        let connection = BusChoice::Address(address.to_owned())
            .connect()
            .await
            .unwrap();
        let bus = DBusProxy::new(&connection).await.unwrap();
        let mut owners = bus
            .receive_name_owner_changed_with_args(&[(0, name)])
            .await
            .unwrap();
        let process = Command::new(PYTHON)
            .args(["-m", "dbusmock", "--system", "--template", template])
            .env("DBUS_SYSTEM_BUS_ADDRESS", address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mock = Self {
            process,
            connection: connection.clone(),
            name,
            path,
        };
        let appeared = tokio::time::timeout(ANSWER_MAX, owners.next()).await;
        assert!(appeared.is_ok(), "{template} does not appear");
        // The name comes before the objects do.
        mock.until("its object is there", async |mock| {
            let asked = mock.connection.call_method(
                Some(mock.name),
                mock.path,
                Some("org.freedesktop.DBus.Introspectable"),
                "Introspect",
                &(),
            );
            let answer = asked.await.ok()?;
            let text: String = answer.body().deserialize().unwrap();
            text.contains(&format!("\"{}", mock.name)).then_some(())
        })
        .await;
        Some(mock)
    }

    /// Calls a method of the mock's own.
    pub async fn tell<B: Serialize + DynamicType>(&self, method: &str, body: &B) {
        let (name, path) = (Some(self.name), self.path);
        let call = self
            .connection
            .call_method(name, path, Some(MOCK), method, body);
        call.await.unwrap();
    }

    /// Sends a signal with one argument.
    pub async fn signal(&self, interface: &str, name: &str, kind: &str, value: Variant<'_>) {
        self.tell("EmitSignal", &(interface, name, kind, vec![value]))
            .await;
    }

    /// Lists what keeps this computer awake: what, who, mode.
    pub async fn inhibitors(&self) -> Vec<(String, String, String)> {
        let answer = self
            .connection
            .call_method(
                Some(self.name),
                self.path,
                Some("org.freedesktop.login1.Manager"),
                "ListInhibitors",
                &(),
            )
            .await
            .unwrap();
        let rows: Vec<(String, String, String, String, u32, u32)> =
            answer.body().deserialize().unwrap();
        rows.into_iter()
            .map(|(what, who, _, mode, _, _)| (what, who, mode))
            .collect()
    }

    /// Waits until so many of ours keep it awake; logind announces none.
    pub async fn until_inhibitors(&self, count: usize) {
        let what = format!("{count} inhibitors");
        self.until(&what, async |mock| {
            let held = mock.inhibitors().await;
            (held.len() == count).then_some(())
        })
        .await;
    }

    async fn until<T>(&self, what: &str, mut find: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + ANSWER_MAX;
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            if let Some(found) = find(self).await {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "not so: {what}");
            tick.tick().await;
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
