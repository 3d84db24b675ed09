//! How long opening a real phone's keybag takes on this machine: 10 000 000 and 10 000 rounds.
//!
//! `cargo run --release -p ibak-store --example unlock`; a figure to look at, not a test.
#![allow(clippy::print_stdout)]

use ibak_core::Secret;
use ibak_store::{Keybag, KeybagError, Unlocking};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Measures the longest time between two looks at the watch.
struct Watch {
    last: Cell<Instant>,
    longest: Cell<Duration>,
}

impl Unlocking for Watch {
    fn progress(&self, _share: f64) {
        self.longest
            .set(self.longest.get().max(self.last.get().elapsed()));
        self.last.set(Instant::now());
    }

    fn cancelled(&self) -> bool {
        false
    }
}

fn field(bytes: &mut Vec<u8>, tag: &[u8; 4], value: &[u8]) {
    bytes.extend(tag);
    bytes.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(value);
}

fn main() -> Result<(), KeybagError> {
    let mut bag = Vec::new();
    field(&mut bag, b"TYPE", &1_u32.to_be_bytes());
    field(&mut bag, b"UUID", &[1; 16]);
    field(&mut bag, b"SALT", &[2; 20]);
    field(&mut bag, b"ITER", &10_000_u32.to_be_bytes());
    field(&mut bag, b"DPIC", &10_000_000_u32.to_be_bytes());
    field(&mut bag, b"DPSL", &[3; 20]);
    field(&mut bag, b"UUID", &[4; 16]);
    field(&mut bag, b"CLAS", &1_u32.to_be_bytes());
    field(&mut bag, b"WRAP", &2_u32.to_be_bytes());
    field(&mut bag, b"WPKY", &[5; 40]);
    let keybag = Keybag::parse(&bag)?;
    let started = Instant::now();
    let watch = Watch {
        last: Cell::new(started),
        longest: Cell::default(),
    };
    let outcome = keybag.unlock(&Secret::new("any password".to_owned()), &watch);
    println!(
        "{:?} rounds: {:.2} s, a cancel is heard within {:.1} ms ({})",
        keybag.cost(),
        started.elapsed().as_secs_f64(),
        watch.longest.get().as_secs_f64() * 1e3,
        outcome
            .err()
            .map_or_else(|| "opened".to_owned(), |error| error.to_string()),
    );
    Ok(())
}
