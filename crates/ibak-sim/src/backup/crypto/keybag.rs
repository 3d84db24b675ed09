//! The keybag of a backup: a header, and the class keys wrapped with a key from the password.

use std::collections::BTreeMap;
use std::fmt;

use rand::RngCore;

use super::keys::{self, ClassKeys, Costs, WRAPPED_BYTES};
use super::tlv;

/// Since iOS 12 (Apple Platform Security, "keybag").
const VERSION: u32 = 4;
const TYPE_BACKUP: u32 = 1;
/// Wrapped with a key from the password.
const WRAP_PASSWORD: u32 = 2;
/// The class keys of "this device only": the password's wrapping lies around the device's own.
const WRAP_DEVICE_AND_PASSWORD: u32 = 3;
const SALT_BYTES: usize = 20;
/// 1 to 5 protect files, 6 to 11 keychain items; the last three are for this device only.
const CLASSES: std::ops::RangeInclusive<u32> = 1..=11;
const DEVICE_ONLY_FROM: u32 = 9;

/// Says what is wrong with the bytes of a keybag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeybagError {
    /// A value is cut, missing or of the wrong length.
    #[error("the keybag is malformed")]
    Malformed,
    /// It asks for more rounds of PBKDF2 than [`Costs::MAX`].
    #[error("the keybag asks for too many rounds of PBKDF2")]
    TooCostly,
}

#[derive(Clone, PartialEq, Eq)]
struct Class {
    uuid: [u8; 16],
    wrap: u32,
    key_type: u32,
    wrapped: Vec<u8>,
}

/// A backup's keybag, closed.
#[derive(Clone, PartialEq, Eq)]
pub struct Keybag {
    version: u32,
    uuid: [u8; 16],
    hmac_key: Vec<u8>,
    salt: Vec<u8>,
    dpsl: Vec<u8>,
    costs: Costs,
    classes: BTreeMap<u32, Class>,
}

impl fmt::Debug for Keybag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keybag")
            .field("uuid", &self.uuid_text())
            .field("costs", &self.costs)
            .finish_non_exhaustive()
    }
}

impl Keybag {
    /// Draws class keys and wraps them with the password; slow as `costs` say.
    pub fn make(password: &str, costs: &Costs, rng: &mut impl RngCore) -> (Self, ClassKeys) {
        let keys = ClassKeys {
            keys: CLASSES.map(|class| (class, draw(rng))).collect(),
        };
        (Self::around(&keys, password, *costs, rng), keys)
    }

    /// Wraps the same class keys with another password: new UUID, new salts, the same costs.
    pub fn change_password(
        &self,
        keys: &ClassKeys,
        password: &str,
        rng: &mut impl RngCore,
    ) -> Self {
        Self::around(keys, password, self.costs, rng)
    }

    fn around(keys: &ClassKeys, password: &str, costs: Costs, rng: &mut impl RngCore) -> Self {
        let (salt, dpsl): ([u8; SALT_BYTES], [u8; SALT_BYTES]) = (draw(rng), draw(rng));
        let kek = keys::derive(password, &dpsl, &salt, costs);
        let classes = keys.keys.iter().map(|(&number, key)| {
            let device_only = number >= DEVICE_ONLY_FROM;
            let class = Class {
                uuid: draw_uuid(rng),
                wrap: if device_only {
                    WRAP_DEVICE_AND_PASSWORD
                } else {
                    WRAP_PASSWORD
                },
                key_type: 0,
                wrapped: keys::wrap(&kek, key).to_vec(),
            };
            (number, class)
        });
        let classes = classes.collect();
        Self {
            version: VERSION,
            uuid: draw_uuid(rng),
            hmac_key: keys::wrap(&kek, &draw(rng)).to_vec(),
            salt: salt.to_vec(),
            dpsl: dpsl.to_vec(),
            costs,
            classes,
        }
    }

    /// Returns the UUID, 16 bytes.
    pub const fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// Returns the UUID as 32 lower-case hexadecimal digits.
    pub fn uuid_text(&self) -> String {
        uuid::Uuid::from_bytes(self.uuid).simple().to_string()
    }

    /// Returns how much work a guess at the password is.
    pub const fn costs(&self) -> Costs {
        self.costs
    }

