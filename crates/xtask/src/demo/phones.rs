//! The phones of the demo.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// The phone: it has a passcode, and its iOS does not ask for it before a backup.
const ADAS: &str = r#"ios = "15.6"
product = "iPhone14,5"
name = "Ada's iPhone"
files = 2000
bytes = "40 MiB"
apps = 12
passcode = true
paired = true
attached = "none"
power = "off"
wifi = "off"
locked = "no"
"#;
/// Another: its iOS asks for the passcode before every backup, and nobody has seen it yet.
const BENS: &str = r#"ios = "17.2"
product = "iPhone15,2"
name = "Ben's iPhone"
files = 300
bytes = "12 MiB"
apps = 4
passcode = true
passcode_answer = "ignore"
paired = true
attached = "none"
power = "off"
wifi = "off"
locked = "yes"
"#;
/// All of them.
pub(super) const ALL: [&str; 2] = [ADAS, BENS];
/// The place of Ada's among them.
pub(super) const ADA: usize = 0;
/// The place of Ben's.
pub(super) const BEN: usize = 1;

/// Writes a phone's file. Another demo on this machine must not meet this phone: it has its own
/// identity and, of the addresses of loopback, its own.
pub(super) fn write(file: &Path, which: usize, phone: &str) -> Result<()> {
    let process = std::process::id();
    let [_, a, b, c] = process.to_be_bytes();
    let seed = (u64::try_from(which)? << 32) | u64::from(process);
    // Each phone has an eighth of the addresses, from 127.64.0.0 on.
    let (a, c) = (64 + 32 * u8::try_from(which)? + (a & 31), c | 1);
    let own = format!("seed = {seed}\nwifi_address = \"127.{a}.{b}.{c}:62078\"\n");
    Ok(fs::write(file, format!("{phone}{own}"))?)
}
