//! The keys of an encrypted backup, locked by its password (phone.md §6).
//!
//! The keybag is read from a file that anybody may have made: every length is checked before it
//! is believed, and what it asks for in work is capped. Promises: a wrong password is told from
//! a damaged keybag by the integrity check of RFC 3394; keys are wiped when they are dropped.
//! Refuses: to guess what a tag it does not know means.

mod unlock;

pub use unlock::{ClassKeys, Unlocking};

use crate::index::hex;

/// Longest keybag taken, in bytes; real ones have about 1 200.
const LEN_MAX: usize = 64 << 10;
/// Most classes in a keybag; real ones have about ten.
const CLASSES_MAX: usize = 64;
/// Longest salt taken, in bytes; real ones have 20.
const SALT_LEN_MAX: usize = 256;
/// Length of a wrapped class key, in bytes: 32 and the eight of RFC 3394.
pub(crate) const WRAPPED_LEN: usize = 40;
/// A keybag of a backup, in the field TYPE.
const TYPE_BACKUP: u32 = 1;

/// Why a keybag cannot be read or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeybagError {
    /// The password does not open it.
    #[error("the password is wrong")]
    WrongPassword,
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
    /// It is not a keybag as a phone makes it.
    #[error("the keybag is damaged: {0}")]
    Malformed(&'static str),
    /// It asks for more work than any phone does.
    #[error(
        "the keybag asks for {dpic} and {iter} rounds of work, which no phone does; it is not opened"
    )]
    TooCostly {
        /// Rounds of the outer derivation.
        dpic: u32,
        /// Rounds of the inner derivation.
        iter: u32,
    },
}

/// What makes a key of a password, as the keybag says.
struct Derivation {
    salt: Vec<u8>,
    rounds: u32,
}

struct Class {
    number: u32,
    wrap: u32,
    wrapped: Option<[u8; WRAPPED_LEN]>,
}

/// A keybag that was read and not yet opened.
pub struct Keybag {
    uuid: String,
    /// PBKDF2-HMAC-SHA256 (DPSL, DPIC); absent before iOS 10.2.
    outer: Option<Derivation>,
    /// PBKDF2-HMAC-SHA1 (SALT, ITER).
    inner: Derivation,
    classes: Vec<Class>,
}

impl Keybag {
    /// Most rounds of the outer derivation (DPIC) that are done; real phones ask for 10 000 000.
    pub const DPIC_MAX: u32 = 50_000_000;
    /// Most rounds of the inner derivation (ITER) that are done; real phones ask for 10 000.
    pub const ITER_MAX: u32 = 1_000_000;

    /// Reads the `BackupKeyBag` of a Manifest.plist.
    ///
    /// # Errors
    /// `Malformed` for anything a phone does not make, `TooCostly` for more rounds than the caps.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeybagError> {
        let mut fields = Fields::new(bytes)?;
        let mut header = Header::default();
        let mut classes: Vec<Class> = Vec::new();
        let mut next = fields.next()?;
        while let Some((tag, value)) = next {
            if tag == *b"UUID" && header.uuid.is_some() {
                break;
            }
            header.take(tag, value)?;
            next = fields.next()?;
        }
        while let Some((_, uuid)) = next {
            sized::<16>(uuid, "a class has no UUID")?;
            let mut class = RawClass::default();
            next = fields.next()?;
            while let Some((tag, value)) = next.filter(|(tag, _)| tag != b"UUID") {
                class.take(tag, value)?;
                next = fields.next()?;
            }
            let class = class.finish()?;
            if classes.iter().any(|known| known.number == class.number) {
                return Err(KeybagError::Malformed("a class is there twice"));
            }
            if classes.len() >= CLASSES_MAX {
                return Err(KeybagError::Malformed("it has more classes than any phone"));
            }
            classes.push(class);
        }
        header.finish(classes)
    }

    /// Returns its UUID, 32 hex digits: one for each time a password was set.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Returns the rounds that opening it takes: DPIC (0 when it has none) and ITER.
    pub fn cost(&self) -> (u32, u32) {
        (
            self.outer.as_ref().map_or(0, |outer| outer.rounds),
            self.inner.rounds,
        )
    }
}

/// Tag, length, value, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

type Field<'a> = ([u8; 4], &'a [u8]);

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, KeybagError> {
        if bytes.len() > LEN_MAX {
            return Err(KeybagError::Malformed("it is longer than any phone's"));
        }
        Ok(Self { rest: bytes })
    }

    fn next(&mut self) -> Result<Option<Field<'a>>, KeybagError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let torn = KeybagError::Malformed("it ends in the middle of a field");
        let (tag, rest) = self.rest.split_first_chunk::<4>().ok_or(torn)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(torn)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| torn)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(torn)?;
        self.rest = rest;
        Ok(Some((*tag, value)))
    }
}

