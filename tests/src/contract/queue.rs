//! The contract of the `Queue` port and of what delivers from it.
//!
//! A message says itself what its consumer shall do with it, so that a host that is pushed to is tested like one that
//! pulls: it is for the job `test`, and at its n-th delivery the consumer obeys the n-th word of
//! `{"script": ["again", "die", "done"]}`, the last one for ever. [`act`] reads it. What has happened then comes back as
//! [`Seen`].
//!
//! [`queue_contract!`](crate::queue_contract) turns the cases into tests of one adapter. They take turns: the lanes of a
//! server are shared, and whoever drains one gets whatever is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::{Attempt, Backlog, Delivery, MAX_MESSAGE, Outcome, QueueError};
use souk_core::{Lane, Message, Queue, Timestamp};

use super::bench;

/// How long a case waits for what must come. A lease of the adapter under test is a few seconds at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a case waits for what must not come: longer than a lease and than any delay given back.
const GRACE: Duration = Duration::from_millis(2500);
/// How early a delayed message may come, in milliseconds: the runner does not mind a second.
const EARLY: i64 = 1_000;

/// A delivery that a consumer was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// What was delivered.
    pub delivery: Delivery,
    /// When, in milliseconds since 1970 by the clock of this machine.
    pub at: i64,
}

/// An adapter under test with the consumer that goes with it.
#[async_trait]
pub trait QueueBench: Send + Sync {
    /// The sending side.
    fn queue(&self) -> &dyn Queue;

    /// What was delivered from `lane` since the last call, in its order. Who pulls, receives a batch or two here and does
    /// with them as they say; who is pushed to, reads what its consumer has noted. May be nothing: it is called again. It
    /// answers within a few seconds. Several may be under way at once.
    async fn drain(&self, lane: Lane) -> Vec<Seen>;
}

/// An adapter that was opened, or what it lacks.
pub enum Made {
    /// The adapter.
    Ready(Box<dyn QueueBench>),
    /// It cannot be tested here: what the reader should do first.
    Missing(&'static str),
}

/// What the consumer shall do with a delivery; `None` is to give no answer, as if it had died.
pub fn act(delivery: &Delivery) -> Option<Outcome> {
    let script = delivery.message.body["script"].as_array().unwrap();
    let turn = usize::try_from(delivery.deliveries).unwrap().clamp(1, script.len()) - 1;
    match script[turn].as_str().unwrap() {
        "done" => Some(Outcome::Done),
        "again" => Some(Outcome::Retry(1)),
        "die" => None,
        other => panic!("no script says {other}"),
    }
}

/// The present moment of this machine, in milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// An adapter, and names that no other case uses.
pub struct Trial {
    bench: Box<dyn QueueBench>,
    prefix: String,
}

/// Runs one case against what `make` opens, alone among those that share `turn`.
pub fn run(make: impl AsyncFnOnce() -> Made, turn: &tokio::sync::Mutex<()>, case: impl AsyncFnOnce(&Trial)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _turn = turn.lock().await;
        match make().await {
            Made::Ready(bench) => {
                let prefix = bench::unique();
                case(&Trial { bench, prefix }).await;
            }
            Made::Missing(set) => bench::missing(set),
        }
    });
}

impl Trial {
    /// A message of this case that is worked by `script`, `filler` for its size.
    fn message(&self, name: impl ToString, lane: Lane, script: &[&str], filler: &str) -> Message {
        let at = |millis| Timestamp::from_millisecond(now() + millis).unwrap();
        Message {
            id: format!("{}.{}", self.prefix, name.to_string()),
            job: "test".into(),
            lane,
            body: json!({ "script": script, "filler": filler }),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            created_at: at(0),
            not_before: None,
            delayed_at: None,
            expires_at: Some(at(3_600_000)),
            attempts: vec![Attempt {
                failed_at: at(-1000),
                error: "übel: \"nein\"\n\u{1f4a5}".into(),
            }],
            tracked: false,
            account: None,
            tenant: souk_core::Tenant::main(),
            seal: None,
        }
    }

    fn done(&self, name: impl ToString, lane: Lane) -> Message {
        self.message(name, lane, &["done"], "")
    }

    async fn send(&self, messages: &[Message]) {
        self.bench.queue().send(messages).await.unwrap();
    }

