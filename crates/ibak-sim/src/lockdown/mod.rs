//! lockdownd: the phone's front door, on port 62078.

mod conversation;
pub mod domains;
pub mod root;
pub mod values;

pub(crate) use conversation::serve;
