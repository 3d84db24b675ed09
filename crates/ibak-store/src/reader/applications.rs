//! The apps of a backup, for the phone that is to have them again.

use super::Reader;
use crate::error::StoreError;
use crate::fs::Fs;
use ibak_core::plist_guard;
use plist::Value;

/// Largest Info.plist whose apps are read, in bytes: with their icons they take a few MiB, and
/// twice as much memory. Without them the phone has its apps from the App Store all the same.
const INFO_MAX: usize = 24 << 20;

/// What Info.plist says of the apps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applications {
    /// Bundle identifiers of the installed apps, in the order of the phone.
    pub installed: Vec<String>,
    /// The content of RestoreApplications.plist: the `Applications` of Info.plist, as an XML
    /// property list; `None` when it has none.
    pub restore_plist: Option<Vec<u8>>,
}

impl<F: Fs> Reader<F> {
    /// Reads the apps from Info.plist.
    ///
    /// # Errors
    /// `Damaged` for a property list nobody needs, or a system call's.
    pub fn applications(&self) -> Result<Applications, StoreError> {
        let damaged = || StoreError::damaged("Info.plist");
        let bytes = self.held.small("Info.plist")?;
        if bytes.len() > INFO_MAX {
            tracing::warn!(
                bytes = bytes.len(),
                "Info.plist is too large for its apps to be read"
            );
            return Ok(Applications::default());
        }
        plist_guard::check(&bytes, &plist_guard::Limits::LARGE).map_err(|_| damaged())?;
        let info = Value::from_reader(std::io::Cursor::new(&bytes)).map_err(|_| damaged())?;
        let info = info.as_dictionary().ok_or_else(damaged)?;
        let installed = info
            .get("Installed Applications")
            .and_then(Value::as_array)
            .map(|list| {
                list.iter()
                    .filter_map(Value::as_string)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        let restore_plist = match info
            .get("Applications")
            .filter(|apps| apps.as_dictionary().is_some_and(|apps| !apps.is_empty()))
        {
            Some(apps) => {
                let mut xml = Vec::new();
                apps.to_writer_xml(&mut xml).map_err(|_| damaged())?;
                Some(xml)
            }
            None => None,
        };
        Ok(Applications {
            installed,
            restore_plist,
        })
    }
}
