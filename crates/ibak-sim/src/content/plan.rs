//! Draws a phone: which domains, which files, how large.

use super::databases::{self, Schema};
use super::drafts::plant_family;
use super::fill::Flavor;
use super::names::{APP_DIRECTORIES, APP_NAMES, APPLE_APPS, SYSTEM_DOMAINS, root_of};
use super::rng::{Rng, mix};
use super::shares::{self, Family};
use super::tree::{Body, Owner, Planter, Tree};
use super::{App, ContentSpec, FIRST_MOMENT};
use crate::identity::IosVersion;

/// Draws the user apps.
pub(crate) fn apps(spec: &ContentSpec) -> Vec<App> {
    (0..spec.apps)
        .map(|at| {
            let mut rng = Rng::new(mix(spec.seed, 0xa995 + u64::from(at)));
            let names = APP_NAMES.len() as u32;
            let base = APP_NAMES
                .get((at % names) as usize)
                .copied()
                .unwrap_or("App");
            let name = if at < names {
                base.to_owned()
            } else {
                format!("{base} {}", at / names + 1)
            };
            let bundle_id = format!("com.example.{}", name.to_lowercase().replace(' ', ""));
            let version = format!("{}.{}", 1 + rng.below(9), rng.below(20));
            App {
                bundle_id,
                name,
                version,
                build: (100 + rng.below(9_000)).to_string(),
            }
        })
        .collect()
}

/// Draws the whole tree.
pub(crate) fn tree(spec: &ContentSpec, apps: &[App], ios: IosVersion) -> Tree {
    let mut tree = Tree::new(spec.seed);
    let mut planter = Planter::new(&mut tree, FIRST_MOMENT);
    let domains = domains(&mut planter, spec, apps);
    let mut left = Left {
        files: spec.files,
        bytes: spec.bytes,
    };
    plant_databases(&mut planter, &domains, spec, ios, &mut left);
    if let Some(size) = spec.largest_file
        && left.files > 0
    {
        let size = size.min(left.bytes);
        left.take(size);
        planter.file(
            domains.camera_roll,
            "Media/DCIM/100APPLE/IMG_0001.MOV",
            Body::Bytes(Flavor::Movie),
            size,
        );
    }
    let files = shares::files(left.files);
    let bytes = shares::bytes(left.bytes, &files);
    for ((family, files), bytes) in Family::ALL.into_iter().zip(files).zip(bytes) {
        plant_family(&mut planter, &domains, spec.seed, family, files, bytes);
    }
    tree
}

struct Left {
    files: u64,
    bytes: u64,
}

impl Left {
    fn take(&mut self, bytes: u64) {
        self.files -= 1;
        self.bytes -= bytes;
    }
}

pub(crate) struct Domains {
    pub(crate) home: u32,
    pub(crate) camera_roll: u32,
    pub(crate) media: u32,
    pub(crate) apps: Vec<(u32, String)>,
    pub(crate) user_apps: usize,
    pub(crate) groups: Vec<u32>,
    pub(crate) others: Vec<u32>,
}

fn domains(planter: &mut Planter<'_>, spec: &ContentSpec, apps: &[App]) -> Domains {
    let system: Vec<u32> = SYSTEM_DOMAINS
        .iter()
        .map(|name| planter.domain(name, root_of(name)))
        .collect();
    let mut rng = Rng::new(mix(spec.seed, 0xd0));
    let mut domains = Domains {
        home: system.first().copied().unwrap_or(0),
        camera_roll: system.get(1).copied().unwrap_or(0),
        media: system.get(2).copied().unwrap_or(0),
        apps: Vec::new(),
        user_apps: apps.len(),
        groups: Vec::new(),
        others: system.get(3..).unwrap_or(&[]).to_vec(),
    };
    if let Some(database) = system.get(6) {
        planter.link(
            *database,
            "timezone/localtime",
            "/var/db/timezone/zoneinfo/Europe/Zurich",
        );
    }
    let apple = (spec.files / 80).clamp(8, 1_150);
    let names = APPLE_APPS.len() as u64;
    let apple = (0..apple).map(|at| {
        let name = usize::try_from(at % names)
            .ok()
            .and_then(|at| APPLE_APPS.get(at))
            .copied()
            .unwrap_or("app");
        if at < names {
            format!("com.apple.{name}")
        } else {
            format!("com.apple.{name}.WidgetExtension{}", at / names)
        }
    });
    for (at, bundle_id) in apps
        .iter()
        .map(|app| app.bundle_id.clone())
        .chain(apple)
        .enumerate()
    {
        app_domains(
            planter,
            &mut domains,
            &mut rng,
            &bundle_id,
            at < apps.len() || at % 5 == 0,
            spec,
        );
    }
    domains
}

