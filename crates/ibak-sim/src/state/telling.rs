//! What a phone says in the place of one of lockdown's values: older iOS has fewer keys, a newer
//! one may change a type, and a key may be closed to hosts.

use plist::Value;

/// A domain, `None` for the root, and a key in it.
pub type ValueName = (Option<String>, String);

/// What is said in a value's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// What is so.
    Truth,
    /// Nothing: there is no such key (`MissingValue`).
    Missing,
    /// Nothing: no host may read it (`GetProhibited`).
    Prohibited,
    /// A text.
    Text,
    /// A number that is no truth value.
    Number,
    /// Bytes.
    Data,
}

impl Telling {
    /// Every one with its word.
    const WORDS: &[(&str, Self)] = &[
        ("truth", Self::Truth),
        ("missing", Self::Missing),
        ("prohibited", Self::Prohibited),
        ("text", Self::Text),
        ("number", Self::Number),
        ("data", Self::Data),
    ];

    /// Reads `DOMAIN/KEY:WORD`, or `KEY:WORD` for the root domain.
    pub(super) fn parse(text: &str) -> Option<(ValueName, Self)> {
        let (name, word) = text.rsplit_once(':')?;
        let (_, what) = Self::WORDS.iter().find(|(known, _)| *known == word)?;
        let name = value_name(name);
        (!name.1.is_empty()).then_some((name, *what))
    }

    /// Returns what is said instead of `truth`.
    ///
    /// # Errors
    /// The error string of lockdown, where nothing is said.
    pub fn instead_of(self, truth: Option<Value>) -> Result<Value, &'static str> {
        match self {
            Self::Truth => truth.ok_or("MissingValue"),
            Self::Missing => Err("MissingValue"),
            Self::Prohibited => Err("GetProhibited"),
            Self::Text => Ok("a text".into()),
            Self::Number => Ok(7.into()),
            Self::Data => Ok(Value::Data(vec![7; 8])),
        }
    }
}

/// Reads `DOMAIN/KEY`, or `KEY` for the root domain.
pub fn value_name(text: &str) -> ValueName {
    match text.rsplit_once('/') {
        Some((domain, key)) => (Some(domain.to_owned()), key.to_owned()),
        None => (None, text.to_owned()),
    }
}
