//! Sheds load: while requests wait for longer than [`MAX_WAIT`] until they are begun, those that come are refused at once, so
//! that the ones that are served are served in time.
//!
//! How long they wait is measured by a byte that takes the same way as they do: the request that is begun writes it to a
//! socket, and a task reads it from the other end once it has had its turn among all the connections.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use souk_kit::App;
use souk_kit::http::Problem;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

/// How long a request may wait before it is begun, in microseconds.
const MAX_WAIT: u64 = 200_000;
/// How often the wait is measured, in microseconds.
const INTERVAL: u64 = 10_000;
/// How often refused requests are logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The time that requests wait. Moments are in microseconds since `started`.
pub(crate) struct Overload {
    started: Instant,
    probe: UnixStream,
    /// When the byte was written, and whether it has not been read yet.
    sent_at: AtomicU64,
    is_sent: AtomicBool,
    /// How long the last one waited.
    last_wait: AtomicU64,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    count: u64,
    since: Option<Instant>,
    /// The response, made anew after each report.
    response: Option<Response<Bytes>>,
}

impl Overload {
    /// The measurement, and the task that it needs.
    pub(crate) fn new() -> io::Result<(Arc<Self>, impl Future<Output = ()>)> {
        let (probe, end) = UnixStream::pair()?;
        probe.set_nonblocking(true)?;
        end.set_nonblocking(true)?;
        let mut end = tokio::net::UnixStream::from_std(end)?;
        let overload = Arc::new(Self {
            started: Instant::now(),
            probe,
            sent_at: AtomicU64::default(),
            is_sent: AtomicBool::default(),
            last_wait: AtomicU64::default(),
            refusals: Mutex::default(),
        });
        let measured = overload.clone();
        let task = async move {
            while end.read_u8().await.is_ok() {
                let wait = measured.now().saturating_sub(measured.sent_at.load(Ordering::Acquire));
                measured.last_wait.store(wait, Ordering::Relaxed);
                measured.is_sent.store(false, Ordering::Release);
            }
        };
        Ok((overload, task))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether requests wait too long, and the next measurement if it is time.
    fn is_late(&self) -> bool {
        let now = self.now();
        let age = now.saturating_sub(self.sent_at.load(Ordering::Acquire));
        let is_sent = self.is_sent.load(Ordering::Acquire);
        if !is_sent && age > INTERVAL && !self.is_sent.swap(true, Ordering::AcqRel) {
            self.sent_at.store(now, Ordering::Release);
            if (&self.probe).write(&[0]).is_err() {
                self.is_sent.store(false, Ordering::Release);
            }
        }
        let last = self.last_wait.load(Ordering::Relaxed);
        // After a rest the last one tells nothing.
        let is_recent = age < last.saturating_add(20 * INTERVAL);
        (is_sent && age > MAX_WAIT) || (is_recent && last > MAX_WAIT)
    }

    /// The response for a request that comes while others wait too long.
    pub(crate) fn refuse(&self, app: &App) -> Option<Response<Bytes>> {
        if !self.is_late() {
            return None;
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.count = refusals.count.saturating_add(1);
        if refusals.since.is_none_or(|since| since.elapsed() > REPORT_INTERVAL) {
            let refused = refusals.count;
            tracing::warn!(refused, "requests are refused because the server is overloaded");
            *refusals = Refusals {
                since: Some(Instant::now()),
                ..Refusals::default()
            };
        }
        let response = refusals.response.get_or_insert_with(|| {
            let detail = "the server is overloaded; please try again in a moment";
            let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
            problem.retry_after = Some(1);
            app.refuse(problem)
        });
        Some(response.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the clock is the test's")]
    async fn a_wait_is_noticed_and_forgotten() {
        let micros = |n: u64| Duration::from_micros(n);
        let (overload, task) = Overload::new().unwrap();
        let advance = async |n: u64| {
            tokio::time::advance(micros(n)).await;
            overload.is_late()
        };
        // The byte is written, and the task has not had its turn.
        assert!(!advance(2 * INTERVAL).await);
        assert!(!advance(MAX_WAIT).await);
        assert!(advance(1).await);
        // It has now, and its wait counts until it is measured anew.
        tokio::spawn(task);
        while overload.is_sent.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(overload.last_wait.load(Ordering::Relaxed), MAX_WAIT + 1);
        assert!(overload.is_late());
        while overload.is_sent.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert!(!advance(INTERVAL).await);
    }
}
