//! What `cargo xtask` does, as a library, so that the whole-system tests install and find programs
//! exactly as it does.

pub mod bench;
pub mod check;
pub mod demo;
pub mod install;
pub mod manifest;
pub mod say;
pub mod tools;
pub mod workspace;
