//! The mDNS responder on a real interface, seen by a browser.
//!
//! Multicast on `lo` is used; where the machine does not allow it, the test says so and skips.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr
)]

mod common;

use std::time::Duration;

use common::{Rig, corpus, spec};
use ibak_sim::{PhoneSpec, SimOptions, Simulator, mdns};
use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent};

const SERVICE: &str = "_apple-mobdev2._tcp.local.";

/// Browses until a record of that instance comes, or goes.
async fn wait_for(
    events: &mdns_sd::Receiver<ServiceEvent>,
    secs: u64,
    wanted: impl Fn(&ServiceEvent) -> bool,
) -> Option<ServiceEvent> {
    let looking = async {
        loop {
            match events.recv_async().await {
                Ok(event) if wanted(&event) => return Some(event),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(secs), looking)
        .await
        .ok()
        .flatten()
}

fn resolved(event: ServiceEvent) -> ResolvedService {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign, non-exhaustive enum"
    )]
    match event {
        ServiceEvent::ServiceResolved(service) => *service,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_on_wifi_is_announced_with_its_srv_port_and_tags_and_withdrawn_when_it_leaves() {
    let fact = corpus("mdns/txt.json");
    let mut phone = PhoneSpec {
        seed: std::process::id().into(),
        wifi_address: "127.0.0.1:0".parse().ok(),
        ..spec("26.4", "iPhone17,4")
    };
    phone.state.wifi = true.into();
    let dir = tempfile::tempdir().unwrap();
    let options = SimOptions {
        mdns: Some("lo".to_owned()),
        ..SimOptions::in_dir(dir.path(), vec![phone])
    };
    let sim = Simulator::start(options).await.unwrap();
    let rig = Rig { dir, sim };

    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon
        .enable_interface(IfKind::Name("lo".to_owned()))
        .unwrap();
    let events = daemon.browse(SERVICE).unwrap();
    let identity = rig.sim.phones()[0].identity();
    let own_name = mdns::full_name(&mdns::instance(identity));
    // Others may announce phones on the same interface.
    let is_ours = |name: &str| name.replace('\\', "") == own_name;
    let found = wait_for(
        &events,
        10,
        |event| matches!(event, ServiceEvent::ServiceResolved(found) if is_ours(found.get_fullname())),
    )
    .await;
    let Some(found) = found else {
        eprintln!("SKIPPED: no multicast on lo here, so nobody saw the mDNS record");
        return;
    };
    let found = resolved(found);
    assert_eq!(
        u64::from(found.get_port()),
        fact["srv_port"].as_u64().unwrap()
    );
    assert!(
        found.get_hostname().starts_with("iPhone-"),
        "a name of the phone, not of the instance"
    );
    let record = rig.record();
    let host_id = record["HostID"].as_string().unwrap();
    let identifier = found.get_property_val_str("identifier").unwrap();
    assert_eq!(
        found.get_property_val_str("authTag").unwrap(),
        mdns::auth_tag(host_id, identifier)
    );

    rig.set(&["wifi=off"]).await;
    let gone = wait_for(
        &events,
        10,
        |event| matches!(event, ServiceEvent::ServiceRemoved(_, name) if is_ours(name)),
    )
    .await;
    assert!(gone.is_some(), "the record is withdrawn");
    drop(daemon.shutdown());
}
