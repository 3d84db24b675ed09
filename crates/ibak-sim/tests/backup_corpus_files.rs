//! Status.plist, Manifest.plist, Manifest.db and the domains, held against the corpus.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

mod backup_host;

use std::path::PathBuf;

use backup_host::corpus::{corpus, first_backup, to_plist};
use backup_host::{TestPhone, backup, manifest_rows};
use ibak_sim::content::ContentSpec;
use plist::Value;
use serde_json::Value as Json;

#[tokio::test]
async fn status_plist_is_as_real_phones_write_it() {
    let (phone, root, session) = first_backup("26.3").await;
    let bytes = std::fs::read(root.path().join(&phone.identity.udid).join("Status.plist")).unwrap();
    assert_eq!(bytes.len(), 189);
    let facts = corpus("backup/status_plist.json");
    let status = Value::from_reader(std::io::Cursor::new(&bytes))
        .unwrap()
        .into_dictionary()
        .unwrap();
    assert_types(&status, &facts["types"]);
    for (key, value) in facts["values"].as_object().unwrap() {
        assert_eq!(status[key], to_plist(value, ""), "{key}");
    }
    // The states the backup went through, as the host saw them.
    let mut states: Vec<&str> = session
        .seen
        .iter()
        .filter_map(|seen| seen.state.as_deref())
        .collect();
    states.dedup();
    assert_eq!(states, ["uploading", "moving", "removing", "finished"]);
}

fn assert_types(dictionary: &plist::Dictionary, types: &Json) {
    for (key, kind) in types.as_object().unwrap() {
        if kind
            .as_str()
            .is_some_and(|kind| kind.contains("encrypted only"))
        {
            assert!(!dictionary.contains_key(key), "{key}");
            continue;
        }
        let value = dictionary
            .get(key)
            .unwrap_or_else(|| panic!("{key} is missing"));
        match kind {
            Json::Object(_) => assert_types(value.as_dictionary().unwrap(), kind),
            Json::String(kind) => {
                let found = match value {
                    Value::String(_) => "string",
                    Value::Date(_) => "date",
                    Value::Boolean(_) => "bool",
                    Value::Dictionary(_) => "dict",
                    Value::Integer(_) => "int",
                    other => panic!("{key} is {other:?}"),
                };
                assert!(kind.starts_with(found), "{key} is {found} and not {kind}");
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => panic!("{kind}"),
        }
    }
}

#[tokio::test]
async fn manifest_plist_is_as_real_phones_write_it() {
    let (phone, root, _session) = first_backup("26.3").await;
    let bytes = std::fs::read(
        root.path()
            .join(&phone.identity.udid)
            .join("Manifest.plist"),
    )
    .unwrap();
    assert!(bytes.starts_with(b"bplist00"));
    let manifest = Value::from_reader(std::io::Cursor::new(&bytes))
        .unwrap()
        .into_dictionary()
        .unwrap();
    assert_types(&manifest, &corpus("backup/manifest_plist.json")["types"]);
    assert_eq!(manifest["Version"].as_string(), Some("10.0"));
    // Bundles with data count, plug-ins and groups included; containers are a few more.
    let count = |key: &str| manifest[key].as_dictionary().unwrap().len();
    assert!(count("Applications") > 10 && count("Containers") == count("Applications") + 3);
    assert!(
        manifest["Applications"]
            .as_dictionary()
            .unwrap()
            .values()
            .all(|value| value.as_dictionary().is_some())
    );
}

#[tokio::test]
async fn manifest_db_has_the_real_schema_and_weight() {
    let spec = ContentSpec {
        seed: 5,
        files: 4_000,
        bytes: 8 << 20,
        apps: 21,
        largest_file: None,
    };
    let phone = TestPhone::new("26.3", &spec);
    let root = backup_host::scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let dir = root.path().join(&phone.identity.udid);
    assert_schema(&dir);
    let rows = manifest_rows(&dir);
    let mean = |of: fn(&backup_host::ManifestRow) -> usize| {
        rows.values().map(of).sum::<usize>() / rows.len()
    };
    let (domain, path, blob) = (
        mean(|row| row.domain.len()),
        mean(|row| row.path.len()),
        mean(|row| row.blob.len()),
    );
    let per_row = std::fs::metadata(dir.join("Manifest.db")).unwrap().len() / rows.len() as u64;
    assert!(
        (1_100..1_376).contains(&per_row),
        "{per_row} bytes a row: {domain} {path} {blob}"
    );
    let texts: usize = rows
        .values()
        .map(|row| row.domain.len() + row.path.len() + row.blob.len())
        .sum();
    let texts = texts / rows.len();
    assert!(
        (550..750).contains(&texts),
        "{texts} bytes of text and blob a row"
    );
    for domain in rows
        .values()
        .map(|row| row.domain.as_str())
        .collect::<std::collections::BTreeSet<_>>()
    {
        assert!(
            rows.values()
                .any(|row| row.domain == domain && row.path.is_empty() && row.flags == 2),
            "{domain}"
        );
    }
}

#[test]
fn domains_are_those_of_real_phones() {
    let facts = corpus("backup/domains.json");
    let known: Vec<&str> = facts["domains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let phone = TestPhone::new(
        "15.6",
        &ContentSpec {
            files: 2_000,
            ..ContentSpec::default()
        },
    );
    let content = phone.content.lock().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for file in content.files() {
        let kind = file.domain.split_inclusive('-').next().unwrap();
        assert!(known.contains(&kind), "{}", file.domain);
        seen.insert(kind);
    }
    // Health is only in encrypted backups.
    let absent: Vec<_> = known.iter().filter(|kind| !seen.contains(**kind)).collect();
    assert_eq!(absent, [&"HealthDomain"]);
}

fn assert_schema(dir: &std::path::Path) {
    let connection = rusqlite::Connection::open(dir.join("Manifest.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rootpage")
        .unwrap();
    let found: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let facts = std::fs::read_to_string(
        [
            env!("CARGO_MANIFEST_DIR"),
            "../../tests/corpus/backup/manifest_db.md",
        ]
        .iter()
        .collect::<PathBuf>(),
    )
    .unwrap();
    let written: Vec<String> = facts
        .lines()
        .filter(|line| line.starts_with("CREATE"))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(written.len(), 5);
    for sql in &written {
        assert!(found.contains(sql), "{sql} is not in {found:?}");
    }
}
