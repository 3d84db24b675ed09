//! docs/dbus.md holds every word as the source documents it.
//!
//! `IBAK_UPDATE_DOCS=1` writes the tables instead of comparing them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use ibak_dbus::words::{LISTS, WordList};
use std::fmt::Write as _;

const END: &str = "<!-- /words -->";

fn table(list: &WordList) -> String {
    let mut table = String::from("| word | meaning |\n|---|---|\n");
    for (word, meaning) in list.words {
        writeln!(table, "| `{word}` | {} |", meaning.trim()).unwrap();
    }
    write!(table, "\nA new word: {}.\n", list.new_word).unwrap();
    table
}

#[test]
fn the_tables_are_the_sources() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dbus.md");
    let found = std::fs::read_to_string(path).unwrap();
    let mut want = found.clone();
    for list in LISTS {
        let begin = format!("<!-- words:{} -->\n", list.name);
        let start = want
            .find(&begin)
            .unwrap_or_else(|| panic!("no place for {}", list.name))
            + begin.len();
        let end = start + want[start..].find(END).expect("an end to each table");
        want.replace_range(start..end, &table(list));
    }
    assert_eq!(
        want.matches("<!-- words:").count(),
        LISTS.len(),
        "a table of no list"
    );
    if std::env::var_os("IBAK_UPDATE_DOCS").is_some() {
        std::fs::write(path, &want).unwrap();
    } else {
        assert_eq!(
            found, want,
            "run `IBAK_UPDATE_DOCS=1 cargo test -p ibak-dbus --test docs`"
        );
    }
}
