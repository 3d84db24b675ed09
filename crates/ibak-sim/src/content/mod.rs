//! What a simulated phone holds: domains, apps and files, all drawn from a seed.

use crate::identity::Identity;

/// How much a phone holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSpec {
    /// The seed everything is drawn from.
    pub seed: u64,
    /// Regular files in a backup.
    pub files: u64,
    /// Bytes of those files together.
    pub bytes: u64,
    /// User apps.
    pub apps: u32,
    /// One file of exactly so many bytes, counted in `files` and `bytes`.
    pub largest_file: Option<u64>,
}

impl Default for ContentSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            files: 200,
            bytes: 4 << 20,
            apps: 3,
            largest_file: None,
        }
    }
}

/// A user app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// `CFBundleIdentifier`.
    pub bundle_id: String,
    /// `CFBundleDisplayName`.
    pub name: String,
    /// `CFBundleShortVersionString`.
    pub version: String,
    /// `CFBundleVersion`.
    pub build: String,
}

/// The phone's data.
#[derive(Clone, Debug)]
pub struct Content {
    spec: ContentSpec,
    apps: Vec<App>,
}

impl Content {
    /// Draws the phone's data from the spec.
    pub fn generate(spec: &ContentSpec, _identity: &Identity) -> Self {
        Self {
            spec: spec.clone(),
            apps: Vec::new(),
        }
    }

    /// Changes, adds and deletes files, always in the same way for the same history.
    pub fn change(&mut self, _touch: u64, _add: u64, _delete: u64) {}

    /// Returns the user apps.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// Returns the bytes of all regular files together.
    pub fn used_bytes(&self) -> u64 {
        self.spec.bytes
    }
}
