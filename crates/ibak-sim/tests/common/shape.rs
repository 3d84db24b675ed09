//! Compares what a phone says with the types and values of the corpus.

use plist::Value;
use serde_json::Value as Json;

/// Compares a value with the type the corpus names for it, and every key of dictionaries.
pub(crate) fn check(path: &str, expected: &Json, actual: &Value) {
    match expected {
        Json::Object(keys) => {
            let actual = actual
                .as_dictionary()
                .unwrap_or_else(|| panic!("{path} is a dictionary"));
            let (wild, named): (Vec<_>, Vec<_>) =
                keys.iter().partition(|(key, _)| key.ends_with('*'));
            for (key, kind) in &named {
                let value = actual
                    .get(key)
                    .unwrap_or_else(|| panic!("{path} has {key}"));
                check(&format!("{path}/{key}"), kind, value);
            }
            for key in actual.keys() {
                let known = keys.contains_key(key)
                    || wild
                        .iter()
                        .any(|(wild, _)| key.starts_with(wild.trim_end_matches('*')));
                assert!(known, "{path} has no {key} on a real phone");
            }
        }
        Json::Array(items) => {
            let actual = actual
                .as_array()
                .unwrap_or_else(|| panic!("{path} is an array"));
            for value in actual {
                check(&format!("{path}[]"), &items[0], value);
            }
        }
        Json::String(kind) => {
            let kind = kind.as_str();
            let fits = match kind {
                "string" => actual.as_string().is_some(),
                "int" => {
                    actual.as_unsigned_integer().is_some() || actual.as_signed_integer().is_some()
                }
                "bool" => actual.as_boolean().is_some(),
                "real" => actual.as_real().is_some(),
                "data" => actual.as_data().is_some(),
                "data(32)" => actual.as_data().is_some_and(|data| data.len() == 32),
                "dict" => actual.as_dictionary().is_some(),
                other => panic!("{path}: the corpus says {other}"),
            };
            assert!(fits, "{path} is {kind}, not {actual:?}");
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => panic!("{path}: not a type"),
    }
}

/// Compares values the corpus gives, also inside dictionaries and lists.
pub(crate) fn same(path: &str, expected: &Json, actual: &Value) {
    match expected {
        Json::Object(keys) => {
            let actual = actual.as_dictionary().unwrap();
            for (key, value) in keys {
                same(
                    &format!("{path}/{key}"),
                    value,
                    actual
                        .get(key)
                        .unwrap_or_else(|| panic!("{path} has {key}")),
                );
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                same(
                    &format!("{path}[{at}]"),
                    item,
                    &actual.as_array().unwrap()[at],
                );
            }
        }
        Json::String(text) => assert_eq!(actual.as_string(), Some(text.as_str()), "{path}"),
        Json::Bool(on) => assert_eq!(actual.as_boolean(), Some(*on), "{path}"),
        Json::Number(number) if number.is_f64() => {
            assert_eq!(actual.as_real(), number.as_f64(), "{path}")
        }
        Json::Number(number) => assert_eq!(actual.as_signed_integer(), number.as_i64(), "{path}"),
        Json::Null => panic!("{path}: the corpus gives null"),
    }
}
