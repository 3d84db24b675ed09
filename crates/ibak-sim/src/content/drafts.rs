//! Draws the files of each family of domains: names, kinds, and how heavy each one weighs.

use super::fill::Flavor;
use super::names::WORDS;
use super::plan::Domains;
use super::rng::{Rng, mix};
use super::shares::{self, Family};
use super::tree::{Body, Planter};

const PREFERENCES_BYTES_MAX: u64 = 1 << 20;

struct Draft {
    domain: u32,
    path: String,
    body: Body,
    weight: u64,
}

pub(crate) fn plant_family(
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
        // A property list is made in memory, so a giant one is plain bytes.
        let giant = matches!(draft.body, Body::Preferences) && size > PREFERENCES_BYTES_MAX;
        let body = if giant {
            Body::Bytes(Flavor::Plain)
        } else {
            draft.body
        };
        planter.file(draft.domain, &draft.path, body, size);
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
        "Library/{area}/com.apple.{area}.{}/{:02x}/{}.{extension}",
        rng.pick(WORDS),
        at % 64,
        rng.uuid()
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
    } else if at.is_multiple_of(4) {
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
        1 => format!(
            "Library/Application Support/{bundle_id}.store/{:02x}/{}.dat",
            at % 32,
            rng.uuid()
        ),
        _ => format!(
            "Library/WebKit/WebsiteData/LocalStorage/https_www.example{at}.org_0.localstorage"
        ),
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
        1 => format!(
            "Library/Application Support/Shared/{:02x}/{}.bin",
            at % 256,
            rng.uuid()
        ),
        _ => format!(
            "Message/Media/{:03}@chat.example/{:x}/{}.thumb",
            at % 300,
            at % 16,
            rng.uuid()
        ),
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
