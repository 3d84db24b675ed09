//! `cargo xtask`: demo, test, bench, install, uninstall.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use xtask::say::say;
use xtask::workspace::Profile;

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
    /// How fast it is, next to Debian's `idevicebackup2` with the same simulated phone; never fails on a time
    Bench(Bench),
    /// Builds and installs ibak on this machine (root, systemd)
    Install,
    /// Removes what `install` installed; keeps configuration, pairing records and backups
    Uninstall,
}

#[derive(Args)]
struct Bench {
    /// Files of the phone with many small ones [default: 100000, quick: 10000]
    #[arg(long)]
    files: Option<u64>,
    /// Bytes of the phone's one large file [default: 4 GiB, quick: 512 MiB]
    #[arg(long, value_name = "BYTES")]
    large: Option<u64>,
    /// Only the store, without a phone: so many files, and five times as many
    #[arg(long, conflicts_with = "large")]
    store: bool,
    /// Smaller phones
    #[arg(long)]
    quick: bool,
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How the programs are built
    #[arg(long, default_value = "release", value_parser = ["release", "dev"])]
    profile: String,
    /// Ends with one line of JSON on the standard output; the table goes to the standard error
    #[arg(long)]
    json: bool,
}

impl Bench {
    fn options(&self) -> xtask::bench::Options {
        let (files, large) = if self.quick {
            (10_000, 512 << 20)
        } else {
            (100_000, 4 << 30)
        };
        xtask::bench::Options {
            files: self.files.unwrap_or(files),
            large: self.large.unwrap_or(large),
            rounds: self.rounds,
            profile: if self.profile == "dev" {
                Profile::Dev
            } else {
                Profile::Release
            },
            json: self.json,
        }
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Demo { json, keep } => xtask::demo::demo(xtask::demo::Options { json, keep }),
        Chore::Test => xtask::check::test(),
        Chore::Bench(bench) if bench.store => xtask::bench::store(bench.options()),
        Chore::Bench(bench) => xtask::bench::bench(bench.options()),
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
