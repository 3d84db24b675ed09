//! Lenient reading of `a{sv}`: what is missing or of an odd type reads as absent.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the bus's own type: every other kind of value reads as absent"
)]

use ibak_core::Wall;
use std::collections::{BTreeMap, HashMap};
use zbus::wire::{OwnedVariant, Variant};

/// Is `a{sv}` as methods take and return it.
pub type Dict = HashMap<String, OwnedVariant>;
/// Is `a{sa{sv}}`.
pub type Dicts = HashMap<String, Dict>;
/// Is the properties of one interface, in order.
pub type Properties = BTreeMap<String, OwnedVariant>;

/// Reads values by key. Integers of every width read as numbers, negative ones as absent.
pub trait Lookup {
    /// Returns the value under `key`, out of any variants it is wrapped in.
    fn value(&self, key: &str) -> Option<&Variant<'_>>;

    /// Reads a string or an object path.
    fn text(&self, key: &str) -> Option<&str> {
        text_of(self.value(key)?)
    }

    /// Reads a whole number that is not negative.
    fn number(&self, key: &str) -> Option<u64> {
        number_of(self.value(key)?)
    }

    /// Reads a whole number that may be negative.
    fn integer(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Variant::I64(n) => Some(*n),
            Variant::I32(n) => Some(i64::from(*n)),
            Variant::I16(n) => Some(i64::from(*n)),
            other => number_of(other).and_then(|n| i64::try_from(n).ok()),
        }
    }

    /// Reads a time: microseconds since 1970-01-01 UTC, where 0 reads as absent.
    fn time(&self, key: &str) -> Option<Wall> {
        let micros = i64::try_from(self.number(key)?).ok()?;
        (micros != 0).then_some(Wall::from_micros(micros))
    }

    /// Reads a truth value.
    fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Variant::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Reads a number that need not be whole.
    fn real(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Variant::F64(real) => Some(*real),
            _ => None,
        }
    }

    /// Reads a list of strings; absent reads as empty, odd members are left out.
    fn texts(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Variant::Array(array)) => array
                .iter()
                .filter_map(|v| text_of(peel(v)))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Reads a dictionary with string keys; absent reads as empty.
    fn dict(&self, key: &str) -> Properties {
        self.value(key).map(properties_of).unwrap_or_default()
    }
}

impl Lookup for Dict {
    fn value(&self, key: &str) -> Option<&Variant<'_>> {
        self.get(key).map(|value| peel(value))
    }
}

impl Lookup for Properties {
    fn value(&self, key: &str) -> Option<&Variant<'_>> {
        self.get(key).map(|value| peel(value))
    }
}

/// Reads a dictionary with string keys out of a value; anything else reads as empty.
pub(crate) fn properties_of(value: &Variant<'_>) -> Properties {
    let Variant::Dict(dict) = peel(value) else {
        return Properties::new();
    };
    dict.iter()
        .filter_map(|(key, value)| {
            Some((
                text_of(peel(key))?.to_owned(),
                peel(value).try_to_owned().ok()?,
            ))
        })
        .collect()
}

/// Takes a value out of the variants around it. The bus itself bounds their depth.
fn peel<'a, 'v>(mut value: &'a Variant<'v>) -> &'a Variant<'v> {
    while let Variant::Variant(inner) = value {
        value = inner;
    }
    value
}

fn text_of<'a>(value: &'a Variant<'_>) -> Option<&'a str> {
    match value {
        Variant::Str(text) => Some(text.as_str()),
        Variant::ObjectPath(path) => Some(path.as_str()),
        _ => None,
    }
}

fn number_of(value: &Variant<'_>) -> Option<u64> {
    match value {
        Variant::U8(n) => Some(u64::from(*n)),
        Variant::U16(n) => Some(u64::from(*n)),
        Variant::U32(n) => Some(u64::from(*n)),
        Variant::U64(n) => Some(*n),
        Variant::I16(n) => u64::try_from(*n).ok(),
        Variant::I32(n) => u64::try_from(*n).ok(),
        Variant::I64(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// Builds an `a{sv}` without a word about absent values.
#[derive(Default)]
pub(crate) struct Writer(Dict);

impl Writer {
    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_owned(), owned(value.to_owned()));
        self
    }

    pub(crate) fn text_if(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    pub(crate) fn number(mut self, key: &str, value: u64) -> Self {
        self.0.insert(key.to_owned(), OwnedVariant::from(value));
        self
    }

    pub(crate) fn integer(mut self, key: &str, value: i64) -> Self {
        self.0.insert(key.to_owned(), OwnedVariant::from(value));
        self
    }

    pub(crate) fn flag_if(self, key: &str, value: Option<bool>) -> Self {
        match value {
            Some(value) => self.flag(key, value),
            None => self,
        }
    }

    pub(crate) fn number_if(self, key: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self,
        }
    }

    pub(crate) fn time(self, key: &str, value: Option<Wall>) -> Self {
        self.number(key, micros(value))
    }

    pub(crate) fn flag(mut self, key: &str, value: bool) -> Self {
        self.0.insert(key.to_owned(), OwnedVariant::from(value));
        self
    }

    pub(crate) fn texts(mut self, key: &str, values: Vec<String>) -> Self {
        self.0.insert(key.to_owned(), owned(values));
        self
    }

    pub(crate) fn done(self) -> Dict {
        self.0
    }
}

/// Writes a time as the contract has it: microseconds, 0 when absent or before 1970.
pub(crate) fn micros(time: Option<Wall>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0))
}

/// Owns a value that holds no file descriptor, so that nothing can fail.
fn owned<T: Into<Variant<'static>>>(value: T) -> OwnedVariant {
    value
        .into()
        .try_into_owned()
        .unwrap_or_else(|_| OwnedVariant::from(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_values_read_as_absent() {
        let dict = Writer::default()
            .text("s", "word")
            .number("t", 7)
            .number("zero", 0)
            .number("huge", u64::MAX)
            .flag("b", true)
            .texts("as", vec!["a".into(), "b".into()])
            .done();
        assert_eq!(
            (dict.text("s"), dict.text("t"), dict.text("no")),
            (Some("word"), None, None)
        );
        assert_eq!((dict.number("t"), dict.number("s")), (Some(7), None));
        assert_eq!(dict.time("t"), Some(Wall::from_micros(7)));
        assert_eq!((dict.time("zero"), dict.time("huge")), (None, None));
        assert_eq!(
            (dict.flag("b"), dict.flag("t"), dict.real("t")),
            (Some(true), None, None)
        );
        assert_eq!(dict.texts("as"), ["a", "b"]);
        assert!(dict.texts("s").is_empty());
        assert!(dict.dict("as").is_empty());
    }

    #[test]
    fn integers_of_every_width_are_numbers() {
        let dict: Dict = [
            ("y", OwnedVariant::from(1_u8)),
            ("q", OwnedVariant::from(2_u16)),
            ("u", OwnedVariant::from(3_u32)),
            ("x", OwnedVariant::from(4_i64)),
            ("n", OwnedVariant::from(-1_i16)),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
        let read: Vec<_> = ["y", "q", "u", "x", "n"]
            .iter()
            .map(|k| dict.number(k))
            .collect();
        assert_eq!(read, [Some(1), Some(2), Some(3), Some(4), None]);
    }
}
