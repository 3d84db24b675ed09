//! One client of usbmuxd: requests, until it listens or is connected to a phone.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::frame::{self, Number, Request};
use super::{Mode, Muxer, attached};
use crate::hostile::{Place, Script};
use crate::lockdown;
use crate::phone::{Phone, Transport, locked};
use crate::profile::LOCKDOWN_PORT;
use crate::services;
use crate::wire::{BoxIo, dict};

/// What a client asked for that changes what its connection is.
enum Next {
    Number(Number),
    Answer(Value),
    Listen,
    Connect(Arc<Phone>, Door),
}

/// What is behind a port.
enum Door {
    Lockdown,
    Service(crate::ports::Waiting),
}

pub(super) async fn serve(muxer: Arc<Muxer>, mut stream: BoxIo) -> io::Result<()> {
    while let Some(request) = frame::read(&mut stream).await? {
        if muxer.mode() == Mode::Mute {
            continue;
        }
        let (tag, message) = match request {
            Request::Plist { tag, message } => (tag, message),
            Request::OtherVersion { tag } => {
                return frame::write_bad_version(&mut stream, tag).await;
            }
        };
        if let Some(script) = hostile(&muxer) {
            script.act(stream).await;
            return Ok(());
        }
        match answer(&muxer, &message) {
            Next::Number(number) => frame::write_result(&mut stream, tag, number).await?,
            Next::Answer(answer) => frame::write(&mut stream, tag, &answer).await?,
            Next::Listen => {
                let (known, events) = listen(&muxer);
                frame::write_result(&mut stream, tag, Number::Ok).await?;
                return relay(&muxer, stream, known, events).await;
            }
            Next::Connect(phone, door) => {
                let link = phone.usb.token();
                frame::write_result(&mut stream, tag, Number::Ok).await?;
                let for_run = Arc::clone(&phone);
                match door {
                    Door::Lockdown => {
                        phone
                            .run(
                                "lockdown",
                                link,
                                lockdown::serve(stream, for_run, Transport::Usb),
                            )
                            .await;
                    }
                    Door::Service(waiting) => {
                        phone
                            .run(
                                "service",
                                link,
                                services::run(waiting, stream, for_run, Transport::Usb),
                            )
                            .await;
                    }
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn answer(muxer: &Muxer, message: &Dictionary) -> Next {
    let text = |key: &str| message.get(key).and_then(Value::as_string);
    match text("MessageType") {
        Some("ListDevices") => {
            let devices = locked(&muxer.devices);
            let list: Vec<Value> = devices
                .list
                .iter()
                .map(|(id, phone)| attached(*id, phone))
                .collect();
            Next::Answer(dict([("DeviceList", list.into())]))
        }
        Some("ListListeners") => Next::Answer(dict([("ListenerList", Value::Array(Vec::new()))])),
        Some("Listen") => Next::Listen,
        Some("Connect") => connect(muxer, message),
        Some("ReadBUID") => Next::Answer(dict([("BUID", muxer.buid.as_str().into())])),
        Some("ReadPairRecord") => match text("PairRecordID").map(|udid| muxer.record(udid)) {
            Some(Some(bytes)) => Next::Answer(dict([("PairRecordData", Value::Data(bytes))])),
            Some(None) => Next::Number(Number::BadDevice),
            None => Next::Number(Number::Invalid),
        },
        Some("SavePairRecord") => save_record(muxer, message),
        Some("DeletePairRecord") => {
            match text("PairRecordID").map(|udid| locked(&muxer.records).remove(udid)) {
                Some(Some(_)) => Next::Number(Number::Ok),
                Some(None) => Next::Number(Number::BadDevice),
                None => Next::Number(Number::Invalid),
            }
        }
        Some(_) | None => Next::Number(Number::BadCommand),
    }
}

/// Returns what usbmuxd says in the place of an answer, if a phone on it has that attack.
fn hostile(muxer: &Muxer) -> Option<Script> {
    let attacks = muxer.phones.iter().filter_map(|phone| phone.attack());
    attacks
        .filter_map(|attack| attack.script(Place::Muxer))
        .next()
}

fn device_id(message: &Dictionary) -> Option<u32> {
    message
        .get("DeviceID")
        .and_then(Value::as_unsigned_integer)
        .and_then(|id| id.try_into().ok())
}

fn save_record(muxer: &Muxer, message: &Dictionary) -> Next {
    let udid = message.get("PairRecordID").and_then(Value::as_string);
    let bytes = message.get("PairRecordData").and_then(Value::as_data);
    let (Some(udid), Some(bytes)) = (udid, bytes) else {
        return Next::Number(Number::Invalid);
    };
    muxer.save_record(udid, bytes.to_vec());
    if let Some(id) = device_id(message) {
        muxer.tell(dict([
            ("DeviceID", u64::from(id).into()),
            ("MessageType", "Paired".into()),
        ]));
    }
    Next::Number(Number::Ok)
}

/// The port comes in network byte order: 62078 is written 32498 (corpus, replies.json).
fn connect(muxer: &Muxer, message: &Dictionary) -> Next {
    let port = message
        .get("PortNumber")
        .and_then(Value::as_unsigned_integer)
        .and_then(|n| u16::try_from(n).ok());
    let (Some(id), Some(port)) = (device_id(message), port.map(u16::swap_bytes)) else {
        return Next::Number(Number::BadCommand);
    };
    let phone = locked(&muxer.devices)
        .list
        .iter()
        .find(|(own, _)| *own == id)
        .map(|(_, phone)| Arc::clone(phone));
    let Some(phone) = phone else {
        return Next::Number(Number::BadDevice);
    };
    if port == LOCKDOWN_PORT {
        return Next::Connect(phone, Door::Lockdown);
    }
    match phone.ports.take(port) {
        Some(waiting) => Next::Connect(phone, Door::Service(waiting)),
        None => Next::Number(Number::ConnectionRefused),
    }
}

/// Takes who is there and what comes after in one step, so that nothing is lost or told twice.
fn listen(muxer: &Muxer) -> (Vec<Value>, broadcast::Receiver<Value>) {
    let devices = locked(&muxer.devices);
    let known = devices
        .list
        .iter()
        .map(|(id, phone)| attached(*id, phone))
        .collect();
    (known, muxer.events.subscribe())
}

/// Tells a listener what comes and goes until it leaves. It has nothing more to say.
async fn relay(
    muxer: &Muxer,
    stream: BoxIo,
    known: Vec<Value>,
    mut events: broadcast::Receiver<Value>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    for event in known {
        frame::write(&mut writer, 0, &event).await?;
    }
    loop {
        let mut byte = [0_u8; 1];
        tokio::select! {
            read = reader.read(&mut byte) => return read.map(drop),
            event = events.recv() => match event {
                Ok(event) if muxer.mode() == Mode::Normal => frame::write(&mut writer, 0, &event).await?,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
