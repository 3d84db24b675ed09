//! The three interfaces. They render the newest [`super::wire::Wire`] and turn methods into calls to the loop.

mod errands;
mod job;
mod manager;
mod observations;
mod phone;
mod policy;
mod storage;

pub use job::Job;
pub use manager::Manager;
pub use phone::Phone;

use ibak_core::Answer;
use ibak_dbus::{Error, names};
use zbus::wire::OwnedObjectPath;

fn job_of(answer: Answer) -> Result<OwnedObjectPath, Error> {
    match answer {
        Answer::Job(id) => Ok(names::job_path(id)),
        Answer::Done | Answer::AlreadyThere => {
            Err(Error::Failed("the daemon made no job of it".into()))
        }
    }
}
