//! `cargo xtask`: demo, test, install, uninstall.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::say::say;

/// The chores of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// One evening and the next with a simulated phone and the real daemon; needs no root
    Demo {
        /// Ends with one line of JSON on the standard output; the story goes to the standard error
        #[arg(long)]
        json: bool,
        /// Leaves everything running and says how to reach it and how to end it
        #[arg(long)]
        keep: bool,
    },
    /// Everything CI runs; as root also installs what it needs. RUN_SLOW_TESTS=1 adds the long ones
    Test,
    /// Builds and installs ibak on this machine (root, systemd)
    Install,
    /// Removes what `install` installed; keeps configuration, pairing records and backups
    Uninstall,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Demo { json, keep } => xtask::demo::demo(xtask::demo::Options { json, keep }),
        Chore::Test => xtask::check::test(),
        Chore::Install => xtask::install::install(),
        Chore::Uninstall => xtask::install::uninstall(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
