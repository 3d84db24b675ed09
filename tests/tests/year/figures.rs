//! Memory and open files of this process, which holds the daemon, the phones and the test.

use std::fmt;

/// What was seen of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// After a third of the time: resident memory in KiB, open files.
    early: Option<(u64, usize)>,
    /// At the end.
    late: (u64, usize),
}

/// Over so few days nothing can be said.
const DAYS_MIN: u64 = 90;
const MONTH: u64 = 30;
/// What allocator and databases may take beyond what they had after a third of a year, in KiB.
const MEMORY_MAX: u64 = 48 << 10;
/// How many more files may be open: connections that are just ending.
const FILES_MAX: usize = 24;

impl Figures {
    /// Looks at the end of a day.
    pub(crate) fn look(&mut self, day: u64, days: u64) {
        let (memory, files) = (resident_kib(), open_files());
        // How many connections are just open is chance; the fewest of a month are what stays.
        let month_begins = day.is_multiple_of(MONTH);
        let fewest = if month_begins {
            files
        } else {
            self.late.1.min(files)
        };
        self.late = (memory, fewest);
        let last_of_month = day % MONTH == MONTH - 1;
        if days >= DAYS_MIN && last_of_month && day <= days / 3 {
            self.early = Some(self.late);
        }
    }

    /// Fails when the last two thirds of the time took more than the first.
    pub(crate) fn have_not_grown(&self) {
        if let Some((memory, files)) = self.early {
            assert!(self.late.0 <= memory + MEMORY_MAX, "memory grows: {self}");
            assert!(self.late.1 <= files + FILES_MAX, "open files grow: {self}");
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((memory, files)) = self.early {
            write!(f, "{} MiB and {files} files after a third, ", memory >> 10)?;
        }
        write!(
            f,
            "{} MiB and {} files at the end",
            self.late.0 >> 10,
            self.late.1
        )
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect("VmRSS")
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
