//! The application: the functions that a host serves, and the entry points for the host.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use souk_core::queue::{Delivery, Outcome};

use crate::Function;
use crate::http::{Problem, Router, exchange, problem_type};
use crate::jobs::{self, Job, Schedule};
use crate::platform::{FormatError, Platform};

/// How long a request may take in all, in seconds: less than the 15 of a Lambda.
pub const REQUEST_SECONDS: u64 = 10;

/// The functions that a host serves.
pub struct App {
    router: Router,
    platform: Arc<Platform>,
    jobs: HashMap<&'static str, Job>,
    schedules: Vec<Schedule>,
}

impl App {
    /// Mounts the functions. Two functions may not have the same route.
    #[must_use]
    pub fn new(platform: Arc<Platform>, functions: impl IntoIterator<Item = Function>) -> Self {
        let (mut routes, mut jobs, mut schedules) = (Vec::new(), HashMap::new(), Vec::new());
        let mut fallback = None;
        for function in functions {
            routes.extend(function.routes);
            fallback = function.fallback.or(fallback);
            jobs.extend(function.jobs.into_iter().map(|job| (job.name, job)));
            schedules.extend(function.schedules);
        }
        Self {
            router: Router::new(routes, fallback),
            platform,
            jobs,
            schedules,
        }
    }

    /// Handles one request. For a body larger than [`MAX_BODY`](crate::MAX_BODY) a host passes `None` and need not read
    /// it.
    pub async fn handle(&self, request: http::Request<Option<Bytes>>) -> Response<Bytes> {
        exchange::handle(&self.router, &self.platform, request).await
    }

    /// Signs who a request is from, before the host forwards it to another one; `shares_store` says whether that one has the same
    /// store. The host stores the address of the client in the extensions.
    pub async fn vouch(&self, parts: &mut http::request::Parts, shares_store: bool) -> Result<(), Problem> {
        exchange::vouch(&self.platform, parts, shares_store).await
    }

    /// The response for a request that has taken [`REQUEST_SECONDS`]: hosts stop processing it. Its effects are all
    /// committed or none.
    #[must_use]
    pub fn timed_out(&self) -> Response<Bytes> {
        let detail = "this took too long; please try again";
        let problem = Problem::new(problem_type::TIMED_OUT, detail).retry_after(5);
        self.refuse(problem.caused_by("a part that it needs does not answer"))
    }

    /// The response for a request that the host refuses to read, which is logged like any other.
    #[must_use]
    pub fn refuse(&self, problem: Problem) -> Response<Bytes> {
        exchange::refuse(&self.platform, problem)
    }

    /// Whether a route has this path.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        self.router.has_path(path)
    }

    /// Whether there is work for [`run_pending_work`](Self::run_pending_work).
    #[must_use]
    pub fn has_pending_work(&self) -> bool {
        let Platform {
            responses,
            document_cache,
            ..
        } = &*self.platform;
        self.platform.has_pending()
            || self.platform.limiter.has_pending()
            || self.platform.gate.is_stale()
            || responses.as_ref().is_some_and(|responses| responses.has_refreshes())
            || document_cache.as_ref().is_some_and(|cache| cache.has_pending())
    }

    /// Work after the response: sends committed events and messages to the queue, refreshes stale responses, gives back what
    /// limits did not need, and puts documents into the document cache. The sweeper or a later request repeats what fails.
    pub async fn run_pending_work(&self) {
        if let Err(error) = self.platform.flush_outbox().await {
            tracing::warn!(%error, "events stay in the outbox");
        }
        if let Some(responses) = &self.platform.responses {
            let refresh = async |key: &str| exchange::refresh(&self.router, &self.platform, key).await;
            responses.run_refreshes(refresh).await;
        }
        if self.platform.gate.is_stale() {
            self.platform.read_gate().await;
        }
        self.platform.limiter.settle().await;
        if let Some(cache) = &self.platform.document_cache {
            cache.flush().await;
        }
    }

    /// The last work of a process that stops: what it has borrowed from limits is given back.
    pub async fn close(&self) {
        self.platform.limiter.close().await;
    }

    /// Queues the paths to prefetch.
    pub fn warm(&self) {
        if let Some(responses) = &self.platform.responses {
            responses.warm();
        }
    }

    /// Processes delivered messages; returns one outcome per delivery, in their order.
    pub async fn work(&self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        let outcomes = jobs::work(&self.platform, &self.jobs, deliveries).await;
        self.run_pending_work().await;
        outcomes
    }

    /// Stores dead letters for the deliveries of the queue's own dead-letter queue.
    pub async fn dead_letter(&self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        jobs::dead_letter(&self.platform, deliveries).await
    }

    /// Runs the schedules that are due. Call it every minute.
    pub async fn tick(&self) {
        match self.platform.note_format().await {
            Err(error @ FormatError::Newer(_)) => {
                tracing::error!(%error, "no schedule is run");
                return;
            }
            Err(FormatError::Store(error)) => tracing::warn!(%error, "the version of the store is not known"),
            Ok(()) => {}
        }
        jobs::tick(&self.platform, &self.schedules).await;
        self.run_pending_work().await;
    }
}
