//! A backup that another program made: found, told, and sent as a tar stream.
//!
//! Only files inside the folder are read: every name is resolved by the kernel beneath its handle,
//! and no link is followed. What is no part of any backup, such as `.DS_Store`, is left out; a
//! link, a socket or a device is refused, for then it is not what it seems.

mod folder;
mod origin;
mod pack;

pub use folder::{Contents, Folder, Item};
pub use origin::Origin;
pub use pack::{Stopped, pack};

/// Why a folder cannot be taken in, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Lower case, without a final dot.
    pub why: String,
    /// One thing to do.
    pub remedy: Option<String>,
}

impl Trouble {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            remedy: None,
        }
    }

    fn hint(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
