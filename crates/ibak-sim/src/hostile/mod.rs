//! A library of attacks, each by its name: what a hostile phone, or somebody in its place, may do.
//!
//! `attack=NAME` on a phone makes it attack from the next connection on, until `attack=none`. Each
//! attack ends by itself, at the latest after a minute and after half a gigabyte, so a test against
//! a host that does not defend itself fails and does not hang. What an attack got out of the host
//! is counted in [`Loot`].
//!
//! * `path/OPERATION/SPELLING`: a path that is not the phone's, in every operation;
//! * `PLACE/WRONG`: lengths and property lists that are wrong as such, in every place;
//! * `batch/…`, `lie/…`, `endless/…`: a backup service in good form and bad faith;
//! * `afc/…`, `notice-flood`: the same of the other services;
//! * `tls/…`: an impostor who has not the phone's key.

mod afc;
mod bombs;
mod devicelink;
mod lies;
mod message;
mod paths;
mod script;
mod tls;
mod transfer;

use std::fmt;
use std::str::FromStr;

pub use afc::AfcAttack;
pub use lies::{Endless, Lie};
pub use message::{Place, Wrong};
pub use paths::{PathUse, Spelling};
pub use tls::Impostor;
pub use transfer::Batch;

pub(crate) use devicelink::play;
pub(crate) use script::Script;
pub(crate) use tls::Record;

/// The UDID of a phone that is not this one.
pub const FOREIGN_UDID: &str = "00008110-00AABBCCDDEEFF00";

/// How many notifications a flood is.
const FLOOD: u64 = 200_000;

/// One attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// A path that is not the phone's.
    Path(PathUse, Spelling),
    /// A message that is wrong as such.
    Message(Place, Wrong),
    /// A wrong batch of files.
    Batch(Batch),
    /// A lie of the backup service.
    Lie(Lie),
    /// Messages without end.
    Endless(Endless),
    /// Notifications without end.
    NoticeFlood,
    /// The media partition.
    Afc(AfcAttack),
    /// Somebody without the phone's key.
    Tls(Impostor),
}

/// What attacks got out of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loot {
    /// Operations at paths that are not the phone's, that the host said it did.
    pub granted: u64,
    /// Bytes of files at such paths.
    pub bytes: u64,
    /// Names in listings of such paths.
    pub names: u64,
    /// Requests an impostor heard in a session, in order, with " and EscrowBag" behind one that
    /// brought it.
    pub heard: Vec<String>,
}

