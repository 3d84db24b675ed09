//! The phone file: which phone to simulate, as TOML.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::backup::crypto::Costs;
use crate::identity::{Identity, IosVersion};
use crate::products::Product;
use crate::state::{Password, PhoneState, Setting, parse_size};

/// The port lockdownd listens on over the network.
pub const LOCKDOWN_PORT: u16 = 62_078;

/// Everything a phone file says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSpec {
    /// The iOS version.
    pub ios: IosVersion,
    /// The product identifier, such as `iPhone14,5`.
    pub product: String,
    /// The phone's name.
    pub name: String,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// How many files a backup of it holds, about.
    pub files: u64,
    /// How many bytes they have together, about.
    pub bytes: u64,
    /// How many apps a person installed.
    pub apps: u32,
    /// The size of one file larger than the others, in bytes.
    pub largest_file: Option<u64>,
    /// Whether a computer is paired from the start, with its record in usbmuxd.
    pub paired: bool,
    /// How many things bought in the stores are still on the phone.
    pub purchases: u32,
    /// How many bytes they have together.
    pub purchase_bytes: u64,
    /// A UDID instead of the drawn one.
    pub udid: Option<String>,
    /// Where lockdown listens on the network; `None` leaves it to `--mdns`.
    pub wifi_address: Option<SocketAddr>,
    /// The backup password it has from another computer.
    pub password: Option<Password>,
    /// How much work a guess at a new backup password is.
    pub password_costs: Costs,
    /// How the phone stands at the start.
    pub state: PhoneState,
}

impl Default for PhoneSpec {
    fn default() -> Self {
        Self {
            ios: IosVersion::new(15, 6, 0),
            product: "iPhone14,5".to_owned(),
            name: "iPhone".to_owned(),
            seed: 1,
            files: 200,
            bytes: 8 << 20,
            apps: 4,
            largest_file: None,
            paired: false,
            purchases: 0,
            purchase_bytes: 0,
            udid: None,
            wifi_address: None,
            password: None,
            password_costs: Costs::default(),
            state: PhoneState::default(),
        }
    }
}

/// Says what is wrong with a phone file.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It cannot be read.
    #[error("phone file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a phone file.
    #[error("phone file {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        message: String,
    },
    /// A value is not allowed.
    #[error("{key}: {message}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong and what may be written.
        message: String,
    },
    /// The TOML is broken, or a key is unknown or missing.
    #[error("{0}")]
    Toml(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ios: String,
    product: String,
    name: String,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default = "two_hundred")]
    files: u64,
    #[serde(default = "eight_mib")]
    bytes: Size,
    #[serde(default)]
    apps: u32,
    #[serde(default)]
    passcode: Flag,
    #[serde(default)]
    paired: Flag,
    udid: Option<String>,
    power: Option<Flag>,
    wifi: Option<Flag>,
    locked: Option<Flag>,
    awake: Option<Flag>,
    attached: Option<String>,
    trust: Option<String>,
    battery: Option<u8>,
    #[serde(rename = "passcode-answer", alias = "passcode_answer")]
    passcode_answer: Option<String>,
    largest_file: Option<Size>,
    #[serde(default)]
    purchases: u32,
    purchase_bytes: Option<Size>,
    /// More settings, as `ibak-sim set` takes them.
    #[serde(default)]
    set: Vec<String>,
    upload_rate: Option<Size>,
    drop_after: Option<Size>,
    wifi_address: Option<String>,
    password: Option<String>,
    password_dpic: Option<u32>,
    password_iter: Option<u32>,
    #[serde(alias = "requires-encryption")]
    requires_encryption: Option<Flag>,
}

const fn one() -> u64 {
    1
}

const fn two_hundred() -> u64 {
    200
}

const fn eight_mib() -> Size {
    Size::Bytes(8 << 20)
}

/// `true`, or a word such as "on" or "no".
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Word(String),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Bool(false)
    }
}

