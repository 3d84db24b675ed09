//! What Apple sold: the board and chip behind a product identifier.

/// One product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The board's name: `D17AP`.
    pub hardware_model: String,
    /// The platform's name: `t8110`.
    pub platform: String,
    /// The chip's number: 0x8110.
    pub chip_id: u32,
    /// The board's number.
    pub board_id: u64,
    /// `iPhone`, `iPad` or `iPod`.
    pub device_class: String,
    /// What it is called in a shop.
    pub market_name: String,
    salt: u64,
}

/// Identifier, board, platform, chip, board number, market name.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    u32,
    u64,
    &'static str,
);

const TABLE: &[Row] = &[
    ("iPhone5,2", "N42AP", "s5l8950x", 0x8950, 2, "iPhone 5"),
    ("iPhone6,1", "N51AP", "s5l8960x", 0x8960, 0, "iPhone 5s"),
    ("iPhone8,1", "N71AP", "s8000", 0x8000, 4, "iPhone 6s"),
    ("iPhone9,1", "D10AP", "t8010", 0x8010, 8, "iPhone 7"),
    ("iPhone10,4", "D201AP", "t8015", 0x8015, 10, "iPhone 8"),
    ("iPhone11,8", "N841AP", "t8020", 0x8020, 12, "iPhone XR"),
    ("iPhone12,1", "N104AP", "t8030", 0x8030, 4, "iPhone 11"),
    ("iPhone13,2", "D53gAP", "t8101", 0x8101, 12, "iPhone 12"),
    ("iPhone14,2", "D63AP", "t8110", 0x8110, 12, "iPhone 13 Pro"),
    ("iPhone14,5", "D17AP", "t8110", 0x8110, 8, "iPhone 13"),
    ("iPhone15,2", "D73AP", "t8120", 0x8120, 12, "iPhone 14 Pro"),
    ("iPhone16,1", "D83AP", "t8130", 0x8130, 4, "iPhone 15 Pro"),
    ("iPhone17,1", "D93AP", "t8140", 0x8140, 12, "iPhone 16 Pro"),
    ("iPhone17,4", "D48AP", "t8140", 0x8140, 10, "iPhone 16 Plus"),
    ("iPhone18,1", "V53AP", "t8150", 0x8150, 4, "iPhone 17 Pro"),
    ("iPad4,1", "J71AP", "s5l8960x", 0x8960, 16, "iPad Air"),
    (
        "iPad13,16",
        "J407AP",
        "t8103",
        0x8103,
        38,
        "iPad Air (5th generation)",
    ),
    (
        "iPod9,1",
        "N112AP",
        "t8010",
        0x8010,
        22,
        "iPod touch (7th generation)",
    ),
];

impl Product {
    /// Finds a product; one that is not in the table gets plausible numbers from its identifier.
    pub fn find(product_type: &str) -> Self {
        let class: String = product_type
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        let salt = product_type
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        if let Some((_, board, platform, chip_id, board_id, name)) =
            TABLE.iter().copied().find(|row| row.0 == product_type)
        {
            return Self {
                hardware_model: board.to_owned(),
                platform: platform.to_owned(),
                chip_id,
                board_id,
                device_class: class,
                market_name: name.to_owned(),
                salt,
            };
        }
        let (chip_id, board_id) = guess(&class, product_type);
        Self {
            hardware_model: format!("D{}AP", board_id + 10),
            platform: format!("t{chip_id:x}"),
            chip_id,
            board_id,
            market_name: product_type.to_owned(),
            device_class: class,
            salt,
        }
    }

    /// Tells whether a text has the form of a product identifier: `iPhone14,5`.
    pub fn is_identifier(text: &str) -> bool {
        ["iPhone", "iPad", "iPod"].iter().any(|class| {
            text.strip_prefix(class)
                .and_then(|rest| rest.split_once(','))
                .is_some_and(|(major, minor)| {
                    let digits = |part: &str| {
                        !part.is_empty()
                            && part.len() <= 3
                            && part.bytes().all(|b| b.is_ascii_digit())
                    };
                    digits(major) && digits(minor)
                })
        })
    }

    /// Tells whether its UDID has the form with a dash (iPhone XS, its chip and later).
    pub const fn has_dashed_udid(&self) -> bool {
        self.chip_id >= 0x8020 && self.chip_id < 0x8900
    }

    /// Returns the name of its processor family, as lockdown says it.
    pub const fn cpu(&self) -> &'static str {
        match self.chip_id {
            0x8950 => "armv7s",
            0x8000..=0x8015 | 0x8960 => "arm64",
            _ => "arm64e",
        }
    }

    /// Returns a number that keeps two products with one seed apart.
    pub(crate) const fn salt(&self) -> u64 {
        self.salt
    }
}

/// Apple's chips went up by 0x10 a year, with iPhone11 (2018) at 0x8020.
fn guess(class: &str, product_type: &str) -> (u32, u64) {
    let mut numbers = product_type
        .trim_start_matches(class)
        .split(',')
        .map(|n| n.parse::<u32>().unwrap_or(1));
    let (major, minor) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
    let year = match class {
        "iPhone" => major,
        _ => major.saturating_sub(1),
    };
    let chip_id = match year {
        0..=7 => 0x8960,
        8 => 0x8000,
        9 => 0x8010,
        10 => 0x8015,
        11 => 0x8020,
        12 => 0x8030,
        13 => 0x8101,
        later => 0x8110 + 0x10 * (later - 14),
    };
    (chip_id, u64::from(minor) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_the_corpus_says_of_iphone17_4() {
        let product = Product::find("iPhone17,4");
        assert_eq!(
            (
                product.hardware_model.as_str(),
                product.platform.as_str(),
                product.board_id,
                product.cpu()
            ),
            ("D48AP", "t8140", 10, "arm64e")
        );
    }

    #[test]
    fn unknown_products_get_numbers_of_their_year() {
        let product = Product::find("iPhone14,8");
        assert_eq!(
            (product.chip_id, product.device_class.as_str()),
            (0x8110, "iPhone")
        );
        assert!(product.has_dashed_udid());
        assert!(!Product::find("iPhone9,3").has_dashed_udid());
        assert!(!Product::find("iPad4,1").has_dashed_udid());
    }

    #[test]
    fn identifiers_are_recognised() {
        for good in ["iPhone14,5", "iPad4,1", "iPod9,1"] {
            assert!(Product::is_identifier(good), "{good}");
        }
        for bad in [
            "",
            "iPhone",
            "iPhone14",
            "iPhone,1",
            "Mac14,5",
            "iPhone14,5b",
            "iPhone1444,5",
        ] {
            assert!(!Product::is_identifier(bad), "{bad}");
        }
    }
}
