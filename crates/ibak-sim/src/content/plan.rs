//! Draws a phone: which domains, which files, how large.

use super::databases::{self, Schema};
use super::fill::Flavor;
use super::rng::{Rng, mix};
use super::shares::{self, Family};
use super::tree::{Body, Owner, Planter, Tree};
use super::{App, ContentSpec, FIRST_MOMENT};
use crate::identity::IosVersion;

const APP_NAMES: &[&str] = &[
    "Tides",
    "Ledger",
    "Birdsong",
    "Postcards",
    "Allotment",
    "Metronome",
    "Sextant",
    "Crossword",
    "Larder",
    "Timetable",
    "Sketchpad",
    "Barometer",
    "Chess Club",
    "Phrasebook",
    "Planetarium",
    "Recipes",
];

const SYSTEM_DOMAINS: &[&str] = &[
    "HomeDomain",
    "CameraRollDomain",
    "MediaDomain",
    "RootDomain",
    "WirelessDomain",
    "SystemPreferencesDomain",
    "DatabaseDomain",
    "InstallDomain",
    "KeyboardDomain",
    "KeychainDomain",
    "ManagedPreferencesDomain",
    "MobileDeviceDomain",
    "NetworkDomain",
    "ProtectedDomain",
    "TonesDomain",
    "HomeKitDomain",
    "SysContainerDomain-systemgroup.com.apple.nsurlstoragedresources",
    "SysSharedContainerDomain-systemgroup.com.apple.configurationprofiles",
    "SysSharedContainerDomain-systemgroup.com.apple.lsd.iconscache",
];

const APPLE_APPS: &[&str] = &[
    "mobilesafari",
    "Maps",
    "mobilenotes",
    "reminders",
    "Health",
    "podcasts",
    "tv",
    "Music",
    "weather",
    "stocks",
    "compass",
    "calculator",
    "VoiceMemos",
    "facetime",
    "Home",
    "shortcuts",
    "Translate",
    "Bridge",
    "Passbook",
    "news",
    "iBooks",
    "findmy",
    "tips",
    "measure",
];

const APP_DIRECTORIES: &[&str] = &[
    "Documents",
    "Library",
    "Library/Application Support",
    "Library/Cookies",
    "Library/Preferences",
    "Library/Saved Application State",
    "Library/SplashBoard",
    "Library/SplashBoard/Snapshots",
    "Library/SyncedPreferences",
    "Library/WebKit",
    "Library/WebKit/WebsiteData",
    "Library/WebKit/WebsiteData/IndexedDB",
    "Library/WebKit/WebsiteData/LocalStorage",
    "SystemData",
    "tmp",
];

const WORDS: &[&str] = &[
    "accounts",
    "airdrop",
    "assistant",
    "audio",
    "backup",
    "bulletin",
    "calendar",
    "camera",
    "carplay",
    "contacts",
    "coreduet",
    "dataaccess",
    "duet",
    "family",
    "focus",
    "gamed",
    "icloud",
    "imagent",
    "keyboard",
    "locationd",
    "mail",
    "messages",
    "mobilephone",
    "nanosystem",
    "photos",
    "preferences",
    "rapport",
    "routined",
    "siri",
    "springboard",
    "suggestions",
    "voice",
];

/// Returns where a domain lies on the phone (corpus domains.json).
pub(crate) fn root_of(domain: &str) -> &'static str {
    match domain {
        "RootDomain" => "/var/root",
        "DatabaseDomain" => "/var/db",
        "SystemPreferencesDomain" => "/var/preferences",
        "ManagedPreferencesDomain" => "/var/Managed Preferences",
        "WirelessDomain" => "/var/wireless",
        "KeychainDomain" => "/var/Keychains",
        "NetworkDomain" => "/var/networkd",
        _ if domain.starts_with("SysSharedContainerDomain-") => {
            "/var/containers/Shared/SystemGroup"
        }
        _ if domain.starts_with("SysContainerDomain-") => "/var/containers/Data/SystemGroup",
        _ => "/var/mobile",
    }
}

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

