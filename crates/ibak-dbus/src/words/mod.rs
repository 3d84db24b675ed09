//! Every word a property, row or detail can hold.
//!
//! Words are kebab-case and machine-readable; sentences live in the CLI. Each list grows within
//! `1`, so every enum has an `Other` arm for a newer daemon's word, and each says what a client
//! does with one. The doc lines here are the tables of docs/dbus.md.

mod condition;
mod diagnosis;
mod job;
mod observation;
mod phone;
mod policy;

pub use condition::{
    Basis, ConditionName, ConditionReason, ConditionStatus, EvidenceSource, KeepReason,
};
pub use diagnosis::{CheckDetail, CheckId, CheckStatus, Remedy};
pub use job::{JobKind, JobState, Outcome, Phase, Trigger};
pub use observation::{DecisionWord, GapWord, ObservationKind};
pub use phone::{
    AttentionKind, ManagerMode, OnOff, Passcode, PhoneState, StorageState, TransportWord, Trust,
    WaitsFor,
};
pub use policy::PolicySource;

/// One list of words, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct WordList {
    /// The enum's name.
    pub name: &'static str,
    /// What a client does with a word it does not know.
    pub new_word: &'static str,
    /// Each word and its meaning.
    pub words: &'static [(&'static str, &'static str)],
}

/// Is every list, in the order of docs/dbus.md.
pub const LISTS: &[WordList] = &[
    ManagerMode::LIST,
    StorageState::LIST,
    PhoneState::LIST,
    TransportWord::LIST,
    Trust::LIST,
    OnOff::LIST,
    Passcode::LIST,
    ConditionName::LIST,
    ConditionStatus::LIST,
    ConditionReason::LIST,
    Basis::LIST,
    EvidenceSource::LIST,
    WaitsFor::LIST,
    JobKind::LIST,
    Trigger::LIST,
    JobState::LIST,
    Phase::LIST,
    Outcome::LIST,
    KeepReason::LIST,
    PolicySource::LIST,
    ObservationKind::LIST,
    DecisionWord::LIST,
    GapWord::LIST,
    AttentionKind::LIST,
    CheckId::LIST,
    CheckStatus::LIST,
    CheckDetail::LIST,
    Remedy::LIST,
];

/// Defines an enum of words with its documentation.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        new = $new:literal;
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $about])+
        #[doc = ""]
        #[doc = concat!("A word this build does not know: ", $new, ".")]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
            /// A word of a newer daemon.
            Other(String),
        }

        impl $name {
            /// Is every word this build knows, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Is this list as documentation.
            pub const LIST: $crate::words::WordList = $crate::words::WordList {
                name: stringify!($name),
                new_word: $new,
                words: &[$(($word, concat!($($doc),+)),)+],
            };

            /// Returns the word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }

            /// Reads a word; one that is not known is kept as it is.
            pub fn parse(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_kebab_case_and_unique_in_their_list() {
        for list in LISTS {
            let mut seen = BTreeSet::new();
            for (word, meaning) in list.words {
                assert!(seen.insert(word), "{}: {word} twice", list.name);
                assert!(
                    word.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                    "{}: {word}",
                    list.name
                );
                assert!(
                    meaning.trim().ends_with('.'),
                    "{}: {word}: {meaning}",
                    list.name
                );
            }
        }
    }

    #[test]
    fn every_word_reads_back() {
        for outcome in Outcome::ALL {
            assert_eq!(&Outcome::parse(outcome.as_str()), outcome);
        }
        for reason in ConditionReason::ALL {
            assert_eq!(&ConditionReason::parse(reason.as_str()), reason);
        }
        assert_eq!(
            PhoneState::parse("dreaming"),
            PhoneState::Other("dreaming".into())
        );
        assert_eq!(PhoneState::parse("dreaming").as_str(), "dreaming");
    }
}
