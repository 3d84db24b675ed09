//! `ibakctl ls`: what a backup holds, one level at a time.

use super::choose;
use super::files::{of_reading, password_option};
use super::reading::me;
use super::stream::pipe;
use crate::cli::PasswordFd;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render::{self, Listing};
use crate::session::Session;
use crate::text;
use ibak_dbus::Dict;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use zbus::wire::Variant;

/// Is how many bytes a line of the listing may have.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Where in a backup one looks.
struct Place {
    domain: Option<String>,
    path: String,
}

impl Place {
    fn parse(asked: Option<&str>) -> Self {
        let asked = asked.unwrap_or_default().trim_end_matches('/');
        match asked.split_once('/') {
            None => Self {
                domain: (!asked.is_empty()).then(|| asked.to_owned()),
                path: String::new(),
            },
            Some((domain, path)) => Self {
                domain: Some(domain.to_owned()),
                path: path.to_owned(),
            },
        }
    }
}

pub(super) async fn ls(
    asked: &str,
    path: Option<&str>,
    password: PasswordFd,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let chosen = choose::backup(&session, asked, &style).await?;
    let me = me(None, &session.phones(), &chosen.phone, &style);
    let place = Place::parse(path);
    let mut options = Dict::new();
    password_option(&chosen, password, &mut options, console).await?;
    for (key, value) in [
        ("domain", place.domain.as_deref().unwrap_or_default()),
        ("path", place.path.as_str()),
    ] {
        if !value.is_empty() {
            let value = Variant::from(value.to_owned()).try_into_owned();
            let value = value.map_err(|error| {
                Failure::new(Exit::Failed, "cannot ask for this path").because(error.to_string())
            })?;
            options.insert(key.to_owned(), value);
        }
    }
    if chosen.backup.encrypted && console.draws_bars() {
        console.say("Making the key from the password; this takes a few seconds.\n");
    }
    let pipe = pipe()?;
    let proxy = session.phone(&chosen.phone).await?;
    let id = chosen.backup.id.as_str();
    let call = proxy.list_files(id, pipe.writer.into(), options);
    let mut listing = match place.domain {
        None => Listing::domains(),
        Some(_) => Listing::beneath(&place.path),
    };
    let (called, read) = tokio::join!(call, read(pipe.reader, &mut listing));
    called.map_err(|error| of_reading("read the backup", error, &me))?;
    read?;
    if listing.is_empty() {
        let what = text::escape(path.unwrap_or_default(), &style);
        return Err(if what.is_empty() {
            Failure::new(Exit::NoSuch, "this backup holds no files")
        } else {
            Failure::new(Exit::NoSuch, format!("this backup holds no {what:?}")).hint(format!(
                "`ibakctl ls {}` lists its domains",
                text::escape(asked, &style)
            ))
        });
    }
    if as_json {
        console.answer_json(&json::listing(&listing))?;
    } else {
        console.answer(&render::listing(&listing, &style))?;
    }
    Ok(Exit::Done)
}

/// Reads the daemon's lines into the listing; only one of them is held at a time.
async fn read(reader: Receiver, listing: &mut Listing) -> Result<(), Failure> {
    let broken = |why: String| {
        Failure::new(Exit::Failed, "what the daemon sent cannot be used").because(why)
    };
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line).await;
        if read.map_err(|error| broken(error.to_string()))? == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            return Err(broken("a line is not whole".to_owned()));
        }
        let row = serde_json::from_slice(&line).map_err(|error| broken(error.to_string()))?;
        listing.add(row);
    }
}
