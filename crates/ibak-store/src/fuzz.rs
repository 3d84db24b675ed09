//! Ways in for the fuzzer: what a phone wrote into a backup, everything else as in earnest.
//!
//! Each function must end by itself, must not panic, and takes no more memory than a small multiple
//! of the bytes it is given.

use crate::bplist::Document;
use crate::mbfile::MbFile;

/// Reads what a phone noted of a file; says whether that was anything.
pub fn mbfile(blob: &[u8]) -> bool {
    MbFile::parse(blob).is_some_and(|file| file != MbFile::default())
}

/// Reads a property list of a backup and looks up what a commit and a restore look up; says whether
/// any of it was there.
pub fn property_list(bytes: &[u8]) -> bool {
    let Some(list) = Document::parse(bytes) else {
        return false;
    };
    let texts = [
        &["SnapshotState"][..],
        &["Lockdown", "DeviceName"],
        &["Device Name"],
    ];
    let text = texts.iter().any(|path| list.text(path).is_some());
    let flag = list.flag(&["IsEncrypted"]).is_some();
    let data = list.data(&["BackupKeyBag"]).is_some();
    text || flag || data
}
