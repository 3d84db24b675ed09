//! The command line. docs/ibakctl.md is generated from here.

mod keeping;
mod policy;

pub use keeping::{
    AdoptArgs, BackupsArgs, ForgetArgs, Keeping, RemoveArgs, StorageArgs, StorageDeed, StoreDeed,
    VerifyArgs,
};
pub use policy::PolicyArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

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

    /// Exits with 1 when a phone has been without a backup for too long, or the store cannot be used.
    #[arg(long)]
    pub check: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what every phone is doing, its last backup, and what it waits for.
    Status(StatusArgs),

    /// Says why the next backup waits, with the evidence for each condition; in the morning after a
    /// missed night first why that was.
    Why {
        /// The phone.
        phone: Option<String>,
        /// Also shows the last N nights in a sentence each, and the last N tries.
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
        last: u16,
        /// Says what came of one night instead: the date of its evening, `last` or `tonight`. A night
        /// is from noon to noon where you are.
        #[arg(long, value_name = "DATE", conflicts_with = "last")]
        night: Option<String>,
    },

    /// Draws the night: one row a condition, hours across, backups beneath. For its owner and root.
    Timeline(TimelineArgs),

    /// Lists what came of each night, newest first, with one clause of why.
    History {
        /// The phone.
        phone: Option<String>,
        /// So many nights; a night is from noon to noon where you are.
        #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
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
    Backups(BackupsArgs),

    /// Lists what a backup holds: its domains, or the files beneath a path.
    Ls {
        /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
        backup: String,
        /// DOMAIN or DOMAIN/PATH, for example HomeDomain/Library/SMS.
        path: Option<String>,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFd,
    },

    /// Copies files out of a backup, beneath one directory and through no link.
    Extract(ExtractArgs),

    /// Copies a backup as the plain directory that Finder, iTunes and idevicebackup2 restore.
    Export {
        /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
        backup: String,
        /// The directory that is to hold it, as DIR/UDID.
        dir: PathBuf,
    },

    /// Gives a backup back to a phone, after checks that leave the phone as it is, and a question.
    Restore(RestoreArgs),

    /// Switches encrypted backups on or off, changes or checks their password.
    Encryption {
        /// What to do.
        #[command(subcommand)]
        deed: EncryptionDeed,
    },

    /// Shows or switches the phone's own iCloud Backup.
    #[command(name = "icloud")]
    ICloud {
        /// What to do.
        #[command(subcommand)]
        deed: ICloudDeed,
    },

    /// Saves what was bought in the stores and is on the phone.
    Purchases {
        /// What to do.
        #[command(subcommand)]
        deed: PurchasesDeed,
    },

    /// Pairs with a phone that is plugged in and unlocked, and sets its backups up with you.
    Pair {
        /// The phone; the one that is plugged in and not yet trusted when it is not named.
        phone: Option<String>,
    },

    /// Ends the pairing with a phone; its backups stay.
    Unpair {
        /// The phone.
        phone: Option<String>,
        /// Asks nothing.
        #[arg(long)]
        yes: bool,
    },

    /// What keeps backups, and what lets them go.
    #[command(flatten)]
    Keeping(Keeping),

    /// Switches automatic backup on for a phone, also for a retired one.
    Enable {
        /// The phone.
        phone: Option<String>,
    },

    /// Switches automatic backup off for a phone; its backups stay.
    Disable {
        /// The phone.
        phone: Option<String>,
    },

    /// Shows what holds for a phone and who says so, or sets it: when it is backed up, what must hold,
    /// whom it asks and tells, what is kept.
    Policy(PolicyArgs),

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

    /// Carries messages to people: tries that out, shows them on a desktop, or runs hooks.
    Notify {
        /// What to do.
        #[command(subcommand)]
        deed: NotifyDeed,
    },

    /// Has the daemon read its configuration again, whole or not at all.
    Reload,

    /// Writes a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which time `timeline` draws.
#[derive(Clone, Debug, Args)]
pub struct TimelineArgs {
    /// The phone.
    pub phone: Option<String>,
    /// The last N hours.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=336))]
    pub hours: u16,
    /// One night, from noon to noon where you are: the date of its evening, `last` or `tonight`.
    #[arg(long, value_name = "DATE", conflicts_with = "hours")]
    pub date: Option<String>,
}

/// A backup password that is not asked for.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PasswordFd {
    /// Reads the password from this open file descriptor instead of asking for it.
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
}

