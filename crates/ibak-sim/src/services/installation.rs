//! com.apple.mobile.installation_proxy: which apps there are.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};

use crate::content::App;
use crate::phone::{Phone, locked};
use crate::wire::{self, BoxIo, dict};

/// How many apps one message of Browse holds at most.
const BATCH_MAX: usize = 20;

/// A few of the apps iOS comes with.
const SYSTEM_APPS: &[(&str, &str)] = &[
    ("com.apple.Preferences", "Settings"),
    ("com.apple.camera", "Camera"),
    ("com.apple.mobilephone", "Phone"),
    ("com.apple.mobilesafari", "Safari"),
    ("com.apple.mobileslideshow", "Photos"),
];

pub(super) async fn serve(mut stream: BoxIo, phone: Arc<Phone>) -> io::Result<()> {
    while let Some(request) = wire::read_dict(&mut stream).await? {
        let empty = Dictionary::new();
        let options = request
            .get("ClientOptions")
            .and_then(Value::as_dictionary)
            .unwrap_or(&empty);
        match request.get("Command").and_then(Value::as_string) {
            Some("Browse") => browse(&mut stream, &phone, options).await?,
            Some("Lookup") => wire::write(&mut stream, &lookup(&phone, options)).await?,
            Some(_) | None => {
                wire::write(&mut stream, &dict([("Error", "UnknownCommand".into())])).await?
            }
        }
    }
    Ok(())
}

async fn browse(stream: &mut BoxIo, phone: &Phone, options: &Dictionary) -> io::Result<()> {
    let apps: Vec<Value> = chosen(phone, options)
        .into_iter()
        .map(|(_, app)| Value::Dictionary(app))
        .collect();
    let mut index = 0_u64;
    for batch in apps.chunks(BATCH_MAX) {
        let message = dict([
            ("CurrentAmount", (batch.len() as u64).into()),
            ("CurrentIndex", index.into()),
            ("CurrentList", batch.to_vec().into()),
            ("Status", "BrowsingApplications".into()),
        ]);
        wire::write(stream, &message).await?;
        index += batch.len() as u64;
    }
    wire::write(stream, &dict([("Status", "Complete".into())])).await
}

fn lookup(phone: &Phone, options: &Dictionary) -> Value {
    let asked: Option<Vec<&str>> = options
        .get("BundleIDs")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_string).collect());
    let found: Dictionary = chosen(phone, options)
        .into_iter()
        .filter(|(id, _)| {
            asked
                .as_ref()
                .is_none_or(|asked| asked.contains(&id.as_str()))
        })
        .map(|(id, app)| (id, Value::Dictionary(app)))
        .collect();
    dict([
        ("LookupResult", found.into()),
        ("Status", "Complete".into()),
    ])
}

/// Returns the apps of the asked type, each with the asked attributes.
fn chosen(phone: &Phone, options: &Dictionary) -> Vec<(String, Dictionary)> {
    let kind = options
        .get("ApplicationType")
        .and_then(Value::as_string)
        .unwrap_or("Any");
    let wanted: Option<Vec<&str>> = options
        .get("ReturnAttributes")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_string).collect());
    let mut apps = Vec::new();
    if matches!(kind, "User" | "Any") {
        apps.extend(
            locked(&phone.content())
                .apps()
                .iter()
                .map(|app| (app.bundle_id.clone(), user(phone, app))),
        );
    }
    if matches!(kind, "System" | "Any") {
        apps.extend(
            SYSTEM_APPS
                .iter()
                .map(|(id, name)| ((*id).to_owned(), system(phone, id, name))),
        );
    }
    if let Some(wanted) = wanted {
        for (_, app) in &mut apps {
            *app = std::mem::take(app)
                .into_iter()
                .filter(|(name, _)| wanted.contains(&name.as_str()))
                .collect();
        }
    }
    apps
}

fn common(id: &str, name: &str, version: &str, build: &str, path: &str) -> Dictionary {
    let executable: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let pairs = [
        ("CFBundleDisplayName", name),
        ("CFBundleExecutable", executable.as_str()),
        ("CFBundleIdentifier", id),
        ("CFBundleName", name),
        ("CFBundlePackageType", "APPL"),
        ("CFBundleShortVersionString", version),
        ("CFBundleVersion", build),
        ("MinimumOSVersion", "12.0"),
        ("Path", path),
    ];
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect()
}

fn user(phone: &Phone, app: &App) -> Dictionary {
    let container = container(phone, &app.bundle_id);
    let path = format!("/private/var/containers/Bundle/Application/{container}/App.app");
    let mut all = common(&app.bundle_id, &app.name, &app.version, &app.build, &path);
    let metadata = dict([
        ("artistName", "A developer".into()),
        ("bundleShortVersionString", app.version.as_str().into()),
        ("itemName", app.name.as_str().into()),
        ("softwareVersionBundleId", app.bundle_id.as_str().into()),
    ]);
    let extra: [(&str, Value); 8] = [
        ("ApplicationDSID", 0.into()),
        ("ApplicationSINF", Value::Data(sinf(&app.bundle_id))),
        ("ApplicationType", "User".into()),
        (
            "Container",
            format!("/private/var/mobile/Containers/Data/Application/{container}").into(),
        ),
        ("DynamicDiskUsage", (1_u64 << 20).into()),
        (
            "SignerIdentity",
            "Apple iPhone OS Application Signing".into(),
        ),
        ("StaticDiskUsage", (40_u64 << 20).into()),
        (
            "iTunesMetadata",
            wire::to_xml(&metadata)
                .map(Value::Data)
                .unwrap_or(Value::Boolean(false)),
        ),
    ];
    all.extend(
        extra
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value)),
    );
    all
}

fn system(phone: &Phone, id: &str, name: &str) -> Dictionary {
    let ios = phone.identity().ios.to_string();
    let mut all = common(id, name, &ios, &ios, &format!("/Applications/{name}.app"));
    all.insert("ApplicationType".to_owned(), "System".into());
    all
}

/// Draws the UUID of an app's container.
fn container(phone: &Phone, bundle_id: &str) -> String {
    use sha1::{Digest, Sha1};
    let digest = Sha1::new()
        .chain_update(phone.identity().udid.as_bytes())
        .chain_update(bundle_id)
        .finalize();
    let mut bytes = [0_u8; 16];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
        .to_uppercase()
}

/// A licence has about a kilobyte and says nothing to a host.
fn sinf(bundle_id: &str) -> Vec<u8> {
    let mut bytes = b"\x00\x00\x04\x00sinf".to_vec();
    bytes.extend(
        bundle_id
            .as_bytes()
            .iter()
            .cycle()
            .take(1_016)
            .map(|byte| byte.rotate_left(3)),
    );
    bytes
}
