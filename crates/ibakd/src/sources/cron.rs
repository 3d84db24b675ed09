//! The cron calculator: when is an expression next due? (architecture.md, 10)
//!
//! `tokio-cron-scheduler` is asked and never started: its own loop polls twice a second.

use ibak_core::Wall;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Says when `expression` is due next after the present, in local time; `None` when never again.
///
/// Expressions have five fields (minute first) or six (second first).
///
/// # Errors
/// When the expression cannot be read.
pub async fn next_due(expression: &str) -> Result<Option<Wall>, JobSchedulerError> {
    let mut scheduler = JobScheduler::new().await?;
    // The offset of local time is fixed when a job is made, so it is made anew for each question.
    let job = job(expression)?;
    let id = scheduler.add(job).await?;
    let next = scheduler.next_tick_for_job(id).await?;
    Ok(next.map(|at| Wall::from_secs(at.timestamp())))
}

/// Says whether the calculator can read `expression`.
pub fn is_expression(expression: &str) -> bool {
    job(expression).is_ok()
}

fn job(expression: &str) -> Result<Job, JobSchedulerError> {
    let with_seconds = if expression.split_whitespace().count() == 5 {
        format!("0 {expression}")
    } else {
        expression.to_owned()
    };
    Job::new_tz(with_seconds, chrono::Local, |_, _| {})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn the_next_time_is_soon_and_in_the_future() {
        let now = Clock::system().now().wall;
        for expression in ["* * * * *", "0 * * * * *"] {
            let next = next_due(expression).await.unwrap().unwrap();
            assert!(next > now, "{expression}");
            assert!(next.saturating_since(now).as_secs() <= 60, "{expression}");
            assert_eq!(next.as_secs() % 60, 0, "{expression}");
        }
        let nightly = next_due("0 2 * * *").await.unwrap().unwrap();
        assert!(nightly.saturating_since(now).as_secs() <= 25 * 3_600);
        assert!(next_due("every night").await.is_err());
    }
}