/// What is copied out of a backup, and where to.
#[derive(Clone, Debug, Args)]
pub struct ExtractArgs {
    /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
    pub backup: String,
    /// DOMAIN or DOMAIN/PATH: a file, or everything beneath.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// The directory to write into; made when it is not there.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replaces files that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// Makes symbolic links too, wherever they point.
    #[arg(long)]
    pub symlinks: bool,
    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordFd,
}

/// How a backup is given back.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The phone that gets it.
    pub phone: Option<String>,
    /// The backup: ada@latest, ada@2026-11-20 or the beginning of an id; also another phone's.
    #[arg(long, value_name = "BACKUP")]
    pub from: Option<String>,
    /// Leaves the phone's own settings as they are.
    #[arg(long)]
    pub keep_settings: bool,
    /// Removes from the phone what the backup does not hold.
    #[arg(long)]
    pub remove_others: bool,
    /// Does not restart the phone at the end.
    #[arg(long)]
    pub no_reboot: bool,
    /// Asks nothing.
    #[arg(long)]
    pub yes: bool,
    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordFd,
}

/// The password of encrypted backups.
#[derive(Clone, Debug, Subcommand)]
pub enum EncryptionDeed {
    /// Switches encrypted backups on, under a password of yours.
    On {
        /// The phone.
        phone: Option<String>,
        /// Reads the new password from this open file descriptor instead of asking for it.
        #[arg(long, visible_alias = "new-password-fd", value_name = "N")]
        password_fd: Option<u32>,
        /// Makes a password of six words, and shows it once.
        #[arg(long, conflicts_with = "password_fd")]
        generate: bool,
    },
    /// Switches encrypted backups off.
    Off {
        /// The phone.
        phone: Option<String>,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFd,
    },
    /// Changes the password.
    Change {
        /// The phone.
        phone: Option<String>,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFd,
        /// Reads the new password from this open file descriptor instead of asking for it.
        #[arg(long, value_name = "N")]
        new_password_fd: Option<u32>,
        /// Makes the new password of six words, and shows it once.
        #[arg(long, conflicts_with = "new_password_fd")]
        generate: bool,
    },
    /// Tries a password against a backup, without the phone.
    Check {
        /// The phone.
        phone: Option<String>,
        /// The backup to try it on; otherwise the newest one that has a password.
        #[arg(long, value_name = "BACKUP")]
        backup: Option<String>,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFd,
    },
    /// Prints a card to write the password on and keep.
    Sheet {
        /// The phone.
        phone: Option<String>,
        /// Asks for the password, tries it, and prints it on the card.
        #[arg(long)]
        with_password: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFd,
    },
}

/// The phone's own iCloud Backup.
#[derive(Clone, Debug, Subcommand)]
pub enum ICloudDeed {
    /// Shows whether it is on.
    Status {
        /// The phone.
        phone: Option<String>,
    },
    /// Switches it on.
    On {
        /// The phone.
        phone: Option<String>,
    },
    /// Switches it off.
    Off {
        /// The phone.
        phone: Option<String>,
    },
}

/// What was bought in the stores.
#[derive(Clone, Debug, Subcommand)]
pub enum PurchasesDeed {
    /// Copies it into a directory; what is there already is skipped.
    Save {
        /// The phone.
        phone: String,
        /// The directory to write into; made when it is not there.
        dir: PathBuf,
    },
}

/// How messages reach people.
#[derive(Clone, Debug, Subcommand)]
pub enum NotifyDeed {
    /// Sends a message about a phone that asks for nothing, to see where it arrives.
    Test {
        /// The phone.
        phone: Option<String>,
    },
    /// Shows messages on this desktop, until interrupted; a user unit runs it.
    Desktop,
    /// Runs every program in a directory for each message, until interrupted; a service runs it.
    Hooks {
        /// The directory; only root and whoever runs this may be able to write to it.
        #[arg(long, value_name = "DIR", default_value = "/etc/ibak/hooks.d")]
        dir: PathBuf,
    },
}
