//! Sheds load: once requests have waited for longer than [`MAX_WAIT`] until they were begun, each turn of the event loop serves
//! requests for [`SHARE`] only and refuses the others, for some seconds. So those that are served are served in time, and
//! those that are refused hear of it soon.
//!
//! How long a turn takes is measured by a byte that takes the same way as the requests do: the first request that is begun
//! writes it to a socket, and a task reads it from the other end once it has had its turn among all the connections.

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
/// For how long each turn serves requests while the server sheds load, in microseconds.
const SHARE: u64 = 25_000;
/// For how long the server sheds load before it waits for [`MAX_WAIT`] again, in microseconds: a server that has recovered
/// refuses nobody because its turns are a little longer than [`SHARE`].
const SHEDDING: u64 = 5_000_000;
/// The least time from one measurement to the next, in microseconds.
const INTERVAL: u64 = 2_000;
/// How often refused requests are logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The length of turns. Moments are in microseconds since `started`.
pub(crate) struct Overload {
    started: Instant,
    probe: UnixStream,
    /// When the byte was written that has not been read yet; 0 if there is none.
    sent_at: AtomicU64,
    /// When the last one was read.
    read_at: AtomicU64,
    /// Until when the server sheds load.
    sheds_until: AtomicU64,
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
            sheds_until: AtomicU64::default(),
            refusals: Mutex::default(),
        });
        let measured = overload.clone();
        let task = async move {
            while end.read_u8().await.is_ok() {
                measured.read_at.store(measured.now(), Ordering::Relaxed);
                measured.sent_at.store(0, Ordering::Release);
            }
        };
        Ok((overload, task))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether this turn has served requests for long enough; begins to measure the next one if it is time.
    fn is_late(&self) -> bool {
        let now = self.now().max(1);
        let sent_at = self.sent_at.load(Ordering::Acquire);
        if sent_at == 0 {
            let is_due = now.saturating_sub(self.read_at.load(Ordering::Relaxed)) >= INTERVAL;
            let claim = || {
                self.sent_at
                    .compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed)
            };
            if is_due && claim().is_ok() && (&self.probe).write(&[0]).is_err() {
                self.sent_at.store(0, Ordering::Release);
            }
            return false;
        }
        let elapsed = now.saturating_sub(sent_at);
        if elapsed > MAX_WAIT {
            self.sheds_until.store(now.saturating_add(SHEDDING), Ordering::Relaxed);
        }
        elapsed > MAX_WAIT || (elapsed > SHARE && now < self.sheds_until.load(Ordering::Relaxed))
    }

    /// The response for a request that the turn has no time for.
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
    async fn a_long_turn_shortens_the_next_ones_for_a_while() {
        let (overload, task) = Overload::new().unwrap();
        let advance = async |n: u64| {
            tokio::time::advance(Duration::from_micros(n)).await;
            overload.is_late()
        };
        let is_sent = || overload.sent_at.load(Ordering::Acquire) != 0;
        // The byte is written, and the task has not had its turn.
        assert!(!advance(INTERVAL).await);
        assert!(is_sent());
        assert!(!advance(MAX_WAIT).await);
        assert!(advance(1).await);
        let mut task = std::pin::pin!(task);
        let mut turn = async || {
            let has_ended = async {
                while is_sent() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = &mut task => {}
                () = has_ended => {}
            }
        };
        // The turn ends, and the next one serves for its share.
        turn().await;
        assert!(!advance(INTERVAL).await);
        assert!(!advance(SHARE).await);
        assert!(advance(1).await);
        turn().await;
        // After a while without too long a turn, a turn may be as long as before.
        assert!(!advance(SHEDDING).await);
        assert!(!advance(SHARE + 1).await);
        assert!(!advance(MAX_WAIT - SHARE - 1).await);
        assert!(advance(1).await);
    }
}
