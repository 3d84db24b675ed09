//! The pure part: objects, changes, and what a change does.

use crate::dict::Properties;
use crate::names;
use crate::views::{JobView, ManagerView, PhoneView};
use ibak_core::{JobId, Udid};
use std::collections::BTreeMap;

/// One change of the object tree, as a signal carries it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `InterfacesAdded`.
    Added {
        /// The object.
        path: String,
        /// Its new interfaces with all their properties.
        interfaces: BTreeMap<String, Properties>,
    },
    /// `InterfacesRemoved`.
    Removed {
        /// The object.
        path: String,
        /// The interfaces it lost.
        interfaces: Vec<String>,
    },
    /// `PropertiesChanged`.
    Properties {
        /// The object.
        path: String,
        /// The interface.
        interface: String,
        /// The new values.
        changed: Properties,
        /// Properties that changed without their value being told.
        invalidated: Vec<String>,
    },
}

/// What has to follow a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Nothing.
    None,
    /// A new snapshot: a value is not known any more.
    Resync,
}

/// The objects by path, each with its interfaces and their properties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MirrorState {
    objects: BTreeMap<String, BTreeMap<String, Properties>>,
}

impl MirrorState {
    /// Makes the state a snapshot (`GetManagedObjects`) shows.
    pub fn from_snapshot(objects: BTreeMap<String, BTreeMap<String, Properties>>) -> Self {
        let mut state = Self { objects };
        state.objects.retain(|_, interfaces| !interfaces.is_empty());
        state
    }

    /// Applies one change. A change of an object or interface that is not there is old news.
    pub fn apply(&mut self, change: Change) -> Effect {
        let effect = match change {
            Change::Added { path, interfaces } => {
                if !interfaces.is_empty() {
                    self.objects.entry(path).or_default().extend(interfaces);
                }
                Effect::None
            }
            Change::Removed { path, interfaces } => {
                if let Some(object) = self.objects.get_mut(&path) {
                    object.retain(|name, _| !interfaces.contains(name));
                    if object.is_empty() {
                        self.objects.remove(&path);
                    }
                }
                Effect::None
            }
            Change::Properties {
                path,
                interface,
                changed,
                invalidated,
            } => {
                match self
                    .objects
                    .get_mut(&path)
                    .and_then(|object| object.get_mut(&interface))
                {
                    None => Effect::None,
                    Some(properties) => {
                        properties.extend(changed);
                        if invalidated.is_empty() {
                            Effect::None
                        } else {
                            Effect::Resync
                        }
                    }
                }
            }
        };
        self.verify_invariants();
        effect
    }

    /// Panics when the state is one that no daemon can have shown; debug builds only.
    pub fn verify_invariants(&self) {
        debug_assert!(
            self.objects.values().all(|object| !object.is_empty()),
            "an object without interfaces"
        );
    }

    /// Forgets everything: the daemon went away.
    pub fn clear(&mut self) {
        self.objects.clear();
    }

    /// Returns the Manager, `None` when the daemon does not show it.
    pub fn manager(&self) -> Option<ManagerView> {
        self.interface(names::MANAGER_PATH, names::MANAGER_INTERFACE)
            .map(ManagerView::from_properties)
    }

    /// Returns every phone, ordered by name and then by UDID.
    pub fn phones(&self) -> Vec<PhoneView> {
        let mut phones: Vec<PhoneView> = self
            .with_interface(names::PHONE_INTERFACE)
            .filter_map(|(path, properties)| PhoneView::from_properties(path, properties))
            .collect();
        phones.sort_by(|a, b| (&a.name, &a.udid).cmp(&(&b.name, &b.udid)));
        phones
    }

    /// Returns one phone.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneView> {
        let path = names::phone_path(udid);
        PhoneView::from_properties(
            path.as_str(),
            self.interface(path.as_str(), names::PHONE_INTERFACE)?,
        )
    }

    /// Returns every job, in order of their numbers.
    pub fn jobs(&self) -> Vec<JobView> {
        let mut jobs: Vec<JobView> = self
            .with_interface(names::JOB_INTERFACE)
            .filter_map(|(path, properties)| JobView::from_properties(path, properties))
            .collect();
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Returns one job.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let path = names::job_path(id);
        JobView::from_properties(
            path.as_str(),
            self.interface(path.as_str(), names::JOB_INTERFACE)?,
        )
    }

    fn interface(&self, path: &str, interface: &str) -> Option<&Properties> {
        self.objects.get(path)?.get(interface)
    }

    fn with_interface<'a>(
        &'a self,
        interface: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Properties)> {
        self.objects
            .iter()
            .filter_map(move |(path, object)| Some((path.as_str(), object.get(interface)?)))
    }
}
