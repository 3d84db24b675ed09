//! What only an encrypted backup holds: keychain, Health, Wi-Fi passwords, Safari and call history
//! (phone.md §6).

use super::databases::{self, Schema};
use super::names::root_of;
use super::rng::mix;
use super::tree::{Body, Planter, Tree};
use super::{ContentSpec, FIRST_MOMENT};
use crate::identity::IosVersion;

/// Inodes of their own, so that no other file's change reaches these.
const FIRST_INODE: u64 = 21_474_836_480;

const PROPERTY_LISTS: [(&str, &str, u64); 2] = [
    ("KeychainDomain", "keychain-backup.plist", 24_000),
    (
        "SystemPreferencesDomain",
        "com.apple.wifi.known-networks.plist",
        3_000,
    ),
];

const DATABASES: [(&str, &str, Schema, u64); 4] = [
    ("HealthDomain", "Health/healthdb.sqlite", Schema::Health, 90),
    (
        "HealthDomain",
        "Health/healthdb_secure.sqlite",
        Schema::Health,
        900,
    ),
    (
        "HomeDomain",
        "Library/Safari/History.db",
        Schema::History,
        150,
    ),
    (
        "HomeDomain",
        "Library/CallHistoryDB/CallHistory.storedata",
        Schema::Calls,
        80,
    ),
];

/// Draws them; a phone without files has none.
pub(crate) fn tree(spec: &ContentSpec, ios: IosVersion) -> Tree {
    let mut tree = Tree::from_inode(spec.seed, FIRST_INODE);
    if spec.files == 0 {
        return tree;
    }
    let mut planter = Planter::new(&mut tree, FIRST_MOMENT);
    for (domain, path, size) in PROPERTY_LISTS {
        let domain = planter.domain(domain, root_of(domain));
        planter.file(domain, path, Body::Preferences, size);
    }
    for (at, (domain, path, schema, rows)) in (0_u64..).zip(DATABASES) {
        // Before iOS 13 a plain backup held the histories too.
        if ios.major < 13 && schema != Schema::Health {
            continue;
        }
        let key = mix(spec.seed, 0x5ec0 + at);
        let bytes = match databases::build(schema, key, rows) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(path, %error, "a database could not be built");
                continue;
            }
        };
        let size = bytes.len() as u64;
        let domain = planter.domain(domain, root_of(domain));
        let body = Body::Database {
            schema,
            key,
            rows,
            bytes,
        };
        planter.file(domain, path, body, size);
    }
    tree
}
