use super::*;
use ibak_core::{Identity, Wall};

const FILE: &str = "/etc/ibak/ibakd.toml";
const HOUSE: &str = r#"
store = "/srv/phones"
parallel_max = 1
host_power = "any"
networks = ["Home", "192.168.1.0/24"]
signal_history_days = 0
metrics_textfile = "/var/lib/ibak/ibak.prom"

[phone."ada's iphone"]
automatic = true
window = ["Mon-Fri 22:00-07:00", "Sat,Sun 22:00-10:00"]
asks_per_day = 2
ask_every = "2h"
notify = ["desktop", "mail"]
owner = "ada"
conditions.wifi = "or-usb"
conditions.locked = "ignored"
conditions.battery_min = 20
lost.power = "stop"
keep.last = 1
keep.yearly = 1

[phone.00008110-000A1B2C3D4E5F61]
automatic = false
asks_per_day = 0

[phone."Nobody's iPhone"]
interval = "12h"

[phone.Twin]
interval = "12h"
"#;

fn phone(last: u8, name: &str) -> PhoneMemory {
    PhoneMemory {
        phone: Udid::parse(&format!("00008110-000A1B2C3D4E5F6{last}")).unwrap(),
        identity: Some(Identity {
            name: name.into(),
            product_type: "iPhone14,5".into(),
            os_version: "15.6".into(),
        }),
        automatic: None,
        quota: None,
        retired: false,
        passcode_learned: None,
        asked: None,
        lock_ever_seen: false,
        last_result: None,
        password_proved: None,
        failures: 0,
        not_before: None,
        first_seen: Wall::from_secs(1),
        last_seen: None,
        data_used: None,
        told: vec![],
    }
}

fn known() -> Known {
    let set = |pairs: &[(&str, &str)]| -> Settings {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let off = PhoneMemory {
        automatic: Some(Automatic::Off),
        ..phone(2, "Ben\u{202e}'s iPad")
    };
    let old = PhoneMemory {
        retired: true,
        ..phone(5, "The old one")
    };
    let phones = vec![
        phone(0, "Ada\u{2019}s\u{a0}iPhone"),
        phone(1, "Grace"),
        off,
        phone(3, "Twin"),
        phone(4, "twin"),
        old,
    ];
    let settings = BTreeMap::from([
        (
            phones[0].phone.clone(),
            set(&[("overdue", "7d"), ("colour", "red")]),
        ),
        (
            phones[2].phone.clone(),
            set(&[("settle", "5min"), ("backoff.first", "6h")]),
        ),
    ]);
    Known {
        phones,
        settings,
        trouble: None,
    }
}

#[test]
fn the_defaults_in_words() {
    let config = Config::parse("").unwrap();
    insta::assert_snapshot!(explain(&config, Path::new(FILE), &Known::default()));
}

#[test]
fn a_whole_house_in_words() {
    let config = Config::parse(HOUSE).unwrap();
    insta::assert_snapshot!(explain(&config, Path::new(FILE), &known()));
}

#[test]
fn what_has_no_effect_is_said() {
    let said = |text: &str, sentence: &str| {
        let config = Config::parse(text).unwrap();
        let lines = sentences(&config.rules, config.cron.as_deref());
        lines.iter().any(|line| line.contains(sentence))
    };
    let interval = "`interval` does not count";
    assert!(said("interval = \"12h\"\ncron = \"0 2 * * *\"\n", interval));
    assert!(!said("cron = \"0 2 * * *\"\n", interval));
    assert!(!said("interval = \"12h\"\n", interval));
    let never = "never asked";
    let apart = "window = \"1:00-5:00\"\nask_window = \"19:00-23:00\"\n";
    assert!(said(apart, never));
    assert!(!said(&format!("{apart}asks_per_day = 0\n"), never));
    assert!(!said(
        "window = \"1:00-5:00\"\nask_window = \"4:59-6:00\"\n",
        never
    ));
}

#[test]
fn without_knowing_the_phones_their_tables_are_explained() {
    let config = Config::parse("[phone.Ada]\nhold_until_locked_max = \"0s\"\n").unwrap();
    let denied = io::Error::from(ErrorKind::PermissionDenied);
    let known = Known {
        trouble: Some(trouble(Path::new("/var/lib/ibak/memory.json"), &denied)),
        ..Known::default()
    };
    let general = sentences(&config.rules, None);
    insta::assert_snapshot!(of_phones(&config, &known, &general).join("\n"));
    let nowhere = Known::read(Path::new("/nonexistent"));
    assert!(nowhere.trouble.is_none() && nowhere.phones.is_empty());
}
