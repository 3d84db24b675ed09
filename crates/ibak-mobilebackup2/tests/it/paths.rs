//! Every bad path in every message that takes one: a code, no success, and nothing touched.

use crate::phone::{
    ID, Phone, Rig, Setup, UDID, assert_tidy, dictionary, file, list, nothing, own, texts,
};
use crate::vault::contents;
use ibak_mobilebackup2::{Outcome, VaultErrorKind};
use plist::Value;

pub fn vectors() -> Vec<String> {
    let other = "abcdef0123456789abcdef0123456789abcdef01";
    let mut all: Vec<String> = [
        "",
        "/",
        "//",
        "///",
        ".",
        "..",
        "../",
        "/..",
        "../..",
        "/etc/passwd",
        "etc/passwd",
        "~",
        "~/x",
        "C:\\x",
        "\\\\host\\share",
        ".b",
        "_unback_/..",
        ".b/../..",
        ".b/../../outside",
        "/.b/./x",
        ".b//x",
        "_unback_/\0",
        ".b/\u{1b}[2J",
        ".bx/y",
        "outside",
        "../outside",
        "/proc/self/mem",
        "\u{feff}x",
    ]
    .map(str::to_owned)
    .to_vec();
    // `.b` alone is scratch and well formed.
    all.retain(|path| path != ".b");
    for inner in [
        "..",
        "../",
        "../outside",
        "../../outside",
        "./Status.plist",
        "//Status.plist",
        "Status.plist/",
        "Status.plist/x",
        "x",
        "evil.sh",
        ".ssh/authorized_keys",
        "3d/../../outside",
        "3D/x",
        "00/",
        "Snapshot/..",
        "Snapshot/../../x",
        "Snapshot/Snapshot",
        "Snapshot//3d",
        "status.plist",
        "Status.plist\0",
        "Status.plist\n",
        "\u{202e}",
    ] {
        all.push(own(inner));
    }
    all.retain(|path| *path != own("Status.plist/") && *path != own("00/"));
    all.push(own(&format!("00/{ID}")));
    all.push(own(&format!("3d/{ID}x")));
    all.push(own(&format!("3d/{}", &ID[..39])));
    all.push(format!("//{UDID}/Status.plist"));
    all.push(format!("../{UDID}/Status.plist"));
    all.push(format!("{UDID}x/Status.plist"));
    all.push(format!("{other}/Status.plist"));
    all.push(other.to_owned());
    all.push(own(&"x".repeat(1100)));
    all.push(format!(".b/{}", "x".repeat(300)));
    all.push("a/".repeat(500));
    all
}

