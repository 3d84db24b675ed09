//! One conversation with usbmuxd: packets of a 16-byte little-endian head and a property list.

use super::MuxAddress;
use super::watch::Attachment;
use crate::error::MuxRefusal;
use crate::wire::{Stream, parse, receive_body};
use crate::{Deadlines, DeviceError};
use ibak_core::plist_guard::Limits;
use ibak_core::{Transport, Udid};
use idevice::usbmuxd::{RawPacket, UsbmuxdConnection};
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

const WHAT: &str = "usbmuxd";
const HEAD: usize = 16;

/// A connection to usbmuxd. Every request has the deadline it was opened with.
#[derive(Debug)]
pub struct MuxClient {
    stream: Box<dyn Stream>,
    address: MuxAddress,
    deadlines: Deadlines,
}

impl MuxClient {
    /// Connects.
    ///
    /// # Errors
    /// [`DeviceError::MuxUnavailable`] when nothing listens, [`DeviceError::MuxMute`] when the
    /// connection is not taken in time.
    pub async fn open(address: &MuxAddress, deadlines: &Deadlines) -> Result<Self, DeviceError> {
        let connected = tokio::time::timeout(deadlines.connect, async {
            Ok(match address {
                MuxAddress::Unix(path) => {
                    Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>
                }
                MuxAddress::Tcp(socket) => {
                    let stream = TcpStream::connect(socket).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
            })
        });
        match connected.await {
            Ok(Ok(stream)) => Ok(Self {
                stream,
                address: address.clone(),
                deadlines: *deadlines,
            }),
            Ok(Err(error)) => Err(unavailable(address, &error)),
            Err(_elapsed) => Err(DeviceError::MuxMute {
                address: address.to_string(),
            }),
        }
    }

    /// Speaks over a stream that leads to usbmuxd.
    pub(crate) fn over(stream: Box<dyn Stream>, address: MuxAddress, deadlines: Deadlines) -> Self {
        Self {
            stream,
            address,
            deadlines,
        }
    }

    /// Waits for what comes next and reads it as an attached phone, if it is one.
    pub(crate) async fn news(&mut self) -> Result<Option<Attachment>, DeviceError> {
        let message = self.next().await?;
        Ok(attachment(&message))
    }

    /// Lists the phones; those with a serial number that is no UDID are left out.
    ///
    /// # Errors
    /// Any of usbmuxd's; [`DeviceError::MuxMute`] when it does not answer.
    pub async fn devices(&mut self) -> Result<Vec<Attachment>, DeviceError> {
        let answer = self.ask(request("ListDevices")).await?;
        let list = answer
            .get("DeviceList")
            .and_then(Value::as_array)
            .ok_or_else(|| protocol("no DeviceList"))?;
        Ok(list
            .iter()
            .filter_map(Value::as_dictionary)
            .filter_map(attachment)
            .collect())
    }

    /// Asks for usbmuxd's own copy of a pairing record.
    ///
    /// # Errors
    /// [`MuxRefusal::BadDevice`] when it has none.
    pub async fn read_pair_record(
        &mut self,
        wire_udid: &str,
    ) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let mut message = request("ReadPairRecord");
        message.insert("PairRecordID".into(), wire_udid.into());
        let mut answer = self.ask(message).await?;
        match answer.remove("PairRecordData") {
            Some(Value::Data(data)) => Ok(Zeroizing::new(data)),
            _ => Err(number(&answer)
                .err()
                .unwrap_or_else(|| protocol("no PairRecordData"))),
        }
    }

    /// Gives usbmuxd a pairing record, so that other programs can use it.
    ///
    /// # Errors
    /// Any of usbmuxd's.
    pub async fn save_pair_record(
        &mut self,
        attachment: &Attachment,
        record: Vec<u8>,
    ) -> Result<(), DeviceError> {
        let mut message = request("SavePairRecord");
        message.insert("PairRecordID".into(), attachment.wire_udid.as_str().into());
        message.insert("PairRecordData".into(), Value::Data(record));
        message.insert(
            "DeviceID".into(),
            Value::Integer(attachment.device_id.into()),
        );
        number(&self.ask(message).await?)
    }

    /// Has usbmuxd drop its copy of a pairing record.
    ///
    /// # Errors
    /// Any of usbmuxd's.
    pub async fn delete_pair_record(&mut self, wire_udid: &str) -> Result<(), DeviceError> {
        let mut message = request("DeletePairRecord");
        message.insert("PairRecordID".into(), wire_udid.into());
        number(&self.ask(message).await?)
    }

    /// Turns this conversation into a stream to `port` of a phone.
    ///
    /// # Errors
    /// [`MuxRefusal::BadDevice`] when the phone has gone, [`MuxRefusal::ConnectionRefused`] when
    /// nothing listens there.
    pub async fn connect(
        mut self,
        device_id: u32,
        port: u16,
    ) -> Result<Box<dyn Stream>, DeviceError> {
        let mut message = request("Connect");
        message.insert("DeviceID".into(), Value::Integer(device_id.into()));
        // In network byte order inside a number: 62078 is written 32498 (corpus, replies.json).
        message.insert(
            "PortNumber".into(),
            Value::Integer(port.swap_bytes().into()),
        );
        number(&self.ask(message).await?)?;
        Ok(self.stream)
    }

    /// Asks to be told of phones from here on; [`Self::next`] then yields what comes.
    ///
    /// # Errors
    /// Any of usbmuxd's.
    pub(super) async fn listen(&mut self) -> Result<(), DeviceError> {
        let mut message = request("Listen");
        message.insert("ConnType".into(), Value::Integer(0.into()));
        number(&self.ask(message).await?)
    }

