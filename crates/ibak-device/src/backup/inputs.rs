//! What the phone has to tell for Info.plist.

use crate::afc::Afc;
use crate::guard::{Framing, PlistGuard};
use crate::wire::within;
use crate::{DeviceError, Escrow, Session};
use ibak_core::Udid;
use ibak_core::plist_guard::Limits;
use idevice::Idevice;
use idevice::installation_proxy::InstallationProxyClient;
use idevice::springboardservices::SpringBoardServicesClient;
use plist::{Dictionary, Value};
use std::collections::BTreeMap;

const INSTALLATION_PROXY: &str = "com.apple.mobile.installation_proxy";
const SPRINGBOARD: &str = "com.apple.springboardservices";
/// Limits of what is taken along; real phones have up to some 200 apps and 10 MB (corpus,
/// backup/info_plist.json).
const APPS_MAX: usize = 5_000;
const APPS_BYTES_MAX: u64 = 128 << 20;
const ICON_LEN_MAX: usize = 1 << 20;
const ICONS_BYTES_MAX: usize = 48 << 20;
const FILE_LEN_MAX: usize = 4 << 20;
const BOOKS: &str = "/Books/iBooksData2.plist";
const ITUNES_DIR: &str = "/iTunes_Control/iTunes/";
/// The files a restore wants back, by their names below [`ITUNES_DIR`].
const ITUNES_FILES: [&str; 11] = [
    "ApertureAlbumPrefs",
    "IC-Info.sidb",
    "IC-Info.sidv",
    "PhotosFolderAlbums",
    "PhotosFolderName",
    "PhotosFolderPrefs",
    "VoiceMemos.plist",
    "iPhotoAlbumPrefs",
    "iTunesApplicationIDs",
    "iTunesPrefs",
    "iTunesPrefs.plist",
];

/// What the phone told for Info.plist; see [`super::info_plist`].
#[derive(Clone, Debug, PartialEq)]
pub struct HostInputs {
    /// The phone.
    pub udid: Udid,
    /// Its root lockdown domain.
    pub root: Dictionary,
    /// Its domain `com.apple.iTunes`.
    pub itunes_settings: Dictionary,
    /// `MinITunesVersion`, which iPads may lack.
    pub itunes_version: Option<String>,
    /// The apps its owner installed, by bundle id.
    pub apps: Vec<App>,
    /// Files of the old iTunes folder, by name.
    pub itunes_files: BTreeMap<String, Vec<u8>>,
    /// The bookshelf.
    pub books: Option<Vec<u8>>,
    /// A number for this backup: 32 upper-case hex digits.
    pub guid: String,
    /// What could not be had; the backup is good without, a restore may fetch less by itself.
    pub missing: Vec<&'static str>,
}

impl HostInputs {
    /// Makes the inputs of a phone that was asked for nothing.
    pub(super) fn empty(udid: &Udid) -> Self {
        Self {
            udid: udid.clone(),
            root: Dictionary::new(),
            itunes_settings: Dictionary::new(),
            itunes_version: None,
            apps: Vec::new(),
            itunes_files: BTreeMap::new(),
            books: None,
            guid: String::new(),
            missing: Vec::new(),
        }
    }
}

/// An app its owner installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// For example `org.example.notes`.
    pub bundle_id: String,
    /// The proof of purchase.
    pub sinf: Option<Vec<u8>>,
    /// The shop's description.
    pub metadata: Option<Vec<u8>>,
    /// The icon as PNG.
    pub icon: Option<Vec<u8>>,
}