impl Attack {
    /// Returns every attack.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::paths()
            .chain(
                Place::ALL
                    .iter()
                    .flat_map(|place| Wrong::ALL.iter().map(|wrong| Self::Message(*place, *wrong))),
            )
            .chain(Batch::ALL.iter().copied().map(Self::Batch))
            .chain(Lie::ALL.iter().copied().map(Self::Lie))
            .chain(Endless::ALL.iter().copied().map(Self::Endless))
            .chain([Self::NoticeFlood])
            .chain(AfcAttack::ALL.iter().copied().map(Self::Afc))
            .chain(Impostor::ALL.iter().copied().map(Self::Tls))
    }

    /// Returns every attack by a path.
    pub fn paths() -> impl Iterator<Item = Self> {
        PathUse::ALL
            .iter()
            .flat_map(|usage| Spelling::all().map(|spelling| Self::Path(*usage, spelling)))
    }

    /// Returns its name.
    pub fn name(self) -> String {
        match self {
            Self::Path(usage, spelling) => format!("path/{}/{}", usage.name(), spelling.name()),
            Self::Message(place, wrong) => format!("{}/{}", place.name(), wrong.name()),
            Self::Batch(batch) => format!("batch/{}", batch.name()),
            Self::Lie(lie) => format!("lie/{}", lie.name()),
            Self::Endless(endless) => format!("endless/{}", endless.name()),
            Self::NoticeFlood => "notice-flood".to_owned(),
            Self::Afc(attack) => format!("afc/{}", attack.name()),
            Self::Tls(impostor) => format!("tls/{}", impostor.name()),
        }
    }

    /// Says what it does, in a sentence.
    pub fn about(self) -> String {
        let text = match self {
            Self::Path(usage, spelling) => format!("{} {:?}", usage.name(), spelling.write("UDID"))
                .chars()
                .take(80)
                .collect(),
            Self::Message(place, wrong) => {
                let place = place.about().trim().trim_end_matches('.').to_lowercase();
                format!("{} It is said {place}.", wrong.about().trim())
            }
            Self::Batch(batch) => batch.about().to_owned(),
            Self::Lie(lie) => lie.about().to_owned(),
            Self::Endless(endless) => format!("Without end: {}", endless.about().trim()),
            Self::NoticeFlood => format!("{FLOOD} notifications, as fast as they are read."),
            Self::Afc(attack) => attack.about().to_owned(),
            Self::Tls(impostor) => impostor.about().to_owned(),
        };
        text.trim().to_owned()
    }

    /// Tells whether it strikes from the backup service.
    pub const fn is_on_backup(self) -> bool {
        match self {
            Self::Path(..) | Self::Batch(_) | Self::Lie(_) | Self::Endless(_) => true,
            Self::Message(place, _) => matches!(place, Place::DeviceLink),
            Self::NoticeFlood | Self::Afc(_) | Self::Tls(_) => false,
        }
    }

    /// Returns what is said in a place, if this attack strikes there.
    pub(crate) fn script(self, at: Place) -> Option<Script> {
        match self {
            Self::Message(place, wrong) if place == at => Some(wrong.script(place)),
            Self::NoticeFlood if at == Place::Notices => Some(flood()),
            Self::Message(..)
            | Self::NoticeFlood
            | Self::Path(..)
            | Self::Batch(_)
            | Self::Lie(_)
            | Self::Endless(_)
            | Self::Afc(_)
            | Self::Tls(_) => None,
        }
    }

    /// Returns the impostor, if it is one.
    pub(crate) const fn impostor(self) -> Option<Impostor> {
        match self {
            Self::Tls(impostor) => Some(impostor),
            Self::Path(..)
            | Self::Message(..)
            | Self::Batch(_)
            | Self::Lie(_)
            | Self::Endless(_)
            | Self::NoticeFlood
            | Self::Afc(_) => None,
        }
    }

    /// Returns what it does to the media partition.
    pub(crate) const fn afc(self) -> Option<AfcAttack> {
        match self {
            Self::Afc(attack) => Some(attack),
            Self::Path(..)
            | Self::Message(..)
            | Self::Batch(_)
            | Self::Lie(_)
            | Self::Endless(_)
            | Self::NoticeFlood
            | Self::Tls(_) => None,
        }
    }
}

fn flood() -> Script {
    const NAMES: &[&str] = &[
        "com.apple.LocalAuthentication.ui.presented",
        "com.apple.LocalAuthentication.ui.dismissed",
        "com.apple.springboard.lockcomplete",
        "com.apple.springboard.lockstate",
        "com.apple.itunes-client.syncCancelRequest-not",
    ];
    let mut bytes = Vec::new();
    for name in NAMES {
        let relay = crate::wire::dict([
            ("Command", "RelayNotification".into()),
            ("Name", (*name).into()),
        ]);
        let body = message::binary(&relay);
        bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(body);
    }
    Script::default().then(bytes, FLOOD / NAMES.len() as u64)
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Says that a name is no attack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no attack '{0}': see `ibak-sim attacks`")]
pub struct UnknownAttack(pub String);

impl FromStr for Attack {
    type Err = UnknownAttack;

    fn from_str(name: &str) -> Result<Self, UnknownAttack> {
        Self::all()
            .find(|attack| attack.name() == name)
            .ok_or_else(|| UnknownAttack(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_its_own_and_is_read_back() {
        let names: BTreeSet<String> = Attack::all().map(Attack::name).collect();
        assert_eq!(names.len(), Attack::all().count());
        for attack in Attack::all() {
            assert_eq!(attack.name().parse(), Ok(attack));
            assert!(attack.about().len() > 5, "{attack}: {}", attack.about());
        }
        assert!(Attack::paths().count() >= 200);
        assert!(Spelling::all().count() >= 40);
        assert!("path/upload/nothing".parse::<Attack>().is_err());
    }

    #[test]
    fn no_attack_says_more_than_half_a_gigabyte_and_a_bit() {
        for attack in Attack::all() {
            for place in Place::ALL {
                let len = attack.script(*place).map_or(0, |script| script.len());
                assert!(len <= 100 << 20, "{attack} says {len} bytes");
            }
        }
        for batch in Batch::ALL {
            assert!(batch.script("udid").len() < 520 << 20, "{}", batch.name());
        }
    }
}
