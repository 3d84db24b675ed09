use super::*;

/// The documentation MAC that the corpus uses.
const MAC: &str = "a8:bb:cc:00:11:22";
const HOST_ID: &str = "5A9C0E2B-1111-4222-8333-444455556666";

fn advert(name: &str) -> Advert {
    Advert {
        name: name.to_owned(),
        mac: mac(name),
        addresses: Vec::new(),
        identifier: None,
        auth_tags: Vec::new(),
    }
}

/// corpus, mdns/instances.json.
#[test]
fn hardware_addresses_of_real_names() {
    for (name, want) in [
        (
            "a8:bb:cc:00:11:22@fe80::aabb:ccff:fe00:1122._apple-mobdev2._tcp.local.",
            Some(MAC),
        ),
        (
            "A8:BB:CC:00:11:22@fe80::ec5d:2ce:de16:3ce2._apple-mobdev2._tcp.local.",
            Some(MAC),
        ),
        (
            "02:00:00:aa:bb:cc@fe80::ff:feaa:bbcc-supportsRP-26._apple-mobdev2._tcp.local.",
            Some("02:00:00:aa:bb:cc"),
        ),
        ("My iPhone._apple-mobdev2._tcp.local.", None),
        ("a8:bb:cc:00:11@fe80::1._apple-mobdev2._tcp.local.", None),
        ("a8:bb:cc:00:11:2z@fe80::1._apple-mobdev2._tcp.local.", None),
        ("@._apple-mobdev2._tcp.local.", None),
    ] {
        assert_eq!(mac(name).as_deref(), want, "{name}");
    }
}

#[test]
fn recognised_by_name_then_tag_then_address() {
    let name = "a8:bb:cc:00:11:22@fe80::1-supportsRP-24._apple-mobdev2._tcp.local.";
    let mut seen = advert(name);
    let keys = |bonjour: Option<&str>, wifi: Option<&str>| PhoneKeys {
        host_id: Some(HOST_ID.into()),
        wifi_mac: wifi.map(str::to_owned),
        bonjour_name: bonjour.map(str::to_owned),
    };
    let upper = MAC.to_uppercase();
    let undotted = name.trim_end_matches('.');
    assert_eq!(seen.matches(&keys(None, None)), None);
    assert_eq!(
        seen.matches(&keys(None, Some(&upper))),
        Some(MatchedBy::Mac)
    );
    assert_eq!(seen.matches(&keys(None, Some("02:00:00:aa:bb:cc"))), None);
    assert_eq!(
        seen.matches(&keys(Some(undotted), None)),
        Some(MatchedBy::Name)
    );
    assert_eq!(
        seen.matches(&keys(Some("other"), Some(MAC))),
        Some(MatchedBy::Mac)
    );
    assert_eq!(
        advert("My iPhone._apple-mobdev2._tcp.local.").matches(&PhoneKeys::default()),
        None
    );

    // From 26.4: the address is private and the tag speaks.
    let tag = idevice::mdns::derive_auth_tag(HOST_ID.as_bytes(), b"opaque");
    seen.identifier = Some("opaque".into());
    let other = "AAAAAAAAAAA=".to_owned();
    seen.auth_tags = vec![other.clone()];
    assert_eq!(seen.matches(&keys(None, None)), None);
    seen.auth_tags = vec![other, base64(&tag)];
    assert_eq!(seen.matches(&keys(None, None)), Some(MatchedBy::AuthTag));
    let stranger = PhoneKeys {
        host_id: Some("another".into()),
        ..PhoneKeys::default()
    };
    assert_eq!(seen.matches(&stranger), None);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn link_local_addresses_come_last() {
    let mut addresses: Vec<SocketAddr> =
        ["[fe80::1]:62078", "169.254.1.1:62078", "192.168.1.9:62078"]
            .map(|text| text.parse().unwrap())
            .to_vec();
    addresses.sort_by_key(|address| (is_link_local(&address.ip()), *address));
    assert_eq!(addresses.first().unwrap().to_string(), "192.168.1.9:62078");
}
