//! From a password to the class keys: seconds of work that can be watched and stopped.

use super::{Derivation, Keybag, KeybagError, WRAPPED_LEN};
use aes_kw::KekAes256;
use hmac::digest::{FixedOutput, KeyInit, Update};
use hmac::{Hmac, Mac};
use ibak_core::Secret;
use sha1::Sha1;
use sha2::Sha256;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Rounds between two looks at the watch: under a millisecond, ten on the slowest machine.
const SLICE: u32 = 1024;

/// Whoever waits for a key to be derived. It is called every few milliseconds.
pub trait Unlocking {
    /// Hears how far it is, 0 to 1.
    fn progress(&self, share: f64);
    /// Says whether to stop.
    fn cancelled(&self) -> bool;
}

/// Nobody watches, nobody stops it.
impl Unlocking for () {
    fn progress(&self, _share: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// The keys of an opened keybag, wiped when dropped.
pub struct ClassKeys {
    uuid: String,
    keys: BTreeMap<u32, Zeroizing<[u8; 32]>>,
}

impl Keybag {
    /// Opens the keybag: seconds of work at a real phone's counts.
    ///
    /// # Errors
    /// `WrongPassword` when no class key passes its integrity check, `Cancelled` within about
    /// 50 ms of the watch saying so.
    pub fn unlock(
        &self,
        password: &Secret,
        watch: &dyn Unlocking,
    ) -> Result<ClassKeys, KeybagError> {
        let (dpic, iter) = self.cost();
        let mut work = Work {
            watch,
            done: 0,
            // The inner derivation needs two blocks of SHA-1 for its 32 bytes.
            total: u64::from(dpic) + 2 * u64::from(iter),
        };
        let outer = match &self.outer {
            Some(outer) => {
                let mut key = Zeroizing::new([0; 32]);
                work.derive::<Hmac<Sha256>>(password.expose().as_bytes(), outer, &mut *key)?;
                Some(key)
            }
            None => None,
        };
        let mut kek = Zeroizing::new([0; 32]);
        let secret = match &outer {
            Some(key) => key.as_slice(),
            None => password.expose().as_bytes(),
        };
        work.derive::<Hmac<Sha1>>(secret, &self.inner, &mut *kek)?;
        watch.progress(1.0);
        let kek = KekAes256::from(*kek);
        let keys: BTreeMap<_, _> = self
            .classes
            .iter()
            .filter_map(|class| Some((class.number, unwrap(&kek, &class.wrapped?)?)))
            .collect();
        // One key that passes proves the password; a class that does not is not the person's doing.
        if keys.is_empty() {
            return Err(KeybagError::WrongPassword);
        }
        Ok(ClassKeys {
            uuid: self.uuid.clone(),
            keys,
        })
    }
}

impl ClassKeys {
    /// Returns the UUID of the keybag they come from, 32 hex digits.
    pub fn keybag_uuid(&self) -> &str {
        &self.uuid
    }

    /// Unwraps a key of a class; `None` when there is no such class or it fails its check.
    pub(crate) fn unwrap(
        &self,
        class: u32,
        wrapped: &[u8; WRAPPED_LEN],
    ) -> Option<Zeroizing<[u8; 32]>> {
        let key = self.keys.get(&class)?;
        unwrap(&KekAes256::from(**key), wrapped)
    }

    /// Makes a second set of them, wiped by itself.
    pub(crate) fn again(&self) -> Self {
        Self {
            uuid: self.uuid.clone(),
            keys: self.keys.clone(),
        }
    }
}

/// RFC 3394; its integrity check is what tells a right key from a wrong one.
fn unwrap(kek: &KekAes256, wrapped: &[u8; WRAPPED_LEN]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    kek.unwrap(wrapped, key.as_mut_slice()).ok()?;
    Some(key)
}

struct Work<'a> {
    watch: &'a dyn Unlocking,
    done: u64,
    total: u64,
}

impl Work<'_> {
    /// PBKDF2 (RFC 8018 §5.2) in slices: the crate of that name cannot be stopped.
    fn derive<H>(
        &mut self,
        secret: &[u8],
        derivation: &Derivation,
        key: &mut [u8],
    ) -> Result<(), KeybagError>
    where
        H: Mac + KeyInit + Update + FixedOutput + Clone,
    {
        let keyed = <H as Mac>::new_from_slice(secret)
            .map_err(|_| KeybagError::Malformed("its key has an impossible length"))?;
        for (number, part) in (1u32..).zip(key.chunks_mut(H::output_size())) {
            let mut hash = keyed
                .clone()
                .chain(&derivation.salt)
                .chain(number.to_be_bytes())
                .finalize_fixed();
            xor(part, &hash);
            let mut left = derivation.rounds.saturating_sub(1);
            loop {
                self.look()?;
                let slice = left.min(SLICE);
                for _ in 0..slice {
                    hash = keyed.clone().chain(&hash).finalize_fixed();
                    xor(part, &hash);
                }
                left -= slice;
                self.done += u64::from(slice);
                if left == 0 {
                    break;
                }
            }
            self.done += 1;
        }
        Ok(())
    }

