//! Work that runs on a schedule.
//!
//! A host calls [`App::tick`](crate::App::tick) every minute. An instance that finds a schedule due claims the run by
//! updating the document of the schedule at the version that it read, so only one of several instances runs it. The
//! document keeps the latest runs with start, duration and outcome: partition `schedules`, sorted by name.

use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::{Change, Commit, Condition, Consistency, Key, Query, StoreError, Tenant, Timestamp, clock};

use super::JobError;
use crate::operation::Context;
use crate::platform::Platform;
use crate::tenancy::TENANTS;

/// How many runs are kept per schedule.
const REMEMBERED: usize = 20;
/// For how many tenants a schedule runs at a time.
const TENANTS_AT_ONCE: usize = 50;
/// How much earlier than the interval a run may start, in milliseconds: ticks are not exact.
const SLACK: i64 = 5_000;
/// After how many seconds an unfinished run counts as crashed, so that the next one may start: within the two minutes in
/// which the outbox is swept.
const LEASE_SECONDS: i64 = 100;

type Running = Pin<Box<dyn Future<Output = Result<String, JobError>> + Send>>;

/// Work that runs at a fixed interval.
#[derive(Clone)]
pub struct Schedule {
    /// The name: `function.task`.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The interval in seconds. Ticks come every minute, so a shorter interval has no effect.
    pub every_seconds: i64,
    /// Whether it runs for each tenant too.
    is_for_tenants: bool,
    run: Arc<dyn Fn(Context) -> Running + Send + Sync>,
}

impl Schedule {
    /// Runs `run` every `every_seconds`; `run` returns a short text that describes its outcome.
    pub fn new<F, R>(name: &'static str, summary: &'static str, every_seconds: i64, run: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, JobError>> + Send + 'static,
    {
        Self {
            name,
            summary,
            every_seconds,
            is_for_tenants: false,
            run: Arc::new(move |cx| Box::pin(run(cx))),
        }
    }

    /// Lets it run for the other markets too, some of them each time.
    #[must_use]
    pub fn for_each_tenant(mut self) -> Self {
        self.is_for_tenants = true;
        self
    }
}

/// One run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ScheduleRun)]
pub struct Run {
    /// When the run started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// The duration of the run; `null` while it runs, and permanently if it crashed.
    #[schema(required = true)]
    pub duration_ms: Option<i64>,
    /// A short text that describes the outcome; `null` unless the run succeeded.
    #[schema(required = true)]
    pub outcome: Option<String>,
    /// The error, if the run failed.
    #[schema(required = true)]
    pub error: Option<String>,
}

/// A schedule and its latest runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Schedule)]
pub struct Runs {
    /// The name of the schedule.
    pub name: String,
    /// The interval between runs, in seconds.
    pub every_seconds: i64,
    /// The latest runs, newest first.
    pub runs: Vec<Run>,
    /// The last tenant that it has run for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub last_tenant: Option<String>,
}

/// The partition of the schedule documents.
pub const SCHEDULES: &str = "schedules";

/// Runs every schedule that is due. A failed run is logged and does not affect the other schedules.
pub(crate) async fn tick(platform: &Arc<Platform>, schedules: &[Schedule]) {
    for schedule in schedules {
        if let Err(error) = run_if_due(platform, schedule).await {
            tracing::error!(%error, schedule = schedule.name, "schedule failed");
        }
    }
}

async fn run_if_due(platform: &Arc<Platform>, schedule: &Schedule) -> Result<(), JobError> {
    let key = Key::new(SCHEDULES, schedule.name);
    let document = get_one(&*platform.documents, key.clone()).await?;
    let version = document.as_ref().map(|document| document.version);
    let mut runs: Runs = match &document {
        Some(document) => document.parse()?,
        None => Runs {
            name: schedule.name.to_owned(),
            every_seconds: schedule.every_seconds,
            runs: Vec::new(),
            last_tenant: None,
        },
    };
    runs.every_seconds = schedule.every_seconds;
    let now = platform.now();
    // A run that has not started yet is one of a wrong clock.
    let last = runs
        .runs
        .first()
        .filter(|run| run.started_at.as_millisecond() <= now.as_millisecond() + SLACK);
    if let Some(last) = last {
        let next = clock::after(last.started_at, schedule.every_seconds).as_millisecond() - SLACK;
        let is_running = last.duration_ms.is_none() && clock::after(last.started_at, LEASE_SECONDS) > now;
        if now.as_millisecond() < next || is_running {
            return Ok(());
        }
    }
    runs.runs.insert(
        0,
        Run {
            started_at: now,
            duration_ms: None,
            outcome: None,
            error: None,
        },
    );
    runs.runs.truncate(REMEMBERED);
    match write(platform, &key, &runs, version).await {
        // Another instance has claimed this run.
        Err(StoreError::Conflict(_)) => return Ok(()),
        result => result?,
    }
    let result = (schedule.run)(Context::system(platform.clone())).await;
    if schedule.is_for_tenants && platform.settings.tenant_domain.is_some() {
        runs.last_tenant = run_for_tenants(platform, schedule, runs.last_tenant.take()).await?;
    }
    let duration_ms = platform.now().as_millisecond().saturating_sub(now.as_millisecond());
    if let Some(run) = runs.runs.first_mut() {
        run.duration_ms = Some(duration_ms);
        match &result {
            Ok(outcome) => run.outcome = Some(outcome.clone()),
            Err(error) => run.error = Some(error.to_string()),
        }
    }
    write(platform, &key, &runs, Some(version.unwrap_or(0) + 1)).await?;
    let outcome = result?;
    tracing::info!(schedule = schedule.name, duration_ms, outcome, "schedule");
    Ok(())
}

/// Runs it for some tenants, those after `last`; returns the last of them.
async fn run_for_tenants(
    platform: &Arc<Platform>,
    schedule: &Schedule,
    last: Option<String>,
) -> Result<Option<String>, JobError> {
    let query = Query {
        after: last,
        ..Query::index(TENANTS, TENANTS_AT_ONCE)
    };
    let page = platform.documents.query(&query, Consistency::Strong).await?;
    for item in &page.items {
        let Some(tenant) = Tenant::named(&item.sort) else {
            continue;
        };
        let run = async {
            match platform.of_tenant(&tenant).await? {
                Some(market) => (schedule.run)(Context::system(market)).await.map(drop),
                None => Ok(()),
            }
        };
        // One whose database does not answer does not keep it from the others.
        if let Err(error) = run.await {
            tracing::error!(%error, schedule = schedule.name, tenant = tenant.name(), "schedule failed");
        }
    }
    Ok(page.next)
}

async fn write(platform: &Platform, key: &Key, runs: &Runs, version: Option<u64>) -> Result<(), StoreError> {
    let put = Change::Put {
        key: key.clone(),
        body: serde_json::to_string(runs).map_err(|e| StoreError::Refused(e.to_string()))?,
        counters: Vec::new(),
        expires_at: None,
        condition: version.map_or(Condition::Absent, Condition::Version),
        entries: Vec::new(),
        stale: Vec::new(),
    };
    platform.documents.commit(Commit::new(vec![put])).await
}
