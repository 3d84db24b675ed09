//! The `options a{sv}` at the end of every method.

use crate::{Dict, Error, Lookup};
use std::collections::HashMap;
use zbus::wire::{OwnedVariant, Variant};

/// Is the key every method knows: when true, polkit may not ask anybody.
pub const NO_USER_INTERACTION: &str = "auth.no_user_interaction";

/// Options whose keys are all known to the method that took them.
#[derive(Debug, Default)]
pub struct Options {
    values: Dict,
    no_user_interaction: bool,
}

/// Checks the keys of `options` against `allowed`; [`NO_USER_INTERACTION`] is always allowed.
///
/// # Errors
/// [`Error::InvalidOption`] naming the first unknown key in alphabetical order.
pub fn check_options(
    options: &HashMap<String, OwnedVariant>,
    allowed: &[&str],
) -> Result<Options, Error> {
    let mut unknown: Vec<&str> = options
        .keys()
        .map(String::as_str)
        .filter(|key| *key != NO_USER_INTERACTION && !allowed.contains(key))
        .collect();
    unknown.sort_unstable();
    if let Some(key) = unknown.first() {
        // The key is the caller's own text; quoting escapes whatever it holds.
        return Err(Error::InvalidOption(format!(
            "unknown option {:?}",
            key.chars().take(80).collect::<String>()
        )));
    }
    let mut checked = Options {
        values: options.clone(),
        no_user_interaction: false,
    };
    checked.no_user_interaction = checked.flag(NO_USER_INTERACTION)?;
    Ok(checked)
}

impl Options {
    /// Says whether the caller forbade asking a person.
    pub fn no_user_interaction(&self) -> bool {
        self.no_user_interaction
    }

    /// Reads a `b` option; absent is false.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it has another type.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.values.value(key) {
            None => Ok(false),
            Some(Variant::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Error::InvalidOption(format!("option {key:?} is a boolean"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, OwnedVariant)]) -> Dict {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect()
    }

    #[test]
    fn known_keys_pass() {
        let given = options(&[
            ("when-ready", true.into()),
            (NO_USER_INTERACTION, true.into()),
        ]);
        let checked = check_options(&given, &["when-ready", "full"]).unwrap();
        assert!(checked.no_user_interaction());
        assert!(checked.flag("when-ready").unwrap());
        assert!(!checked.flag("full").unwrap());
        assert!(
            !check_options(&Dict::new(), &[])
                .unwrap()
                .no_user_interaction()
        );
    }

    #[test]
    fn an_unknown_key_is_named() {
        let given = options(&[
            ("zeal", true.into()),
            ("fast\n", true.into()),
            ("full", true.into()),
        ]);
        let Err(Error::InvalidOption(text)) = check_options(&given, &["full"]) else {
            panic!("accepted")
        };
        assert_eq!(text, r#"unknown option "fast\n""#);
    }

    #[test]
    fn a_wrong_type_is_named() {
        let given = options(&[(NO_USER_INTERACTION, 1_u32.into())]);
        assert!(
            matches!(check_options(&given, &[]), Err(Error::InvalidOption(text)) if text.contains(NO_USER_INTERACTION))
        );
        let given = options(&[("full", 1_u32.into())]);
        assert!(matches!(
            check_options(&given, &["full"]).unwrap().flag("full"),
            Err(Error::InvalidOption(_))
        ));
    }
}
