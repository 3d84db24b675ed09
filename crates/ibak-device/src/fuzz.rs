//! Ways in for the fuzzer: what another end says in memory, everything else as in earnest.
//!
//! Each function must end by itself, must not panic, and takes no more memory than the limits of
//! this crate say, whatever the bytes are.

use crate::lockdown::{Plain, request};
use crate::mux::MuxClient;
use crate::signals;
use crate::version;
use crate::wire::Stream;
use crate::{Deadlines, LockdownCode, MuxAddress, PairRecord, Purchases};
use std::io::Cursor;
use std::time::Duration;

/// A stream that says `bytes` and ends, and takes whatever is written.
fn says(bytes: &[u8]) -> Box<dyn Stream> {
    Box::new(tokio::io::join(
        Cursor::new(bytes.to_vec()),
        tokio::io::sink(),
    ))
}

fn deadlines() -> Deadlines {
    let soon = Duration::from_secs(2);
    Deadlines {
        connect: soon,
        request: soon,
        tls: soon,
        inputs: soon,
        goodbye: soon,
        sync_lock_pause: Duration::ZERO,
    }
}

fn run(work: impl Future<Output = usize>) -> usize {
    match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime.block_on(work),
        Err(_) => 0,
    }
}

/// Counts a step that went well; how one failed is for the log.
fn note<T>(result: Result<T, crate::DeviceError>) -> usize {
    if let Err(error) = &result {
        tracing::trace!(%error, remedy = error.remedy(), retry = ?error.retry(), "the fuzzer's step");
    }
    usize::from(result.is_ok())
}

/// usbmuxd's answers: the list of phones, a pairing record, then news until the end.
pub fn usbmuxd_reply(bytes: &[u8]) {
    usbmuxd_steps(bytes);
}

/// The same, and says how many steps went well.
pub fn usbmuxd_steps(bytes: &[u8]) -> usize {
    run(async {
        let address = MuxAddress::Tcp(([127, 0, 0, 1], 1).into());
        let mut client = MuxClient::over(says(bytes), address, deadlines());
        let mut steps = note(client.devices().await);
        if let Ok(record) = client.read_pair_record("x").await {
            steps += note(PairRecord::parse(&record));
        }
        while note(client.news().await) == 1 {
            steps += 1;
        }
        steps
    })
}

/// lockdown's answers before a session: its type, then values until the end, each taken for
/// everything that is read from one.
pub fn lockdown_reply(bytes: &[u8]) {
    lockdown_steps(bytes);
}

/// The same, and says how many steps went well.
pub fn lockdown_steps(bytes: &[u8]) -> usize {
    run(async {
        let mut front = Plain::over(says(bytes), deadlines());
        let mut steps = note(front.ask("QueryType", request("QueryType")).await);
        steps += note(version::check(front.get_value(version::KEY).await));
        while let Ok(answer) = front.ask("GetValue", request("GetValue")).await {
            signals::read_everything(&answer);
            steps += 1;
        }
        steps
    })
}

/// A lockdown error's name.
pub fn lockdown_error(text: &str) {
    let code = LockdownCode::parse(text);
    tracing::trace!(%code, remedy = code.remedy(), "the fuzzer's reason");
}

/// The file service's packets: a list of purchases, and each file of it to its end.
pub fn afc_reply(bytes: &[u8]) {
    afc_steps(bytes);
}

/// The same, and says how many bytes of files were read.
pub fn afc_steps(bytes: &[u8]) -> usize {
    run(async {
        let mut read = 0;
        let mut purchases = Purchases::over(says(bytes), &deadlines());
        let Ok(list) = purchases.list().await else {
            return read;
        };
        for file in &list.files {
            let Ok(mut reader) = purchases.read(file, 0).await else {
                return read;
            };
            while let Ok(Some(piece)) = reader.next().await {
                read += piece.len();
            }
        }
        read
    })
}

/// A pairing record as a file or usbmuxd holds it.
pub fn pair_record(bytes: &[u8]) {
    if let Ok(record) = PairRecord::parse(bytes) {
        note(record.to_plist());
    }
}
