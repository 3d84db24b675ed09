//! The programs and packages of the machine that building, testing and the demo need.
//!
//! This is the one list. As root on a Debian the missing ones are installed; elsewhere they are
//! named, with the way to install them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::say::say;

/// A package of Debian and how to see that what we want of it is there.
struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
}

enum Sign {
    /// A program in the search path.
    Program(&'static str),
    /// A file at this place.
    File(&'static str),
    /// A module that python3 finds.
    Module(&'static str),
    /// A library that pkg-config knows.
    Library(&'static str),
}

/// What the programs need to be built.
const BUILD: [Need; 3] = [
    Need {
        package: "gcc",
        sign: Sign::Program("cc"),
        why: "to compile SQLite and libusb",
    },
    Need {
        package: "pkg-config",
        sign: Sign::Program("pkg-config"),
        why: "to find libudev",
    },
    Need {
        package: "libudev-dev",
        sign: Sign::Library("libudev"),
        why: "to see phones come and go on USB",
    },
];

/// What the demo needs beyond that.
const DEMO: [Need; 1] = [Need {
    package: "dbus-daemon",
    sign: Sign::Program("dbus-daemon"),
    why: "for a bus of the demo's own",
}];

/// What the tests need beyond both.
const TEST: [Need; 15] = [
    Need {
        package: "systemd",
        sign: Sign::Program("systemd-analyze"),
        why: "to verify the unit",
    },
    Need {
        package: "systemd-container",
        sign: Sign::Program("systemd-nspawn"),
        why: "to boot guests",
    },
    Need {
        package: "mmdebstrap",
        sign: Sign::Program("mmdebstrap"),
        why: "to build guests",
    },
    Need {
        package: "debian-archive-keyring",
        sign: Sign::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        why: "to trust what guests are built of",
    },
    Need {
        package: "bsdutils",
        sign: Sign::Program("script"),
        why: "to give a guest its console",
    },
    Need {
        package: "procps",
        sign: Sign::Program("pgrep"),
        why: "to stop guests",
    },
    Need {
        package: "e2fsprogs",
        sign: Sign::Program("mkfs.ext4"),
        why: "to cut the power of a small disk",
    },
    Need {
        package: "xfsprogs",
        sign: Sign::Program("mkfs.xfs"),
        why: "and of another",
    },
    Need {
        package: "btrfs-progs",
        sign: Sign::Program("mkfs.btrfs"),
        why: "and of a third kind",
    },
    Need {
        package: "mount",
        sign: Sign::Program("losetup"),
        why: "to mount it",
    },
    Need {
        package: "polkitd",
        sign: Sign::File("/usr/lib/polkit-1/polkitd"),
        why: "to ask a real polkit",
    },
    Need {
        package: "libimobiledevice-utils",
        sign: Sign::Program("idevicebackup2"),
        why: "clients that the simulated phone must convince",
    },
    Need {
        package: "curl",
        sign: Sign::Program("curl"),
        why: "to try the hooks that send messages",
    },
    Need {
        package: "python3-dbusmock",
        sign: Sign::File("/usr/lib/python3/dist-packages/dbusmock/__main__.py"),
        why: "for a desktop that shows notifications",
    },
    Need {
        package: "python3-venv",
        sign: Sign::Module("ensurepip"),
        why: "for more such clients",
    },
];

/// Programs of Python's index that the tests use, in an environment of their own.
struct Strangers {
    packages: &'static [&'static str],
    /// What python imports if they are there.
    modules: &'static str,
    /// A place where a machine may carry them already.
    ready: &'static str,
    /// Where they are installed below the cache.
    cache: &'static str,
    /// Names the directory of the environment's programs to the tests.
    variable: &'static str,
}

/// Strangers' clients and readers of backups. The second reader wants another cipher library.
const PYTHON: [Strangers; 2] = [
    Strangers {
        packages: &["pymobiledevice3==11.45.*", "pyiosbackup"],
        modules: "pymobiledevice3, pyiosbackup",
        ready: "/opt/ibak-pmd3",
        cache: "ibak/strangers",
        variable: "IBAK_PMD3",
    },
    Strangers {
        packages: &["iphone_backup_decrypt==0.11.*"],
        modules: "iphone_backup_decrypt",
        ready: "/opt/ibak-ibd",
        cache: "ibak/readers",
        variable: "IBAK_IBD",
    },
];
/// `required` makes a missing stranger a failure.
pub const STRANGERS_VARIABLE: &str = "IBAK_STRANGERS";

/// What a command is about to do, hence what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Build the programs.
    Build,
    /// Build them and run the demo.
    Demo,
    /// Build them and run every test.
    Test,
}

impl Need {
    fn met(&self) -> bool {
        match self.sign {
            Sign::Program(name) => find(name).is_some(),
            Sign::File(path) => Path::new(path).exists(),
            Sign::Module(name) => {
                succeeds(Command::new("python3").args(["-c", &format!("import {name}")]))
            }
            Sign::Library(name) => succeeds(Command::new("pkg-config").args(["--exists", name])),
        }
    }
}

/// Finds a program in the search path, and where administrators' programs lie.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Sees to it that everything is there: installs it, or fails naming it and the remedy.
///
/// # Errors
/// Something is missing and cannot be installed.
pub fn ensure_system(purpose: For) -> Result<()> {
    let needs: Vec<&Need> = match purpose {
        For::Build => BUILD.iter().collect(),
        For::Demo => BUILD.iter().chain(&DEMO).collect(),
        For::Test => BUILD.iter().chain(&DEMO).chain(&TEST).collect(),
    };
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        let list: Vec<String> = missing
            .iter()
            .map(|need| format!("  {:24} {}", need.package, need.why))
            .collect();
        bail!(
            "missing on this machine (Debian's names):\n{}\nHint: sudo apt-get install {}",
            list.join("\n"),
            packages.join(" ")
        );
    }
    say(&format!("installing {}", packages.join(", ")));
    let apt = |words: &[&str]| -> Result<()> {
        let status = Command::new("apt-get")
            .args(["--quiet=2", "-o", "DPkg::Lock::Timeout=120"])
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot run apt-get")?;
        ensure!(
            status.success(),
            "apt-get {} ended with {status}",
            words.join(" ")
        );
        Ok(())
    };
    apt(&["update"])?;
    apt(&[
        &["install", "--yes", "--no-install-recommends"],
        packages.as_slice(),
    ]
    .concat())?;
    let still: Vec<&str> = needs
        .iter()
        .filter(|need| !need.met())
        .map(|need| need.package)
        .collect();
    ensure!(
        still.is_empty(),
        "installed, yet not found: {}",
        still.join(", ")
    );
    Ok(())
}

/// Sees to it that the strangers' Python programs are there; returns, for each environment, the
/// variable that names its directory of programs to the tests, and that directory.
///
/// # Errors
/// They cannot be installed.
pub fn ensure_strangers() -> Result<Vec<(&'static str, PathBuf)>> {
    PYTHON
        .iter()
        .map(|strangers| Ok((strangers.variable, strangers.ensure()?)))
        .collect()
}

/// Finds the directory of the first environment's programs: clients, and a reader of backups.
pub fn find_strangers() -> Option<PathBuf> {
    PYTHON.first().and_then(Strangers::find)
}

impl Strangers {
    fn find(&self) -> Option<PathBuf> {
        if let Some(given) = std::env::var_os(self.variable) {
            return Some(given.into());
        }
        [Some(PathBuf::from(self.ready)), self.cached()]
            .into_iter()
            .flatten()
            .map(|environment| environment.join("bin"))
            .find(|programs| self.works(programs))
    }

    fn cached(&self) -> Option<PathBuf> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .map(|cache| cache.join(self.cache))
    }

    fn ensure(&self) -> Result<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let environment = self
            .cached()
            .context("neither XDG_CACHE_HOME nor HOME is set")?;
        say(&format!(
            "installing {} into {}",
            self.packages.join(", "),
            environment.display()
        ));
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        run(Command::new(environment.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ])
            .args(self.packages))?;
        let programs = environment.join("bin");
        ensure!(
            self.works(&programs),
            "installed, yet {} does not import {}",
            programs.join("python").display(),
            self.modules
        );
        Ok(programs)
    }

    fn works(&self, programs: &Path) -> bool {
        let python = programs.join("python");
        python.is_file()
            && succeeds(Command::new(python).args(["-c", &format!("import {}", self.modules)]))
    }
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
