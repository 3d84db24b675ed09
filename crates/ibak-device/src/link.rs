//! The ways to a port of a phone.

use crate::mux::{Attachment, MuxAddress, MuxClient};
use crate::wire::Stream;
use crate::{Deadlines, DeviceError};
use ibak_core::Transport;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The port of the phone's lockdown service, whatever its SRV record says (phone.md §3).
pub const LOCKDOWN_PORT: u16 = 62078;

/// How one phone is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Through usbmuxd.
    Mux {
        /// Where usbmuxd listens.
        address: MuxAddress,
        /// Its number for the attachment.
        device_id: u32,
        /// By cable, or through a muxer of network phones.
        transport: Transport,
    },
    /// Straight over the network.
    Tcp {
        /// The phone's address; its port is where lockdown answers.
        address: SocketAddr,
    },
}

impl Link {
    /// Makes the way through usbmuxd to a phone it shows.
    pub fn through(address: &MuxAddress, phone: &Attachment) -> Self {
        Self::Mux {
            address: address.clone(),
            device_id: phone.device_id,
            transport: phone.transport,
        }
    }

    /// Says by which way.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Mux { transport, .. } => *transport,
            Self::Tcp { .. } => Transport::Wifi,
        }
    }

    /// Connects to the lockdown service.
    ///
    /// # Errors
    /// When the way is closed; each in its own words.
    pub async fn connect_lockdown(
        &self,
        deadlines: &Deadlines,
    ) -> Result<Box<dyn Stream>, DeviceError> {
        match self {
            Self::Mux { .. } => self.connect(LOCKDOWN_PORT, deadlines).await,
            Self::Tcp { address } => self.connect(address.port(), deadlines).await,
        }
    }

    /// Connects to `port` of the phone.
    ///
    /// # Errors
    /// As [`Self::connect_lockdown`].
    pub async fn connect(
        &self,
        port: u16,
        deadlines: &Deadlines,
    ) -> Result<Box<dyn Stream>, DeviceError> {
        match self {
            Self::Mux {
                address, device_id, ..
            } => {
                MuxClient::open(address, deadlines)
                    .await?
                    .connect(*device_id, port)
                    .await
            }
            Self::Tcp { address } => {
                let mut address = *address;
                address.set_port(port);
                let unreachable = |reason: String| DeviceError::Unreachable {
                    address: address.to_string(),
                    reason,
                };
                match tokio::time::timeout(deadlines.connect, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        stream
                            .set_nodelay(true)
                            .map_err(|error| unreachable(error.to_string()))?;
                        Ok(Box::new(stream))
                    }
                    Ok(Err(error)) => Err(unreachable(error.to_string())),
                    Err(_elapsed) => Err(unreachable(format!(
                        "no answer within {:?}",
                        deadlines.connect
                    ))),
                }
            }
        }
    }
}
