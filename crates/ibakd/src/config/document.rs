//! A configuration's text as a flat list: which key, in whose table, on which line, with what value.

use super::house::is_table;
use super::{ConfigError, Value};
use toml::de::{DeArray, DeTable, DeValue};

/// The table that holds the phones' own.
const PHONES: &str = "phone";

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The table of which phone; `None` for all of them.
    pub(super) phone: Option<String>,
    /// With its table, as `keep.last`.
    pub(super) key: String,
    /// Counted from one.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A phone's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PhoneTable {
    pub(super) name: String,
    pub(super) line: usize,
}

/// All of it, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) entries: Vec<Entry>,
    pub(super) phones: Vec<PhoneTable>,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] for what TOML forbids, [`ConfigError::Value`] for a `phone` that is
    /// no table of tables.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text)
            .map_err(|error| ConfigError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut document = Self::default();
        for (key, value) in table.get_ref() {
            let (name, line) = (key.get_ref(), line_at(text, key.span().start));
            if name == PHONES {
                document.phones(text, value.get_ref(), line)?;
            } else {
                document.add(text, None, name, line, value.get_ref());
            }
        }
        document.entries.sort_by_key(|entry| entry.line);
        document.phones.sort_by_key(|phone| phone.line);
        Ok(document)
    }

    fn phones(&mut self, text: &str, value: &DeValue<'_>, line: usize) -> Result<(), ConfigError> {
        let wrong = |key: String, line| ConfigError::Value {
            key,
            line,
            reason: "must be a table of one phone, like [phone.\"Ada's iPhone\"]".to_owned(),
        };
        let tables = value
            .as_table()
            .ok_or_else(|| wrong(PHONES.to_owned(), line))?;
        for (key, value) in tables {
            let (name, line) = (key.get_ref(), line_at(text, key.span().start));
            let table = value
                .get_ref()
                .as_table()
                .ok_or_else(|| wrong(format!("{PHONES}.{name}"), line))?;
            self.phones.push(PhoneTable {
                name: name.to_string(),
                line,
            });
            for (key, value) in table {
                let line = line_at(text, key.span().start);
                self.add(text, Some(name), key.get_ref(), line, value.get_ref());
            }
        }
        Ok(())
    }

    /// Adds a key, or what is in its table.
    fn add(
        &mut self,
        text: &str,
        phone: Option<&str>,
        key: &str,
        line: usize,
        value: &DeValue<'_>,
    ) {
        if let Some(table) = value.as_table().filter(|table| {
            // An empty one says nothing, unless its name is wrong.
            !table.is_empty() || is_table(key)
        }) {
            for (name, value) in table {
                let line = line_at(text, name.span().start);
                let key = format!("{key}.{}", name.get_ref());
                self.add(text, phone, &key, line, value.get_ref());
            }
            return;
        }
        self.entries.push(Entry {
            phone: phone.map(str::to_owned),
            key: key.to_owned(),
            line,
            value: value_of(value),
        });
    }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Odd, Value::Number)
        }
        DeValue::Array(list) => texts_of(list).map_or(Value::Odd, Value::List),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Value::Odd,
    }
}

fn texts_of(list: &DeArray<'_>) -> Option<Vec<String>> {
    list.iter()
        .map(|item| item.get_ref().as_str().map(str::to_owned))
        .collect()
}

/// Returns the line of what begins at this byte, counted from one.
fn line_at(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
