//! The oldest iOS this program talks to.

use crate::lockdown::Plain;
use crate::{Deadlines, DeviceError, Link};
use plist::Value;

/// The oldest iOS that is supported: major and minor number.
///
/// From 10.0 on a backup has `Manifest.db`, and a phone speaks TLS 1.2, below which we do not go;
/// from 10.2 on an encrypted backup's keys are made the way that is still in use (phone.md §6).
/// The backup protocol itself (mobilebackup2 2.0 and 2.1) is older than that.
pub const OLDEST_IOS: (u32, u32) = (10, 2);

/// What is done about an older one; it names [`OLDEST_IOS`].
pub(crate) const REMEDY: &str = "Update the phone: it needs iOS 10.2 or later. If it cannot be updated, it cannot be backed up here.";

pub(crate) const KEY: &str = "ProductVersion";

/// Refuses a phone that says of itself that it is too old; one that does not say is not held up.
pub(crate) fn check(told: Result<Option<Value>, DeviceError>) -> Result<(), DeviceError> {
    match told {
        Ok(version) => match version.and_then(Value::into_string) {
            Some(version) if is_too_old(&version) => Err(DeviceError::TooOld { version }),
            Some(_) | None => Ok(()),
        },
        Err(DeviceError::Lockdown { code, .. }) => {
            tracing::debug!(%code, "the phone does not tell its version");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Looks whether encryption failed because the phone is too old for ours. It is asked without a
/// session, so that is not proved: whoever lies here gains another refusal.
pub(crate) async fn explain(error: DeviceError, link: &Link, deadlines: &Deadlines) -> DeviceError {
    if !matches!(error, DeviceError::Tls { .. }) {
        return error;
    }
    let told = async { Plain::open(link, deadlines).await?.get_value(KEY).await };
    match check(told.await) {
        Err(old @ DeviceError::TooOld { .. }) => old,
        Ok(()) | Err(_) => error,
    }
}

/// Says whether a version is before the oldest; what is no version is not.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let minor = |number: Option<Option<u32>>| number.flatten().unwrap_or(0);
    match numbers.next().flatten() {
        // A version has few characters and goes into an error's words.
        Some(major) => (major, minor(numbers.next())) < OLDEST_IOS && version.len() <= 16,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{OLDEST_IOS, REMEDY, is_too_old};

    #[test]
    fn versions() {
        for (version, want) in [
            ("9.3.5", true),
            ("10", true),
            ("10.1.1", true),
            ("10.2", false),
            ("10.10", false),
            ("26.0", false),
            ("", false),
            ("ten", false),
            ("9.x", true),
            ("8.\u{1b}[2J-and-a-very-long-tail", false),
        ] {
            assert_eq!(is_too_old(version), want, "{version}");
        }
        let (major, minor) = OLDEST_IOS;
        assert!(REMEDY.contains(&format!("iOS {major}.{minor} ")));
    }
}