/// Asks the phone for everything; what a single service refuses is noted and left out.
pub(super) async fn gather(
    session: &mut Session,
    afc: Option<&mut Afc>,
) -> Result<HostInputs, DeviceError> {
    let root = session.get_domain(None).await?.unwrap_or_default();
    let mut missing = Vec::new();
    let settings = session.get_domain(Some("com.apple.iTunes")).await;
    let itunes_settings = optional(settings, "iTunes Settings", &mut missing)?
        .flatten()
        .unwrap_or_default();
    let version = session
        .get_value(Some("com.apple.mobile.iTunes"), Some("MinITunesVersion"))
        .await;
    let itunes_version = optional(version, "iTunes Version", &mut missing)?
        .flatten()
        .and_then(Value::into_string);
    let deadline = session.deadlines().inputs;
    let apps = within(INSTALLATION_PROXY, deadline, apps(session)).await;
    let mut apps = optional(apps, "Installed Applications", &mut missing)?.unwrap_or_default();
    let icons = within(SPRINGBOARD, deadline, icons(session, &mut apps)).await;
    optional(icons, "icons", &mut missing)?;
    let mut itunes_files = BTreeMap::new();
    let mut books = None;
    if let Some(afc) = afc {
        for name in ITUNES_FILES {
            let content = afc
                .small_file(&format!("{ITUNES_DIR}{name}"), FILE_LEN_MAX)
                .await?;
            itunes_files.extend(content.map(|content| (name.to_owned(), content)));
        }
        books = afc.small_file(BOOKS, FILE_LEN_MAX).await?;
    }
    Ok(HostInputs {
        udid: session.udid().clone(),
        root,
        itunes_settings,
        itunes_version,
        apps,
        itunes_files,
        books,
        guid: uuid::Uuid::new_v4().simple().to_string().to_uppercase(),
        missing,
    })
}

/// Notes what a service does not give. A broken connection or a refused message stays an error.
fn optional<T>(
    result: Result<T, DeviceError>,
    name: &'static str,
    missing: &mut Vec<&'static str>,
) -> Result<Option<T>, DeviceError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            error @ (DeviceError::Lockdown { .. }
            | DeviceError::Service { .. }
            | DeviceError::TimedOut { .. }),
        ) => {
            tracing::debug!(%error, missing = name, "Info.plist will lack something");
            missing.push(name);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn apps(session: &mut Session) -> Result<Vec<App>, DeviceError> {
    let service = session
        .start_service(INSTALLATION_PROXY, Escrow::No)
        .await?;
    let guarded =
        PlistGuard::new(service.stream, Framing::Plist, Limits::LARGE).total(APPS_BYTES_MAX);
    let mut client = InstallationProxyClient::new(Idevice::new(Box::new(guarded), "ibak"));
    let attributes = ["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"];
    let mut options = Dictionary::new();
    options.insert("ApplicationType".into(), "User".into());
    options.insert(
        "ReturnAttributes".into(),
        Value::Array(attributes.map(Value::from).to_vec()),
    );
    let list = client.browse(Some(Value::Dictionary(options))).await;
    let list = list.map_err(DeviceError::service(INSTALLATION_PROXY))?;
    let mut apps: Vec<App> = list.into_iter().take(APPS_MAX).filter_map(app).collect();
    apps.sort_by(|a, b| a.bundle_id.cmp(&b.bundle_id));
    apps.dedup_by(|a, b| a.bundle_id == b.bundle_id);
    Ok(apps)
}

fn app(value: Value) -> Option<App> {
    let mut fields = value.into_dictionary()?;
    let bundle_id = fields.remove("CFBundleIdentifier")?.into_string()?;
    let mut data = |name| fields.remove(name).and_then(Value::into_data);
    Some(App {
        bundle_id,
        sinf: data("ApplicationSINF"),
        metadata: data("iTunesMetadata"),
        icon: None,
    })
}

/// Fetches icons of the apps that Info.plist describes, which are those with proof and description.
async fn icons(session: &mut Session, apps: &mut [App]) -> Result<(), DeviceError> {
    // Collected, since a closure held across an await keeps the future from changing threads.
    let described: Vec<&mut App> = apps
        .iter_mut()
        .filter(|app| app.sinf.is_some() && app.metadata.is_some())
        .collect();
    if described.is_empty() {
        return Ok(());
    }
    let service = session.start_service(SPRINGBOARD, Escrow::No).await?;
    let guarded = PlistGuard::new(service.stream, Framing::Plist, Limits::MESSAGE);
    let mut client = SpringBoardServicesClient::new(Idevice::new(Box::new(guarded), "ibak"));
    let mut left = ICONS_BYTES_MAX;
    for app in described {
        let icon = client.get_icon_pngdata(app.bundle_id.clone()).await;
        let icon = icon.map_err(DeviceError::service(SPRINGBOARD))?;
        if icon.len() <= ICON_LEN_MAX.min(left) {
            left -= icon.len();
            app.icon = Some(icon);
        }
    }
    Ok(())
}