/// A number of bytes, or a text such as "40 MiB".
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl PhoneSpec {
    /// Reads and parses a phone file.
    ///
    /// # Errors
    /// [`SpecError`] names the file and what to write.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|error| SpecError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// Parses the text of a phone file.
    ///
    /// # Errors
    /// [`SpecError`] names the key and what to write.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let file: File =
            toml::from_str(text).map_err(|error| SpecError::Toml(error.to_string()))?;
        let ios = file
            .ios
            .parse()
            .map_err(|error: crate::identity::NotAVersion| value("ios", error.to_string()))?;
        if !Product::is_identifier(&file.product) {
            return Err(value(
                "product",
                format!(
                    "'{}' is not a product: write one such as \"iPhone14,5\"",
                    file.product
                ),
            ));
        }
        if file.name.is_empty() || file.name.len() > 63 {
            return Err(value("name", "a phone's name has 1 to 63 bytes".to_owned()));
        }
        if let Some(udid) = &file.udid
            && ibak_core::Udid::parse(udid)
                .map(|parsed| parsed.as_str() != udid)
                .unwrap_or(true)
        {
            let form = "a UDID is 40 lower-case hex digits, or 8 and 16 upper-case hex digits with a dash between";
            return Err(value("udid", form.to_owned()));
        }
        let mut state = PhoneState::default();
        for setting in settings(&file)? {
            state.apply(&setting);
        }
        Ok(Self {
            ios,
            product: file.product,
            name: file.name,
            seed: file.seed,
            files: file.files,
            bytes: size("bytes", &file.bytes)?,
            apps: file.apps,
            largest_file: file
                .largest_file
                .as_ref()
                .map(|s| size("largest_file", s))
                .transpose()?,
            paired: flag("paired", &file.paired)?,
            purchases: file.purchases,
            purchase_bytes: match &file.purchase_bytes {
                Some(bytes) => size("purchase_bytes", bytes)?,
                None => 0,
            },
            udid: file.udid,
            wifi_address: file.wifi_address.as_deref().map(wifi_address).transpose()?,
            password: file.password.map(password).transpose()?,
            password_costs: costs(file.password_dpic, file.password_iter)?,
            state,
        })
    }

    /// Draws the phone's identity.
    pub fn identity(&self) -> Identity {
        Identity::draw(
            self.seed,
            &self.name,
            &self.product,
            self.ios,
            self.udid.as_deref(),
        )
    }
}

fn value(key: &'static str, message: String) -> SpecError {
    SpecError::Value { key, message }
}

fn size(key: &'static str, size: &Size) -> Result<u64, SpecError> {
    match size {
        Size::Bytes(bytes) => Ok(*bytes),
        Size::Text(text) => parse_size(text).ok_or_else(|| {
            value(
                key,
                format!("'{text}' is not a size: write 1000000 or \"40 MiB\""),
            )
        }),
    }
}

fn flag(key: &'static str, flag: &Flag) -> Result<bool, SpecError> {
    match flag {
        Flag::Bool(on) => Ok(*on),
        Flag::Word(word) => match word.as_str() {
            "on" | "yes" | "true" => Ok(true),
            "off" | "no" | "false" => Ok(false),
            _ => Err(value(key, format!("'{word}' is neither true nor false"))),
        },
    }
}

fn password(text: String) -> Result<Password, SpecError> {
    if text.is_empty() {
        return Err(value(
            "password",
            "an empty one is none: leave the key out".to_owned(),
        ));
    }
    Ok(Password::new(text))
}

fn costs(dpic: Option<u32>, iter: Option<u32>) -> Result<Costs, SpecError> {
    let (usual, most) = (Costs::default(), Costs::MAX);
    let rounds = |key, given: Option<u32>, usual, most| match given.unwrap_or(usual) {
        rounds if (1..=most).contains(&rounds) => Ok(rounds),
        _ => Err(value(key, format!("rounds are from 1 to {most}"))),
    };
    Ok(Costs {
        dpic: rounds("password_dpic", dpic, usual.dpic, most.dpic)?,
        iter: rounds("password_iter", iter, usual.iter, most.iter)?,
    })
}

fn wifi_address(text: &str) -> Result<SocketAddr, SpecError> {
    let with_port = text.parse::<SocketAddr>();
    with_port
        .or_else(|_| {
            text.parse::<IpAddr>()
                .map(|ip| SocketAddr::new(ip, LOCKDOWN_PORT))
        })
        .map_err(|_| {
            value(
                "wifi_address",
                format!("'{text}' is not an address: write \"127.0.0.9\" or \"127.0.0.9:62078\""),
            )
        })
}

