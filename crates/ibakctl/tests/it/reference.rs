//! docs/ibakctl.md is the command line as clap has it.
//!
//! `IBAK_UPDATE_DOCS=1` writes it instead of comparing it.

use clap::CommandFactory;
use ibakctl::cli::Cli;
use std::fmt::Write as _;

const HEAD: &str = "\
# ibakctl

The command line as `ibakctl --help` tells it. Written by
`IBAK_UPDATE_DOCS=1 cargo test -p ibakctl --test it reference`; a test fails when it differs.
What a command answers goes to stdout, what it says meanwhile to stderr; errors are `Error:`, the
numbered `Caused by:` and at most one `Hint:`.
";

fn reference() -> String {
    let mut out = String::from(HEAD);
    let mut root = Cli::command().term_width(90);
    root.build();
    write!(
        out,
        "\n```text\n{}```\n",
        trimmed(&root.render_long_help().to_string())
    )
    .unwrap();
    for command in shown(&mut root) {
        let name = command.get_name().to_owned();
        write_command(&mut out, &name, command);
        for deed in shown(command) {
            let name = format!("{name} {}", deed.get_name());
            write_command(&mut out, &name, deed);
        }
    }
    out
}

fn shown(command: &mut clap::Command) -> impl Iterator<Item = &mut clap::Command> {
    command
        .get_subcommands_mut()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

fn write_command(out: &mut String, name: &str, command: &mut clap::Command) {
    let help = trimmed(&command.render_long_help().to_string());
    write!(out, "\n## ibakctl {name}\n\n```text\n{help}```\n").unwrap();
}

fn trimmed(text: &str) -> String {
    let mut out: String = text
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n");
    out.push('\n');
    out
}

#[test]
fn the_reference_is_the_command_line() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ibakctl.md");
    if std::env::var_os("IBAK_UPDATE_DOCS").is_some() {
        std::fs::write(path, reference()).unwrap();
    } else {
        let found = std::fs::read_to_string(path).unwrap();
        assert!(
            found == reference(),
            "run `IBAK_UPDATE_DOCS=1 cargo test -p ibakctl --test it reference`"
        );
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}