struct Domains {
    home: u32,
    camera_roll: u32,
    media: u32,
    apps: Vec<(u32, String)>,
    user_apps: usize,
    groups: Vec<u32>,
    others: Vec<u32>,
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
            format!("com.apple.{name}.service{}", at / names)
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

/// The databases every phone has; each only while half of the bytes and the files allow it.
fn plant_databases(
    planter: &mut Planter<'_>,
    domains: &Domains,
    spec: &ContentSpec,
    ios: IosVersion,
    left: &mut Left,
) {
    let mut wanted = vec![
        (
            domains.home,
            "Library/SMS/sms.db".to_owned(),
            Schema::Messages,
            180,
        ),
        (
            domains.home,
            "Library/AddressBook/AddressBook.sqlitedb".to_owned(),
            Schema::Contacts,
            90,
        ),
        (
            domains.home,
            "Library/Calendar/Calendar.sqlitedb".to_owned(),
            Schema::Calendar,
            60,
        ),
        (
            domains.camera_roll,
            "Media/PhotoData/Photos.sqlite".to_owned(),
            Schema::Photos,
            200,
        ),
    ];
    // From iOS 13 a plain backup has no call history (phone.md §6).
    if ios.major < 13 {
        wanted.push((
            domains.home,
            "Library/CallHistoryDB/CallHistory.storedata".to_owned(),
            Schema::Calls,
            80,
        ));
    }
    if let Some((own, _)) = domains.apps.get(domains.user_apps + 2) {
        wanted.push((
            *own,
            "Documents/NoteStore.sqlite".to_owned(),
            Schema::Notes,
            50,
        ));
    }
    for (own, _) in domains.apps.iter().take(domains.user_apps.min(32)) {
        wanted.push((
            *own,
            "Documents/Store.sqlite".to_owned(),
            Schema::AppStore,
            40,
        ));
    }
    // What is left for everything else is at least half.
    let mut allowed = spec.bytes / 2;
    let keep_files = spec.files / 2;
    for (domain, path, schema, rows) in wanted {
        if left.files <= keep_files || allowed < 8_192 {
            break;
        }
        let key = mix(spec.seed, rows ^ u64::from(domain) << 16);
        let bytes = match databases::build(schema, key, rows) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%path, %error, "a database could not be built");
                continue;
            }
        };
        let size = bytes.len() as u64;
        if size <= allowed
            && planter.file(
                domain,
                &path,
                Body::Database {
                    schema,
                    key,
                    rows,
                    bytes,
                },
                size,
            )
        {
            allowed -= size;
            left.take(size);
        }
    }
}

struct Draft {
    domain: u32,
    path: String,
    body: Body,
    weight: u64,
}

fn plant_family(
    planter: &mut Planter<'_>,
    domains: &Domains,
    seed: u64,
    family: Family,
    files: u64,
    bytes: u64,
) {
    let mut rng = Rng::new(mix(seed, 0xfa00 + family as u64));
    let drafts: Vec<Draft> = (0..files)
        .map(|at| match family {
            Family::Home => home(domains, &mut rng, at, files),
            Family::CameraRoll => camera_roll(domains, &mut rng, at, files),
            Family::Apps => app(domains, &mut rng, at),
            Family::Groups => group(domains, &mut rng, at),
            Family::Media => media(domains, &mut rng, at),
            Family::Others => other(domains, &mut rng, at),
        })
        .collect();
    let weights: Vec<u64> = drafts.iter().map(|draft| draft.weight).collect();
    for (draft, size) in drafts.into_iter().zip(shares::scale(&weights, bytes)) {
        planter.file(draft.domain, &draft.path, draft.body, size);
    }
}

/// About 667 named Apple preferences, then everything else under Library.
fn home(domains: &Domains, rng: &mut Rng, at: u64, files: u64) -> Draft {
    let words = WORDS.len() as u64;
    if at < (files * 6 / 10).min(667) {
        let word = |at: u64| {
            usize::try_from(at % words)
                .ok()
                .and_then(|at| WORDS.get(at))
                .copied()
                .unwrap_or("")
        };
        let path = format!(
            "Library/Preferences/com.apple.{}.{}.plist",
            word(at),
            word(at / words)
        );
        return Draft {
            domain: domains.home,
            path,
            body: Body::Preferences,
            weight: weight_of_preferences(rng),
        };
    }
    let area = rng.pick(WORDS);
    let (extension, body) = match rng.below(4) {
        0 => ("plist", Body::Preferences),
        1 => ("png", Body::Bytes(Flavor::Plain)),
        _ => ("dat", Body::Bytes(Flavor::Plain)),
    };
    let path = format!(
        "Library/{area}/{:02x}/{at:06}-{:08x}.{extension}",
        at % 64,
        rng.next() >> 32
    );
    Draft {
        domain: domains.home,
        path,
        body,
        weight: shares::weight(rng, 24_000),
    }
}

fn weight_of_preferences(rng: &mut Rng) -> u64 {
    200 + rng.below(1_800) + if rng.below(20) == 0 { 18_000 } else { 0 }
}

