//! Every name on the bus, in one place.

use ibak_core::{JobId, Udid};
use zbus::wire::OwnedObjectPath;

/// Is the well-known name; all other names of ours are made from it.
pub const BUS_NAME: &str = "org.ibak.Ibak1";
/// Is where the ObjectManager lives.
pub const ROOT_PATH: &str = "/org/ibak/Ibak1";
/// Is where the Manager lives.
pub const MANAGER_PATH: &str = "/org/ibak/Ibak1/Manager";
/// Is what every phone's path begins with; `<id>` follows.
pub const PHONES_PREFIX: &str = "/org/ibak/Ibak1/phones/";
/// Is what every job's path begins with; the job's number follows.
pub const JOBS_PREFIX: &str = "/org/ibak/Ibak1/jobs/";
/// Is the path that stands for "no job" in `CurrentJob`.
pub const NO_OBJECT: &str = "/";

/// Is the interface of the whole daemon.
pub const MANAGER_INTERFACE: &str = "org.ibak.Ibak1.Manager";
/// Is the interface of one phone.
pub const PHONE_INTERFACE: &str = "org.ibak.Ibak1.Phone";
/// Is the interface of one job.
pub const JOB_INTERFACE: &str = "org.ibak.Ibak1.Job";
/// Is what every error's name begins with; a dot and the word follow.
pub const ERROR_PREFIX: &str = "org.ibak.Ibak1.Error";

/// Returns the path of a phone: its UDID with `-` written `_`.
pub fn phone_path(udid: &Udid) -> OwnedObjectPath {
    path(format!(
        "{PHONES_PREFIX}{}",
        udid.as_str().replace('-', "_")
    ))
}

/// Returns the phone a path names, `None` for any other path.
pub fn phone_of(path: &str) -> Option<Udid> {
    let id = path.strip_prefix(PHONES_PREFIX)?;
    let udid = Udid::parse(&id.replace('_', "-")).ok()?;
    // Only the canonical spelling is a path of ours.
    (phone_path(&udid).as_str() == path).then_some(udid)
}

/// Returns the path of a job.
pub fn job_path(job: JobId) -> OwnedObjectPath {
    path(format!("{JOBS_PREFIX}{job}"))
}

/// Returns the job a path names, `None` for any other path (also for [`NO_OBJECT`]).
pub fn job_of(path: &str) -> Option<JobId> {
    let job: JobId = path.strip_prefix(JOBS_PREFIX)?.parse().ok()?;
    (job_path(job).as_str() == path).then_some(job)
}

/// Returns [`NO_OBJECT`] as a path.
pub fn no_object() -> OwnedObjectPath {
    path(NO_OBJECT.to_owned())
}

/// Makes a path of text that is one by construction: our prefixes, digits, letters and `_`.
fn path(text: String) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_that_are_not_ours_name_nothing() {
        for bad in [
            "/",
            "/org/ibak/Ibak1/phones/",
            "/org/ibak/Ibak1/phones/../Manager",
            "/org/ibak/Ibak1/phones/00008030_001a2b3c4d5e6f70",
            "/org/ibak/Ibak1/phones/00008030001A2B3C4D5E6F70",
            "/org/ibak/Ibak1/phones/00008030_001A2B3C4D5E6F70/x",
        ] {
            assert_eq!(phone_of(bad), None, "{bad}");
        }
        for bad in [
            "/",
            "/org/ibak/Ibak1/jobs/",
            "/org/ibak/Ibak1/jobs/+1",
            "/org/ibak/Ibak1/jobs/01",
            "/org/ibak/Ibak1/jobs/x",
        ] {
            assert_eq!(job_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_path_names_what_it_was_made_of(udid in "([0-9a-f]{40})|([0-9A-F]{8}-[0-9A-F]{16})", number: u64) {
            let udid = Udid::parse(&udid).unwrap();
            prop_assert_eq!(phone_of(phone_path(&udid).as_str()), Some(udid));
            prop_assert_eq!(job_of(job_path(JobId::new(number)).as_str()), Some(JobId::new(number)));
        }
    }
}
