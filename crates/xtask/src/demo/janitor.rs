//! Sees to processes and directory should this program be killed without a word.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::player::Player;

/// Is told of processes (`pid N`) until its input ends, because we ended; then ends them and
/// removes the directory, unless it was told to `keep`. Who was at home there is ending at the
/// same time, so it tries again for a while.
const JANITOR: &str = r#"
pids=
while read -r word pid; do
  case $word in
    pid) pids="$pids $pid" ;;
    keep) exit ;;
  esac
done
[ -z "$pids" ] || kill $pids 2>/dev/null
for again in 1 2 3 4 5 6 7 8 9 10 11 12; do rm -rf -- "$0" && exit; sleep 1; done
"#;

/// The janitor; goes without doing anything when dropped.
pub(crate) struct Janitor(Player);

impl Janitor {
    /// Begins to look after a directory. It hears no Ctrl-C, so that it outlives the one that ends
    /// us.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", JANITOR])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0);
        Ok(Self(Player::start("sh", command)?))
    }

    /// Also looks after a process.
    pub(crate) fn see_to(&mut self, pid: u32) -> Result<()> {
        self.0.tell(&format!("pid {pid}"))
    }

    /// Leaves everything as it is.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.0.tell("keep")?;
        self.0.end()
    }
}
