//! One value of a configuration, from the file or from a command line, and what it can be read as.
//!
//! Each reading says what it expects when the value is something else.

use super::{OnLoss, Requirement};
use crate::units::parse_duration;
use ibak_core::Windows;
use std::time::Duration;

/// Most entries of a list.
const LIST_MAX: usize = 32;
/// Longest name in a list, in bytes.
const NAME_MAX: usize = 128;

/// A value, before it is known what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text in quotes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else that TOML has.
    Odd,
    /// What was typed after `KEY=`, without quotes: it is what the key expects.
    Typed(String),
}

impl Value {
    /// Takes what was typed, with or without the quotes that the file needs.
    pub fn typed(text: &str) -> Self {
        let text = text.trim();
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|bare| !bare.contains('"'));
        Self::Typed(bare.unwrap_or(text).to_owned())
    }

    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) | Self::Typed(text) => Ok(text.trim()),
            Self::Number(_) | Self::Flag(_) | Self::List(_) | Self::Odd => {
                Err("must be text in quotes".to_owned())
            }
        }
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            Self::Typed(text) if text == "true" => Ok(true),
            Self::Typed(text) if text == "false" => Ok(false),
            Self::Typed(_) | Self::Text(_) | Self::Number(_) | Self::List(_) | Self::Odd => {
                Err("must be true or false, without quotes".to_owned())
            }
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, least: i64, most: i64) -> Result<T, String> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Typed(text) => text.trim().parse().ok(),
            Self::Text(_) | Self::Flag(_) | Self::List(_) | Self::Odd => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be a number from {least} to {most}, without quotes"))
    }

    /// Reads a duration from `least` to `most`.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Result<Duration, String> {
        let text = self
            .text()
            .map_err(|_| "must be a duration in quotes, like \"24h\" or \"10min\"".to_owned())?;
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        if (least..=most).contains(&duration) {
            Ok(duration)
        } else {
            let (least, most) = (super::written(least), super::written(most));
            Err(format!("must be from {least} to {most}"))
        }
    }

    /// Reads texts: a list, or one text in which `separator` stands between them.
    pub(super) fn texts(&self, separator: char) -> Result<Vec<String>, String> {
        let texts: Vec<String> = match self {
            Self::List(texts) => texts.iter().map(|text| text.trim().to_owned()).collect(),
            Self::Text(text) | Self::Typed(text) => text
                .split(separator)
                .map(|part| part.trim().to_owned())
                .collect(),
            Self::Number(_) | Self::Flag(_) | Self::Odd => {
                return Err("must be text in quotes, or a list of such".to_owned());
            }
        };
        if texts.len() > LIST_MAX {
            return Err(format!("must be at most {LIST_MAX} entries"));
        }
        Ok(texts)
    }

    pub(super) fn windows(&self) -> Result<Windows, String> {
        let texts = self.texts(';')?;
        match texts.as_slice() {
            [] => Err(format!(
                "must not be empty: \"{ALWAYS}\" is any time; whoever wants none sets \
                 `automatic` to false, or `asks_per_day` to 0"
            )),
            [one] if one == ALWAYS => Ok(Windows::default()),
            texts => Windows::parse(texts)
                .map_err(|error| format!("{error}, a list of such, or \"{ALWAYS}\"")),
        }
    }

    /// Reads names of channels; `all` is none in particular.
    pub(super) fn channels(&self) -> Result<Vec<String>, String> {
        let names = self.texts(',')?;
        if names == [ALL] {
            return Ok(Vec::new());
        }
        if names.is_empty() {
            return Err(format!("must not be empty: \"{ALL}\" is every channel"));
        }
        let good = |name: &String| {
            !name.is_empty()
                && name.len() <= NAME_MAX
                && name != ALL
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if names.iter().all(good) {
            Ok(names)
        } else {
            Err(format!(
                "must be names of channels (letters, digits and -_.), like \"desktop\" or \
                 [\"desktop\", \"mail\"], or \"{ALL}\""
            ))
        }
    }

    /// Reads a login name.
    pub(super) fn login(&self) -> Result<String, String> {
        let name = self.text()?;
        let good = |c: char| c.is_alphanumeric() || "-_.@\\$".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(good) {
            return Err("must be a login name on this computer, like \"ada\"".to_owned());
        }
        Ok(name.to_owned())
    }

    /// Reads whether a condition counts.
    pub(super) fn requirement(&self, may_use_cable: bool) -> Result<Requirement, String> {
        match (self.text(), may_use_cable) {
            (Ok("required"), _) => Ok(Requirement::Required),
            (Ok("ignored"), _) => Ok(Requirement::Ignored),
            (Ok("or-usb"), true) => Ok(Requirement::OrUsb),
            (_, true) => Err("must be \"required\", \"or-usb\" or \"ignored\"".to_owned()),
            (_, false) => Err("must be \"required\" or \"ignored\"".to_owned()),
        }
    }

    /// Reads what losing a condition does.
    pub(super) fn on_loss(&self) -> Result<OnLoss, String> {
        let expected = || "must be \"finish\", \"stop\", or a duration like \"10min\"".to_owned();
        match self.text().map_err(|_| expected())? {
            "finish" => Ok(OnLoss::Finish),
            "stop" => Ok(OnLoss::Stop),
            text => {
                parse_duration(text).map_err(|_| expected())?;
                self.duration(Duration::ZERO, super::DAY).map(OnLoss::Grace)
            }
        }
    }

    /// Reads one of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let given = self.text();
        let found = words.iter().find(|(word, _)| given == Ok(*word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(it, _)| format!("\"{it}\"")).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}

/// Is the word for windows that never close.
pub(super) const ALWAYS: &str = "always";
/// Is the word for every channel.
pub(super) const ALL: &str = "all";
