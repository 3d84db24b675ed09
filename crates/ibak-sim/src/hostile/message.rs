//! Messages that are wrong as such, wherever a phone or usbmuxd speaks.

use plist::{Dictionary, Value};

use super::bombs;
use super::script::Script;

macro_rules! words {
    ($(#[$meta:meta])* $enum:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $enum {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Says what it does.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+),)+
                }
            }
        }
    };
}
pub(super) use words;

words! {
    /// Where a wrong message is said.
    Place {
        /// In the place of a backup's first message.
        DeviceLink = "devicelink",
        /// In the place of lockdown's answer to QueryType, before any TLS.
        LockdownEarly = "lockdown-early",
        /// In the place of lockdown's answer to GetValue, in a session.
        Lockdown = "lockdown",
        /// In the place of a notification.
        Notices = "notices",
        /// In the place of usbmuxd's answers.
        Muxer = "usbmuxd",
    }
}

words! {
    /// A message that is wrong as such.
    Wrong {
        /// A length of 4 GiB and 8 MiB of it.
        Giant = "giant",
        /// An honest length of 80 MiB, and 80 MiB of zeros.
        Long = "long",
        /// Half a message, and silence.
        Half = "half",
        /// A length of nothing.
        Empty = "empty",
        /// A message that is no property list.
        Noise = "noise",
        /// The first bytes of a binary property list.
        Cut = "cut",
        /// A property list of the wrong kind: a number.
        Kind = "kind",
        /// The right words with the wrong types behind them.
        Types = "types",
        /// 31 levels of arrays that each name the next 14 times.
        BombWide = "bomb-wide",
        /// 20 000 arrays, one in the other.
        BombDeep = "bomb-deep",
        /// An array that holds itself.
        BombCycle = "bomb-cycle",
        /// An array that claims 2^62 members.
        BombCount = "bomb-count",
        /// A table of objects that lies behind the end.
        BombOffsets = "bomb-offsets",
        /// XML of 100 000 open arrays.
        Nesting = "nesting",
        /// XML with entities that grow to ten gigabytes.
        Entities = "entities",
    }
}

impl Wrong {
    /// Writes it for a place; silence follows.
    pub(super) fn script(self, place: Place) -> Script {
        let whole = |bytes: Vec<u8>| Script::of(place.framed(bytes.len(), &bytes));
        let zeros = |claimed: usize, mib: u64| {
            Script::of(place.framed(claimed, &[])).then(vec![0; 64 << 10], mib * 16)
        };
        match self {
            Self::Giant => zeros(0xffff_ffff, 8),
            Self::Long => zeros(80 << 20, 80),
            Self::Half => Script::of(place.framed(1_000, &[b'x'; 500])),
            Self::Empty => whole(Vec::new()),
            Self::Noise => whole(b"GET / HTTP/1.1\r\n\r\n".repeat(20)),
            Self::Cut => whole(b"bplist00".to_vec()),
            Self::Kind => whole(binary(&Value::from(7))),
            Self::Types => whole(binary(&place.wrong_types())),
            Self::BombWide => whole(bombs::wide(31, 14)),
            Self::BombDeep => whole(bombs::deep(20_000)),
            Self::BombCycle => whole(bombs::cycle()),
            Self::BombCount => whole(bombs::count()),
            Self::BombOffsets => whole(bombs::offsets()),
            Self::Nesting => whole(bombs::nesting(100_000)),
            Self::Entities => whole(bombs::entities()),
        }
    }
}

impl Place {
    /// Puts the place's head before bytes: a claimed length, and for usbmuxd the rest of it.
    fn framed(self, claimed: usize, bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        match self {
            Self::Muxer => {
                let claimed = u32::try_from(claimed.saturating_add(16)).unwrap_or(u32::MAX);
                for number in [claimed, 1, 8, 1] {
                    all.extend(number.to_le_bytes());
                }
            }
            Self::DeviceLink | Self::LockdownEarly | Self::Lockdown | Self::Notices => {
                let claimed = u32::try_from(claimed).unwrap_or(u32::MAX);
                all.extend(claimed.to_be_bytes());
            }
        }
        all.extend(bytes);
        all
    }

    fn wrong_types(self) -> Value {
        let pairs: &[(&str, Value)] = match self {
            Self::DeviceLink => {
                return Value::Array(vec![
                    "DLMessageDownloadFiles".into(),
                    Value::Boolean(true),
                    Value::Array(vec![7.into()]),
                    "a number".into(),
                ]);
            }
            Self::LockdownEarly => &[("Request", 7.into()), ("Type", Value::Data(vec![1]))],
            Self::Lockdown => &[
                ("Request", "GetValue".into()),
                ("Value", Value::Array(Vec::new())),
            ],
            Self::Notices => &[("Command", 7.into()), ("Name", Value::Boolean(true))],
            Self::Muxer => &[("DeviceList", "no".into()), ("Number", "zero".into())],
        };
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        Value::Dictionary(pairs.collect::<Dictionary>())
    }
}

/// Writes a binary property list.
pub(super) fn binary(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = value.to_writer_binary(&mut bytes) {
        tracing::error!(%error, "a property list of our own cannot be written");
    }
    bytes
}