    fn look(&self) -> Result<(), KeybagError> {
        if self.watch.cancelled() {
            return Err(KeybagError::Cancelled);
        }
        // Counts of at most 52 million are exact.
        self.watch.progress(self.done as f64 / self.total as f64);
        Ok(())
    }
}

fn xor(sum: &mut [u8], block: &[u8]) {
    for (byte, other) in sum.iter_mut().zip(block) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::unhex;

    fn derived<H>(secret: &str, salt: &str, rounds: u32, length: usize) -> Vec<u8>
    where
        H: Mac + KeyInit + Update + FixedOutput + Clone,
    {
        let mut work = Work {
            watch: &(),
            done: 0,
            total: 1,
        };
        let derivation = Derivation {
            salt: salt.as_bytes().to_vec(),
            rounds,
        };
        let mut key = vec![0; length];
        work.derive::<H>(secret.as_bytes(), &derivation, &mut key)
            .unwrap();
        key
    }

    /// RFC 6070 for SHA-1, RFC 7914 §11 for SHA-256; 4097 rounds cross the edges of slices.
    #[test]
    fn pbkdf2_as_the_rfcs_have_it() {
        for (rounds, want) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
            (4097, "eeadbcb7a2205ca2c6a5a25cdc61ed1bf4eb2b15"),
        ] {
            let want = unhex::<20>(want).unwrap();
            assert_eq!(derived::<Hmac<Sha1>>("password", "salt", rounds, 20), want);
        }
        let long = derived::<Hmac<Sha1>>(
            "passwordPASSWORDpassword",
            "saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            25,
        );
        let want = unhex::<25>("3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038").unwrap();
        assert_eq!(long, want);
        for (secret, salt, rounds, want) in [
            (
                "passwd",
                "salt",
                1,
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
            ),
            (
                "Password",
                "NaCl",
                80_000,
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
            ),
        ] {
            let want = unhex::<64>(want).unwrap();
            assert_eq!(derived::<Hmac<Sha256>>(secret, salt, rounds, 64), want);
        }
    }

    /// RFC 3394 §4.6.
    #[test]
    fn unwrapping_as_the_rfc_has_it() {
        let kek = unhex::<32>("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let kek = KekAes256::from(kek.unwrap());
        let wrapped = unhex::<40>(concat!(
            "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326",
            "cbc7f0e71a99f43bfb988b9b7a02dd21"
        ))
        .unwrap();
        let want = unhex::<32>("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
        assert_eq!(unwrap(&kek, &wrapped).map(|key| *key), want);
        for place in 0..WRAPPED_LEN {
            let mut bent = wrapped;
            bent[place] ^= 1;
            assert!(unwrap(&kek, &bent).is_none(), "{place}");
        }
    }
}