    /// Waits for the next message, without a deadline. Not cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Dictionary, DeviceError> {
        let mut head = [0; HEAD];
        self.stream
            .read_exact(&mut head)
            .await
            .map_err(DeviceError::io(WHAT))?;
        let size = head
            .iter()
            .take(4)
            .rev()
            .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        let limits = Limits::MESSAGE;
        let len = size
            .checked_sub(HEAD)
            .ok_or_else(|| DeviceError::refused(WHAT, format!("a packet of {size} bytes")))?;
        let body = receive_body(WHAT, &mut self.stream, len, &limits).await?;
        parse(WHAT, &body, &limits)
    }

    async fn ask(&mut self, message: Dictionary) -> Result<Dictionary, DeviceError> {
        let packet = Zeroizing::new(Vec::from(RawPacket::new(
            message,
            UsbmuxdConnection::XML_PLIST_VERSION,
            UsbmuxdConnection::PLIST_MESSAGE_TYPE,
            1,
        )));
        let deadline = self.deadlines.request;
        let exchange = async {
            self.stream
                .write_all(&packet)
                .await
                .map_err(DeviceError::io(WHAT))?;
            self.stream.flush().await.map_err(DeviceError::io(WHAT))?;
            self.next().await
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(Err(DeviceError::Io { source, .. })) => Err(unavailable(&self.address, &source)),
            Ok(result) => result,
            Err(_elapsed) => Err(DeviceError::MuxMute {
                address: self.address.to_string(),
            }),
        }
    }
}

fn request(kind: &str) -> Dictionary {
    let mut message = Dictionary::new();
    message.insert("MessageType".into(), kind.into());
    message.insert(
        "ClientVersionString".into(),
        concat!("ibak ", env!("CARGO_PKG_VERSION")).into(),
    );
    message.insert("ProgName".into(), "ibak".into());
    message.insert("kLibUSBMuxVersion".into(), Value::Integer(3.into()));
    message
}

fn protocol(reason: &str) -> DeviceError {
    DeviceError::Protocol {
        what: WHAT,
        reason: reason.to_owned(),
    }
}

fn unavailable(address: &MuxAddress, error: &std::io::Error) -> DeviceError {
    DeviceError::MuxUnavailable {
        address: address.to_string(),
        reason: error.to_string(),
    }
}

/// Reads a `Result` message.
fn number(answer: &Dictionary) -> Result<(), DeviceError> {
    let refusal = match answer.get("Number").and_then(Value::as_unsigned_integer) {
        Some(0) => return Ok(()),
        Some(1) => MuxRefusal::BadCommand,
        Some(2) => MuxRefusal::BadDevice,
        Some(3) => MuxRefusal::ConnectionRefused,
        Some(6) => MuxRefusal::BadVersion,
        Some(other) => MuxRefusal::Other(other),
        None => return Err(protocol("no Number in a Result")),
    };
    Err(DeviceError::MuxRefused(refusal))
}

/// Reads an `Attached` message or an entry of a `DeviceList`.
pub(super) fn attachment(message: &Dictionary) -> Option<Attachment> {
    let properties = message.get("Properties")?.as_dictionary()?;
    let device_id = message
        .get("DeviceID")
        .or_else(|| properties.get("DeviceID"))?
        .as_unsigned_integer()?;
    let wire_udid = properties.get("SerialNumber")?.as_string()?;
    let transport = match properties.get("ConnectionType").and_then(Value::as_string) {
        // netmuxd and the usbmuxd of macOS list phones of the network, too.
        Some("Network") => Transport::Wifi,
        Some("USB") | None => Transport::Usb,
        Some(_) => return None,
    };
    Some(Attachment {
        udid: Udid::parse(wire_udid).ok()?,
        wire_udid: wire_udid.to_owned(),
        device_id: u32::try_from(device_id).ok()?,
        transport,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(serial: &str, connection: &str) -> Dictionary {
        let mut properties = Dictionary::new();
        properties.insert("SerialNumber".into(), serial.into());
        properties.insert("ConnectionType".into(), connection.into());
        let mut message = Dictionary::new();
        message.insert("DeviceID".into(), Value::Integer(7.into()));
        message.insert("Properties".into(), Value::Dictionary(properties));
        message
    }

    #[test]
    fn attachments() {
        let dashless = "00008030001A2B3C4D5E6F70";
        let got = attachment(&message(dashless, "USB")).unwrap();
        assert_eq!(got.udid.as_str(), "00008030-001A2B3C4D5E6F70");
        assert_eq!(
            (got.wire_udid.as_str(), got.device_id, got.transport),
            (dashless, 7, Transport::Usb)
        );
        assert_eq!(
            attachment(&message(dashless, "Network")).map(|a| a.transport),
            Some(Transport::Wifi)
        );
        assert_eq!(attachment(&message("../../etc/passwd", "USB")), None);
        assert_eq!(attachment(&message(dashless, "Carrier pigeon")), None);
        assert_eq!(attachment(&Dictionary::new()), None);
    }

    #[test]
    fn results() {
        for (sent, want) in [
            (0, None),
            (2, Some(MuxRefusal::BadDevice)),
            (3, Some(MuxRefusal::ConnectionRefused)),
            (77, Some(MuxRefusal::Other(77))),
        ] {
            let mut answer = Dictionary::new();
            answer.insert("Number".into(), Value::Integer(sent.into()));
            match (number(&answer), want) {
                (Ok(()), None) => {}
                (Err(DeviceError::MuxRefused(got)), Some(want)) => assert_eq!(got, want),
                (got, want) => panic!("{sent}: {got:?} instead of {want:?}"),
            }
        }
        assert!(number(&Dictionary::new()).is_err());
    }
}
