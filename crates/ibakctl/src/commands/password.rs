//! Where a command gets a password from: a descriptor, a credential, or the person.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::secret::{Password, Source, Terminal, generate, given};
use crate::text;

/// Gets the password that holds.
pub(super) async fn existing(
    source: Source,
    question: &str,
    console: &mut Console,
) -> Result<Password, Failure> {
    if let Some(password) = given(&source).await? {
        return Ok(password);
    }
    console.end_line();
    terminal(&source)?.secret(question).await
}

/// Gets a password that is to hold from here on: given, made of words, or typed twice.
pub(super) async fn fresh(
    source: Source,
    make: bool,
    name: &str,
    console: &mut Console,
) -> Result<Password, Failure> {
    if make {
        return generated(&source, name, console).await;
    }
    if let Some(password) = given(&source).await? {
        return Ok(password);
    }
    console.end_line();
    let terminal = terminal(&source)?;
    let first = terminal
        .secret(&format!("New password for the backups of {name}: "))
        .await?;
    let second = terminal.secret("The same again: ").await?;
    if first.is(&second) {
        Ok(first)
    } else {
        Err(
            Failure::new(Exit::Usage, "the two passwords are not the same")
                .because("nothing was changed"),
        )
    }
}

/// Makes six words, and shows them once, to the person only.
async fn generated(
    source: &Source,
    name: &str,
    console: &mut Console,
) -> Result<Password, Failure> {
    let terminal = terminal(source).map_err(|failure| Failure {
        message: "there is no terminal to show the words on".to_owned(),
        ..failure
    })?;
    let password = generate().map_err(|error| {
        Failure::new(Exit::Failed, "cannot make a password").because(error.to_string())
    })?;
    console.end_line();
    let shown = zeroize::Zeroizing::new(format!(
        "\nThe new password for the backups of {name}, shown only this once:\n\n    {}\n\n",
        password.expose()
    ));
    terminal.show(&shown).await?;
    terminal
        .line("Write it down, with its hyphens, and press Enter. ")
        .await?;
    Ok(password)
}

fn terminal(source: &Source) -> Result<Terminal, Failure> {
    Terminal::open().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "there is no terminal to ask for the password on",
        )
        .hint(format!(
            "give it with `{} N`, the number of an open file descriptor, or as the systemd credential {}",
            source.option, source.credential
        ))
    })
}

/// What a question that is not answered means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unless {
    /// Enter means yes.
    Yes,
    /// Enter means no.
    No,
}

/// Asks a question of yes or no.
pub(super) async fn confirm(
    question: &str,
    unless: Unless,
    console: &mut Console,
) -> Result<bool, Failure> {
    let choice = match unless {
        Unless::Yes => "[Y/n]",
        Unless::No => "[y/N]",
    };
    let style = console.err_style();
    let asked = text::paragraph(&format!("{question} {choice}"), 0, &style);
    let answer = line(&format!("{asked} "), console).await?;
    Ok(match answer.to_lowercase().as_str() {
        "y" | "yes" => true,
        "" => unless == Unless::Yes,
        _ => false,
    })
}

/// Asks for a line.
pub(super) async fn line(question: &str, console: &mut Console) -> Result<String, Failure> {
    console.end_line();
    let Some(terminal) = Terminal::open() else {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask on"));
    };
    terminal.line(question).await
}
