//! The ibak command line: ask the daemon, render, exit with a code that says what happened.
//!
//! Asking is in `session` and `commands`; every rendering is a pure function of a view and a
//! [`Style`], so that each is a snapshot test. Answers go to stdout, the conversation to stderr.
//! Nothing from outside reaches a terminal unescaped (`text::escape`).

pub mod cli;
mod commands;
pub mod config_file;
mod console;
pub mod extract;

mod failure;
pub mod intake;
mod interrupt;
pub mod json;
pub mod moment;
pub mod night;
mod notify;
pub mod render;
mod secret;
pub mod select;
mod session;
pub mod size;
pub mod style;
pub mod text;

pub use commands::main;
pub use failure::{Exit, Failure};
pub use style::{Glyphs, Paint, Style};
