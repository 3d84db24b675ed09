//! Who a simulated phone is: the names and numbers that never change while it runs.
//!
//! Everything is drawn from the seed, so the same phone file always gives the same phone.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::products::Product;

/// An iOS version: `15.6`, `13.3.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IosVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 when it is not written.
    pub patch: u32,
}

impl IosVersion {
    /// Makes a version of its three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Returns Apple's build name: the real one where it is known, else one of the right form.
    pub fn build(self) -> String {
        let known = match (self.major, self.minor, self.patch) {
            (8, 1, 1) => Some("12B411"),
            (12, 1, 4) => Some("16D40"),
            (12, 5, 7) => Some("16H81"),
            (13, 3, 1) => Some("17D50"),
            (14, 2, 0) => Some("18B92"),
            (15, 6, 0) => Some("19G71"),
            (16, 1, 1) => Some("20B101"),
            (16, 3, 1) => Some("20D67"),
            (17, 0, 0) => Some("21A329"),
            (18, 4, 1) => Some("22E252"),
            (26, 3, 0) => Some("23D127"),
            _ => None,
        };
        if let Some(known) = known {
            return known.to_owned();
        }
        let train = if self.major >= 26 {
            self.major - 3
        } else {
            self.major + 4
        };
        let letter = char::from(b'A' + u8::try_from(self.minor % 26).unwrap_or(0));
        format!("{train}{letter}{}", 100 + self.patch)
    }
}

impl fmt::Display for IosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// Says that a text is not an iOS version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an iOS version is two or three numbers with dots, such as \"15.6\" or \"13.3.1\"")]
pub struct NotAVersion;

impl FromStr for IosVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text
            .split('.')
            .map(|part| part.parse::<u32>().map_err(|_| NotAVersion));
        let major = parts.next().ok_or(NotAVersion)??;
        let minor = parts.next().unwrap_or(Ok(0))?;
        let patch = parts.next().unwrap_or(Ok(0))?;
        match parts.next() {
            None if (7..=99).contains(&major) => Ok(Self {
                major,
                minor,
                patch,
            }),
            None | Some(_) => Err(NotAVersion),
        }
    }
}

/// Who the phone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The UDID as usbmuxd and lockdown spell it: 40 lower-case hex digits, or from iPhone XS
    /// on 8 upper-case hex digits, a dash and 16 more.
    pub udid: String,
    /// The name its owner gave it.
    pub name: String,
    /// Apple's product identifier: `iPhone14,5`.
    pub product_type: String,
    /// The board's name: `D17AP`.
    pub hardware_model: String,
    /// The iOS version.
    pub ios: IosVersion,
    /// The iOS build: `19G71`.
    pub build: String,
    /// The serial number on the box.
    pub serial: String,
    /// `iPhone`, `iPad` or `iPod`.
    pub device_class: String,
    /// The hardware Wi-Fi address, lower case with colons.
    pub wifi_mac: String,
    /// The private Wi-Fi address, which is what the phone shows on the network from iOS 26.4.
    pub private_wifi_mac: String,
    /// The telephone number, if it is a telephone.
    pub phone_number: Option<String>,
    /// The IMEI, if it is a telephone.
    pub imei: Option<String>,
    /// The chip's serial number (ECID).
    pub ecid: u64,
    /// The seed everything was drawn from.
    pub seed: u64,
}

impl Identity {
    /// Draws an identity from a seed; `udid` overrides the drawn one.
    pub fn draw(
        seed: u64,
        name: &str,
        product_type: &str,
        ios: IosVersion,
        udid: Option<&str>,
    ) -> Self {
        let product = Product::find(product_type);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ product.salt());
        let ecid: u64 = rng.random::<u64>() >> 8;
        let telephone = product.device_class == "iPhone";
        let old_style: [u8; 20] = rng.random();
        let drawn = if product.has_dashed_udid() {
            format!("{:08X}-{ecid:016X}", product.chip_id)
        } else {
            old_style.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let serial = serial_number(&mut rng);
        let wifi_mac = mac(&mut rng, 0xa8);
        let private_wifi_mac = mac(&mut rng, 0x02);
        let number = format!("+1 (202) 555-01{:02}", rng.random_range(0..100));
        let imei = imei(&mut rng);
        Self {
            udid: udid.map_or(drawn, ToOwned::to_owned),
            name: name.to_owned(),
            product_type: product_type.to_owned(),
            hardware_model: product.hardware_model,
            ios,
            build: ios.build(),
            serial,
            device_class: product.device_class,
            wifi_mac,
            private_wifi_mac,
            phone_number: telephone.then_some(number),
            imei: telephone.then_some(imei),
            ecid,
            seed,
        }
    }

