//! The commands about what is kept: backups, the store they lie in, the phones they are of.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which backups `backups` lists.
#[derive(Clone, Debug, Default, Args)]
pub struct BackupsArgs {
    /// A phone, or a backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
    #[arg(value_name = "PHONE|BACKUP")]
    pub which: Option<String>,

    /// Shows what will go after the next backup, made today, and why the others stay; nothing is removed by looking.
    #[arg(long)]
    pub explain: bool,
}

/// What keeps backups, and what lets them go.
#[derive(Clone, Debug, Subcommand)]
pub enum Keeping {
    /// Reads a backup again, all of it, and exits with 1 when it is damaged.
    Verify(VerifyArgs),

    /// Keeps a backup whatever comes.
    Pin {
        /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
        backup: String,
    },

    /// Lets a backup that is pinned or held go in its turn, with the others.
    Unpin {
        /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
        backup: String,
    },

    /// Removes a backup, after saying what that frees and what stays, and a question.
    Remove(RemoveArgs),

    /// Shows what the store and each phone's backups take, and how long that lasts.
    Storage(StorageArgs),

    /// Lays the store somewhere else.
    Store {
        /// What to do.
        #[command(subcommand)]
        deed: StoreDeed,
    },

    /// Takes in a backup that iTunes, Finder or idevicebackup2 made; the original stays as it is.
    Adopt(AdoptArgs),

    /// Keeps a phone's backups, and makes and misses no further ones; `enable` brings it back.
    Retire {
        /// The phone.
        phone: Option<String>,
    },

    /// Removes a phone and all its backups, after its name was typed.
    Forget(ForgetArgs),

    /// Lets a new phone take the place of an old one, whose backups stay.
    Replace {
        /// The old phone; it is retired.
        old: String,
        /// The new phone.
        new: String,
    },
}

/// What is read again.
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// The backup (ada@latest, ada@2026-11-20 or the beginning of an id), or a phone: its newest one.
    pub backup: Option<String>,

    /// Reads all backups again: of the phone, or of every phone.
    #[arg(long)]
    pub all: bool,
}

/// What is removed.
#[derive(Clone, Debug, Args)]
pub struct RemoveArgs {
    /// The backup: ada@latest, ada@2026-11-20, ada@2026-11-20T02:14 or the beginning of an id.
    pub backup: String,

    /// Asks nothing.
    #[arg(long)]
    pub yes: bool,

    /// Removes it also when it is pinned, or held because the next one lost much.
    #[arg(long)]
    pub even_pinned: bool,
}

/// Whose storage is shown.
#[derive(Clone, Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StorageArgs {
    /// Only this phone.
    pub phone: Option<String>,

    /// What to do instead of showing it.
    #[command(subcommand)]
    pub deed: Option<StorageDeed>,
}

/// What is changed about storage.
#[derive(Clone, Debug, Subcommand)]
pub enum StorageDeed {
    /// Bounds what a phone's backups may take on the disk.
    #[command(allow_missing_positional = true)]
    Quota {
        /// The phone.
        phone: Option<String>,
        /// 200G, 1.5TiB, a number of bytes, or none.
        size: String,
    },
}

/// Where the store lies.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreDeed {
    /// Makes the daemon use the store in another directory, or begin one there; no backup moves.
    Use {
        /// The directory: an empty one, or one that holds a store.
        dir: PathBuf,
        /// The configuration file to write that into; otherwise the daemon's.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Copies the whole store into another directory, checks it, and has the daemon use that.
    Move {
        /// The directory: an empty one, or one that an earlier try began to fill.
        dir: PathBuf,
        /// The configuration file to write that into; otherwise the daemon's.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// What is taken in.
#[derive(Clone, Debug, Args)]
pub struct AdoptArgs {
    /// The backup's directory, .../MobileSync/Backup/UDID, or one that holds just that.
    pub dir: PathBuf,

    /// Asks nothing.
    #[arg(long)]
    pub yes: bool,
}

/// Which phone is forgotten.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The phone.
    pub phone: String,

    /// Asks nothing: the phone's name, as one would type it.
    #[arg(long, value_name = "NAME")]
    pub yes_delete: Option<String>,
}