fn sized<const N: usize>(value: &[u8], why: &'static str) -> Result<[u8; N], KeybagError> {
    value.try_into().map_err(|_| KeybagError::Malformed(why))
}

fn number(value: &[u8]) -> Result<u32, KeybagError> {
    sized(value, "a number has another length than four bytes").map(u32::from_be_bytes)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), KeybagError> {
    if place.replace(value).is_some() {
        return Err(KeybagError::Malformed("a field is there twice"));
    }
    Ok(())
}

fn salt(value: &[u8]) -> Result<Vec<u8>, KeybagError> {
    if value.is_empty() || value.len() > SALT_LEN_MAX {
        return Err(KeybagError::Malformed("a salt has an impossible length"));
    }
    Ok(value.to_vec())
}

#[derive(Default)]
struct Header {
    kind: Option<u32>,
    uuid: Option<[u8; 16]>,
    salt: Option<Vec<u8>>,
    iter: Option<u32>,
    outer_salt: Option<Vec<u8>>,
    dpic: Option<u32>,
}

impl Header {
    fn take(&mut self, tag: [u8; 4], value: &[u8]) -> Result<(), KeybagError> {
        match &tag {
            b"TYPE" => once(&mut self.kind, number(value)?),
            b"UUID" => once(&mut self.uuid, sized(value, "its UUID is none")?),
            b"SALT" => once(&mut self.salt, salt(value)?),
            b"ITER" => once(&mut self.iter, number(value)?),
            b"DPSL" => once(&mut self.outer_salt, salt(value)?),
            b"DPIC" => once(&mut self.dpic, number(value)?),
            b"CLAS" | b"WPKY" => Err(KeybagError::Malformed("a class begins without a UUID")),
            // VERS, HMCK, WRAP, DPWT and what newer phones may add: nothing follows from them.
            _ => Ok(()),
        }
    }

    fn finish(self, classes: Vec<Class>) -> Result<Keybag, KeybagError> {
        let missing = KeybagError::Malformed("its header is not whole");
        if self.kind != Some(TYPE_BACKUP) {
            return Err(KeybagError::Malformed("it is not the keybag of a backup"));
        }
        let uuid = self.uuid.ok_or(missing)?;
        let iter = self.iter.ok_or(missing)?;
        let inner_salt = self.salt.ok_or(missing)?;
        let outer = match (self.outer_salt, self.dpic) {
            (Some(salt), Some(rounds)) => Some(Derivation { salt, rounds }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(missing),
        };
        let dpic = outer.as_ref().map_or(0, |outer| outer.rounds);
        if dpic > Keybag::DPIC_MAX || iter > Keybag::ITER_MAX {
            return Err(KeybagError::TooCostly { dpic, iter });
        }
        if iter == 0 || (outer.is_some() && dpic == 0) {
            return Err(KeybagError::Malformed("it asks for no work"));
        }
        if !classes.iter().any(Class::is_by_password) {
            return Err(KeybagError::Malformed(
                "no password opens any of its classes",
            ));
        }
        Ok(Keybag {
            uuid: hex(&uuid),
            outer,
            inner: Derivation {
                salt: inner_salt,
                rounds: iter,
            },
            classes,
        })
    }
}

impl Class {
    /// WRAP is a set of bits: 1 a key of the device, 2 the password.
    fn is_by_password(&self) -> bool {
        self.wrap & 2 != 0
    }
}

#[derive(Default)]
struct RawClass {
    number: Option<u32>,
    wrap: Option<u32>,
    wrapped: Option<Vec<u8>>,
}

impl RawClass {
    fn take(&mut self, tag: [u8; 4], value: &[u8]) -> Result<(), KeybagError> {
        match &tag {
            b"CLAS" => once(&mut self.number, number(value)?),
            b"WRAP" => once(&mut self.wrap, number(value)?),
            b"WPKY" => once(&mut self.wrapped, value.to_vec()),
            // KTYP, PBKY and what newer phones may add.
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Class, KeybagError> {
        let missing = KeybagError::Malformed("a class is not whole");
        let class = Class {
            number: self.number.ok_or(missing)?,
            wrap: self.wrap.ok_or(missing)?,
            wrapped: None,
        };
        if !class.is_by_password() {
            return Ok(class);
        }
        let wrapped = self.wrapped.ok_or(missing)?;
        let wrapped = sized(&wrapped, "a wrapped key has another length than 40 bytes")?;
        Ok(Class {
            wrapped: Some(wrapped),
            ..class
        })
    }
}
