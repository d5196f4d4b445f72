//! The queue consumers of the local host: one thread that flushes the outbox, processes the lanes and runs the
//! schedules.
//!
//! Each lane has its own consumer, so a lane full of slow work does not delay the others. Their shares of the thread
//! follow from their batch sizes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use indicatif::ProgressBar;
use souk_core::Lane;
use souk_core::queue::{Outcome, QueueError};
use souk_kit::{App, Platform};
use souk_sqlite::{Leased, SqliteQueue};
use tokio::sync::{Notify, watch};

use crate::data::Market;

/// How long a batch may take before its messages are delivered again.
const LEASE_SECONDS: u32 = 300;
/// How often a lane is polled: for messages whose delay ends, and for those that another process sends.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often schedules are checked.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

/// How many batches of a lane run concurrently. Outbound calls wait for responses most of the time, and must not wait
/// for each other.
fn concurrency(lane: Lane) -> usize {
    match lane {
        Lane::Notifications => 256,
        Lane::High | Lane::Default | Lane::Low => 1,
    }
}

/// The batch size of a lane.
fn batch_size(lane: Lane) -> usize {
    match lane {
        Lane::High | Lane::Default => 100,
        Lane::Notifications => 1,
        Lane::Low => 40,
    }
}

/// The thread of the consumers.
pub(crate) struct Consumers {
    pending_work: Arc<Notify>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Consumers {
    /// Starts the thread, which first sends what a crash has left in the outbox.
    pub(crate) fn start(app: Arc<App>, platform: Arc<Platform>, queue: Arc<SqliteQueue>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let pending_work = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let notified = pending_work.clone();
        let run = move || {
            let consume = || runtime.block_on(consume_all(&app, &platform, &queue, &notified, &stopped));
            // After a panic, running messages are delivered again when their leases end.
            while !*stopped.borrow() && catch_unwind(AssertUnwindSafe(consume)).is_err() {
                tracing::error!("the job consumers panicked and start again");
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        let thread = std::thread::Builder::new()
            .name("jobs".into())
            .spawn(run)
            .map_err(|e| e.to_string())?;
        Ok(Self {
            pending_work,
            stop,
            thread,
        })
    }

    /// To be notified when a request has left pending work.
    pub(crate) fn pending_work(&self) -> Arc<Notify> {
        self.pending_work.clone()
    }

    /// Stops the thread after the running batches.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn consume_all(
    app: &App,
    platform: &Arc<Platform>,
    queue: &SqliteQueue,
    pending_work: &Notify,
    stop: &watch::Receiver<bool>,
) {
    if let Err(error) = queue.release_leases().await {
        tracing::error!(%error, "the queue does not answer");
    }
    // Flush what this process has committed before the sweep, so that the sweep does not send it a second time.
    app.run_pending_work().await;
    if let Err(error) = platform.sweep(0).await {
        tracing::error!(%error, "the outbox could not be swept");
    }
    let pending = async {
        let mut stop = stop.clone();
        while !*stop.borrow() {
            tokio::select! {
                () = pending_work.notified() => app.run_pending_work().await,
                _ = stop.changed() => app.run_pending_work().await,
            }
        }
    };
    let ticks = async {
        let mut stop = stop.clone();
        while !*stop.borrow() {
            if let Err(error) = queue.mend_due().await {
                tracing::error!(%error, "the queue does not answer");
            }
            if let Err(error) = queue.shrink().await {
                tracing::warn!(%error, "the queue's file keeps its size for now");
            }
            app.tick().await;
            tokio::select! {
                () = pause(TICK_INTERVAL) => {}
                _ = stop.changed() => {}
            }
        }
    };
    let consumers = join_all(Lane::ALL.map(|lane| consume(app, queue, lane, stop.clone())));
    tokio::join!(pending, ticks, consumers);
}

/// Processes one lane.
async fn consume(app: &App, queue: &SqliteQueue, lane: Lane, mut stop: watch::Receiver<bool>) {
    let mut running = FuturesUnordered::new();
    while !*stop.borrow() {
        let free = concurrency(lane).saturating_sub(running.len());
        if free > 0 {
            let found = queue.receive(lane, free * batch_size(lane), LEASE_SECONDS).await;
            let mut leased = found
                .unwrap_or_else(|error| or_default(&error, lane))
                .into_iter()
                .peekable();
            if leased.peek().is_some() {
                while leased.peek().is_some() {
                    running.push(work_off(app, queue, leased.by_ref().take(batch_size(lane)).collect()));
                }
                continue;
            }
        }
        let done = tokio::select! {
            Some(done) = running.next() => done,
            () = queue.message_sent(lane), if free > 0 => Ok(()),
            () = pause(POLL_INTERVAL), if free > 0 => Ok(()),
            _ = stop.changed() => Ok(()),
        };
        done.unwrap_or_else(|error| or_default(&error, lane));
    }
    while let Some(done) = running.next().await {
        done.unwrap_or_else(|error| or_default(&error, lane));
    }
}

/// Logs the failure. Messages that were received are delivered again when their leases end.
fn or_default<T: Default>(error: &QueueError, lane: Lane) -> T {
    tracing::error!(%error, lane = lane.name(), "the queue does not answer");
    T::default()
}

/// Receives and processes one batch; returns the number of messages.
async fn work_once(app: &App, queue: &SqliteQueue, lane: Lane) -> Result<usize, QueueError> {
    let leased = queue.receive(lane, batch_size(lane), LEASE_SECONDS).await?;
    let count = leased.len();
    work_off(app, queue, leased).await?;
    Ok(count)
}

/// Processes received messages.
async fn work_off(app: &App, queue: &SqliteQueue, leased: Vec<Leased>) -> Result<(), QueueError> {
    if leased.is_empty() {
        return Ok(());
    }
    let deliveries = leased.iter().map(|leased| leased.delivery.clone()).collect();
    let outcomes = app.work(deliveries).await;
    let settled: Vec<(_, Outcome)> = leased.into_iter().zip(outcomes).collect();
    queue.settle(&settled).await
}

/// Processes the messages that are due, after a command that has changed data without a server. Notifications wait for
/// the server, whose settings determine which systems may be called.
pub(crate) async fn finish(market: &Market, bar: ProgressBar) -> Result<(), String> {
    let app = App::new(market.platform.clone(), souk_market::functions());
    app.run_pending_work().await;
    market.platform.sweep(0).await.map_err(|e| e.to_string())?;
    loop {
        let mut done = 0;
        for lane in [Lane::High, Lane::Default, Lane::Low] {
            done += work_once(&app, &market.queue, lane).await.map_err(|e| e.to_string())?;
        }
        bar.inc(u64::try_from(done).unwrap_or(0));
        if done == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the local host owns its timers")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use souk_core::queue::Payload;
    use souk_core::{Key, Message, Queue as _};
    use souk_kit::Function;
    use souk_kit::jobs::{Job, JobOutput, JobTransaction};

    use super::*;
    use crate::data;

    macro_rules! payload {
        ($name:ident, $job:literal, $lane:ident) => {
            #[derive(Serialize, Deserialize)]
            struct $name;
            impl Payload for $name {
                const JOB: &'static str = $job;
                const LANE: Lane = Lane::$lane;
            }
        };
    }
    payload!(Low, "test.low", Low);
    payload!(High, "test.high", High);
    payload!(Slow, "test.slow", Notifications);
    payload!(Fast, "test.fast", Notifications);

    /// A job that reads from the store and counts how often it was done.
    fn counting<P: Payload + Send + 'static>(done: &Arc<AtomicUsize>) -> Job {
        let done = done.clone();
        Job::single("", move |tx: JobTransaction, _: P, _: Message| {
            let done = done.clone();
            async move {
                tx.get(Key::of("ping", "ping")).await?;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(JobOutput::default())
            }
        })
    }

    async fn send<P: Payload>(market: &Market, _: P, count: usize) {
        let message = || market.platform.message(P::JOB, P::LANE, Value::Null, None);
        market
            .platform
            .send((0..count).map(|_| message()).collect())
            .await
            .unwrap();
    }

    fn app(market: &Market, jobs: Vec<Job>) -> App {
        let function = Function {
            jobs,
            ..Function::default()
        };
        App::new(market.platform.clone(), [function])
    }

    /// Messages in `low` delay one in `high` by a few batches at most, however many there are.
    #[tokio::test]
    async fn a_full_lane_delays_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let market = data::open(dir.path()).unwrap();
        let (low, high) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let app = app(&market, vec![counting::<Low>(&low), counting::<High>(&high)]);
        for _ in 0..10 {
            send(&market, Low, 100).await;
        }
        let (stop, stopped) = watch::channel(false);
        let notify = Notify::new();
        let requests = async {
            let mut delays = Vec::new();
            for turn in 1..=20 {
                // As many as the consumers process in the meantime, so that the lane stays full.
                send(&market, Low, 100).await;
                // At an arbitrary point within a batch.
                let begun = low.load(Ordering::SeqCst);
                while low.load(Ordering::SeqCst) < begun + 17 {
                    tokio::task::yield_now().await;
                }
                send(&market, High, 1).await;
                let before = low.load(Ordering::SeqCst);
                while high.load(Ordering::SeqCst) < turn {
                    tokio::task::yield_now().await;
                }
                delays.push(low.load(Ordering::SeqCst) - before);
            }
            let _ = stop.send(true);
            delays
        };
        let consumers = consume_all(&app, &market.platform, &market.queue, &notify, &stopped);
        let ((), delays) = tokio::join!(consumers, requests);
        assert!(low.load(Ordering::SeqCst) < 3000, "the lane was empty");
        // The running batch, and on a busy machine one or two that begin before the other consumer has looked; of a thousand.
        let most = delays.iter().max().unwrap();
        assert!(
            *most <= 3 * batch_size(Lane::Low),
            "messages done before one of high: {delays:?}"
        );
    }

    /// Jobs that wait without end leave room for others, and are waited for when the consumers stop.
    #[tokio::test]
    async fn jobs_that_wait_delay_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let market = data::open(dir.path()).unwrap();
        let (gate, done) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let opened = gate.clone();
        let slow = Job::single("", move |_: JobTransaction, _: Slow, _: Message| {
            let gate = opened.clone();
            async move {
                drop(gate.acquire().await);
                Ok(JobOutput::default())
            }
        });
        let app = app(&market, vec![slow, counting::<Fast>(&done)]);
        let waiting = concurrency(Lane::Notifications) - 1;
        send(&market, Slow, waiting).await;
        let (stop, stopped) = watch::channel(false);
        let notify = Notify::new();
        let requests = async {
            for turn in 1..=50 {
                send(&market, Fast, 1).await;
                while done.load(Ordering::SeqCst) < turn {
                    tokio::task::yield_now().await;
                }
            }
            let _ = stop.send(true);
            gate.add_permits(waiting);
        };
        let consumers = consume_all(&app, &market.platform, &market.queue, &notify, &stopped);
        tokio::join!(consumers, requests);
        let left = market.queue.backlog(Lane::Notifications).await.unwrap();
        assert_eq!((left.ready, left.delayed), (Some(0), Some(0)));
    }

    /// The messages of an account that floods a lane come after those of others, also of those that come later.
    #[tokio::test]
    async fn lanes_serve_accounts_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let market = data::open(dir.path()).unwrap();
        let message = |account: &str, n: usize| Message {
            account: Some(account.to_owned()),
            ..market.platform.message("test", Lane::Default, Value::from(n), None)
        };
        let flood: Vec<Message> = (0..1_000).map(|n| message("acc_flood", n)).collect();
        market.platform.send(flood).await.unwrap();
        for account in ["acc_a", "acc_b", "acc_c"] {
            market
                .platform
                .send((0..3).map(|n| message(account, n)).collect())
                .await
                .unwrap();
        }
        let first = market.queue.receive(Lane::Default, 100, 60).await.unwrap();
        let of_others = first
            .iter()
            .filter(|leased| leased.delivery.message.account.as_deref() != Some("acc_flood"));
        assert_eq!((of_others.count(), first.len()), (9, 100));
        // Nothing is idle for that, and nothing is left behind.
        let rest = market.queue.receive(Lane::Default, 1_000, 60).await.unwrap();
        assert_eq!(rest.len(), 909);
    }
}
