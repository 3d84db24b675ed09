//! Commands that look back at nights.

use super::reading::{attempts, me};
use crate::cli::TimelineArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::moment;
use crate::night::{Cause, Night, Record, account, reconstruct};
use crate::render::{self, HistoryView, NightView, TimelineView};
use crate::select;
use crate::session::{self, Session};
use crate::style::Style;
use ibak_dbus::views::{AttemptView, ObservationView, PhoneView};
use ibak_dbus::words::{ConditionName, JobKind};
use ibak_dbus::{NO_USER_INTERACTION, Wall};
use std::time::Duration;

/// Nights that a night's own attempts may have begun before it: a backup does not take longer.
const ATTEMPT_MAX: Duration = Duration::from_secs(2 * 86_400);

/// Whether somebody may be asked whether this is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    May,
    MayNot,
}

async fn observations(
    session: &Session,
    phone: &PhoneView,
    since: Wall,
    until: Wall,
    asking: Asking,
) -> Result<Vec<ObservationView>, Failure> {
    let options = session::options(&[(NO_USER_INTERACTION, asking == Asking::MayNot)]);
    let rows = session
        .phone(phone)
        .await?
        .list_observations(micros(since), micros(until), options)
        .await
        .map_err(|error| {
            let failure = Failure::of_call("read how the night went", error);
            if failure.exit == Exit::NotAuthorized {
                failure.hint(
                    "a phone's nights are for its owner and root: `owner = \"LOGIN\"` in the phone's table of ibakd.toml says who that is",
                )
            } else {
                failure
            }
        })?;
    Ok(rows.iter().filter_map(ObservationView::from_dict).collect())
}

fn micros(at: Wall) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0)
}

/// Returns the end of a time that lies in the past: now at the latest, and what is of this moment.
fn now(style: &Style) -> Wall {
    Wall::from_micros(style.now.as_microsecond())
}

/// Keeps the attempts at backups that touch this time.
fn touching(attempts: &[AttemptView], from: Wall, until: Wall) -> Vec<AttemptView> {
    let touches = |attempt: &&AttemptView| {
        let started = attempt.started.unwrap_or_default();
        let ended = attempt.ended.unwrap_or(until);
        attempt.kind == JobKind::Backup && started < until && ended >= from
    };
    attempts.iter().filter(touches).cloned().collect()
}

/// Puts one night together; without rows, of its attempts alone.
fn night_view(
    night: Night,
    phone: &PhoneView,
    rows: Option<&[ObservationView]>,
    attempts: &[AttemptView],
    me: &str,
    style: &Style,
) -> NightView {
    let end = night.end(style);
    let record = rows.map(|rows| reconstruct(rows, night.from, end));
    let attempts = touching(attempts, night.from, end);
    let unknown = Record {
        from: night.from,
        until: end,
        ..Record::default()
    };
    NightView {
        phone: phone.clone(),
        night,
        account: account(record.as_ref().unwrap_or(&unknown), &attempts),
        record,
        attempts,
        me: me.to_owned(),
    }
}

/// Lists so many nights, the newest first, beginning with the last one.
fn nights_back(count: usize, style: &Style) -> Vec<Night> {
    std::iter::successors(Night::last(style), |night| night.before(style))
        .take(count)
        .collect()
}

/// Looks at the last nights for `why`, at least at the very last, as far as that is allowed without
/// asking anybody; and completes what is known of the lock.
pub(super) async fn past(
    session: &Session,
    phone: &mut PhoneView,
    attempts: &[AttemptView],
    count: usize,
    me: &str,
    style: &Style,
) -> Result<Vec<NightView>, Failure> {
    let nights = nights_back(count.max(1), style);
    let Some(first) = nights.last() else {
        return Ok(Vec::new());
    };
    let until = now(style) + Duration::from_secs(1);
    // Whoever may not read the nights is still told the present.
    let Ok(rows) = observations(session, phone, first.from, until, Asking::MayNot).await else {
        return Ok(Vec::new());
    };
    let present = reconstruct(&rows, first.from, until);
    if let (Some(seen), Some(locked)) = (
        present.last_of(&ConditionName::Locked),
        phone.conditions.get_mut(&ConditionName::Locked),
    ) && seen.value.status == locked.status
    {
        locked.since = Some(seen.began);
        locked.source.clone_from(&seen.value.source);
    }
    let views = nights
        .into_iter()
        .map(|night| night_view(night, phone, Some(&rows), attempts, me, style));
    Ok(views.collect())
}

pub(super) async fn why(
    asked: Option<&str>,
    night: &str,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    let night = read_night(night, &style)?;
    let session = Session::open().await?;
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    let me = me(asked, &phones, &phone, &style);
    let tried = attempts(&session, &phone, micros(night.from - ATTEMPT_MAX)).await?;
    let rows = observations(&session, &phone, night.from, night.end(&style), Asking::May).await;
    let known = rows.as_ref().ok().map(Vec::as_slice);
    let view = night_view(night, &phone, known, &tried, &me, &style);
    if let (Err(failure), Cause::Nothing) = (rows, &view.account.cause) {
        return Err(failure);
    }
    if as_json {
        console.answer_json(&json::night("why", &view, &style))?;
    } else {
        console.answer(&render::night(&view, &style))?;
    }
    Ok(Exit::Done)
}

fn read_night(text: &str, style: &Style) -> Result<Night, Failure> {
    Night::parse(text, style).map_err(|why| Failure::new(Exit::Usage, why))
}

pub(super) async fn timeline(
    args: &TimelineArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    let (from, until) = match &args.date {
        Some(date) => {
            let night = read_night(date, &style)?;
            (night.from, night.until)
        }
        None => {
            let until = moment::next_full_hour(&style);
            let hours = Duration::from_secs(3_600) * u32::from(args.hours);
            (until - hours, until)
        }
    };
    let session = Session::open().await?;
    let phones = session.phones();
    let phone = select::phone(&phones, args.phone.as_deref(), &style)?.clone();
    let end = until.min(now(&style));
    let rows = observations(&session, &phone, from, end, Asking::May).await?;
    let tried = attempts(&session, &phone, micros(from - ATTEMPT_MAX)).await?;
    let view = TimelineView {
        record: reconstruct(&rows, from, end),
        attempts: touching(&tried, from, end),
        phone,
        from,
        until,
    };
    if as_json {
        console.answer_json(&json::timeline(&view))?;
    } else {
        console.answer(&render::timeline(&view, &style))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn history(
    asked: Option<&str>,
    days: u16,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    let me = me(asked, &phones, &phone, &style);
    let nights: Vec<Night> = std::iter::successors(Night::present(&style), |it| it.before(&style))
        .take(usize::from(days))
        .collect();
    let first = nights.last().map_or(Wall::default(), |night| night.from);
    let tried = attempts(&session, &phone, micros(first - ATTEMPT_MAX)).await?;
    // Whoever may not read the nights still sees what was tried.
    let rows = match observations(&session, &phone, first, now(&style), Asking::MayNot).await {
        Ok(rows) => Some(rows),
        Err(failure) if failure.exit == Exit::NotAuthorized => None,
        Err(failure) => return Err(failure),
    };
    let known = rows.as_deref();
    let views = nights
        .into_iter()
        .map(|night| night_view(night, &phone, known, &tried, &me, &style));
    let view = HistoryView {
        nights: views.collect(),
    };
    if as_json {
        console.answer_json(&json::history(&view, &style))?;
    } else {
        console.answer(&render::history(&view, &style))?;
        if rows.is_none() {
            console.say("Why a night had no backup is for the phone's owner and root.\n");
        }
    }
    Ok(Exit::Done)
}
