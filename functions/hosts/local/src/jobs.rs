//! The consuming side of the local host: one thread that relays events, works off the lanes and runs the schedules.
//!
//! Each lane is consumed by itself, so a lane full of slow work holds up no other. Their shares of the thread follow from
//! the size of their batches.

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
use crate::functions;

/// How long a batch may take before its messages are delivered again.
const LEASE_SECONDS: u32 = 300;
/// How often a lane is looked at when nothing was sent to it: for what is delayed, and for what another process sends.
const LOOK: Duration = Duration::from_millis(500);
/// How often schedules are looked at.
const TICK: Duration = Duration::from_secs(60);

/// How many batches of a lane are under way at once. Those who call others wait for answers most of the time, and none
/// should wait for another's.
fn at_once(lane: Lane) -> usize {
    match lane {
        Lane::Notifications => 64,
        Lane::High | Lane::Default | Lane::Low => 1,
    }
}

/// How many messages of a lane are a batch.
fn batch(lane: Lane) -> usize {
    match lane {
        Lane::High | Lane::Default => 100,
        Lane::Notifications => 1,
        Lane::Low => 40,
    }
}

/// The thread.
pub(crate) struct Consumers {
    news: Arc<Notify>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Consumers {
    /// Starts it; what a crash has left behind comes first.
    pub(crate) fn start(app: Arc<App>, platform: Arc<Platform>, queue: Arc<SqliteQueue>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let news = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let noticed = news.clone();
        let run = move || {
            let consume = || runtime.block_on(consume_all(&app, &platform, &queue, &noticed, &stopped));
            // A panic costs what is under way: it comes again when its leases end.
            while !*stopped.borrow() && catch_unwind(AssertUnwindSafe(consume)).is_err() {
                tracing::error!("the work in the background has failed; it begins anew");
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        let thread = std::thread::Builder::new()
            .name("jobs".into())
            .spawn(run)
            .map_err(|e| e.to_string())?;
        Ok(Self { news, stop, thread })
    }

    /// To be notified when a request has left something to relay.
    pub(crate) fn news(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Ends it after what is under way.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn consume_all(
    app: &App,
    platform: &Arc<Platform>,
    queue: &SqliteQueue,
    news: &Notify,
    stop: &watch::Receiver<bool>,
) {
    if let Err(error) = queue.release().await {
        tracing::error!(%error, "the queue does not answer");
    }
    // First what this process has committed itself, so that the sweep does not send it a second time.
    app.relay().await;
    if let Err(error) = platform.sweep(0).await {
        tracing::error!(%error, "the outbox could not be swept");
    }
    let relay = async {
        let mut stop = stop.clone();
        while !*stop.borrow() {
            tokio::select! {
                () = news.notified() => app.relay().await,
                _ = stop.changed() => app.relay().await,
            }
        }
    };
    let ticks = async {
        let mut stop = stop.clone();
        while !*stop.borrow() {
            app.tick().await;
            tokio::select! {
                () = pause(TICK) => {}
                _ = stop.changed() => {}
            }
        }
    };
    let consumers = join_all(Lane::ALL.map(|lane| consume(app, queue, lane, stop.clone())));
    tokio::join!(relay, ticks, consumers);
}

/// Works off one lane.
async fn consume(app: &App, queue: &SqliteQueue, lane: Lane, mut stop: watch::Receiver<bool>) {
    let mut running = FuturesUnordered::new();
    while !*stop.borrow() {
        let free = at_once(lane).saturating_sub(running.len());
        if free > 0 {
            let found = queue.receive(lane, free * batch(lane), LEASE_SECONDS).await;
            let mut leased = found
                .unwrap_or_else(|error| not_there(&error, lane))
                .into_iter()
                .peekable();
            if leased.peek().is_some() {
                while leased.peek().is_some() {
                    running.push(work_off(app, queue, leased.by_ref().take(batch(lane)).collect()));
                }
                continue;
            }
        }
        let done = tokio::select! {
            Some(done) = running.next() => done,
            () = queue.news(lane), if free > 0 => Ok(()),
            () = pause(LOOK), if free > 0 => Ok(()),
            _ = stop.changed() => Ok(()),
        };
        done.unwrap_or_else(|error| not_there(&error, lane));
    }
    while let Some(done) = running.next().await {
        done.unwrap_or_else(|error| not_there(&error, lane));
    }
}

/// A failure costs a look: what was taken comes back when its lease ends.
fn not_there<T: Default>(error: &QueueError, lane: Lane) -> T {
    tracing::error!(%error, lane = lane.name(), "the queue does not answer");
    T::default()
}

/// Takes one batch and works it off; says how many messages that was.
async fn work_once(app: &App, queue: &SqliteQueue, lane: Lane) -> Result<usize, QueueError> {
    let leased = queue.receive(lane, batch(lane), LEASE_SECONDS).await?;
    let count = leased.len();
    work_off(app, queue, leased).await?;
    Ok(count)
}

/// Works off what was taken.
async fn work_off(app: &App, queue: &SqliteQueue, leased: Vec<Leased>) -> Result<(), QueueError> {
    if leased.is_empty() {
        return Ok(());
    }
    let deliveries = leased.iter().map(|leased| leased.delivery.clone()).collect();
    let outcomes = app.work(deliveries).await;
    let settled: Vec<(_, Outcome)> = leased.into_iter().zip(outcomes).collect();
    queue.settle(&settled).await
}

/// Works off what is due now, after a command that has changed the market without a server. What goes to others waits
/// for the server, which knows whom it may call.
pub(crate) async fn finish(market: &Market, bar: ProgressBar) -> Result<(), String> {
    let app = App::new(market.platform.clone(), functions());
    app.relay().await;
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

    use souk_core::documents::get_one;
    use souk_core::{Key, Message, Queue as _};
    use souk_kit::Function;
    use souk_kit::work::{Effects, Job};

    use super::*;
    use crate::data;

    /// A job that looks at the store and counts how often it was done.
    fn counting(name: &'static str, done: &Arc<AtomicUsize>) -> Job {
        let done = done.clone();
        Job::each(name, "", move |platform: Arc<Platform>, _: Message| {
            let done = done.clone();
            async move {
                get_one(&*platform.documents, Key::of("ping", "ping")).await?;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(Effects::default())
            }
        })
    }

    /// A thousand that wait in `low` hold up one in `high` by no more than a batch.
    #[tokio::test]
    async fn a_full_lane_holds_up_no_other() {
        let folder = std::env::temp_dir().join(format!("souk-lanes-{}", std::process::id()));
        let Market { platform, queue } = data::open(&folder).unwrap();
        let (low, high) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let app = App::new(
            platform.clone(),
            [Function {
                jobs: vec![counting("test.low", &low), counting("test.high", &high)],
                ..Function::new("test", "", Vec::new())
            }],
        );
        let message = |job, lane| platform.message(job, lane, serde_json::json!({}), None);
        for _ in 0..10 {
            let some: Vec<Message> = (0..100).map(|_| message("test.low", Lane::Low)).collect();
            platform.send(some).await.unwrap();
        }
        let (stop, stopped) = watch::channel(false);
        let news = Notify::new();
        let ask = async {
            let mut passed = Vec::new();
            for turn in 1..=20 {
                // As many as a turn can take: the lane stays full.
                let more: Vec<Message> = (0..100).map(|_| message("test.low", Lane::Low)).collect();
                platform.send(more).await.unwrap();
                // Somewhere in the middle of things.
                let begun = low.load(Ordering::SeqCst);
                while low.load(Ordering::SeqCst) < begun + 17 {
                    tokio::task::yield_now().await;
                }
                platform.send(vec![message("test.high", Lane::High)]).await.unwrap();
                // From when it waits.
                let before = low.load(Ordering::SeqCst);
                while high.load(Ordering::SeqCst) < turn {
                    tokio::task::yield_now().await;
                }
                passed.push(low.load(Ordering::SeqCst) - before);
            }
            let _ = stop.send(true);
            passed
        };
        let ((), passed) = tokio::join!(consume_all(&app, &platform, &queue, &news, &stopped), ask);
        println!("messages of low that were done before one of high: {passed:?}");
        assert!(low.load(Ordering::SeqCst) < 3000, "nothing was waiting any more");
        // The batch that is under way, and the beginning of the next.
        let most = passed.into_iter().max().unwrap();
        assert!(most < 2 * batch(Lane::Low), "{most} were done first");
        drop((app, platform, queue));
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What waits for others without end leaves room for the rest, and is waited for at the end.
    #[tokio::test]
    async fn who_waits_holds_up_nobody() {
        let folder = std::env::temp_dir().join(format!("souk-waits-{}", std::process::id()));
        let Market { platform, queue } = data::open(&folder).unwrap();
        let (gate, done) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let opened = gate.clone();
        let slow = Job::each("test.slow", "", move |_: Arc<Platform>, _: Message| {
            let gate = opened.clone();
            async move {
                drop(gate.acquire().await);
                Ok(Effects::default())
            }
        });
        let jobs = vec![slow, counting("test.fast", &done)];
        let function = Function {
            jobs,
            ..Function::new("test", "", Vec::new())
        };
        let app = App::new(platform.clone(), [function]);
        let message = |job| platform.message(job, Lane::Notifications, serde_json::json!({}), None);
        let waiting = at_once(Lane::Notifications) - 1;
        let messages = (0..waiting).map(|_| message("test.slow")).collect();
        platform.send(messages).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let news = Notify::new();
        let ask = async {
            for turn in 1..=50 {
                platform.send(vec![message("test.fast")]).await.unwrap();
                while done.load(Ordering::SeqCst) < turn {
                    tokio::task::yield_now().await;
                }
            }
            let _ = stop.send(true);
            gate.add_permits(waiting);
        };
        tokio::join!(consume_all(&app, &platform, &queue, &news, &stopped), ask);
        let left = queue.backlog(Lane::Notifications).await.unwrap();
        assert_eq!((left.ready, left.delayed), (Some(0), Some(0)));
        drop((app, platform, queue));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
