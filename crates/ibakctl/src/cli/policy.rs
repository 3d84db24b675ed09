//! What holds for a phone.

use clap::Args;

/// Whose policy is shown, and what of it is set.
#[derive(Clone, Debug, Default, Args)]
pub struct PolicyArgs {
    /// The phone.
    #[arg(value_name = "PHONE")]
    pub phone: Option<String>,

    /// Sets a key; `KEY=` takes that back. Several are taken together or not at all.
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

impl PolicyArgs {
    /// Tells the phone from what is set: the only phone needs no name.
    pub fn sorted(&self) -> (Option<&str>, Vec<&str>) {
        let mut settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        match self.phone.as_deref() {
            Some(first) if is_setting(first) => {
                settings.insert(0, first);
                (None, settings)
            }
            phone => (phone, settings),
        }
    }
}

/// Tells whether this reads like `key=value`; a phone's name may have an equals sign as well, after
/// what is no key.
fn is_setting(text: &str) -> bool {
    let is_key = |key: &str| {
        !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
    };
    text.split_once('=').is_some_and(|(key, _)| is_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_phone_needs_no_name() {
        let sorted = |words: &[&str]| {
            let mut words = words.iter().map(|word| (*word).to_owned());
            let args = PolicyArgs {
                phone: words.next(),
                settings: words.collect(),
            };
            let (phone, settings) = args.sorted();
            (phone.map(str::to_owned), settings.join("|"))
        };
        let ada = |settings: &str| (Some("ada".to_owned()), settings.to_owned());
        assert_eq!(sorted(&[]), (None, String::new()));
        assert_eq!(sorted(&["ada"]), ada(""));
        assert_eq!(
            sorted(&["ada", "settle=1s", "window="]),
            ada("settle=1s|window=")
        );
        assert_eq!(
            sorted(&["keep.last=1", "b=c"]),
            (None, "keep.last=1|b=c".to_owned())
        );
        assert_eq!(sorted(&["A=B"]).0.as_deref(), Some("A=B"));
    }
}
