//! Rates over an in-memory pipe, and memory that does not follow the phone's claims.

use crate::phone::{
    ID, Phone, block, dictionary, frame, greeting, list, name, nothing, own, request, response,
    upload,
};
use ibak_core::BackupPath;
use ibak_mobilebackup2::{Entry, Hooks, Limits, Outcome, Vault, VaultError, converse};
use std::io::Read;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

/// Throws everything away; remembers which memory the blocks came from.
#[derive(Default)]
struct Sink {
    files: u64,
    bytes: u64,
    buffers: std::collections::BTreeSet<usize>,
}

impl Vault for Sink {
    fn free_space(&mut self) -> Result<u64, VaultError> {
        Ok(0)
    }
    fn purge(&mut self, _: u64, _: u64) -> Result<u64, VaultError> {
        Ok(0)
    }
    fn list(&mut self, _: &BackupPath) -> Result<Vec<Entry>, VaultError> {
        Ok(vec![])
    }
    fn create_dir(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }
    fn rename(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }
    fn remove(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }
    fn copy(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }
    fn open(&mut self, _: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
        Ok(Box::new(std::io::empty()))
    }
    fn create(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }
    fn write(&mut self, block: &[u8]) -> Result<(), VaultError> {
        self.bytes += block.len() as u64;
        // Blocks that begin a buffer name the buffer; there are never more than the pool has.
        if block.len() == Limits::BUFFER_BYTES {
            self.buffers.insert(block.as_ptr() as usize);
        }
        Ok(())
    }
    fn finish(&mut self) -> Result<(), VaultError> {
        self.files += 1;
        Ok(())
    }
    fn abandon(&mut self, _: Option<&str>) -> Result<(), VaultError> {
        Ok(())
    }
}

async fn play(mut device: DuplexStream, part: Vec<u8>, times: usize) -> DuplexStream {
    for message in greeting() {
        device.write_all(&frame(&message)).await.unwrap();
    }
    device.write_all(&frame(&upload(1))).await.unwrap();
    for _ in 0..times {
        device.write_all(&part).await.unwrap();
    }
    device
        .write_all(&[vec![0; 4], frame(&response(0, ""))].concat())
        .await
        .unwrap();
    // The answers fit into the pipe; closing it would cut them.
    device
}

async fn run(part: Vec<u8>, times: usize, limits: &Limits) -> (Sink, f64) {
    let mut limits = limits.clone();
    limits.timeouts.farewell = Duration::from_millis(1);
    let (host, device) = tokio::io::duplex(1 << 20);
    let began = Instant::now();
    let phone = tokio::spawn(play(device, part, times));
    let run = converse(
        host,
        Sink::default(),
        request(false),
        Hooks::default(),
        &limits,
        CancellationToken::new(),
    );
    let (ended, device) = tokio::join!(run, phone);
    drop(device);
    assert_eq!(ended.outcome, Outcome::Finished);
    (ended.vault, began.elapsed().as_secs_f64())
}

fn head(path: &str) -> Vec<u8> {
    [name(b"/var/mobile/x"), name(own(path).as_bytes())].concat()
}

#[tokio::test]
async fn blocks_use_the_pool_and_nothing_else() {
    // One block that claims and has 64 MiB, in one file; three buffers are all it gets.
    let len = 64_usize << 20;
    let file = [
        head("Info.plist"),
        block(0x0c, &vec![1; len]),
        block(0x00, b""),
    ]
    .concat();
    let limits = Limits {
        buffers: 3,
        ..Limits::default()
    };
    let (vault, _) = run(file, 1, &limits).await;
    assert_eq!((vault.files, vault.bytes), (1, len as u64));
    assert_eq!(vault.buffers.len(), 3);
}

/// One message for each file, each answered before the next (corpus messages/13).
async fn moves(count: usize) -> f64 {
    let (host, device) = tokio::io::duplex(1 << 16);
    let limits = Limits::default();
    let run = tokio::spawn(async move {
        let cancel = CancellationToken::new();
        converse(
            host,
            Sink::default(),
            request(false),
            Hooks::default(),
            &limits,
            cancel,
        )
        .await
    });
    let mut phone = Phone {
        stream: device,
        frames: Vec::new(),
    };
    phone.greet().await;
    let (from, to) = (own(&format!("Snapshot/3d/{ID}")), own(&format!("3d/{ID}")));
    let pair = dictionary([(from.as_str(), to.into())]);
    let message = frame(&list([
        "DLMessageMoveItems".into(),
        pair,
        nothing(),
        97.0.into(),
    ]));
    let began = Instant::now();
    for _ in 0..count {
        phone.raw(&message).await;
        assert_eq!(phone.status().await.code, 0);
    }
    let secs = began.elapsed().as_secs_f64();
    phone.finish(0).await;
    drop(phone);
    let ended = run.await.unwrap();
    assert_eq!(
        (ended.outcome, ended.stats.moved),
        (Outcome::Finished, count as u64)
    );
    count as f64 / secs
}

/// Rates are only asked of a release build: `RUN_SLOW_TESTS=1 cargo test --release`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates() {
    let is_measured = std::env::var_os("RUN_SLOW_TESTS").is_some() && !cfg!(debug_assertions);
    let (mib, files) = if is_measured {
        (4096, 400_000)
    } else {
        (64, 5_000)
    };
    let chunk = block(0x0c, &vec![1; 1 << 20]);
    let large = [head("Info.plist"), chunk.repeat(64), block(0x00, b"")].concat();
    let (vault, secs) = run(large, mib / 64, &Limits::default()).await;
    assert_eq!(vault.bytes, (mib as u64) << 20);
    let large_rate = (mib << 20) as f64 / 1e6 / secs;
    let small = [head("Info.plist"), block(0x0c, &[1; 900]), block(0x00, b"")].concat();
    let (vault, secs) = run(small, files, &Limits::default()).await;
    assert_eq!(vault.files, files as u64);
    let small_rate = files as f64 / secs;
    let move_rate = moves(if is_measured { 76_000 } else { 500 }).await;
    println!(
        "{large_rate:.0} MB/s in large files, {small_rate:.0} small files/s, {move_rate:.0} moves/s"
    );
    if is_measured {
        assert!(large_rate > 400.0 && small_rate > 20_000.0 && move_rate > 2_000.0);
    }
}