/// Each kind of message with a path in it; true for those that leave something behind when served.
fn messages(path: &str) -> Vec<(&'static str, Value)> {
    let good = own("Info.plist");
    let move_of = |from: &str, to: &str| dictionary([(from, Value::from(to))]);
    vec![
        ("list", list(["DLContentsOfDirectory".into(), path.into()])),
        (
            "create",
            list([
                "DLMessageCreateDirectory".into(),
                path.into(),
                nothing(),
                0.0.into(),
            ]),
        ),
        (
            "move from",
            list([
                "DLMessageMoveItems".into(),
                move_of(path, &good),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            "move to",
            list([
                "DLMessageMoveFiles".into(),
                move_of(&good, path),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            "remove",
            list([
                "DLMessageRemoveItems".into(),
                texts(&[&own("Manifest.db"), path]),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            "remove old",
            list([
                "DLMessageRemoveFiles".into(),
                texts(&[path]),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            "copy from",
            list(["DLMessageCopyItem".into(), path.into(), good.clone().into()]),
        ),
        (
            "copy to",
            list(["DLMessageCopyItem".into(), good.into(), path.into()]),
        ),
    ]
}

fn setup() -> Setup {
    let setup = Setup::default();
    for name in ["Info.plist", "Manifest.db", &format!("3d/{ID}")] {
        setup.vault.put(name, name.as_bytes());
    }
    setup
}

async fn refused(mut rig: Rig, before: &std::collections::BTreeMap<String, Vec<u8>>, what: &str) {
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    let Outcome::HostFailed { error } = &ended.outcome else {
        panic!("{what}: {:?}", ended.outcome)
    };
    assert_eq!(error.kind, VaultErrorKind::Refused, "{what}");
    assert_tidy(&ended);
    assert_eq!(&contents(ended.vault.dir.path()), before, "{what}");
}

#[tokio::test]
async fn no_bad_path_reaches_the_vault() {
    let mut count = 0;
    for path in vectors() {
        for (name, message) in messages(&path) {
            let setup = setup();
            let before = contents(setup.vault.dir.path());
            let mut rig = Rig::greeted(setup).await;
            let what = format!("{name} {path:?}");
            let status = rig.phone.ask(&message).await;
            assert_eq!(
                (status.code, status.text.as_str()),
                (-1, "Operation not permitted"),
                "{what}"
            );
            refused(rig, &before, &what).await;
            count += 1;
        }
    }
    assert!(count >= 200, "{count}");
}

#[tokio::test]
async fn no_bad_path_is_read() {
    for path in vectors() {
        let setup = setup();
        let before = contents(setup.vault.dir.path());
        let mut rig = Rig::greeted(setup).await;
        if path.is_empty() {
            // An empty name would end the phone's list of files: only the status speaks of it.
            rig.phone
                .send(&list([
                    "DLMessageDownloadFiles".into(),
                    texts(&[""]),
                    nothing(),
                    0.into(),
                ]))
                .await;
            empty_name(&mut rig.phone).await;
        } else {
            let (files, status) = rig.phone.download(&[&path, &own("Info.plist")]).await;
            assert_eq!(status.code, -13, "{path:?}");
            assert_eq!(files[&own("Info.plist")], Ok(b"Info.plist".to_vec()));
            let named = files.get(&path).cloned();
            let want = (path.len() <= 1024).then(|| Err("Operation not permitted".to_owned()));
            assert_eq!(named, want, "{path:?}");
            let lines = status.value.into_dictionary().unwrap();
            assert_eq!(lines.keys().collect::<Vec<_>>(), [&path]);
        }
        refused(rig, &before, &path).await;
    }
}

async fn empty_name(phone: &mut Phone) {
    let (files, status) = phone.downloaded().await;
    assert_eq!((files.len(), status.code), (0, -13));
}

#[tokio::test]
async fn no_bad_path_is_written() {
    for path in vectors()
        .into_iter()
        .chain([UDID.to_owned(), format!("{UDID}/")])
    {
        if path.len() > 1024 {
            continue; // names this long end the session; see hostile.rs
        }
        let setup = setup();
        let before = contents(setup.vault.dir.path());
        let mut rig = Rig::greeted(setup).await;
        let status = rig
            .phone
            .upload(&[file(&path, b"evil"), file(&own("Status.plist"), b"later")])
            .await;
        assert_eq!(
            (status.code, status.text.as_str()),
            (-1, "Operation not permitted"),
            "{path:?}"
        );
        refused(rig, &before, &path).await;
    }
}

#[tokio::test]
async fn the_phones_folder_is_not_replaced_as_a_whole() {
    let good = own("Info.plist");
    for message in [
        list([
            "DLMessageMoveItems".into(),
            dictionary([(UDID, Value::from(good.as_str()))]),
            nothing(),
            1.0.into(),
        ]),
        list([
            "DLMessageMoveItems".into(),
            dictionary([(good.as_str(), Value::from(UDID))]),
            nothing(),
            1.0.into(),
        ]),
        list([
            "DLMessageCopyItem".into(),
            good.as_str().into(),
            UDID.into(),
        ]),
    ] {
        let setup = setup();
        let before = contents(setup.vault.dir.path());
        let mut rig = Rig::greeted(setup).await;
        assert_eq!(rig.phone.ask(&message).await.code, -1);
        refused(rig, &before, "the folder").await;
    }
}