    /// Returns the serial number of the USB descriptor: the UDID without its dash.
    pub fn usb_serial(&self) -> String {
        self.udid.replace('-', "")
    }
}

/// Twelve characters as on a real box: no vowels, so that no words come out.
fn serial_number(rng: &mut ChaCha8Rng) -> String {
    const ALPHABET: &[u8] = b"CDFGHJKLMNPQRTVWXY0123456789";
    (0..12)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

fn mac(rng: &mut ChaCha8Rng, first: u8) -> String {
    let rest: [u8; 5] = rng.random();
    rest.iter().fold(format!("{first:02x}"), |text, byte| {
        format!("{text}:{byte:02x}")
    })
}

/// Fifteen digits with the usual check digit, in the range reserved for tests.
fn imei(rng: &mut ChaCha8Rng) -> String {
    let mut digits: Vec<u32> = vec![0, 0, 1, 0, 1, 0];
    digits.extend((0..8).map(|_| rng.random_range(0..10u32)));
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = if at % 2 == 1 { digit * 2 } else { *digit };
            doubled / 10 + doubled % 10
        })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits
        .iter()
        .filter_map(|digit| char::from_digit(*digit, 10))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_they_are_written() {
        for text in ["15.6", "13.3.1", "26.4"] {
            assert_eq!(text.parse::<IosVersion>().unwrap().to_string(), text);
        }
        assert_eq!(
            "17".parse::<IosVersion>().unwrap(),
            IosVersion::new(17, 0, 0)
        );
        for bad in ["", "x", "15.", "1.2.3.4", "15.6.1b", "-1.2", "3.0"] {
            assert_eq!(bad.parse::<IosVersion>(), Err(NotAVersion), "{bad}");
        }
        assert!(IosVersion::new(15, 7, 1) < IosVersion::new(16, 0, 0));
    }

    #[test]
    fn builds_have_apples_form() {
        assert_eq!(IosVersion::new(26, 3, 0).build(), "23D127");
        assert_eq!(IosVersion::new(27, 2, 0).build(), "24C100");
        assert_eq!(IosVersion::new(11, 1, 1).build(), "15B101");
    }

    #[test]
    fn the_same_seed_gives_the_same_phone_and_another_seed_another() {
        let ios = IosVersion::new(15, 6, 0);
        let one = Identity::draw(1, "Ada's iPhone", "iPhone14,5", ios, None);
        assert_eq!(
            one,
            Identity::draw(1, "Ada's iPhone", "iPhone14,5", ios, None)
        );
        let two = Identity::draw(2, "Ada's iPhone", "iPhone14,5", ios, None);
        assert_ne!(
            (&one.udid, &one.serial, &one.wifi_mac),
            (&two.udid, &two.serial, &two.wifi_mac)
        );
    }

    #[test]
    fn udids_are_dashed_from_iphone_xs_on() {
        let ios = IosVersion::new(13, 3, 1);
        let old = Identity::draw(1, "a", "iPhone9,1", ios, None).udid;
        let new = Identity::draw(1, "a", "iPhone11,8", ios, None).udid;
        assert_eq!((old.len(), new.len()), (40, 25));
        assert_eq!(ibak_core::Udid::parse(&old).unwrap().as_str(), old);
        assert_eq!(ibak_core::Udid::parse(&new).unwrap().as_str(), new);
        assert!(new.starts_with("00008020-"));
    }

    #[test]
    fn an_imei_carries_its_check_digit_and_an_ipad_has_none() {
        let ios = IosVersion::new(15, 6, 0);
        let phone = Identity::draw(7, "a", "iPhone14,5", ios, None);
        let digits: Vec<u32> = phone
            .imei
            .unwrap()
            .chars()
            .map(|c| c.to_digit(10).unwrap())
            .collect();
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(at, d)| {
                if at % 2 == 1 {
                    d * 2 / 10 + d * 2 % 10
                } else {
                    *d
                }
            })
            .sum();
        assert_eq!((digits.len(), sum % 10), (15, 0));
        assert_eq!(Identity::draw(7, "a", "iPad4,1", ios, None).imei, None);
    }
}
