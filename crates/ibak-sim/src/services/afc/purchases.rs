//! What was bought in the stores and is still on the phone: `/Purchases` and `/Books/Purchases`.
//!
//! Names are the catalogue numbers that real ones have; the bytes are made while they are read.

use std::io::Read;

use super::Status;
use super::tree::Tree;
use crate::content::ContentReader;
use crate::profile::PhoneSpec;

/// Puts the purchases of a phone file into the media partition: two of three are music and films,
/// the third is a book. Their bytes together are the phone file's.
pub(crate) fn plant(tree: &mut Tree, spec: &PhoneSpec) {
    const KINDS: &[&str] = &["m4a", "m4v", "epub"];
    let count = u64::from(spec.purchases);
    for at in 0..count {
        let kind = KINDS[(at % 3) as usize];
        let folder = if kind == "epub" {
            "Books/Purchases"
        } else {
            "Purchases"
        };
        let number = 1_440_000_000 + spec.seed % 1_000_000 + at * 7;
        let path = format!("{folder}/{number}.{kind}");
        // The shares grow, and the last takes what is left.
        let shares = count * (count + 1) / 2;
        let len = if at + 1 == count {
            spec.purchase_bytes - (0..at).map(|at| share(spec, at, shares)).sum::<u64>()
        } else {
            share(spec, at, shares)
        };
        if let Err(status) = tree.plant(&path, spec.seed ^ (0x9bcd_0000 + at), len) {
            tracing::error!(path, ?status, "a purchase has no place");
        }
    }
    if count > 0 {
        let path = "Purchases/StorePurchasesInfo.plist";
        if let Err(status) = tree.plant(path, spec.seed ^ 0x9bcc_0000, 0) {
            tracing::error!(path, ?status, "the list of purchases has no place");
        }
    }
}

fn share(spec: &PhoneSpec, at: u64, shares: u64) -> u64 {
    let share = u128::from(spec.purchase_bytes) * u128::from(at + 1) / u128::from(shares);
    u64::try_from(share).unwrap_or(0)
}

/// Reads at most `wanted` bytes of a file of `len` bytes from `at`.
pub(super) fn read(key: u64, len: u64, at: u64, wanted: usize) -> Result<Vec<u8>, Status> {
    let mut reader = ContentReader::of_key(key, len);
    reader.seek_to(at);
    let mut bytes = Vec::new();
    reader
        .take(wanted as u64)
        .read_to_end(&mut bytes)
        .map_err(|_| Status::ReadError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purchases_have_their_number_and_bytes_and_read_alike_in_any_steps() {
        let spec = PhoneSpec {
            purchases: 5,
            purchase_bytes: 1_000_003,
            ..PhoneSpec::default()
        };
        let mut tree = Tree::of_a_phone(&spec.identity());
        plant(&mut tree, &spec);
        let mut sum = 0;
        for folder in ["Purchases", "Books/Purchases"] {
            for name in tree.list(folder).unwrap() {
                let path = format!("{folder}/{name}");
                let len = tree.len(&path).unwrap();
                sum += len;
                let whole = tree.read(&path, 0, 2 << 20).unwrap();
                assert_eq!(whole.len() as u64, len);
                let half = usize::try_from(len / 2).unwrap();
                assert_eq!(tree.read(&path, len / 2, 2 << 20).unwrap(), whole[half..]);
                assert_eq!(tree.read(&path, len + 7, 10).unwrap(), b"");
                assert_eq!(tree.write(&path, 0, b"x"), Err(Status::ObjectIsDir));
                assert_eq!(tree.open(&path, true, true), Err(Status::PermissionDenied));
                tree.open(&path, false, false).unwrap();
            }
        }
        assert_eq!(sum, 1_000_003);
        assert_eq!(tree.list("Books/Purchases").unwrap().len(), 1);
        assert_eq!(tree.list("Purchases").unwrap().len(), 5);
    }
}
