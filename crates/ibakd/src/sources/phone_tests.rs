use super::*;

fn trust_told(link: &Link, error: &DeviceError) -> bool {
    unread(&Signal::ALL, link, error)
        .iter()
        .any(|(fact, _)| *fact == Fact::Trusted(Some(false)))
}

#[test]
fn a_stranger_at_the_address_does_not_make_the_phone_untrusted() {
    let address = "192.0.2.1:62078".parse().unwrap();
    let by_network = Link::Tcp { address };
    let attachment = Attachment {
        udid: Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
        wire_udid: "00008030-001A2B3C4D5E6F70".to_owned(),
        device_id: 1,
        transport: Transport::Usb,
    };
    let by_cable = Link::through(&MuxAddress::default(), &attachment);
    let wrong_key = DeviceError::WrongKey { what: "lockdown" };
    assert!(!trust_told(&by_network, &wrong_key));
    assert!(trust_told(&by_cable, &wrong_key));
    assert!(trust_told(&by_network, &DeviceError::NotPaired));
}

#[test]
fn a_look_at_the_lock_does_not_date_the_power() {
    let source = Source::Lockdown(Transport::Usb);
    let read = |external| {
        vec![
            (Fact::ExternalPower(Some(external)), source),
            (Fact::BatteryPercent(Some(80)), source),
            (Fact::ScreenLocked(Some(true)), source),
        ]
    };
    let mut told = Vec::new();
    let mut left = |external, which: &[Signal]| {
        let mut facts = read(external);
        leave_out_power(&mut facts, which, &mut told);
        facts.len()
    };
    assert_eq!(left(true, &[Signal::Locked]), 3, "nothing was told yet");
    assert_eq!(left(true, &[Signal::Locked]), 1);
    assert_eq!(left(true, &[Signal::Power, Signal::Locked]), 3);
    assert_eq!(left(false, &[Signal::Locked]), 3, "it is news");
    assert_eq!(left(false, &Signal::ALL), 3);
}

#[test]
fn a_phone_that_does_not_answer_is_tried_ever_more_seldom() {
    let now = Instant::now();
    let mut again = Again::default();
    let pauses: Vec<u64> = (0..12)
        .filter_map(|_| {
            again.failed(now);
            again.at.map(|at| (at - now).as_secs())
        })
        .collect();
    assert_eq!(pauses[..5], [30, 60, 120, 240, 300]);
    assert!(pauses[5..].iter().all(|pause| *pause == 300));
}
