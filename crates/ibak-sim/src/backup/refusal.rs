//! Final responses that are errors, in the words of real phones (corpus 15_final_error_responses).

/// An error the phone ends a request with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) description: String,
}

impl Refusal {
    fn new(code: i64, text: &str) -> Self {
        Self {
            code,
            description: format!("{text} (MBErrorDomain/{code})"),
        }
    }

    fn because(code: i64, text: &str, underlying: &str) -> Self {
        Self {
            code,
            description: format!("{text} (MBErrorDomain/{code}). Underlying error: {underlying}"),
        }
    }

    /// 208: the passcode was not given (#1380).
    pub(super) fn locked() -> Self {
        Self::new(208, "Device locked")
    }

    /// 202: the person cancelled. The text is ours: none was published.
    pub(super) fn cancelled() -> Self {
        Self::new(202, "Backup cancelled")
    }

    /// 105: the host has too little space (PMD3 #1879).
    pub(super) fn no_space() -> Self {
        Self::new(105, "Insufficient free disk space on drive to back up")
    }

    /// 104: files could not be sent (#1361).
    pub(super) fn uploading() -> Self {
        Self::new(104, "Multiple errors uploading files")
    }

    /// 103: Status.plist could not be read (#153).
    pub(super) fn reading_status(path: &str) -> Self {
        Self::because(
            103,
            "Error reading status",
            &format!("Multi status at path \"{path}\" (MBErrorDomain/1)."),
        )
    }

    /// 103: a manifest could not be read for another reason than its absence (#125).
    pub(super) fn reading_properties(path: &str, reason: &str) -> Self {
        let underlying = format!("{reason} at path \"{path}\" (MBErrorDomain/100)");
        Self::because(103, "Error reading backup properties", &underlying)
    }

    /// 205: a manifest is not there (Netimobiledevice PR 80).
    pub(super) fn manifest_absent(path: &str) -> Self {
        Self::because(
            205,
            "Error reading backup properties",
            &format!("No such file or directory. at path \"{path}\""),
        )
    }

    /// 205: Manifest.db is there and is not a database. The underlying text is ours.
    pub(super) fn manifest_damaged(path: &str) -> Self {
        Self::because(
            205,
            "Error reading backup properties",
            &format!("file is not a database at path \"{path}\""),
        )
    }

    /// 205: a file of the previous backup is gone (Netimobiledevice #68).
    pub(super) fn files_missing() -> Self {
        Self::new(205, "Manifest references files not in backup")
    }

    /// 205: what was downloaded in the verify phase is not what was sent. The text is ours.
    pub(super) fn verify(path: &str) -> Self {
        Self::because(
            205,
            "Error verifying backup",
            &format!("Contents differ at path \"{path}\""),
        )
    }

    /// 4, 105, 24, 2 or 100: the host could not do a file operation.
    pub(super) fn operation(operation: Operation, code: i64, path: &str) -> Self {
        match (operation, code) {
            (_, -15) => Self::no_space(),
            (_, -6) => Self {
                code: 4,
                description: format!(
                    "No such file or directory at path \"{path}\" (MBErrorDomain/4)"
                ),
            },
            (Operation::Move, _) if path.starts_with('/') => {
                Self::at(24, "Error performing file operation", path)
            }
            (Operation::Move, _) => Self::at(2, "Error renaming file", path),
            (Operation::Create | Operation::List | Operation::Remove | Operation::Copy, _) => {
                Self::at(100, "Input/output error (5)", path)
            }
        }
    }

    /// 212: the setup assistant is not through (#187).
    pub(super) fn setup_unfinished() -> Self {
        Self::new(212, "Unable to backup until Setup is finished")
    }

    /// 211: a restore wants Find My off (remove-mdm #3).
    pub(super) fn find_my() -> Self {
        Self::new(211, "Find My iPhone must be disabled before restoring")
    }

    /// 210: nobody is signed in to iCloud. The text is ours.
    pub(super) fn no_icloud_account() -> Self {
        Self::new(210, "No iCloud account is set up for backup")
    }

    /// 207: the password is wrong or missing (#1469).
    pub(super) fn password() -> Self {
        Self::because(
            207,
            "Invalid password when restoring encrypted backup",
            "MKBKeyBagUnlock error (-3)",
        )
    }

    /// 207: a password change with a wrong password, or none where there is one (#996).
    pub(super) fn invalid_password() -> Self {
        Self::new(207, "Invalid password")
    }

    /// 207: a management profile wants encryption. The text is ours.
    pub(super) fn encryption_required() -> Self {
        Self::new(207, "Backup encryption is required by a profile")
    }

    /// 203: the backup is of a newer iOS. The text is ours.
    pub(super) fn newer_system(backup: &str, phone: &str) -> Self {
        Self::new(
            203,
            &format!("Backup of iOS {backup} cannot be restored to iOS {phone}"),
        )
    }

    /// 205: files could not be downloaded (#801).
    pub(super) fn downloading() -> Self {
        Self::new(205, "Multiple errors downloading files")
    }

    /// 205: the backup was never finished. The text is ours.
    pub(super) fn unfinished() -> Self {
        Self::new(205, "Backup is incomplete")
    }

    /// 105: the phone has too little space (#460).
    pub(super) fn no_space_on_phone(free_bytes: u64, needed_bytes: u64) -> Self {
        Self::new(
            105,
            &format!(
                "Insufficient free disk space on device to restore ({free_bytes} < {needed_bytes})"
            ),
        )
    }

    /// 102: the restore before this one still waits for its reboot (#787).
    pub(super) fn awaits_reboot() -> Self {
        let path = "/var/.backup.i";
        Self::new(
            102,
            &format!(
                "Failed to move the incomplete restore directory into place at path \"{path}\""
            ),
        )
    }

    fn at(code: i64, text: &str, path: &str) -> Self {
        Self {
            code,
            description: format!("{text} at path \"{path}\" (MBErrorDomain/{code})"),
        }
    }

    /// 1: the request names another phone. The text is ours.
    pub(super) fn wrong_target() -> Self {
        Self::new(1, "Invalid target identifier")
    }

    /// 1: the request is one this simulator does not act out. The text is ours.
    pub(super) fn unsupported(request: &str) -> Self {
        Self::new(1, &format!("Unsupported request \"{request}\""))
    }

    /// Whatever a test asks for; published texts where there are any.
    pub(super) fn on_demand(code: i64) -> Self {
        match code {
            1 => Self::new(1, "Error copying keychain data"),
            3 => Self::new(
                3,
                "Failed to create snapshot: File exists (17) at path \"/private/var\"",
            ),
            104 => Self::uploading(),
            105 => Self::no_space(),
            202 => Self::cancelled(),
            205 => Self::files_missing(),
            102 => Self::awaits_reboot(),
            207 => Self::password(),
            208 => Self::locked(),
            210 => Self::no_icloud_account(),
            211 => Self::find_my(),
            212 => Self::setup_unfinished(),
            25 => Self::new(25, "A restore from iCloud is in progress"),
            203 => Self::new(203, "Unsupported backup version"),
            other => Self::new(other, "Error backing up"),
        }
    }
}

/// A file operation the host was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    List,
    Move,
    Remove,
    Copy,
}
