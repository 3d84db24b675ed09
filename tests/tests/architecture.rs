//! The picture in `docs/architecture.md`, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What ships: these may not see the simulator, the tests or xtask, not even in their own tests.
const SHIPPED: [&str; 7] = [
    "ibak-core",
    "ibak-mobilebackup2",
    "ibak-device",
    "ibak-store",
    "ibak-dbus",
    "ibakd",
    "ibakctl",
];
const NEVER_SHIPPED: [&str; 3] = ["ibak-sim", "ibak-tests", "xtask"];
const LINES_MAX: usize = 500;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(ibak_tests::repository().join("Cargo.toml"))
        .other_options(["--offline".to_owned(), "--no-deps".to_owned()])
        .exec()
        .unwrap()
}

/// Reads the table of `docs/architecture.md` whose head begins with these two cells: the names in
/// back quotes of the second column, by the name in the first.
fn table(first: &str, second: &str) -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(ibak_tests::repository().join("docs/architecture.md")).unwrap();
    let quoted = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let rows: BTreeMap<String, BTreeSet<String>> = page
        .lines()
        .skip_while(|line| *line != format!("| {first} | {second} |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let [name, allowed] = cells.as_slice() else {
                panic!("two cells wanted: {line}")
            };
            (quoted(name).pop_first().expect(line), quoted(allowed))
        })
        .collect();
    assert!(
        !rows.is_empty(),
        "no table `{first} | {second}` in docs/architecture.md"
    );
    rows
}

