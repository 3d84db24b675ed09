use super::*;

const SHIPPED: &str = include_str!("../../../../config/ibakd.toml");

#[test]
fn the_shipped_file_says_the_defaults() {
    let defaults = Config::parse("").unwrap();
    assert_eq!(Config::parse(SHIPPED).unwrap(), defaults);
    // Each commented key, uncommented, is known and has the value that holds without it.
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key)
                if key.starts_with(|c: char| c.is_ascii_lowercase()) && key.contains(" = ") =>
            {
                key
            }
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let parsed = Config::parse(&uncommented).unwrap();
    assert_eq!(
        parsed.said.len(),
        Key::all().count(),
        "each key of a phone is shown"
    );
    let as_if_unsaid = Config {
        said: BTreeSet::new(),
        metrics_textfile: None,
        networks: Vec::new(),
        store_is_explicit: false,
        reserve_bytes: None,
        quota_bytes: None,
        cron: None,
        usbmuxd: None,
        interfaces: Vec::new(),
        ..parsed.clone()
    };
    let as_if_unsaid = Config {
        rules: Rules {
            owner: None,
            ..as_if_unsaid.rules
        },
        ..as_if_unsaid
    };
    assert_eq!(as_if_unsaid, defaults);
    assert!(parsed.store_is_explicit && parsed.cron.is_some() && parsed.usbmuxd.is_some());
    assert_eq!(
        (parsed.quota_bytes, parsed.reserve_bytes),
        (Some(500 << 30), Some(2 << 30))
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("\nstores = \"/x\"\n", "line 2"),
        ("[conditions]\nspace = \"ignored\"\n", "line 2"),
        ("interval = 24\n", "line 1"),
        ("\n\ninterval = \"soon\"\n", "line 3: `interval`"),
        ("interval = \"0s\"\n", "line 1: `interval`"),
        ("store = \"backups\"\n", "line 1: `store`"),
        ("store = \"/srv/../etc\"\n", "line 1: `store`"),
        ("parallel_max = 0\n", "line 1: `parallel_max`"),
        (
            "[conditions]\nlocked = \"or-usb\"\n",
            "line 2: `conditions.locked`",
        ),
        (
            "[conditions]\n\nbattery_min = 101\n",
            "line 3: `conditions.battery_min`",
        ),
        ("[lost]\npower = \"never\"\n", "line 2: `lost.power`"),
        (
            "[backoff]\nfirst = \"2h\"\nlongest = \"1h\"\n",
            "line 3: `backoff.longest`",
        ),
        ("cron = \"nightly\"\n", "line 1: `cron`"),
        ("cron = \"0 25 * * *\"\n", "line 1: `cron`"),
        ("log = \"loud\"\n", "line 1: `log`"),
        ("usbmuxd = \"somewhere\"\n", "line 1: `usbmuxd`"),
        ("usbmuxd = \"example.org:27015\"\n", "line 1: `usbmuxd`"),
        ("quota = \"lots\"\n", "line 1: `quota`"),
        ("[keep]\nlast = 0\n", "line 2: `keep.last`"),
        ("[keep]\nhourly = 3\n", "line 2"),
        ("scrub = \"1h\"\n", "line 1: `scrub`"),
        ("[keeep]\n", "line 1: `keeep`: there is no such key"),
        (
            "[conditions]\ninterval = \"1h\"\n",
            "`interval` stands above this [table]",
        ),
        (
            "settle = \"2h\"\n",
            "line 1: `settle`: must be from 0s to 1h",
        ),
        ("lost = \"stop\"\n", "line 1: `lost`: there is no such key"),
        ("[lost]\npower = \"2d\"\n", "must be from 0s to 24h"),
        ("this is no toml", "line 1"),
    ];
    for (text, want) in cases {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}");
    }
}

