//! What a hostile media partition answers.

use super::message::words;
use super::script::Script;

words! {
    /// A wrong answer of AFC; each strikes at the first listing, file info or read.
    AfcAttack {
        /// A packet that claims 2^63 bytes, and 8 MiB of it.
        GiantPacket = "giant-packet",
        /// A packet that claims less than its own head.
        SmallPacket = "small-packet",
        /// Half a packet, and silence.
        HalfPacket = "half-packet",
        /// A packet with another magic word.
        WrongMagic = "wrong-magic",
        /// A listing of 64 MiB of names.
        EndlessListing = "endless-listing",
        /// A listing of names that are paths, and of names with escape sequences.
        HostileNames = "hostile-names",
        /// A packet with another number than was asked for.
        WrongNumber = "wrong-number",
    }
}

/// `CFA6LPAA`, whole length, length without payload, number, operation.
fn head(whole: u64, short: u64, number: u64, operation: u64) -> Vec<u8> {
    let mut bytes = b"CFA6LPAA".to_vec();
    for field in [whole, short, number, operation] {
        bytes.extend(field.to_le_bytes());
    }
    bytes
}

/// The operation of an answer with data.
const DATA: u64 = 2;

impl AfcAttack {
    /// Writes the answer to packet `number`; silence follows.
    pub(crate) fn script(self, number: u64) -> Script {
        let data = |bytes: &[u8], number: u64| {
            let mut all = head(40 + bytes.len() as u64, 40, number, DATA);
            all.extend(bytes);
            Script::of(all)
        };
        match self {
            Self::GiantPacket => {
                Script::of(head(1 << 63, 40, number, DATA)).then(vec![0; 64 << 10], 128)
            }
            Self::SmallPacket => Script::of(head(7, 7, number, DATA)),
            Self::HalfPacket => Script::of(head(1_000, 40, number, DATA)).then(vec![b'x'; 100], 1),
            Self::WrongMagic => {
                let mut bytes = head(40, 40, number, DATA);
                bytes.splice(..8, *b"CFA6LPAB");
                Script::of(bytes)
            }
            Self::EndlessListing => {
                let names = b"a-name-of-thirty-one-characters\0".repeat(2_048);
                let whole = 40 + (names.len() as u64) * 1_024;
                Script::of(head(whole, 40, number, DATA)).then(names, 1_024)
            }
            Self::HostileNames => {
                let names = [
                    ".",
                    "..",
                    "../../outside",
                    "/etc/passwd",
                    "a/b",
                    "\u{1b}[2J",
                    "\u{202e}gpj",
                    "",
                ];
                let mut bytes = Vec::new();
                for name in names {
                    bytes.extend(name.as_bytes());
                    bytes.push(0);
                }
                data(&bytes, number)
            }
            Self::WrongNumber => data(b".\0..\0x\0", number.wrapping_add(9)),
        }
    }
}
