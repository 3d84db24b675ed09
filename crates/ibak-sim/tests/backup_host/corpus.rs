//! The corpus as plists, and how to compare with it.

use std::path::PathBuf;

use plist::Value;
use serde_json::Value as Json;

use super::{Seen, Session, TestPhone, backup, scratch};

pub fn corpus(name: &str) -> Json {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/corpus", name]
        .iter()
        .collect();
    serde_json::from_str(
        &std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

pub fn message(file: &str, at: usize) -> Json {
    corpus(file)["messages"][at]["message"].clone()
}

/// Makes the plist a corpus entry stands for: a number with a point is a REAL.
pub fn to_plist(json: &Json, udid: &str) -> Value {
    match json {
        Json::Array(items) => Value::Array(items.iter().map(|item| to_plist(item, udid)).collect()),
        Json::Object(entries) => Value::Dictionary(
            entries
                .iter()
                .map(|(key, value)| (key.replace("<udid>", udid), to_plist(value, udid)))
                .collect(),
        ),
        Json::String(text) => Value::String(text.replace("<udid>", udid)),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) if number.is_f64() => Value::Real(number.as_f64().unwrap()),
        Json::Number(number) => number.as_i64().unwrap().into(),
        Json::Null => panic!("null in the corpus"),
    }
}

/// Whether two plists have the same shape: names, keys, counts and types, but not every value.
pub fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        (Value::Dictionary(a), Value::Dictionary(b)) => {
            a.len() == b.len() && a.values().zip(b.values()).all(|(a, b)| same_shape(a, b))
        }
        (Value::String(a), Value::String(b)) => {
            a.starts_with("DL") == b.starts_with("DL") && (!a.starts_with("DL") || a == b)
        }
        (Value::Integer(_), Value::Integer(_))
        | (Value::Real(_), Value::Real(_))
        | (Value::Boolean(_), Value::Boolean(_)) => true,
        (Value::Date(_), Value::Date(_)) => true,
        _ => false,
    }
}

pub fn wire(seen: &Seen) -> Value {
    Value::Array(seen.message.clone())
}

pub const HEX40: &str = "00112233445566778899aabbccddeeff00112233";

pub async fn first_backup(ios: &str) -> (TestPhone, tempfile::TempDir, Session) {
    let phone = TestPhone::small(ios);
    let root = scratch();
    let session = backup(&phone, root.path()).await;
    assert_eq!(session.code(), 0, "{}", session.description());
    (phone, root, session)
}
