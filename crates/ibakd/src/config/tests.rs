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
        ("this is no toml", "line 1"),
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
