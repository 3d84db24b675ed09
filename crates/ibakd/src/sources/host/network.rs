//! On which networks backups may run, and on which this computer is.

use ibak_core::HostNetwork;
use std::net::IpAddr;

/// On which networks backups may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRule {
    /// Names of NetworkManager's connections, and address blocks; none is every network.
    allowed: Vec<Network>,
    /// Whether one whose owner pays by the byte is waited out.
    metered_waits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Network {
    Named(String),
    Block { address: IpAddr, bits: u8 },
}

/// The networks this computer is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    /// The rule for which they were looked at: nothing else was.
    pub(super) rule: NetworkRule,
    /// What NetworkManager calls those that are up; `None` while nobody says, or none is.
    pub(super) names: Option<Vec<String>>,
    /// Whether somebody pays by the byte for what NetworkManager's first one carries.
    pub(super) metered: bool,
    /// The computer's own addresses.
    pub(super) addresses: Vec<IpAddr>,
}

impl Network {
    /// Reads `192.168.1.0/24`, `fd00::/8`, a single address, or else a name.
    fn of(text: &str) -> Self {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let block = address.parse::<IpAddr>().ok().and_then(|address| {
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(all), str::parse::<u8>).ok()?;
            (bits <= all).then_some(Self::Block { address, bits })
        });
        block.unwrap_or_else(|| Self::Named(text.to_owned()))
    }

    fn is_one_of(&self, around: &Around) -> bool {
        match self {
            Self::Named(name) => around.names.iter().flatten().any(|it| it == name),
            Self::Block { address, bits } => around
                .addresses
                .iter()
                .any(|ours| is_within(*ours, *address, *bits)),
        }
    }
}

impl Around {
    /// Takes the names from the look before while nobody says any: NetworkManager may start anew,
    /// and a computer that is on no network is about to be on one again.
    pub(super) fn or_names_of(self, before: &Self) -> Self {
        let unknown = self.names.is_none() && self.rule == before.rule;
        let names = if unknown {
            before.names.clone()
        } else {
            self.names
        };
        Self { names, ..self }
    }
}

