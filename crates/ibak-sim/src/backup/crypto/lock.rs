//! What a phone keeps of its backup password.

use rand::RngCore;

use super::{ClassKeys, Costs, FileKey, Keybag, MANIFEST_CLASS, PREFIXED_KEY_BYTES};

/// The backup password of a phone, as the phone keeps it: a keybag and its class keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLock {
    keybag: Keybag,
    keys: ClassKeys,
}

impl BackupLock {
    /// Takes a password for the first time: new class keys. Slow as `costs` say.
    pub fn set(password: &str, costs: &Costs, rng: &mut impl RngCore) -> Self {
        let (keybag, keys) = Keybag::make(password, costs, rng);
        Self { keybag, keys }
    }

    /// Takes over the keybag of a backup that was restored; `None` for a wrong password.
    pub fn adopt(keybag: Keybag, password: &str) -> Option<Self> {
        let keys = keybag.unlock(password)?;
        Some(Self { keybag, keys })
    }

    /// Tells whether this is the password. Slow as the keybag's costs say.
    pub fn is_opened_by(&self, password: &str) -> bool {
        self.keybag.unlock(password).is_some()
    }

    /// Takes another password: the same class keys in a new keybag, which is returned.
    pub fn change(&mut self, password: &str, rng: &mut impl RngCore) -> &Keybag {
        self.keybag = self.keybag.change_password(&self.keys, password, rng);
        &self.keybag
    }

    /// Returns the keybag.
    pub const fn keybag(&self) -> &Keybag {
        &self.keybag
    }

    /// Returns the class keys.
    pub const fn keys(&self) -> &ClassKeys {
        &self.keys
    }

    /// Draws the key of a Manifest.db; returns it with its `ManifestKey`.
    pub fn draw_manifest_key(
        &self,
        rng: &mut impl RngCore,
    ) -> Option<(FileKey, [u8; PREFIXED_KEY_BYTES])> {
        let key = FileKey::draw(rng);
        let prefixed = self.keys.wrap_prefixed(MANIFEST_CLASS, &key)?;
        Some((key, prefixed))
    }
}
