//! com.apple.springboardservices: icons and how they are laid out.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};

use super::png;
use crate::phone::{Phone, locked};
use crate::wire::{self, BoxIo, dict};

/// The size of an icon, in pixels.
const ICON: u32 = 120;
/// The size of a wallpaper, in pixels.
const WALLPAPER: (u32, u32) = (390, 844);
/// How many icons a page of the home screen holds.
const PAGE: usize = 24;

pub(super) async fn serve(mut stream: BoxIo, phone: Arc<Phone>) -> io::Result<()> {
    while let Some(request) = wire::read_dict(&mut stream).await? {
        let Some(answer) = answer(&phone, &request) else {
            continue;
        };
        wire::write(&mut stream, &answer).await?;
    }
    Ok(())
}

fn answer(phone: &Phone, request: &Dictionary) -> Option<Value> {
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    Some(match text("command") {
        Some("getIconPNGData") => match text("bundleId") {
            Some(id) => dict([("pngData", Value::Data(png::plain(ICON, ICON, colour(id))))]),
            None => dict([("Error", "MissingBundleId".into())]),
        },
        Some("getHomeScreenWallpaperPNGData") => {
            let (width, height) = WALLPAPER;
            dict([(
                "pngData",
                Value::Data(png::plain(width, height, colour(&phone.identity().udid))),
            )])
        }
        Some("getInterfaceOrientation") => dict([("interfaceOrientation", 1.into())]),
        Some("getIconState") => icon_state(phone),
        // A host that sets the icons gets no answer.
        Some("setIconState") => return None,
        Some(_) | None => dict([("Error", "UnknownCommand".into())]),
    })
}

/// The dock first, then the pages.
fn icon_state(phone: &Phone) -> Value {
    let icons: Vec<Value> = locked(&phone.content())
        .apps()
        .iter()
        .map(|app| {
            dict([
                ("bundleIdentifier", app.bundle_id.as_str().into()),
                ("displayIdentifier", app.bundle_id.as_str().into()),
                ("displayName", app.name.as_str().into()),
            ])
        })
        .collect();
    let mut pages = vec![Value::Array(Vec::new())];
    pages.extend(icons.chunks(PAGE).map(|page| Value::Array(page.to_vec())));
    Value::Array(pages)
}

fn colour(name: &str) -> [u8; 3] {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [a, b, c, _] = hash.to_be_bytes();
    [a, b, c]
}
