//! What `cargo xtask` does, as a library, so that the whole-system tests install and find programs
//! exactly as it does.

pub mod manifest;
