//! A password on its way through the program.

use zeroize::Zeroizing;

/// A secret text. It is wiped from memory when it is dropped, and cannot be printed: it has no
/// `Debug` and no `Display`.
///
/// ```
/// use ibak_core::Secret;
/// let secret = Secret::new("open sesame".to_owned());
/// assert_eq!(secret.expose(), "open sesame");
/// ```
///
/// ```compile_fail
/// println!("{:?}", ibak_core::Secret::new(String::new()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
