//! What powers this computer, as the kernel shows it in `/sys/class/power_supply`.
//!
//! The same files that logind and UPower read: they are there without either, in a container too,
//! and readable in the unit's sandbox. What a keyboard or a mouse runs on is not counted.

use std::path::Path;

/// Most supplies that are looked at.
const SUPPLIES_MAX: usize = 64;

/// What powers the computer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Power {
    /// Whether it has a battery of its own.
    pub(super) portable: bool,
    /// Whether it is on mains; `None` when nothing says so.
    pub(super) on_mains: Option<bool>,
}

/// Reads it; a directory that cannot be read is a computer without any battery.
pub(super) fn read(supplies: &Path) -> Power {
    let entries = match std::fs::read_dir(supplies) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::debug!(%error, "the kernel shows no power supplies");
            return Power::default();
        }
    };
    let all = entries.take(SUPPLIES_MAX).filter_map(|entry| {
        let path = entry.ok()?.path();
        let value = |name: &str| {
            let text = std::fs::read_to_string(path.join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        Some(Supply {
            kind: value("type")?,
            of_device: value("scope").is_some_and(|scope| scope == "Device"),
            // 2 is a charger whose voltage was agreed on.
            online: value("online").map(|online| online != "0"),
            status: value("status"),
        })
    });
    judge(&all.collect::<Vec<_>>())
}

struct Supply {
    kind: String,
    of_device: bool,
    online: Option<bool>,
    status: Option<String>,
}

fn judge(supplies: &[Supply]) -> Power {
    let ours = || supplies.iter().filter(|it| !it.of_device);
    let batteries = || ours().filter(|it| it.kind == "Battery");
    let chargers = || {
        ours()
            .filter(|it| it.kind != "Battery" && it.kind != "UPS")
            .filter_map(|it| it.online)
    };
    let states: Vec<&str> = batteries().filter_map(|it| it.status.as_deref()).collect();
    let on_mains = if chargers().any(|online| online) {
        Some(true)
    } else if chargers().next().is_some() || states.contains(&"Discharging") {
        Some(false)
    } else {
        let fed = ["Charging", "Full", "Not charging"];
        let known = states.iter().any(|state| fed.contains(state));
        known.then_some(true)
    };
    Power {
        portable: batteries().next().is_some(),
        on_mains,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of a table: supplies as `name/file=value …`, and what they mean.
    const TABLE: [(&str, &[&str], bool, Option<bool>); 12] = [
        ("a server", &[], false, None),
        (
            "a laptop on its charger",
            &[
                "AC/type=Mains",
                "AC/online=1",
                "BAT0/type=Battery",
                "BAT0/status=Charging",
            ],
            true,
            Some(true),
        ),
        (
            "a laptop on its battery",
            &[
                "AC/type=Mains",
                "AC/online=0",
                "BAT0/type=Battery",
                "BAT0/status=Discharging",
            ],
            true,
            Some(false),
        ),
        (
            "a laptop that feeds from one of two USB-C ports",
            &[
                "AC/type=Mains",
                "AC/online=0",
                "ucsi1/type=USB",
                "ucsi1/online=0",
                "ucsi2/type=USB",
                "ucsi2/online=2",
                "BAT0/type=Battery",
                "BAT0/status=Not charging",
            ],
            true,
            Some(true),
        ),
        (
            "a charger too weak: the battery shrinks all the same",
            &[
                "AC/type=Mains",
                "AC/online=1",
                "BAT0/type=Battery",
                "BAT0/status=Discharging",
            ],
            true,
            Some(true),
        ),
        (
            "a tablet without a charger that shows itself",
            &["BAT0/type=Battery", "BAT0/status=Discharging"],
            true,
            Some(false),
        ),
        (
            "the same, full",
            &["BAT0/type=Battery", "BAT0/status=Full"],
            true,
            Some(true),
        ),
        (
            "one of two batteries is used",
            &[
                "BAT0/type=Battery",
                "BAT0/status=Full",
                "BAT1/type=Battery",
                "BAT1/status=Discharging",
            ],
            true,
            Some(false),
        ),
        (
            "a battery that says nothing",
            &["BAT0/type=Battery", "BAT0/status=Unknown"],
            true,
            None,
        ),
        (
            "a desktop with a mouse",
            &[
                "hid/type=Battery",
                "hid/scope=Device",
                "hid/status=Discharging",
            ],
            false,
            None,
        ),
        (
            "a desktop with a UPS that reports as one",
            &["ups/type=UPS", "ups/online=0", "ups/status=Discharging"],
            false,
            None,
        ),
        ("something without a type", &["odd/online=1"], false, None),
    ];

    #[test]
    fn each_kind_of_computer() {
        for (what, files, portable, on_mains) in TABLE {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let (path, value) = file.split_once('=').unwrap();
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, format!("{value}\n")).unwrap();
            }
            let power = read(dir.path());
            assert_eq!(power, Power { portable, on_mains }, "{what}");
        }
        assert_eq!(read(Path::new("/nowhere")), Power::default());
    }
}