#[test]
fn every_arrow_is_in_the_picture() {
    let picture = table("room", "may see");
    let metadata = metadata();
    let rooms: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let drawn: BTreeSet<&str> = picture.keys().map(String::as_str).collect();
    assert_eq!(
        rooms, drawn,
        "the rooms of the workspace and of the picture"
    );

    let mut wrong = Vec::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let (from, to) = (package.name.as_str(), dependency.name.as_str());
            if rooms.contains(to) && !picture[from].contains(to) {
                wrong.push(format!("{from} -> {to}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not in the picture of docs/architecture.md: {wrong:?}"
    );
}

#[test]
fn the_picture_only_points_down() {
    let picture = table("room", "may see");
    // Removing rooms that see nobody left, again and again, ends with none exactly when no arrow
    // closes a circle.
    let mut left = picture.clone();
    while let Some(floor) = left
        .iter()
        .find(|(_, sees)| sees.iter().all(|room| !left.contains_key(room)))
        .map(|(room, _)| room.clone())
    {
        left.remove(&floor);
    }
    assert!(left.is_empty(), "a circle among {:?}", left.keys());
    for room in SHIPPED {
        for hidden in NEVER_SHIPPED {
            assert!(
                !picture[room].contains(hidden),
                "{room} ships and must not see {hidden}"
            );
        }
    }
}

#[test]
fn other_peoples_crates_stay_in_their_room() {
    let privileges = table("crate", "only in");
    let mut wrong = Vec::new();
    for package in &metadata().packages {
        for dependency in &package.dependencies {
            let (room, name) = (package.name.as_str(), dependency.name.as_str());
            if privileges
                .get(name)
                .is_some_and(|rooms| !rooms.contains(room))
            {
                wrong.push(format!("{room} -> {name}"));
            }
            if room == "ibak-core"
                && dependency.kind != DependencyKind::Development
                && !matches!(name, "thiserror" | "zeroize")
            {
                wrong.push(format!("{room} -> {name}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not allowed by docs/architecture.md: {wrong:?}"
    );
}

#[test]
fn nothing_that_ships_pulls_in_a_second_tls_or_runtime() {
    let lock = fs::read_to_string(ibak_tests::repository().join("Cargo.lock")).unwrap();
    for unwanted in [
        "openssl-sys",
        "native-tls",
        "aws-lc-sys",
        "async-std",
        "smol",
    ] {
        assert!(
            !lock.contains(&format!("name = \"{unwanted}\"")),
            "{unwanted} is in Cargo.lock"
        );
    }
}

/// Every Rust file of the repository that is ours.
fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for room in ["crates", "tests"] {
        walk(&ibak_tests::repository().join(room), &mut found);
    }
    assert!(found.len() > 10, "only {} sources found", found.len());
    found
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > LINES_MAX).then(|| format!("{} ({lines})", path.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "over {LINES_MAX} lines: look for the second idea in {long:#?}"
    );
}

#[test]
fn nothing_is_left_undone() {
    // Written in two parts so that this file does not find itself.
    let marks = [
        ["#[ign", "ore"],
        ["todo", "!("],
        ["unimple", "mented!("],
        ["// TO", "DO"],
        ["// FIX", "ME"],
    ]
    .map(|parts| parts.concat());
    let found: Vec<String> = sources()
        .into_iter()
        .flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            marks
                .iter()
                .filter(|mark| text.contains(mark.as_str()))
                .map(|mark| format!("{}: {mark}", path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_room_takes_the_workspaces_lints() {
    for package in &metadata().packages {
        let manifest: toml::Table =
            toml::from_str(&fs::read_to_string(&package.manifest_path).unwrap()).unwrap();
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{}", package.name);
    }
}

/// The lines of what ships in these rooms, with their file, tests left out.
fn shipped_lines(rooms: &[&str]) -> Vec<(PathBuf, String)> {
    let root = ibak_tests::repository().join("crates");
    let mut lines = Vec::new();
    for path in sources() {
        let room = path
            .strip_prefix(&root)
            .ok()
            .and_then(|inside| inside.components().next());
        let is_wanted = room.is_some_and(|room| rooms.iter().any(|name| room.as_os_str() == *name));
        let is_test = path.components().any(|part| part.as_os_str() == "tests")
            || path
                .file_stem()
                .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        if is_wanted && !is_test {
            let text = fs::read_to_string(&path).unwrap();
            // A module of tests is the last thing in its file.
            let code = text
                .split("#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default()
                .to_owned();
            lines.extend(code.lines().map(|line| (path.clone(), line.to_owned())));
        }
    }
    assert!(
        lines.len() > 1000,
        "only {} lines of {rooms:?} found",
        lines.len()
    );
    lines
}

fn assert_nowhere(rooms: &[&str], unwanted: &[&str]) {
    let found: Vec<String> = shipped_lines(rooms)
        .into_iter()
        .filter(|(_, line)| unwanted.iter().any(|word| line.contains(word)))
        .map(|(path, line)| format!("{}: {}", path.display(), line.trim()))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn rooms_without_files_touch_none() {
    assert_nowhere(
        &["ibak-core", "ibak-mobilebackup2", "ibak-dbus"],
        &[
            "std::fs",
            "tokio::fs",
            "rustix::fs",
            "File::open",
            "File::create",
        ],
    );
}

/// But the hooks of the house's owner, which are there to be run.
#[test]
fn what_ships_spawns_nothing() {
    let spawns = |line: &str| line.contains("process::Command") || line.contains("Command::new(");
    let found: BTreeSet<PathBuf> = shipped_lines(&SHIPPED)
        .into_iter()
        .filter(|(_, line)| spawns(line))
        .map(|(file, _)| file)
        .collect();
    let hooks = ibak_tests::repository().join("crates/ibakctl/src/notify/hook.rs");
    assert_eq!(found, BTreeSet::from([hooks]));
}

#[test]
fn the_cron_calculator_is_never_started() {
    let lines = shipped_lines(&["ibakd"]);
    let schedulers = lines
        .iter()
        .filter(|(_, line)| line.contains("JobScheduler"));
    let rooms: BTreeSet<&PathBuf> = schedulers.map(|(file, _)| file).collect();
    assert_eq!(rooms.len(), 1, "one place asks it: {rooms:?}");
    for (file, line) in lines.iter().filter(|(file, _)| rooms.contains(file)) {
        assert!(!line.contains(".start("), "{}: {line}", file.display());
    }
}

#[test]
fn every_test_that_the_pages_name_exists() {
    let root = ibak_tests::repository();
    for name in ["docs/architecture.md", "docs/security.md"] {
        let page = fs::read_to_string(root.join(name)).unwrap();
        let named: Vec<(&str, &str)> = page
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|word| word.split_once(".rs::"))
            .collect();
        assert!(named.len() > 10, "only {named:?} in {name}");
        for (file, function) in named {
            let text = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
            assert!(
                text.contains(&format!("fn {function}(")),
                "{file}.rs has no {function}, which {name} names"
            );
        }
    }
}
