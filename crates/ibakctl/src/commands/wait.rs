//! Waiting for a job, with its progress on the way.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::session::Session;
use ibak_dbus::views::{CompletedView, JobView, PhoneView};
use ibak_dbus::words::{Outcome, Phase};
use ibak_dbus::{JobId, MirrorEvent, Wall};

/// How waiting ended.
pub(super) enum Waiting {
    /// The job ended.
    Ended(Ended),
    /// The person did not want to wait longer.
    Interrupted,
}

/// How the job ended.
pub(super) struct Ended {
    pub(super) result: Outcome,
    pub(super) details: CompletedView,
    pub(super) started: Option<Wall>,
}

/// Is how many steps plain progress lines take from 0 to 100 %.
const LINE_STEPS: f64 = 10.0;

/// What was said of a job so far, so that nothing is said twice.
#[derive(Default)]
struct Said {
    phase: Option<Phase>,
    step: Option<u64>,
    prompt: Option<Phase>,
}

/// Follows a job to its end.
pub(super) async fn for_job(
    session: &mut Session,
    id: JobId,
    phone: Option<&PhoneView>,
    console: &mut Console,
) -> Result<Waiting, Failure> {
    let mut interrupt = console.interrupts().take_over();
    let mut said = Said::default();
    let mut seen: Option<JobView> = None;
    let mut completed: Option<(Outcome, CompletedView)> = None;
    loop {
        let job = session.mirror.state().job(id);
        if let Some(job) = &job {
            show(job, phone, &mut said, console);
        }
        // The signal carries more than the property; it comes before the job can go away.
        if let Some((result, details)) = completed.take() {
            let started = job.or(seen).and_then(|job| job.started);
            return Ok(Waiting::Ended(Ended {
                result,
                details,
                started,
            }));
        }
        match (&job, &seen) {
            (None, Some(last)) => return Ok(Waiting::Ended(gone(session, phone, last))),
            (Some(job), _) if job.ended() => {
                // A job that had ended before we came has sent its signal already.
                if seen.is_none() {
                    return Ok(Waiting::Ended(Ended {
                        result: result_of(job, session, phone),
                        details: CompletedView::default(),
                        started: job.started,
                    }));
                }
            }
            (Some(_) | None, _) => {}
        }
        seen = job.or(seen);
        let event = tokio::select! {
            biased;
            event = session.mirror.next() => event.map_err(|error| Failure::of_mirror(&error))?,
            () = interrupt.pressed() => return Ok(Waiting::Interrupted),
        };
        match event {
            MirrorEvent::Completed {
                job,
                result,
                details,
            } if job == id => completed = Some((result, details)),
            MirrorEvent::Lost => return Err(lost()),
            MirrorEvent::Back => return Err(lost()),
            MirrorEvent::Changed
            | MirrorEvent::Attention { .. }
            | MirrorEvent::Completed { .. } => {}
        }
    }
}

fn lost() -> Failure {
    Failure::new(Exit::NoDaemon, "the ibak daemon went away while we waited")
        .because("what had arrived is kept, and the next run goes on from there")
        .hint("`systemctl status ibakd` says why it ended")
}

/// A job we saw and that is gone without its signal: its phone remembers how it ended.
fn gone(session: &Session, phone: Option<&PhoneView>, last: &JobView) -> Ended {
    Ended {
        result: result_of(last, session, phone),
        details: CompletedView::default(),
        started: last.started,
    }
}

fn result_of(job: &JobView, session: &Session, phone: Option<&PhoneView>) -> Outcome {
    let remembered = || {
        session
            .mirror
            .state()
            .phone(&phone?.udid)
            .and_then(|phone| phone.last_result)
    };
    job.result
        .clone()
        .or_else(remembered)
        .unwrap_or_else(|| Outcome::Other("unknown".to_owned()))
}

fn show(job: &JobView, phone: Option<&PhoneView>, said: &mut Said, console: &mut Console) {
    let style = console.err_style();
    if said.prompt.as_ref() != Some(&job.phase) {
        if let Some(prompt) = phone.and_then(|phone| render::prompt(job, phone, &style)) {
            console.say(&prompt);
        }
        said.prompt = Some(job.phase.clone());
    }
    if job.ended() {
        return;
    }
    if console.draws_bars() {
        console.bar(&render::bar(job, &style));
        return;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the view clamps it to 0..=1"
    )]
    let step = job
        .progress
        .map(|progress| (progress * LINE_STEPS).floor() as u64);
    if said.phase.as_ref() != Some(&job.phase) || said.step != step {
        console.say(&render::progress_line(job, &style));
        said.phase = Some(job.phase.clone());
        said.step = step;
    }
}
