//! com.apple.mobile.notification_proxy: relays what the host observes, posts what it posts.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::sync::broadcast::error::RecvError;

use super::observed::Ears;
use crate::hostile::Place;
use crate::phone::Phone;
use crate::wire::{self, BoxIo, dict};

pub(super) async fn serve(stream: BoxIo, phone: Arc<Phone>) -> io::Result<()> {
    let mut posts = phone.listen();
    let mut ears = Ears::new(Arc::clone(&phone));
    if let Some(script) = phone
        .attack()
        .and_then(|attack| attack.script(Place::Notices))
    {
        script.act(stream).await;
        return Ok(());
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Reading a message is not cancel safe, so a task of its own does it.
    let (commands, mut received) = tokio::sync::mpsc::channel::<Dictionary>(16);
    let reading = async move {
        while let Some(message) = wire::read_dict(&mut reader).await? {
            if commands.send(message).await.is_err() {
                break;
            }
        }
        io::Result::Ok(())
    };
    let talking = async {
        loop {
            tokio::select! {
                biased;
                command = received.recv() => {
                    let Some(command) = command else { return io::Result::Ok(()) };
                    if !obey(&command, &phone, &mut ears, &mut writer).await? {
                        return Ok(());
                    }
                }
                post = posts.recv() => match post {
                    Ok(name) if ears.hear(&name) => {
                        let relay = dict([("Command", "RelayNotification".into()), ("Name", name.as_ref().into())]);
                        wire::write(&mut writer, &relay).await?;
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    };
    tokio::pin!(reading, talking);
    tokio::select! {
        end = &mut talking => end,
        end = &mut reading => {
            end?;
            talking.await
        }
    }
}

/// Does what the host says; `false` ends the connection.
async fn obey<W: tokio::io::AsyncWrite + Unpin>(
    command: &Dictionary,
    phone: &Phone,
    ears: &mut Ears,
    writer: &mut W,
) -> io::Result<bool> {
    let name = command.get("Name").and_then(Value::as_string);
    match (command.get("Command").and_then(Value::as_string), name) {
        (Some("ObserveNotification"), Some(name)) => ears.observe(name),
        (Some("PostNotification"), Some(name)) => phone.host_posts(name),
        (Some("Shutdown"), _) => {
            wire::write(writer, &dict([("Command", "ProxyDeath".into())])).await?;
            return Ok(false);
        }
        (Some(_) | None, _) => {}
    }
    Ok(true)
}
