//! How files and bytes are spread over the domains, and how bytes are spread over files.

use super::rng::Rng;

/// A family of domains, with its share of a real phone's backup (corpus shape.md, 725,594 files).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Home,
    CameraRoll,
    Apps,
    Groups,
    Media,
    Others,
}

impl Family {
    pub(crate) const ALL: [Self; 6] = [
        Self::Home,
        Self::CameraRoll,
        Self::Apps,
        Self::Groups,
        Self::Media,
        Self::Others,
    ];

    /// Files, per thousand of all files.
    const fn files(self) -> u64 {
        match self {
            Self::Home => 382,
            Self::CameraRoll => 203,
            Self::Apps => 179,
            Self::Groups => 114,
            Self::Media => 111,
            Self::Others => 11,
        }
    }

    /// Bytes, per thousand of all bytes.
    const fn bytes(self) -> u64 {
        match self {
            Self::Home => 266,
            Self::CameraRoll => 196,
            Self::Apps => 253,
            Self::Groups => 268,
            Self::Media => 15,
            Self::Others => 2,
        }
    }
}

/// Splits a total by the families' shares; the rest goes to the first that has a share.
fn split(total: u64, share: impl Fn(Family) -> u64) -> [u64; 6] {
    let mut parts = Family::ALL.map(|family| {
        let wide = u128::from(total) * u128::from(share(family)) / 1_000;
        u64::try_from(wide).unwrap_or(u64::MAX)
    });
    let sum: u64 = parts.iter().sum();
    parts[0] += total - sum;
    parts
}

/// Returns the number of files of each family.
pub(crate) fn files(total: u64) -> [u64; 6] {
    split(total, Family::files)
}

/// Returns the bytes of each family; a family without files gets none.
pub(crate) fn bytes(total: u64, files: &[u64; 6]) -> [u64; 6] {
    let mut parts = split(total, Family::bytes);
    let mut spare = 0;
    for (part, count) in parts.iter_mut().zip(files) {
        if *count == 0 {
            spare += std::mem::take(part);
        }
    }
    if let Some((part, _)) = parts.iter_mut().zip(files).find(|(_, count)| **count > 0) {
        *part += spare;
    }
    parts
}

/// Scales weights to sizes that add up to `total` exactly; weight 0 stays an empty file as long as
/// any other file can take the bytes.
pub(crate) fn scale(weights: &[u64], total: u64) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        let mut sizes = vec![0; weights.len()];
        if let Some(first) = sizes.first_mut() {
            *first = total;
        }
        return sizes;
    }
    let mut sizes: Vec<u64> = weights
        .iter()
        .map(|weight| {
            u64::try_from(u128::from(*weight) * u128::from(total) / sum).unwrap_or(u64::MAX)
        })
        .collect();
    let rest = total - sizes.iter().sum::<u64>();
    if let Some(largest) = sizes.iter_mut().max() {
        *largest += rest;
    }
    sizes
}

/// Draws a weight around `usual`: most are smaller, few are far larger, one in 200 is an empty file.
pub(crate) fn weight(rng: &mut Rng, usual: u64) -> u64 {
    match rng.below(200) {
        0 => 0,
        1..=2 => usual * (20 + rng.below(180)),
        3..=20 => usual * (3 + rng.below(12)),
        21..=99 => usual / 2 + rng.below(usual),
        _ => usual / 10 + rng.below(usual / 4 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_in_splitting_and_scaling() {
        for total in [0, 1, 7, 1_000, 123_457, 54_060_000_000] {
            let counts = files(total);
            assert_eq!(counts.iter().sum::<u64>(), total);
            assert_eq!(bytes(total, &counts).iter().sum::<u64>(), total);
            assert_eq!(scale(&[3, 0, 9, 1], total).iter().sum::<u64>(), total);
            assert_eq!(scale(&[0, 0], total).iter().sum::<u64>(), total);
        }
    }
}
