//! Sheds load: while requests wait for longer than [`MAX_WAIT`] until they are begun, those that come are refused at once, so
//! that the ones that are served are served in time.
//!
//! How long they wait is measured by a byte that takes the same way as they do: the request that is begun writes it to a
//! socket, and a task reads it from the other end once it has had its turn among all the connections.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use souk_kit::App;
use souk_kit::http::{Problem, problem_type};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

/// How long a request may wait before it is begun, in microseconds.
const MAX_WAIT: u64 = 200_000;
/// How often the wait is measured, in microseconds.
const INTERVAL: u64 = 10_000;
/// For how long a measurement counts.
const REST: u64 = 20 * INTERVAL;
/// How often refused requests are logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The time that requests wait. Moments are in microseconds since `started`.
pub(crate) struct Overload {
    started: Instant,
    probe: UnixStream,
    /// When the byte was written that has not been read yet; 0 if there is none.
    sent_at: AtomicU64,
    /// When the last one was read, and how long it had waited.
    read_at: AtomicU64,
    last_wait: AtomicU64,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    count: u64,
    since: Option<Instant>,
    /// The response to refused requests. All requests that are refused between two log lines get the same one, with the same
    /// request id.
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
            read_at: AtomicU64::default(),
            last_wait: AtomicU64::default(),
            refusals: Mutex::default(),
        });
        let measured = overload.clone();
        let task = async move {
            while end.read_u8().await.is_ok() {
                let now = measured.now();
                let wait = now.saturating_sub(measured.sent_at.load(Ordering::Acquire));
                measured.last_wait.store(wait, Ordering::Relaxed);
                measured.read_at.store(now, Ordering::Relaxed);
                measured.sent_at.store(0, Ordering::Release);
            }
        };
        Ok((overload, task))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether requests wait too long, and the next measurement if it is time.
    fn is_late(&self) -> bool {
        let now = self.now().max(1);
        let sent_at = self.sent_at.load(Ordering::Acquire);
        let since_last = now.saturating_sub(self.read_at.load(Ordering::Relaxed));
        if sent_at == 0 {
            let claim = || {
                self.sent_at
                    .compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed)
            };
            if since_last > INTERVAL && claim().is_ok() && (&self.probe).write(&[0]).is_err() {
                self.sent_at.store(0, Ordering::Release);
            }
        } else if now.saturating_sub(sent_at) > MAX_WAIT {
            return true;
        }
        // After a rest the last one tells nothing.
        since_last < REST && self.last_wait.load(Ordering::Relaxed) > MAX_WAIT
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
            app.refuse(Problem::new(problem_type::OVERLOADED, detail).retry_after(1))
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
        // Now the task has read it. The wait counts until the next measurement.
        let is_sent = || overload.sent_at.load(Ordering::Acquire) != 0;
        tokio::spawn(task);
        while is_sent() {
            tokio::task::yield_now().await;
        }
        assert_eq!(overload.last_wait.load(Ordering::Relaxed), MAX_WAIT + 1);
        assert!(overload.is_late());
        assert!(advance(2 * INTERVAL).await);
        while is_sent() {
            tokio::task::yield_now().await;
        }
        assert!(!overload.is_late());
        // After a rest nobody is late, not even if the byte is still to be read.
        assert!(!advance(100 * MAX_WAIT).await);
        assert!(!overload.is_late());
    }
}