    /// What is delivered of this case: at least so many deliveries, and whatever comes in a moment more.
    async fn collect(&self, lane: Lane, expected: usize) -> Vec<Seen> {
        let (began, mut seen) = (Instant::now(), Vec::new());
        let mut last = None;
        loop {
            let came = self.bench.drain(lane).await;
            if seen.len() >= expected && last.is_none() {
                last = Some(Instant::now());
            }
            let enough = last.is_some_and(|last| last.elapsed() > GRACE);
            // What a case before left behind is not ours.
            seen.extend(
                came.into_iter()
                    .filter(|seen| seen.delivery.message.id.starts_with(&self.prefix)),
            );
            if enough || began.elapsed() > PATIENCE {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How often the queue said each message was delivered, by id, in the order of its deliveries.
fn by_id(seen: &[Seen]) -> BTreeMap<&str, Vec<u32>> {
    let mut all: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for Seen { delivery, .. } in seen {
        all.entry(&delivery.message.id).or_default().push(delivery.deliveries);
    }
    all
}

/// The cases.
pub mod cases {
    use super::*;

    /// What is sent arrives once, whole and unchanged, however large the batch.
    pub async fn all_arrive(trial: &Trial) {
        let mut messages = Vec::new();
        for n in 0..250 {
            let filler = match n % 50 {
                // As large as one may be, in letters of one byte and of four.
                0 => "x".repeat(MAX_MESSAGE - 700),
                1 => "\u{1f9ff}".repeat((MAX_MESSAGE - 700) / 4),
                _ => format!("Stück {n}: \"\\\u{0}\u{2028}%+&<>"),
            };
            messages.push(trial.message(n, Lane::Default, &["done"], &filler));
        }
        for batch in messages.chunks(100) {
            trial.send(batch).await;
        }
        let seen = trial.collect(Lane::Default, 250).await;
        let arrived: BTreeMap<&str, &Message> = seen
            .iter()
            .map(|seen| (seen.delivery.message.id.as_str(), &seen.delivery.message))
            .collect();
        for message in &messages {
            assert_eq!(arrived.get(message.id.as_str()), Some(&message));
        }
        assert_eq!(seen.len(), 250, "some came twice");
    }

    /// What is given back comes again, later, and counted; what was delivered with it does not.
    pub async fn again_comes_back(trial: &Trial) {
        let mut messages: Vec<Message> = (0..9).map(|n| trial.done(n, Lane::High)).collect();
        messages.push(trial.message("again", Lane::High, &["again", "again", "done"], ""));
        trial.send(&messages).await;
        let seen = trial.collect(Lane::High, 12).await;
        for (id, deliveries) in by_id(&seen) {
            let expected: &[u32] = if id.ends_with("again") { &[1, 2, 3] } else { &[1] };
            assert_eq!(deliveries, expected, "{id}");
        }
        let times: Vec<i64> = seen
            .iter()
            .filter(|seen| seen.delivery.message.id.ends_with("again"))
            .map(|seen| seen.at)
            .collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{times:?}");
    }

    /// What a consumer that died has not answered for comes again; what it has answered for does not.
    pub async fn death_loses_nothing(trial: &Trial) {
        let mut messages: Vec<Message> = (0..5).map(|n| trial.done(n, Lane::Notifications)).collect();
        messages.push(trial.message("die", Lane::Notifications, &["die", "done"], ""));
        trial.send(&messages).await;
        let seen = trial.collect(Lane::Notifications, 7).await;
        for (id, deliveries) in by_id(&seen) {
            let expected: &[u32] = if id.ends_with("die") { &[1, 2] } else { &[1] };
            assert_eq!(deliveries, expected, "{id}");
        }
        assert_eq!(seen.len(), 7);
    }

    /// A message does not come before its time, and holds up no other.
    pub async fn delays_are_kept(trial: &Trial) {
        let due = now() + 3_000;
        let mut late = trial.done("late", Lane::Default);
        late.not_before = Some(Timestamp::from_millisecond(due).unwrap());
        trial.send(&[late, trial.done("now", Lane::Default)]).await;
        let seen = trial.collect(Lane::Default, 2).await;
        let order: Vec<&str> = seen.iter().map(|seen| seen.delivery.message.id.as_str()).collect();
        assert_eq!(
            order,
            [format!("{}.now", trial.prefix), format!("{}.late", trial.prefix)]
        );
        assert!(seen[1].at >= due - EARLY, "{} ms early", due - seen[1].at);
        assert!(seen[0].at < due, "it was held up");
    }

    /// One send may be for several lanes, and each gets its own.
    pub async fn lanes_do_not_mix(trial: &Trial) {
        let messages = Lane::ALL.map(|lane| trial.done(lane.name(), lane));
        trial.send(&messages).await;
        for message in messages {
            let seen = trial.collect(message.lane, 1).await;
            assert_eq!(by_id(&seen), BTreeMap::from([(message.id.as_str(), vec![1])]));
        }
    }

    /// What not every queue could take, none does.
    pub async fn refusals(trial: &Trial) {
        let one = trial.done("one", Lane::Low);
        let large = trial.message("large", Lane::Low, &["done"], &"x".repeat(MAX_MESSAGE));
        let too_many: Vec<Message> = (0..101).map(|n| trial.done(n, Lane::Low)).collect();
        for refused in [&[][..], &[one, large], &too_many] {
            let result = trial.bench.queue().send(refused).await;
            assert!(matches!(result, Err(QueueError::Refused(_))), "{result:?}");
        }
        assert_eq!(trial.collect(Lane::Low, 0).await, [], "some of it was taken");
    }

    /// However many consume a lane, a message is with one of them at a time.
    pub async fn consumers_share(trial: &Trial) {
        let messages: Vec<Message> = (0..100).map(|n| trial.done(n, Lane::High)).collect();
        trial.send(&messages).await;
        let consumers = join_all((0..4).map(|_| trial.collect(Lane::High, 0))).await;
        let mut seen = consumers.concat();
        seen.extend(trial.collect(Lane::High, 100_usize.saturating_sub(seen.len())).await);
        let ids: BTreeSet<&str> = seen.iter().map(|seen| seen.delivery.message.id.as_str()).collect();
        assert_eq!((ids.len(), seen.len()), (100, 100));
    }

    /// The backlog says how much waits, where the platform tells.
    pub async fn backlog_counts(trial: &Trial) {
        let lane = Lane::Low;
        let queue = trial.bench.queue();
        trial.collect(lane, 0).await;
        let before = queue.backlog(lane).await.unwrap();
        let mut messages: Vec<Message> = (0..5).map(|n| trial.done(n, lane)).collect();
        for message in &mut messages[3..] {
            message.not_before = Some(Timestamp::from_millisecond(now() + 5_000).unwrap());
        }
        trial.send(&messages).await;
        let counted = |after: &Backlog| {
            let pairs = [(before.ready, after.ready, 3), (before.delayed, after.delayed, 2)];
            pairs.into_iter().all(|(before, after, more)| match (before, after) {
                (Some(before), Some(after)) => after == before + more,
                _ => true,
            })
        };
        // Some count a moment later.
        let (began, mut after) = (Instant::now(), queue.backlog(lane).await.unwrap());
        while !counted(&after) && began.elapsed() < Duration::from_millis(900) {
            after = queue.backlog(lane).await.unwrap();
        }
        assert!(counted(&after), "{before:?} {after:?}");
        assert!(after.oldest_seconds.is_none_or(|age| age < 60), "{after:?}");
        assert_eq!(trial.collect(lane, 5).await.len(), 5);
        let empty = queue.backlog(lane).await.unwrap();
        assert!(empty.ready.is_none_or(|ready| ready == 0), "{empty:?}");
    }
}

/// Makes tests of one adapter: `queue_contract!(name, make)`, where `make` is an `async fn() -> queue::Made`.
#[macro_export]
macro_rules! queue_contract {
    ($name:ident, $make:ident) => {
        mod $name {
            $crate::queue_contract!(@cases $make, all_arrive, again_comes_back, death_loses_nothing, delays_are_kept,
                lanes_do_not_mix, refusals, consumers_share, backlog_counts);
        }
    };
    (@cases $make:ident, $($case:ident),+) => {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

        $(
            #[test]
            fn $case() {
                $crate::contract::queue::run(super::$make, &TURN, async |trial| {
                    $crate::contract::queue::cases::$case(trial).await;
                });
            }
        )+
    };
}