    /// Writes it as `BackupKeyBag` of Manifest.plist.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2_048);
        tlv::put_number(&mut bytes, *b"VERS", self.version);
        tlv::put_number(&mut bytes, *b"TYPE", TYPE_BACKUP);
        tlv::put(&mut bytes, *b"UUID", &self.uuid);
        tlv::put(&mut bytes, *b"HMCK", &self.hmac_key);
        tlv::put_number(&mut bytes, *b"WRAP", 0);
        tlv::put(&mut bytes, *b"SALT", &self.salt);
        tlv::put_number(&mut bytes, *b"ITER", self.costs.iter);
        tlv::put_number(&mut bytes, *b"DPWT", 0);
        tlv::put_number(&mut bytes, *b"DPIC", self.costs.dpic);
        tlv::put(&mut bytes, *b"DPSL", &self.dpsl);
        for (number, class) in &self.classes {
            tlv::put(&mut bytes, *b"UUID", &class.uuid);
            tlv::put_number(&mut bytes, *b"CLAS", *number);
            tlv::put_number(&mut bytes, *b"WRAP", class.wrap);
            tlv::put_number(&mut bytes, *b"KTYP", class.key_type);
            tlv::put(&mut bytes, *b"WPKY", &class.wrapped);
        }
        bytes
    }

    /// Reads `BackupKeyBag` of Manifest.plist.
    ///
    /// # Errors
    /// [`KeybagError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeybagError> {
        let items = tlv::split(bytes).ok_or(KeybagError::Malformed)?;
        // The second UUID opens the first class.
        let mut openings = items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.tag == *b"UUID")
            .map(|(at, _)| at);
        let (_, Some(first)) = (openings.next(), openings.next()) else {
            return Err(KeybagError::Malformed);
        };
        let (header, classes) = items.split_at(first);
        let keybag = Self::parse_header(header).ok_or(KeybagError::Malformed)?;
        let Costs { dpic, iter } = keybag.costs;
        if dpic > Costs::MAX.dpic || iter > Costs::MAX.iter {
            return Err(KeybagError::TooCostly);
        }
        let classes = classes
            .chunk_by(|_, next| next.tag != *b"UUID")
            .map(parse_class)
            .collect::<Option<BTreeMap<_, _>>>()
            .ok_or(KeybagError::Malformed)?;
        Ok(Self { classes, ..keybag })
    }

    fn parse_header(items: &[tlv::Item<'_>]) -> Option<Self> {
        let find = |tag: &[u8; 4]| items.iter().find(|item| item.tag == *tag);
        let number = |tag| find(tag).and_then(tlv::Item::number);
        let data = |tag| find(tag).map(|item| item.data.to_vec());
        if number(b"TYPE")? != TYPE_BACKUP {
            return None;
        }
        Some(Self {
            version: number(b"VERS")?,
            uuid: find(b"UUID")?.data.try_into().ok()?,
            hmac_key: data(b"HMCK")?,
            salt: data(b"SALT")?,
            dpsl: data(b"DPSL")?,
            costs: Costs {
                dpic: number(b"DPIC")?,
                iter: number(b"ITER")?,
            },
            classes: BTreeMap::new(),
        })
    }

    /// Opens it; `None` for a wrong password. Slow as [`Keybag::costs`] say.
    pub fn unlock(&self, password: &str) -> Option<ClassKeys> {
        let kek = keys::derive(password, &self.dpsl, &self.salt, self.costs);
        let mut keys = BTreeMap::new();
        for (number, class) in &self.classes {
            if class.wrap & WRAP_PASSWORD != 0 {
                keys.insert(*number, keys::unwrap(&kek, &class.wrapped)?);
            }
        }
        (!keys.is_empty()).then_some(ClassKeys { keys })
    }
}

fn parse_class(items: &[tlv::Item<'_>]) -> Option<(u32, Class)> {
    let find = |tag: &[u8; 4]| items.iter().find(|item| item.tag == *tag);
    let number = |tag| find(tag).and_then(tlv::Item::number);
    let wrapped = find(b"WPKY")?.data.to_vec();
    let class = Class {
        uuid: find(b"UUID")?.data.try_into().ok()?,
        wrap: number(b"WRAP")?,
        key_type: number(b"KTYP")?,
        wrapped: (wrapped.len() == WRAPPED_BYTES).then_some(wrapped)?,
    };
    Some((number(b"CLAS")?, class))
}

fn draw<const N: usize>(rng: &mut impl RngCore) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn draw_uuid(rng: &mut impl RngCore) -> [u8; 16] {
    uuid::Builder::from_random_bytes(draw(rng))
        .into_uuid()
        .into_bytes()
}