fn is_within(ours: IpAddr, block: IpAddr, bits: u8) -> bool {
    let (ours, block, all) = match (ours, block) {
        (IpAddr::V4(ours), IpAddr::V4(block)) => {
            (u128::from(ours.to_bits()), u128::from(block.to_bits()), 32)
        }
        (IpAddr::V6(ours), IpAddr::V6(block)) => (ours.to_bits(), block.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let rest = all - u32::from(bits);
    (ours ^ block).checked_shr(rest).unwrap_or(0) == 0
}

impl NetworkRule {
    /// Takes the configuration's words; no networks is every network.
    pub fn new<T: AsRef<str>>(networks: &[T], metered_waits: bool) -> Self {
        Self {
            allowed: networks.iter().map(|it| Network::of(it.as_ref())).collect(),
            metered_waits,
        }
    }

    /// Says whether names of connections count.
    pub(super) fn needs_names(&self) -> bool {
        self.allowed
            .iter()
            .any(|it| matches!(it, Network::Named(_)))
    }

    /// Says whether it counts who pays by the byte.
    pub(super) fn needs_metered(&self) -> bool {
        self.metered_waits
    }

    fn needs_addresses(&self) -> bool {
        let is_block = |it: &Network| matches!(it, Network::Block { .. });
        self.allowed.iter().any(is_block)
    }

    /// Says how the network is.
    pub(super) fn judge(&self, around: &Around) -> HostNetwork {
        let known = self.allowed.iter().any(|it| it.is_one_of(around));
        if !self.allowed.is_empty() && !known {
            HostNetwork::Foreign
        } else if self.metered_waits && around.metered {
            HostNetwork::Metered
        } else {
            HostNetwork::Fit
        }
    }
}

/// Lists this computer's own addresses, if the rule has a use for them.
pub(super) fn addresses(rule: &NetworkRule) -> Vec<IpAddr> {
    if !rule.needs_addresses() {
        return Vec::new();
    }
    match if_addrs::get_if_addrs() {
        Ok(all) => all
            .iter()
            .filter(|it| it.is_oper_up())
            .map(if_addrs::Interface::ip)
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "this computer's addresses cannot be read: its network counts as foreign");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(names: &[&str], metered: bool, addresses: &[&str]) -> Around {
        Around {
            rule: NetworkRule::default(),
            names: (!names.is_empty()).then(|| names.iter().map(|&it| it.to_owned()).collect()),
            metered,
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn which_network_is_fit() {
        use HostNetwork::{Fit, Foreign, Metered};
        let home = ["Home", "192.168.1.0/24", "fd12:3456::/32"];
        let table: [(&[&str], bool, Around, HostNetwork); 16] = [
            (&[], true, around(&[], false, &[]), Fit),
            (&[], true, around(&["Phone"], true, &[]), Metered),
            (&[], false, around(&["Phone"], true, &[]), Fit),
            (&home, true, around(&["Home"], false, &[]), Fit),
            (&home, true, around(&["Café", "Home"], false, &[]), Fit),
            (&home, true, around(&["home"], false, &[]), Foreign),
            (&home, true, around(&["Home"], true, &[]), Metered),
            (&home, true, around(&["Café"], true, &[]), Foreign),
            (&home, true, around(&[], false, &["192.168.1.255"]), Fit),
            (&home, true, around(&[], false, &["192.168.2.1"]), Foreign),
            (&home, true, around(&[], false, &["fd12:3456:9::1"]), Fit),
            (&home, true, around(&[], false, &["fd12:3457::1"]), Foreign),
            (&["10.1.2.3"], true, around(&[], false, &["10.1.2.3"]), Fit),
            (
                &["10.1.2.3"],
                true,
                around(&[], false, &["10.1.2.2"]),
                Foreign,
            ),
            (&["0.0.0.0/0"], true, around(&[], false, &["8.8.8.8"]), Fit),
            (&["::/0"], true, around(&[], false, &["8.8.8.8"]), Foreign),
        ];
        for (allowed, metered_waits, around, wanted) in table {
            let rule = NetworkRule::new(allowed, metered_waits);
            assert_eq!(rule.judge(&around), wanted, "{allowed:?} {around:?}");
        }
    }

    #[test]
    fn while_nobody_names_the_network_it_is_the_one_before() {
        let home = NetworkRule::new(&["Home"], true);
        let at = |names: &[&str], rule: &NetworkRule| Around {
            rule: rule.clone(),
            ..around(names, false, &[])
        };
        let judged =
            |now: &[&str], before: &Around| home.judge(&at(now, &home).or_names_of(before));
        assert_eq!(judged(&[], &Around::default()), HostNetwork::Foreign);
        assert_eq!(judged(&[], &at(&["Home"], &home)), HostNetwork::Fit);
        assert_eq!(judged(&[], &at(&["Café"], &home)), HostNetwork::Foreign);
        assert_eq!(
            judged(&["Café"], &at(&["Home"], &home)),
            HostNetwork::Foreign
        );
        let other = NetworkRule::new(&["Home", "Office"], true);
        assert_eq!(judged(&[], &at(&["Home"], &other)), HostNetwork::Foreign);
    }

    #[test]
    fn what_is_no_block_is_a_name() {
        for text in [
            "Wired connection 1",
            "192.168.1.0/33",
            "fd00::/129",
            "10.0.0/8",
            "a/b",
            "",
        ] {
            assert_eq!(Network::of(text), Network::Named(text.to_owned()));
        }
        assert!(NetworkRule::new(&["Home"], false).needs_names());
        assert!(!NetworkRule::new(&["10.0.0.0/8"], false).needs_names());
    }

    #[test]
    fn addresses_are_read_when_they_are_needed() {
        assert!(addresses(&NetworkRule::new(&["Home"], true)).is_empty());
        let loopback = addresses(&NetworkRule::new(&["127.0.0.0/8"], true));
        assert!(loopback.iter().any(IpAddr::is_loopback), "{loopback:?}");
    }
}
