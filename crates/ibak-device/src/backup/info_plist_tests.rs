use super::*;
use ibak_core::Udid;
use std::collections::BTreeMap;
use std::time::Duration;

fn inputs() -> HostInputs {
    let root = [
        ("BuildVersion", "19G71"),
        ("DeviceName", "Ada's iPhone"),
        ("ProductType", "iPhone14,5"),
        ("ProductVersion", "15.6"),
        ("SerialNumber", "F2LXXXXXXXXX"),
        ("InternationalMobileEquipmentIdentity", "000000000000000"),
    ];
    let app = |id: &str, whole: bool| App {
        bundle_id: id.into(),
        sinf: Some(vec![1]),
        metadata: whole.then(|| vec![2]),
        icon: whole.then(|| vec![3]),
    };
    HostInputs {
        udid: Udid::parse("abcdef0123456789abcdef0123456789abcdef01").unwrap(),
        root: root
            .iter()
            .map(|(key, text)| ((*key).to_owned(), Value::from(*text)))
            .collect(),
        itunes_settings: Dictionary::new(),
        itunes_version: None,
        apps: vec![app("org.example.a", true), app("org.example.b", false)],
        itunes_files: BTreeMap::from([("iTunesPrefs".to_owned(), vec![9, 9])]),
        books: None,
        guid: "0123456789ABCDEF0123456789ABCDEF".into(),
        missing: Vec::new(),
    }
}

fn read(bytes: &[u8]) -> Dictionary {
    assert!(
        bytes.starts_with(b"<?xml"),
        "Info.plist is XML (corpus, backup/info_plist.json)"
    );
    Value::from_reader_xml(bytes)
        .unwrap()
        .into_dictionary()
        .unwrap()
}

#[test]
fn keys_and_types_of_the_corpus() {
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let info = read(&info_plist(&inputs(), Some(when)).unwrap());
    let keys: Vec<&str> = info.keys().map(String::as_str).collect();
    let want = [
        "Applications",
        "Build Version",
        "Device Name",
        "Display Name",
        "GUID",
        "IMEI",
        "Installed Applications",
        "Last Backup Date",
        "Product Type",
        "Product Version",
        "Serial Number",
        "Target Identifier",
        "Target Type",
        "Unique Identifier",
        "iTunes Files",
        "iTunes Settings",
        "iTunes Version",
    ];
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, want);
    assert_eq!(info["Last Backup Date"].as_date(), Some(when.into()));
    assert_eq!(
        info["Unique Identifier"].as_string(),
        Some("ABCDEF0123456789ABCDEF0123456789ABCDEF01")
    );
    assert_eq!(
        info["Target Identifier"].as_string(),
        Some("abcdef0123456789abcdef0123456789abcdef01")
    );
    assert_eq!(info["iTunes Version"].as_string(), Some("10.0.1"));
    assert_eq!(info["Installed Applications"].as_array().unwrap().len(), 2);
    assert_eq!(
        info["iTunes Files"].as_dictionary().unwrap()["iTunesPrefs"].as_data(),
        Some([9, 9].as_slice())
    );
    let applications = info["Applications"].as_dictionary().unwrap();
    assert_eq!(
        applications.len(),
        1,
        "an app without a description cannot be fetched again"
    );
    let app = applications["org.example.a"].as_dictionary().unwrap();
    for (key, data) in [
        ("ApplicationSINF", 1),
        ("iTunesMetadata", 2),
        ("PlaceholderIcon", 3),
    ] {
        assert_eq!(app[key].as_data(), Some([data].as_slice()), "{key}");
    }
}

#[test]
fn the_date_is_only_that_of_a_success() {
    let info = read(&info_plist(&inputs(), None).unwrap());
    assert!(!info.contains_key("Last Backup Date"));
}

#[test]
fn the_phone_names_the_version() {
    let named = HostInputs {
        itunes_version: Some("12.10.10".into()),
        ..inputs()
    };
    let info = read(&info_plist(&named, None).unwrap());
    assert_eq!(info["iTunes Version"].as_string(), Some("12.10.10"));
}
