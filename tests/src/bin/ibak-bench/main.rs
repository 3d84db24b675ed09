//! What `cargo xtask bench` needs that only a program linked with the simulator and the store can
//! do; built as the programs that are measured.
//!
//! `check PHONE.toml TOUCHED BACKUP` holds a backup, by whomever, against what the simulated phone
//! holds after so many files were changed once: every row of Manifest.db, every file and its size.
//! `store STORE UDID COPY` measures the store without a phone, next to `cp -al` of the same tree.
//! `fill STORE FILES` makes a store with one backup of so many files, and `alone STORE UDID` measures
//! the next one, next to `cp -al` of the same tree, and reading everything again.
//! All answer with one line of JSON.

mod alone;
mod check;
mod store;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let done = run().and_then(|answer| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{answer}\n").as_bytes())
            .context("nobody reads the answer")
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code says it too.
            std::io::stderr()
                .lock()
                .write_all(format!("ibak-bench: {error:#}\n").as_bytes())
                .ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<serde_json::Value> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["check", phone, touched, backup] => {
            check::check(Path::new(phone), touched.parse()?, Path::new(backup))
        }
        ["store", store, udid, copy] => store::measure(Path::new(store), udid, Path::new(copy)),
        ["fill", store, files] => alone::fill(Path::new(store), files.parse()?),
        ["alone", store, udid] => alone::measure(Path::new(store), udid),
        _ => anyhow::bail!(
            "usage: ibak-bench check PHONE.toml TOUCHED BACKUP | store STORE UDID COPY | fill STORE FILES | alone STORE UDID"
        ),
    }
}
