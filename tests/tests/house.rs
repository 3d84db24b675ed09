//! The bus as it is served, against the XML that people and tools read (`packaging/dbus`).
//!
//! `UPDATE_SNAPSHOTS=1` writes the files anew.

use ibak_dbus::names;
use ibak_tests::night::{Setup, phone};
use std::path::PathBuf;
use zbus::fdo::IntrospectableProxy;

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<!-- Made from the running daemon by tests/tests/house.rs; docs/dbus.md explains it. -->\n<node>\n";

fn file(interface: &str) -> PathBuf {
    ibak_tests::repository().join(format!("packaging/dbus/{interface}.xml"))
}

/// Cuts one interface out of an object's description.
fn interface_of(xml: &str, interface: &str) -> String {
    let open = format!("<interface name=\"{interface}\">");
    let close = "</interface>";
    let begin = xml
        .find(&open)
        .unwrap_or_else(|| panic!("no {interface} in {xml}"));
    let line = xml[..begin].rfind('\n').map_or(0, |at| at + 1);
    let end = begin + xml[begin..].find(close).expect("it is closed") + close.len();
    format!("{HEAD}{}\n</node>\n", &xml[line..end])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_is_served_as_the_xml_says() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "it is read", |view| !view.name.is_empty())
        .await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    let objects = [
        (names::MANAGER_PATH.to_owned(), names::MANAGER_INTERFACE),
        (
            names::phone_path(&night.udid(0)).to_string(),
            names::PHONE_INTERFACE,
        ),
        (names::job_path(job).to_string(), names::JOB_INTERFACE),
    ];
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1");
    for (path, interface) in objects {
        let proxy = IntrospectableProxy::builder(&night.connection)
            .destination(names::BUS_NAME)
            .path(path)
            .build()
            .await
            .unwrap();
        let xml = night
            .drive(async move { proxy.introspect().await })
            .await
            .unwrap();
        let served = interface_of(&xml, interface);
        if update {
            std::fs::write(file(interface), &served).unwrap();
        }
        let committed = std::fs::read_to_string(file(interface)).unwrap_or_default();
        assert!(
            committed == served,
            "{} is not what the daemon serves: run this test with UPDATE_SNAPSHOTS=1 and read the difference\n{served}",
            file(interface).display()
        );
    }
}
