//! Rows of `GetPolicy`.

use crate::dict::{Dict, Lookup, Writer};
use crate::words::PolicySource;

/// What holds for a phone under one key: a row of `GetPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// `key`: its name, with its table.
    pub key: String,
    /// `value`: as `SetPolicy` takes it, and as the file has it, there with quotes around text.
    pub value: String,
    /// `source`: who says so.
    pub source: PolicySource,
    /// `default`: what would hold if nobody said anything.
    pub default: String,
}

impl PolicyView {
    /// Reads a row; `None` without a key.
    pub fn from_dict(dict: &impl Lookup) -> Option<Self> {
        let text = |key| dict.text(key).unwrap_or_default().to_owned();
        Some(Self {
            key: dict.text("key").filter(|key| !key.is_empty())?.to_owned(),
            value: text("value"),
            source: PolicySource::parse(dict.text("source").unwrap_or_default()),
            default: text("default"),
        })
    }

    /// Writes a row.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text("key", &self.key)
            .text("value", &self.value)
            .text("source", self.source.as_str())
            .text("default", &self.default)
            .done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_as_written() {
        let row = PolicyView {
            key: "window".into(),
            value: "22:00-08:00".into(),
            source: PolicySource::ConfigPhone,
            default: "always".into(),
        };
        assert_eq!(PolicyView::from_dict(&row.to_dict()), Some(row));
        assert_eq!(PolicyView::from_dict(&Dict::new()), None);
    }
}
