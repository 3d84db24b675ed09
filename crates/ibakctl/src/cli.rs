//! The command line. docs/ibakctl.md is generated from here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Backs up iPhones and iPads that are on power, on Wi-Fi and locked.
#[derive(Debug, Parser)]
#[command(name = "ibakctl", version, max_term_width = 100)]
#[command(after_help = "\
A PHONE is named by its name, its UDID, or a unique beginning of either; when only one is known \
it needs no name.

Exit codes: 0 done, 1 failed, 2 usage, 3 cannot start now (unreachable, no space, busy), 4 no such \
phone or backup, 5 not authorised, 6 daemon not running, 7 passcode not given, 130 interrupted.

Environment: IBAK_BUS chooses the bus (system, session or an address), NO_COLOR turns colours \
off, IBAK_TIMESTAMP pins the present moment (for tests), TZ is where you are.")]
pub struct Cli {
    /// What to do; `status` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What `status` shows when it is not written out.
    #[command(flatten)]
    pub status: StatusArgs,

    /// Writes JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,

    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which phones `status` shows.
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArgs {
    /// Only this phone.
    pub phone: Option<String>,

    /// Exits with 1 when a phone has been without a backup for too long.
    #[arg(long)]
    pub check: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what every phone is doing, its last backup, and what it waits for.
    Status(StatusArgs),

    /// Says why the next backup waits, with the evidence for each condition.
    Why {
        /// The phone.
        phone: Option<String>,
        /// Also shows the last N tries and how they ended.
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
        last: u16,
    },

    /// Backs up a phone now, as Apple's "Back Up Now" does; it needs only be reachable, trusted and fit.
    Backup {
        /// The phone.
        phone: Option<String>,
        /// Stays until it ends, and shows how it goes on.
        #[arg(long)]
        wait: bool,
        /// Waits for power, Wi-Fi, lock and space, and starts then.
        #[arg(long)]
        when_ready: bool,
        /// Has the phone send everything anew.
        #[arg(long)]
        full: bool,
    },

    /// Ends a phone's running job; what arrived is kept for the next one.
    Cancel {
        /// The phone.
        phone: Option<String>,
    },

    /// Shows what happens as it happens, until interrupted.
    Watch {
        /// Only this phone.
        phone: Option<String>,
    },

    /// Lists backups, newest first.
    Backups {
        /// A phone, or a backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
        #[arg(value_name = "PHONE|BACKUP")]
        which: Option<String>,
    },

    /// Pairs with a phone that is plugged in and unlocked.
    Pair {
        /// The phone; the one that is plugged in and not yet trusted when it is not named.
        phone: Option<String>,
    },

    /// Switches automatic backup on for a phone.
    Enable {
        /// The phone.
        phone: Option<String>,
    },

    /// Switches automatic backup off for a phone; its backups stay.
    Disable {
        /// The phone.
        phone: Option<String>,
    },

    /// Stops automatic backups of all phones for a while.
    Pause {
        /// Until then (08:00, 2026-11-24, 2026-11-24T08:00 or 3h); otherwise until `resume`.
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
    },

    /// Lets automatic backups start again.
    Resume,

    /// Checks everything that backups need, each with its remedy; exits with 1 when one fails.
    Doctor {
        /// Only what concerns this phone, and the whole.
        phone: Option<String>,
    },

    /// Has the daemon read its configuration again, whole or not at all.
    Reload,

    /// Writes a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}
