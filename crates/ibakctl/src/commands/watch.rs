//! `ibakctl watch`: what happens, as it happens.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::notify::{Letter, host};
use crate::render;
use crate::select;
use crate::session::Session;
use ibak_dbus::views::{CompletedView, JobView, ManagerView, PhoneView};
use ibak_dbus::words::AttentionKind;
use ibak_dbus::{Dict, JobId, MirrorEvent, MirrorState, Udid};
use std::collections::BTreeMap;

/// What was told last, so that only changes are told.
#[derive(Default)]
struct Told {
    manager: Option<ManagerView>,
    phones: BTreeMap<Udid, PhoneView>,
    jobs: BTreeMap<JobId, JobView>,
}

/// Tells everything once and then every change, until interrupted.
pub(super) async fn watch(
    asked: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let only = match asked {
        Some(_) => Some(
            select::phone(&session.phones(), asked, &console.out_style())?
                .udid
                .clone(),
        ),
        None => None,
    };
    let mut told = Told::default();
    told.changes(session.mirror.state(), only.as_ref(), as_json, console)?;
    loop {
        let event = session
            .mirror
            .next()
            .await
            .map_err(|error| Failure::of_mirror(&error))?;
        match event {
            MirrorEvent::Changed | MirrorEvent::Back => {
                told.changes(session.mirror.state(), only.as_ref(), as_json, console)?;
            }
            MirrorEvent::Lost => {
                told = Told::default();
                if as_json {
                    console.answer_json(&json::message("lost", serde_json::Value::Null))?;
                } else {
                    console.say("The daemon went away; waiting for it to come back.\n");
                }
            }
            MirrorEvent::Attention {
                phone,
                kind,
                details,
            } => {
                if only.is_some() && phone.is_some() && phone != only {
                    continue;
                }
                let state = session.mirror.state();
                attention(&kind, phone.as_ref(), &details, (state, as_json), console)?;
            }
            MirrorEvent::Completed {
                job,
                result,
                details,
            } => {
                let view = session.mirror.state().job(job);
                let udid = view.as_ref().and_then(|job| job.phone.clone());
                if only.is_some() && udid != only {
                    continue;
                }
                if as_json {
                    console.answer_json(&json::completed(job, udid.as_ref(), &result, &details))?;
                } else if let Some(view) = view {
                    let view = JobView {
                        result: Some(result),
                        ..view
                    };
                    told.job(&view, session.mirror.state(), Some(&details), console)?;
                }
            }
        }
    }
}

/// Tells that somebody should look.
fn attention(
    kind: &AttentionKind,
    phone: Option<&Udid>,
    details: &Dict,
    (state, as_json): (&MirrorState, bool),
    console: &mut Console,
) -> Result<(), Failure> {
    if as_json {
        return console.answer_json(&json::attention(kind, phone, details));
    }
    let style = console.out_style();
    let letter = Letter::of_signal(kind, phone, details, state);
    let cause = letter.cause(kind, host());
    console.answer(&render::attention(&cause, &style))
}

impl Told {
    fn changes(
        &mut self,
        state: &MirrorState,
        only: Option<&Udid>,
        as_json: bool,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let style = console.out_style();
        let manager = state.manager();
        if manager != self.manager {
            if let Some(manager) = &manager {
                if as_json {
                    console.answer_json(&json::message("manager", json::manager(manager)))?;
                } else {
                    console.answer(&render::manager_line(manager, &style))?;
                }
            }
            self.manager = manager;
        }
        for phone in state
            .phones()
            .into_iter()
            .filter(|phone| only.is_none_or(|only| phone.udid == *only))
        {
            let before = self.phones.get(&phone.udid);
            if as_json {
                if before != Some(&phone) {
                    console.answer_json(&json::message("phone", json::phone(&phone)))?;
                }
            } else if before.is_none_or(|before| {
                (&before.state, &before.waits_for) != (&phone.state, &phone.waits_for)
            }) {
                console.answer(&render::phone_line(&phone, &style))?;
            }
            self.phones.insert(phone.udid.clone(), phone);
        }
        let jobs = state.jobs();
        self.jobs
            .retain(|id, _| jobs.iter().any(|job| job.id == *id));
        for job in jobs
            .into_iter()
            .filter(|job| only.is_none_or(|only| job.phone.as_ref() == Some(only)))
        {
            if as_json {
                if self.jobs.get(&job.id) != Some(&job) {
                    console.answer_json(&json::message("job", json::job(&job)))?;
                }
                self.jobs.insert(job.id, job);
            } else {
                // The signal tells more about the end; it follows the change of the property.
                if job.result.is_none() || !self.jobs.contains_key(&job.id) {
                    self.job(&job, state, None, console)?;
                }
            }
        }
        Ok(())
    }

    /// Tells of a job when there is something new for a person: a phase, a tenth more, its end.
    fn job(
        &mut self,
        job: &JobView,
        state: &MirrorState,
        completed: Option<&CompletedView>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let style = console.out_style();
        let tenths = |job: &JobView| job.progress.map(|progress| (progress * 10.0).floor());
        let news = |job: &JobView| (job.phase.clone(), tenths(job), job.result.clone());
        if self
            .jobs
            .get(&job.id)
            .is_none_or(|before| news(before) != news(job))
        {
            let phone = job.phone.as_ref().and_then(|udid| state.phone(udid));
            console.answer(&render::job_line(job, phone.as_ref(), completed, &style))?;
        }
        self.jobs.insert(job.id, job.clone());
        Ok(())
    }
}