#[test]
fn each_kind_of_value_says_what_it_expects() {
    let cases = [
        (
            "window = \"22-8\"\n",
            "line 1: `window`: must be like \"22:00-08:00\"",
        ),
        (
            "window = [\"22:00-08:00\", 7]\n",
            "must be text in quotes, or a list",
        ),
        (
            "asks_per_day = \"2\"\n",
            "must be a number from 0 to 24, without quotes",
        ),
        ("asks_per_day = 25\n", "line 1: `asks_per_day`"),
        ("ask_every = \"30s\"\n", "must be from 60s to 30d"),
        (
            "automatic = \"yes\"\n",
            "must be true or false, without quotes",
        ),
        ("host_power = \"mains\"\n", "must be one of \"ac\", \"any\""),
        ("metered = true\n", "must be one of \"wait\", \"any\""),
        (
            "networks = [\"192.168.1.0/33\"]\n",
            "\"192.168.1.0/33\" must be the name",
        ),
        ("networks = [\"\"]\n", "line 1: `networks`"),
        ("ask_window = []\n", "\"always\" is any time"),
        ("window = []\n", "line 1: `window`: must not be empty"),
        ("notify = []\n", "\"all\" is every channel"),
        ("notify = [\"my mail\"]\n", "must be names of channels"),
        ("notify = [\"all\", \"mail\"]\n", "line 1: `notify`"),
        ("owner = \"Ada Lovelace\"\n", "must be a login name"),
        (
            "signal_history_days = 366\n",
            "must be a number from 0 to 365",
        ),
        (
            "metrics_textfile = \"/var/lib/x.txt\"\n",
            "must end in .prom",
        ),
        ("metrics_textfile = \"x.prom\"\n", "must be a whole path"),
    ];
    for (text, want) in cases {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}");
    }
}

#[test]
fn values_are_taken() {
    let config = Config::parse(
        "store = \"/srv/phones\"\ninterval = \"30s\"\nsettle = \"0s\"\nparallel_max = 2\n\
         [conditions]\nwifi = \"or-usb\"\nlocked = \"ignored\"\n[lost]\npower = \"stop\"\nlocked = \"1min\"\n",
    )
    .unwrap();
    assert!(config.store_is_explicit);
    assert_eq!(config.store, Path::new("/srv/phones"));
    assert_eq!(config.rules.interval, Duration::from_secs(30));
    assert_eq!(
        (config.rules.wifi, config.rules.locked, config.rules.power),
        (
            Requirement::OrUsb,
            Requirement::Ignored,
            Requirement::Required
        )
    );
    assert_eq!(
        (config.rules.power_lost, config.rules.locked_lost),
        (OnLoss::Stop, OnLoss::Grace(Duration::from_secs(60)))
    );
}

#[test]
fn an_absent_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/ibakd.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/ibakd.toml"), "{error}");
}

#[test]
fn a_phones_table_is_checked_as_the_rest_is() {
    let cases = [
        (
            "[phone]\ninterval = \"1h\"\n",
            "line 2: `phone.interval`: must be a table of one phone",
        ),
        (
            "phone = 3\n",
            "line 1: `phone`: must be a table of one phone",
        ),
        (
            "[phone.\" \"]\n",
            "must be named by a phone's name or its UDID",
        ),
        (
            "[phone.Ada]\n[phone.\" ADA \"]\n",
            "line 2: `phone.\" ADA \"`: is the phone of the table in line 1",
        ),
        (
            "[phone.00008110-000A1B2C3D4E5F60]\n[phone.00008110000a1b2c3d4e5f60]\n",
            "is the phone of the table in line 1",
        ),
        (
            "[phone.Ada]\n\ninterval = \"soon\"\n",
            "line 3: `phone.\"Ada\".interval`: `soon` is not a duration",
        ),
        (
            "[phone.Ada]\ncron = \"0 2 * * *\"\n",
            "line 2: `phone.\"Ada\".cron`: holds for the whole house",
        ),
        (
            "[phone.Ada]\nparallel_max = 1\n",
            "holds for the whole house",
        ),
        ("[phone.Ada]\nstore = \"/x\"\n", "holds for the whole house"),
        ("[phone.Ada]\nsetle = \"1s\"\n", "is `settle` meant?"),
        (
            "[phone.Ada.conditions]\nwifi = \"usb\"\n",
            "line 2: `phone.\"Ada\".conditions.wifi`: must be \"required\", \"or-usb\" or \"ignored\"",
        ),
        (
            "[phone.Ada]\nconditions = { space = \"ignored\" }\n",
            "line 2: `phone.\"Ada\".conditions.space`: there is no such key",
        ),
        // A global value and a phone's own that do not go together.
        (
            "[backoff]\nlongest = \"1h\"\n[phone.Ada]\nbackoff.first = \"2h\"\n",
            "line 4: `phone.\"Ada\".backoff.longest`: must not be shorter than `backoff.first`, which is 2h",
        ),
    ];
    for (text, want) in cases {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}");
    }
}