fn settings(file: &File) -> Result<Vec<Setting>, SpecError> {
    let flags: [(&'static str, Option<&Flag>); 6] = [
        ("passcode", Some(&file.passcode)),
        ("power", file.power.as_ref()),
        ("wifi", file.wifi.as_ref()),
        ("locked", file.locked.as_ref()),
        ("awake", file.awake.as_ref()),
        ("requires-encryption", file.requires_encryption.as_ref()),
    ];
    let mut texts: Vec<(&'static str, String)> = Vec::new();
    for (key, given) in flags {
        if let Some(given) = given {
            texts.push((key, if flag(key, given)? { "on" } else { "off" }.to_owned()));
        }
    }
    let words = [
        ("attached", &file.attached),
        ("trust", &file.trust),
        ("passcode-answer", &file.passcode_answer),
    ];
    texts.extend(
        words
            .into_iter()
            .filter_map(|(key, given)| given.clone().map(|word| (key, word))),
    );
    texts.extend(file.battery.map(|percent| ("battery", percent.to_string())));
    for (key, given) in [
        ("upload-rate", &file.upload_rate),
        ("drop-after", &file.drop_after),
    ] {
        if let Some(given) = given {
            texts.push((key, size(key, given)?.to_string()));
        }
    }
    let own = texts
        .into_iter()
        .map(|(key, text)| (key, format!("{key}={text}")));
    own.chain(file.set.iter().map(|text| ("set", text.clone())))
        .map(|(key, text)| {
            text.parse::<Setting>()
                .map_err(|error| value(key, error.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Attachment, Switch, Trust};

    #[test]
    fn the_contracts_phone_file_parses() {
        let spec = PhoneSpec::parse(
            r#"
            ios = "15.6"
            product = "iPhone14,5"
            name = "Ada's iPhone"
            seed = 1
            files = 2000
            bytes = "40 MiB"
            apps = 12
            passcode = true
            paired = false
            "#,
        )
        .unwrap();
        let expected = PhoneSpec {
            name: "Ada's iPhone".to_owned(),
            files: 2000,
            bytes: 40 << 20,
            apps: 12,
            state: PhoneState {
                passcode: Switch::On,
                ..PhoneState::default()
            },
            ..PhoneSpec::default()
        };
        assert_eq!(spec, expected);
        assert_eq!(spec.identity().name, "Ada's iPhone");
    }

    #[test]
    fn optional_keys_set_the_state() {
        let spec = PhoneSpec::parse(
            r#"
            ios = "26.4"
            product = "iPhone17,4"
            name = "b"
            udid = "00008140-000A1B2C3D4E5F60"
            power = "on"
            wifi = true
            locked = "yes"
            attached = "none"
            trust = "ask"
            battery = 12
            upload_rate = "1 MB"
            purchases = 3
            purchase_bytes = "2 MB"
            set = ["find-my=on", "attack=tls/wrong-key"]
            wifi_address = "127.0.0.9"
            password = "one"
            password_dpic = 10_000_000
            requires_encryption = true
            "#,
        )
        .unwrap();
        assert_eq!(
            (spec.state.power, spec.state.wifi, spec.state.locked),
            (Switch::On, Switch::On, Switch::On)
        );
        assert_eq!(
            (spec.state.attached, spec.state.trust),
            (Attachment::None, Trust::Ask)
        );
        assert_eq!(
            (spec.state.battery, spec.state.upload_rate),
            (12, Some(1_000_000))
        );
        assert_eq!((spec.purchases, spec.purchase_bytes), (3, 2_000_000));
        assert_eq!(spec.state.find_my, Switch::On);
        assert_eq!(spec.state.attack.unwrap().name(), "tls/wrong-key");
        assert_eq!(spec.wifi_address, "127.0.0.9:62078".parse().ok());
        let password = spec.password.as_ref().map(Password::expose);
        assert_eq!(password, Some("one"));
        let costs = Costs::default();
        assert_eq!(
            spec.password_costs,
            Costs {
                dpic: Costs::REAL.dpic,
                ..costs
            }
        );
        assert_eq!(spec.state.requires_encryption, Switch::On);
        assert_eq!(spec.identity().udid, "00008140-000A1B2C3D4E5F60");
    }

    #[test]
    fn a_wrong_file_says_what_to_write() {
        let base = "ios = \"15.6\"\nproduct = \"iPhone14,5\"\nname = \"a\"\n";
        let say = |text: &str| PhoneSpec::parse(text).unwrap_err().to_string();
        assert!(say(&format!("{base}colour = 1\n")).contains("unknown field `colour`"));
        assert!(say(&format!("{base}bytes = \"lots\"\n")).contains("bytes: 'lots' is not a size"));
        assert!(say(&format!("{base}power = \"maybe\"\n")).contains("power: 'maybe' is neither"));
        assert!(say(&format!("{base}trust = \"maybe\"\n")).contains("use accept, deny or ask"));
        assert!(say(&format!("{base}udid = \"xyz\"\n")).contains("40 lower-case hex digits"));
        assert!(say(&format!("{base}password = \"\"\n")).contains("password: an empty one"));
        assert!(say(&format!("{base}password_dpic = 0\n")).contains("password_dpic: rounds are"));
        assert!(say(&format!("{base}password_iter = 1000001\n")).contains("from 1 to 1000000"));
        assert!(say("product = \"iPhone14,5\"\nname = \"a\"\n").contains("missing field `ios`"));
        assert!(say(&base.replace("15.6", "new")).contains("two or three numbers"));
        assert!(say(&base.replace("iPhone14,5", "Nokia")).contains("is not a product"));
        let missing = PhoneSpec::load(Path::new("/nonexistent/phone.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("phone file /nonexistent/phone.toml: "),
            "{missing}"
        );
    }
}