/// Adds the domains of one app: its own, and for some a plug-in's and a group's.
fn app_domains(
    planter: &mut Planter<'_>,
    domains: &mut Domains,
    rng: &mut Rng,
    bundle_id: &str,
    lived_in: bool,
    spec: &ContentSpec,
) {
    let own = container(
        planter,
        rng,
        "AppDomain-",
        bundle_id,
        "/var/mobile/Containers/Data/Application",
    );
    // A phone of a few files shall not drown in directories.
    let roomy = spec.files >= 1_000;
    let directories = if lived_in && roomy {
        APP_DIRECTORIES
    } else {
        APP_DIRECTORIES.get(..5).unwrap_or(&[])
    };
    for directory in directories {
        let owner = if directory.starts_with("SystemData") {
            Owner::Nobody
        } else {
            Owner::Mobile
        };
        planter.directory(own, directory, owner);
    }
    if lived_in {
        planter.link(own, "Library/WebKit/WebsiteData/IndexedDB/v0", "v1");
        let group = format!("group.{bundle_id}");
        let group = container(
            planter,
            rng,
            "AppDomainGroup-",
            &group,
            "/var/mobile/Containers/Shared/AppGroup",
        );
        planter.directory(group, "Library/Preferences", Owner::Mobile);
        domains.groups.push(group);
    }
    if rng.below(2) == 0 {
        let plugin = format!("{bundle_id}.widget");
        let root = "/var/mobile/Containers/Data/PluginKitPlugin";
        let plugin = container(planter, rng, "AppDomainPlugin-", &plugin, root);
        planter.directory(plugin, "Library/Preferences", Owner::Mobile);
        domains.others.push(plugin);
    }
    domains.apps.push((own, bundle_id.to_owned()));
}

fn container(planter: &mut Planter<'_>, rng: &mut Rng, kind: &str, name: &str, root: &str) -> u32 {
    planter.domain(&format!("{kind}{name}"), &format!("{root}/{}", rng.uuid()))
}

type Wanted = (u32, &'static str, Schema, u64);

/// The databases a phone has: domain, path, kind, rows.
fn wanted_databases(domains: &Domains, ios: IosVersion) -> Vec<Wanted> {
    let (home, camera_roll) = (domains.home, domains.camera_roll);
    let mut wanted = vec![
        (home, "Library/SMS/sms.db", Schema::Messages, 180),
        (
            home,
            "Library/AddressBook/AddressBook.sqlitedb",
            Schema::Contacts,
            90,
        ),
        (
            home,
            "Library/Calendar/Calendar.sqlitedb",
            Schema::Calendar,
            60,
        ),
        (
            camera_roll,
            "Media/PhotoData/Photos.sqlite",
            Schema::Photos,
            200,
        ),
    ];
    // From iOS 13 a plain backup has no call history (phone.md §6).
    if ios.major < 13 {
        wanted.push((
            home,
            "Library/CallHistoryDB/CallHistory.storedata",
            Schema::Calls,
            80,
        ));
    }
    if let Some((own, _)) = domains.apps.get(domains.user_apps + 2) {
        wanted.push((*own, "Documents/NoteStore.sqlite", Schema::Notes, 50));
    }
    let user_apps = domains.apps.iter().take(domains.user_apps.min(32));
    wanted.extend(user_apps.map(|(own, _)| (*own, "Documents/Store.sqlite", Schema::AppStore, 40)));
    wanted
}

/// Adds the databases, each only while it leaves half of the bytes and of the files to others.
fn plant_databases(
    planter: &mut Planter<'_>,
    domains: &Domains,
    spec: &ContentSpec,
    ios: IosVersion,
    left: &mut Left,
) {
    let mut allowed = spec.bytes / 2;
    let keep_files = spec.files / 2;
    for (domain, path, schema, rows) in wanted_databases(domains, ios) {
        if left.files <= keep_files || allowed < 8_192 {
            break;
        }
        let key = mix(spec.seed, rows ^ (u64::from(domain) << 16));
        let bytes = match databases::build(schema, key, rows) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(path, %error, "a database could not be built");
                continue;
            }
        };
        let size = bytes.len() as u64;
        let body = Body::Database {
            schema,
            key,
            rows,
            bytes,
        };
        if size <= allowed && planter.file(domain, path, body, size) {
            allowed -= size;
            left.take(size);
        }
    }
}