#[test]
fn a_phones_own_goes_over_that_of_all() {
    let config = Config::parse(
        "interval = \"12h\"\nwindow = \"22:00-08:00\"\n[keep]\nlast = 5\n[phone.\"Ada's iPhone\"]\n\
         window = \"always\"\nkeep.daily = 1\n[phone.\"Ada's iPhone\".lost]\npower = \"stop\"\n",
    )
    .unwrap();
    let [ada] = config.phones.as_slice() else {
        panic!("one table")
    };
    assert_eq!((ada.name.as_str(), ada.line), ("Ada's iPhone", 5));
    let said = [Key::Window, Key::PowerLost, Key::KeepDaily];
    assert_eq!(ada.said, BTreeSet::from(said));
    let said = [Key::Interval, Key::Window, Key::KeepLast];
    assert_eq!(config.said, BTreeSet::from(said));
    let want = Rules {
        window: ibak_core::Windows::default(),
        power_lost: OnLoss::Stop,
        keep: [5, 1, 5, 12, 0],
        ..config.rules.clone()
    };
    assert_eq!(ada.rules, want);
    assert_eq!(ada.rules.interval, Duration::from_secs(43_200));
}

#[test]
fn what_is_written_can_be_set_again() {
    let odd = Config::parse(
        "automatic = false\ninterval = \"90s\"\nwindow = [\"Mon-Wed,Sat 1:00-2:00\", \"Sun 3:00-3:00\"]\n\
         ask_window = \"always\"\nask_every = \"61min\"\nnotify = [\"a\", \"b.c\"]\nowner = \"ada\"\n\
         [conditions]\nwifi = \"or-usb\"\nlocked = \"ignored\"\n[lost]\npower = \"finish\"\nwifi = \"24h\"\n",
    )
    .unwrap()
    .rules;
    for rules in [Rules::default(), odd] {
        let mut again = Rules {
            owner: rules.owner.clone(),
            ..Rules::default()
        };
        for key in Key::all() {
            let text = rules.text(key);
            if !text.is_empty() {
                again.set(key, &Value::typed(&text)).unwrap();
                again
                    .set(key, &Value::typed(&format!("\"{text}\"")))
                    .unwrap();
            }
            assert_eq!(again.text(key), text, "{}", key.name());
        }
        assert_eq!(again, rules);
    }
    for (secs, want) in [
        (0, "0s"),
        (60, "60s"),
        (120, "2min"),
        (3_600, "1h"),
        (86_400, "24h"),
        (172_800, "2d"),
        (61, "61s"),
    ] {
        let time = Duration::from_secs(secs);
        assert_eq!(written(time), want);
        assert_eq!(crate::units::parse_duration(want), Ok(time));
    }
}

#[test]
fn the_example_of_a_table_is_good() {
    let example: String = SHIPPED
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .skip_while(|line| !line.starts_with("[phone."))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = Config::parse(&example).unwrap();
    assert_eq!(config.phones[0].said.len(), 5, "{example}");
}

#[test]
fn a_table_finds_its_phone() {
    let candidate = |last: u8, name: &str| Candidate {
        udid: ibak_core::Udid::parse(&format!("00008110-000A1B2C3D4E5F6{last}")).unwrap(),
        name: name.to_owned(),
        ours: true,
        retired: false,
    };
    let about = |text: &str, phones: &[Candidate]| {
        let tables = Config::parse(text).unwrap().phones;
        match_tables(&tables, phones)
    };
    let (ada, twin) = (
        candidate(0, "Ada\u{2019}s iPhone"),
        candidate(1, "ada's IPHONE"),
    );
    let is = |phone: &Candidate| Matched::Phone(phone.udid.clone());
    let table = "[phone.\"Ada's iPhone\"]\n";
    assert_eq!(about(table, &[]), [Matched::Nobody]);
    assert_eq!(about(table, std::slice::from_ref(&ada)), [is(&ada)]);
    let both = [ada.clone(), twin.clone()];
    assert_eq!(about(table, &both), [Matched::Several(2)]);
    // Neither a stranger nor a phone that is retired takes the name from one that is in use.
    let stranger = Candidate {
        ours: false,
        ..twin.clone()
    };
    let retired = Candidate {
        retired: true,
        ..twin.clone()
    };
    for other in [stranger.clone(), retired] {
        assert_eq!(about(table, &[ada.clone(), other.clone()]), [is(&ada)]);
        assert_eq!(about(table, std::slice::from_ref(&other)), [is(&other)]);
    }
    let strangers = [
        stranger.clone(),
        Candidate {
            ours: false,
            ..ada.clone()
        },
    ];
    assert_eq!(about(table, &strangers), [Matched::Several(2)]);
    let by_udid = format!("{table}[phone.{}]\n", ada.udid.as_str().to_lowercase());
    let want = [Matched::Elsewhere(ada.udid.clone()), is(&ada)];
    assert_eq!(about(&by_udid, std::slice::from_ref(&ada)), want);
    // What has no name is not called by none.
    assert_eq!(about(table, &[candidate(2, "")]), [Matched::Nobody]);
}
