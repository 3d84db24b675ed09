//! The `options a{sv}` at the end of every method.

use crate::{Dict, Error, Lookup};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use zbus::wire::Variant;

/// Is the key every method knows: when true, polkit may not ask anybody.
pub const NO_USER_INTERACTION: &str = "auth.no_user_interaction";

/// Is how many entries an option that gives numbers by name may have.
const NUMBERS_MAX: usize = 100_000;

/// Options whose keys are all known to the method that took them.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    values: &'a Dict,
    no_user_interaction: bool,
}

/// Checks the keys of `options` against `allowed`; [`NO_USER_INTERACTION`] is always allowed.
///
/// # Errors
/// [`Error::InvalidOption`] naming the first unknown key in alphabetical order.
pub fn check_options<'a>(options: &'a Dict, allowed: &[&str]) -> Result<Options<'a>, Error> {
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
        values: options,
        no_user_interaction: false,
    };
    checked.no_user_interaction = checked.flag(NO_USER_INTERACTION)?;
    Ok(checked)
}

impl Options<'_> {
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

    /// Reads an `s` option.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it has another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.values.value(key) {
            None => Ok(None),
            Some(Variant::Str(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Error::InvalidOption(format!("option {key:?} is a string"))),
        }
    }

    /// Reads a `t` option.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it has another type.
    pub fn number(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.values.value(key) {
            None => Ok(None),
            Some(Variant::U64(number)) => Ok(Some(*number)),
            Some(_) => Err(Error::InvalidOption(format!("option {key:?} is a number"))),
        }
    }

    /// Reads an `h` option: a descriptor of its own.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it has another type; [`Error::Failed`] when
    /// this process has too many open.
    pub fn fd(&self, key: &str) -> Result<Option<OwnedFd>, Error> {
        match self.values.value(key) {
            None => Ok(None),
            Some(Variant::Fd(fd)) => fd
                .as_fd()
                .try_clone_to_owned()
                .map(Some)
                .map_err(|error| Error::Failed(format!("option {key:?}: {error}"))),
            Some(_) => Err(Error::InvalidOption(format!(
                "option {key:?} is a file descriptor"
            ))),
        }
    }

    /// Reads an `a{ss}` option; absent is empty.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it, or one of its values, has another type.
    pub fn texts(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let given = match self.values.value(key) {
            None => return Ok(BTreeMap::new()),
            Some(Variant::Dict(given)) => given.iter().count(),
            Some(_) => usize::MAX,
        };
        let read = self.values.dict(key);
        let texts: BTreeMap<String, String> = read
            .keys()
            .filter_map(|name| Some((name.clone(), read.text(name)?.to_owned())))
            .collect();
        if texts.len() == given {
            Ok(texts)
        } else {
            Err(Error::InvalidOption(format!(
                "option {key:?} gives texts by name"
            )))
        }
    }

    /// Reads an `a{st}` option; absent is empty.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the key when it, or one of its values, has another type.
    pub fn numbers(&self, key: &str) -> Result<BTreeMap<String, u64>, Error> {
        let wrong = || Error::InvalidOption(format!("option {key:?} gives numbers by name"));
        if self.values.value(key).is_none() {
            return Ok(BTreeMap::new());
        }
        let Some(Variant::Dict(given)) = self.values.value(key) else {
            return Err(wrong());
        };
        let count = given.iter().count();
        if count > NUMBERS_MAX {
            return Err(Error::InvalidOption(format!(
                "option {key:?} has more than {NUMBERS_MAX} entries"
            )));
        }
        let read = self.values.dict(key);
        let numbers: BTreeMap<String, u64> = read
            .keys()
            .filter_map(|name| Some((name.clone(), read.number(name)?)))
            .collect();
        if numbers.len() == count {
            Ok(numbers)
        } else {
            Err(wrong())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use zbus::wire::OwnedVariant;

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
        let checked = check_options(&given, &["full"]).unwrap();
        let invalid = |error: Option<Error>| matches!(error, Some(Error::InvalidOption(_)));
        assert!(invalid(checked.flag("full").err()));
        assert!(invalid(checked.text("full").err()));
        assert!(invalid(checked.fd("full").err()));
        assert!(invalid(checked.numbers("full").err()));
        assert!(invalid(checked.texts("full").err()));
    }

    #[test]
    fn texts_descriptors_and_numbers_are_read() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let have = HashMap::from([("a/b".to_owned(), 7_u64)]);
        let given = options(&[
            ("source", Variant::from("x").try_into_owned().unwrap()),
            (
                "password",
                Variant::from(zbus::wire::Fd::from(OwnedFd::from(theirs)))
                    .try_into_owned()
                    .unwrap(),
            ),
            ("have", Variant::from(have).try_into_owned().unwrap()),
        ]);
        let checked = check_options(&given, &["source", "password", "have"]).unwrap();
        assert!(checked.texts("have").is_err(), "numbers are no texts");
        assert!(checked.texts("none").unwrap().is_empty());
        assert_eq!(checked.text("source").unwrap(), Some("x"));
        assert_eq!(checked.text("other").unwrap(), None);
        assert_eq!(
            checked.numbers("have").unwrap(),
            BTreeMap::from([("a/b".to_owned(), 7)])
        );
        let mut fd = std::fs::File::from(checked.fd("password").unwrap().unwrap());
        std::io::Write::write_all(&mut fd, b"here").unwrap();
        let mut read = [0; 4];
        std::io::Read::read_exact(&mut &ours, &mut read).unwrap();
        assert_eq!(&read, b"here");
        assert!(checked.fd("none").unwrap().is_none());
    }
}
