//! The phone's own reasons for not doing what it was asked.

use std::fmt;

/// An error of the phone's MBErrorDomain, by what it means to the owner (phone.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceError {
    /// 1: something inside the phone.
    Internal,
    /// 3: a snapshot of an earlier backup was left behind; a restart cures it.
    SnapshotLeft,
    /// 25: an iCloud restore is running.
    CloudRestoreRunning,
    /// 100 to 104: reading or writing failed; 104 also when the phone was locked.
    ReadWrite(u8),
    /// 105: not enough space, here for a backup, on the phone for a restore.
    NoSpace,
    /// 202: cancelled.
    Cancelled,
    /// 203: no common protocol version.
    Version,
    /// 205: the phone cannot read the previous backup.
    PreviousUnreadable,
    /// 207: wrong password, or encryption is required.
    Password,
    /// 208: the passcode was not given.
    NotConfirmed,
    /// 210: no iCloud account.
    NoAccount,
    /// 211: Find My is on.
    FindMyOn,
    /// 212: the phone's setup is not finished.
    SetupUnfinished,
    /// Any other code.
    Other(i64),
}

impl DeviceError {
    /// Sorts a code; `None` for 0, which is no error.
    pub fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::Internal,
            3 => Self::SnapshotLeft,
            25 => Self::CloudRestoreRunning,
            100..=104 => Self::ReadWrite(u8::try_from(code).unwrap_or(u8::MAX)),
            105 => Self::NoSpace,
            202 => Self::Cancelled,
            203 => Self::Version,
            205 => Self::PreviousUnreadable,
            207 => Self::Password,
            208 => Self::NotConfirmed,
            210 => Self::NoAccount,
            211 => Self::FindMyOn,
            212 => Self::SetupUnfinished,
            other => Self::Other(other),
        })
    }

    /// Returns the code in MBErrorDomain.
    pub fn code(self) -> i64 {
        match self {
            Self::Internal => 1,
            Self::SnapshotLeft => 3,
            Self::CloudRestoreRunning => 25,
            Self::ReadWrite(code) => i64::from(code),
            Self::NoSpace => 105,
            Self::Cancelled => 202,
            Self::Version => 203,
            Self::PreviousUnreadable => 205,
            Self::Password => 207,
            Self::NotConfirmed => 208,
            Self::NoAccount => 210,
            Self::FindMyOn => 211,
            Self::SetupUnfinished => 212,
            Self::Other(code) => code,
        }
    }

    /// Returns what the owner is told, lower case and without a final dot.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Internal => "the phone met an internal error",
            Self::SnapshotLeft => {
                "an earlier backup left a snapshot on the phone: restart the phone"
            }
            Self::CloudRestoreRunning => "the phone is still restoring from iCloud",
            Self::ReadWrite(104) => {
                "the phone could not send some files, perhaps because it was locked"
            }
            Self::ReadWrite(_) => "the phone could not read or write a file of the backup",
            Self::NoSpace => "the phone found too little space",
            Self::Cancelled => "it was cancelled",
            Self::Version => "the phone speaks no common protocol version",
            Self::PreviousUnreadable => "the phone cannot read the previous backup",
            Self::Password => "the backup password is wrong, or the phone requires encryption",
            Self::NotConfirmed => "the passcode was not entered on the phone",
            Self::NoAccount => "the phone has no iCloud account",
            Self::FindMyOn => "Find My is on",
            Self::SetupUnfinished => "the phone's setup is not finished",
            Self::Other(_) => "the phone ended with an error",
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.meaning(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceError;

    #[test]
    fn codes_go_there_and_back() {
        assert_eq!(DeviceError::from_code(0), None);
        for code in (-20..400).filter(|code| *code != 0) {
            assert_eq!(
                DeviceError::from_code(code).map(DeviceError::code),
                Some(code)
            );
        }
        assert_eq!(DeviceError::from_code(208), Some(DeviceError::NotConfirmed));
        assert_eq!(DeviceError::from_code(24), Some(DeviceError::Other(24)));
    }
}
