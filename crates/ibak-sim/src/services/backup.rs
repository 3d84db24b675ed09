//! com.apple.mobilebackup2: hands the connection to the backup engine and keeps the books.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::backup::{self, BackupEnd, BackupError};
use crate::hostile;
use crate::phone::{Phone, Transport};
use crate::wire::BoxIo;

/// Serves on a thread of its own: a phone that scans files and builds databases would hold up
/// every other connection.
pub(super) async fn serve(
    stream: BoxIo,
    phone: Arc<Phone>,
    transport: Transport,
) -> io::Result<()> {
    phone.note(|activity| activity.backups_begun += 1);
    if let Some(attack) = phone.attack().filter(|attack| attack.is_on_backup()) {
        let (loot, _stream) = hostile::play(stream, phone.identity(), attack).await;
        phone.take_loot(|all| {
            all.granted += loot.granted;
            all.bytes += loot.bytes;
            all.names += loot.names;
        });
        return Ok(());
    }
    let cancel = match transport {
        Transport::Usb => phone.usb.token(),
        Transport::Network(_) => phone.wifi.token(),
    };
    let runtime = tokio::runtime::Handle::current();
    let serving = tokio::task::spawn_blocking(move || {
        let counted = Counted {
            stream,
            phone: Arc::clone(&phone),
        };
        match runtime.block_on(backup::serve(counted, phone.as_ref(), cancel)) {
            Ok(end) => book(&phone, &end),
            Err(BackupError::Cancelled) => book_error(&phone, "the link broke"),
            Err(error) => book_error(&phone, &error.to_string()),
        }
    });
    serving.await.map_err(io::Error::other)
}

fn book_error(phone: &Phone, error: &str) {
    phone.note(|activity| {
        activity.last_error = Some(error.to_owned());
        activity.phase = None;
    });
}

fn book(phone: &Phone, end: &BackupEnd) {
    phone.note(|activity| {
        activity.phase = None;
        activity.files_sent += end.uploaded_files;
        activity.files_resumed += end.resumed_files;
        for response in &end.responses {
            match (response.request.as_str(), response.code) {
                ("Backup", 0) => {
                    activity.backups_finished += 1;
                    activity.last_was_full = end.full;
                }
                ("Restore", 0) => activity.restores_finished += 1,
                (_, 0) => {}
                (_, code) => {
                    activity.last_error = Some(format!("error {code}: {}", response.description));
                }
            }
        }
    });
    if end.reboots {
        phone.reboot();
    }
}

/// Counts what the phone sends.
struct Counted {
    stream: BoxIo,
    phone: Arc<Phone>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = written {
            self.phone
                .bytes_sent
                .fetch_add(count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
