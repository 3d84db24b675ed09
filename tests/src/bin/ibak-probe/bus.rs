//! The bus as the daemon uses it: owning the name, an inhibitor, descriptors, polkit.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zbus::message::Header;
use zbus::{Connection, fdo};
use zbus::{OwnedFd, Variant};

/// The daemon's name.
pub(crate) const NAME: &str = "org.ibak.Ibak1";
const PATH: &str = "/org/ibak/Ibak1/Probe";
/// How long a call may take, in all.
const CALL_MAX: Duration = Duration::from_secs(10);

struct Probe;

#[zbus::interface(name = "org.ibak.Ibak1.Probe")]
impl Probe {
    /// Reads a pipe to its end and returns what came.
    async fn read_fd(&self, source: OwnedFd) -> fdo::Result<String> {
        let read = move || {
            let mut text = String::new();
            std::fs::File::from(std::os::fd::OwnedFd::from(source))
                .read_to_string(&mut text)
                .map(|_| text)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| fdo::Error::Failed(error.to_string()))?
            .map_err(|error| fdo::Error::IOError(error.to_string()))
    }

    /// Says what polkit says about the caller and an action of ours.
    async fn may(
        &self,
        action: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<bool> {
        let sender = header
            .sender()
            .ok_or_else(|| fdo::Error::Failed("a call without a sender".to_owned()))?;
        let subject = (
            "system-bus-name",
            HashMap::from([("name", Variant::from(sender.as_str()))]),
        );
        let question = (
            subject,
            format!("{NAME}.{action}"),
            HashMap::<&str, &str>::new(),
            0_u32,
            "",
        );
        let answer = connection
            .call_method(
                Some("org.freedesktop.PolicyKit1"),
                "/org/freedesktop/PolicyKit1/Authority",
                Some("org.freedesktop.PolicyKit1.Authority"),
                "CheckAuthorization",
                &question,
            )
            .await
            .map_err(|error| fdo::Error::Failed(format!("polkit: {error}")))?;
        let ((authorised, _challenge, _details),): ((bool, bool, HashMap<String, String>),) =
            answer
                .body()
                .deserialize()
                .map_err(|error| fdo::Error::Failed(format!("polkit: {error}")))?;
        Ok(authorised)
    }
}

/// Connects to the system bus and takes the daemon's name.
pub(crate) async fn own_name() -> Result<Connection> {
    let build = zbus::connection::Builder::system()
        .method_timeout(CALL_MAX)
        .serve_at(PATH, Probe)
        .name(NAME)
        .build();
    tokio::time::timeout(CALL_MAX, build)
        .await
        .context("the bus did not answer in time")?
        .context("cannot own the name")
}

/// Holds the machine awake for as long as the returned descriptor would live, and sees itself in
/// logind's list.
pub(crate) async fn inhibit_sleep(connection: &Connection) -> Result<String> {
    let manager = zbus::Proxy::new(
        connection,
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
    )
    .await?;
    let hold: OwnedFd = manager
        .call(
            "Inhibit",
            &("sleep", "ibak", "Backing up Ada's iPhone", "block"),
        )
        .await
        .context("logind refused")?;
    let holders: Vec<(String, String, String, String, u32, u32)> =
        manager.call("ListInhibitors", &()).await?;
    let ours = holders.iter().any(|(what, who, _, mode, _, pid)| {
        (what.as_str(), who.as_str(), mode.as_str()) == ("sleep", "ibak", "block")
            && *pid == std::process::id()
    });
    ensure!(ours, "logind lists {holders:?}");
    drop(hold);
    Ok("sleep held and let go".to_owned())
}

/// Hands the service the reading end of a pipe; returns what it read there.
pub(crate) async fn give_fd(text: &str) -> Result<String> {
    let connection = Connection::system().await.context("cannot reach the bus")?;
    let (reader, mut writer) = std::io::pipe().context("cannot make a pipe")?;
    writer.write_all(text.as_bytes())?;
    drop(writer);
    let reader = OwnedFd::from(std::os::fd::OwnedFd::from(reader));
    let answer = connection
        .call_method(
            Some(NAME),
            PATH,
            Some("org.ibak.Ibak1.Probe"),
            "ReadFd",
            &reader,
        )
        .await?;
    Ok(answer.body().deserialize::<String>()?)
}
