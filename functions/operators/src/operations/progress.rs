//! The status of jobs that a client started, and the runs of schedules.

use souk_core::Query;
use souk_core::documents::MAX_LIMIT;
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::jobs::{Runs, SCHEDULES};
use souk_kit::{Context, Failure, Stored};

use crate::permissions::JOBS_READ;

/// The job with this id, for the account that started it and for operators.
pub async fn find_job(cx: &Context, id: &str) -> Result<Stored<Tracked>, Failure> {
    let principal = cx.signed_in()?;
    let job: Option<Stored<Tracked>> = cx.read(tracked::key(id)).await?;
    job.filter(|job| principal.may_for(&job.owner, &JOBS_READ))
        .ok_or(Failure::NotFound("job"))
}

/// Every schedule that has run, with its latest runs.
pub async fn list_schedules(cx: &Context) -> Result<Vec<Runs>, Failure> {
    let page = cx.query(&Query::partition(SCHEDULES, MAX_LIMIT)).await?;
    let runs = page.items.iter().map(|item| item.document.parse());
    Ok(runs.collect::<Result<_, _>>()?)
}