/// Photos of 0.8 to 3 MB, a film here and there, and the thumbnails of all of them.
fn camera_roll(domains: &Domains, rng: &mut Rng, at: u64, files: u64) -> Draft {
    let photos = (files / 10).max(1);
    let (path, flavor, weight) = if at < photos {
        let name = format!(
            "Media/DCIM/{}APPLE/IMG_{:04}",
            100 + at / 1_000,
            at % 1_000 + 2
        );
        match rng.below(40) {
            0 => (
                format!("{name}.MOV"),
                Flavor::Movie,
                12_000_000 + rng.below(90_000_000),
            ),
            1..=3 => (
                format!("{name}.JPG"),
                Flavor::Jpeg,
                400_000 + rng.below(2_000_000),
            ),
            _ => (
                format!("{name}.HEIC"),
                Flavor::Heic,
                800_000 + rng.below(2_200_000),
            ),
        }
    } else {
        let folder = format!(
            "Media/PhotoData/Thumbnails/V2/DCIM/{}APPLE",
            100 + at % photos / 1_000
        );
        let path = format!(
            "{folder}/IMG_{:04}.HEIC/{}.JPG",
            at % photos % 1_000 + 2,
            5_000 + at / photos
        );
        (path, Flavor::Jpeg, shares::weight(rng, 18_000))
    };
    Draft {
        domain: domains.camera_roll,
        path,
        body: Body::Bytes(flavor),
        weight,
    }
}

/// Every app has its preferences; the user's own have most of the rest.
fn app(domains: &Domains, rng: &mut Rng, at: u64) -> Draft {
    let apps = domains.apps.len() as u64;
    let lively = if domains.user_apps == 0 {
        apps
    } else {
        domains.user_apps as u64
    };
    let which = if at < apps {
        at
    } else if at % 4 == 0 {
        at % apps
    } else {
        at % lively
    };
    let (domain, bundle_id) = usize::try_from(which)
        .ok()
        .and_then(|which| domains.apps.get(which))
        .map_or((domains.home, "com.apple.app"), |(domain, bundle_id)| {
            (*domain, bundle_id.as_str())
        });
    if at < apps {
        let path = format!("Library/Preferences/{bundle_id}.plist");
        return Draft {
            domain,
            path,
            body: Body::Preferences,
            weight: weight_of_preferences(rng),
        };
    }
    // Names as people give them: composed and decomposed accents, spaces, an emoji.
    let name = rng.pick(&[
        "Zürich map",
        "Cafe\u{301} menu",
        "notes 📓",
        "Report (final)",
        "draft",
        "scan",
    ]);
    let path = match rng.below(3) {
        0 => format!("Documents/{name} {at}.pdf"),
        1 => format!("Library/Application Support/{:02x}/{at:06}.dat", at % 32),
        _ => format!("Library/WebKit/WebsiteData/LocalStorage/{at:06}.localstorage"),
    };
    Draft {
        domain,
        path,
        body: Body::Bytes(Flavor::Plain),
        weight: shares::weight(rng, 60_000),
    }
}

fn group(domains: &Domains, rng: &mut Rng, at: u64) -> Draft {
    let which = usize::try_from(at % domains.groups.len().max(1) as u64).unwrap_or(0);
    let domain = domains.groups.get(which).copied().unwrap_or(domains.home);
    let path = match rng.below(3) {
        0 => format!(
            "Media/{:02x}/{:08x}-{at:06}.jpg",
            at % 128,
            rng.next() >> 32
        ),
        1 => format!("Library/Application Support/{at:06}.bin"),
        _ => format!("Message/Media/{:03}/{at:06}.thumb", at % 300),
    };
    Draft {
        domain,
        path,
        body: Body::Bytes(Flavor::Plain),
        weight: shares::weight(rng, 90_000),
    }
}

fn media(domains: &Domains, rng: &mut Rng, at: u64) -> Draft {
    let domain = domains.media;
    if at % 20 == 3 {
        let path = format!(
            "Media/Recordings/2024{:02}{:02} {:06}.m4a",
            1 + at % 12,
            1 + at % 28,
            at
        );
        return Draft {
            domain,
            path,
            body: Body::Bytes(Flavor::Sound),
            weight: shares::weight(rng, 400_000),
        };
    }
    Draft {
        domain,
        path: attachment(rng, at),
        body: Body::Bytes(Flavor::Jpeg),
        weight: shares::weight(rng, 20_000),
    }
}

/// Names a message attachment (corpus domains.json, path_patterns).
pub(crate) fn attachment(rng: &mut Rng, at: u64) -> String {
    let first = rng.below(256);
    format!(
        "Library/SMS/Attachments/{first:02x}/{:02}/{}/IMG_{at}.jpeg",
        first % 16,
        rng.uuid()
    )
}

fn other(domains: &Domains, rng: &mut Rng, at: u64) -> Draft {
    let which = usize::try_from(at % domains.others.len().max(1) as u64).unwrap_or(0);
    let domain = domains.others.get(which).copied().unwrap_or(domains.home);
    let path = format!(
        "Library/Preferences/com.apple.{}.{at}.plist",
        rng.pick(WORDS)
    );
    Draft {
        domain,
        path,
        body: Body::Preferences,
        weight: weight_of_preferences(rng),
    }
}
