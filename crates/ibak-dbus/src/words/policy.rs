//! Words of `Phone.GetPolicy`.

use super::words;

words! {
    /// A policy row's `source`: who says so. Each goes before the ones above it.
    new = "show the word";
    PolicySource {
        /// Nobody; it is the default.
        Default = "default",
        /// The configuration, for all phones.
        Config = "config",
        /// The configuration, for this phone.
        ConfigPhone = "config-phone",
        /// A person, with `SetPolicy` or `SetAutomatic`.
        Set = "set",
    }
}
