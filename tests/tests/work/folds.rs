//! Repeated work on one thing is folded, and misses no change: whatever is committed, whenever processes die and the queue is
//! out of reach, the job has seen the last state in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::event::Cause;
use souk_core::queue::Payload;
use souk_core::{Change, Condition, Event, EventType, Key, Lane};
use souk_kit::jobs::{Job, JobOutput, JobTransaction};
use souk_kit::{Function, Subscription};
use souk_model::catalog::events::{PRODUCT_UPDATED, ProductEvent};

use crate::seed;
use crate::world::{Process, World};

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Follow(Event);

impl Payload for Follow {
    const JOB: &'static str = "test.follow";
}

/// A job that copies what it finds from `things` to `followed`.
fn follower(runs: &Arc<AtomicUsize>) -> Function {
    let runs = runs.clone();
    let follow = move |tx: JobTransaction, payloads: Vec<Follow>| {
        runs.fetch_add(payloads.len(), Ordering::SeqCst);
        async move {
            for Follow(event) in payloads {
                let thing = event.read::<ProductEvent>()?.unwrap().product;
                let found = tx.get(Key::new("things", thing.clone())).await?.unwrap();
                let seen: Value = found.parse()?;
                tx.put(Key::new("followed", thing), seen).always();
            }
            Ok(JobOutput::default())
        }
    };
    Function {
        name: "test",
        jobs: vec![Job::batch("", 1, follow)],
        subscriptions: &[Subscription {
            event: "product.*",
            job: Follow::JOB,
            lane: Lane::Default,
            fold: Some("product"),
        }],
        events: EventType::of::<ProductEvent>().collect(),
        ..Function::default()
    }
}

fn change(world: &World, process: &Process, thing: &str, n: usize) {
    let platform = &process.platform;
    let data = ProductEvent {
        product: thing.into(),
        version: 1,
        status: "published".into(),
        slug: "a".into(),
        title: "A".into(),
        category: "cat_1".into(),
        author: "acc_1".into(),
        vendor: None,
        changed: Vec::new(),
    };
    let (clock, random) = (&*platform.clock, &*platform.random);
    let event = Event::new(PRODUCT_UPDATED, &data, &Cause::default(), clock, random).unwrap();
    let put = Change::Put {
        key: Key::new("things", thing.to_owned()),
        body: json!({ "n": n }).to_string(),
        counters: Vec::new(),
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    };
    world.run(platform.commit(vec![put], vec![event], Vec::new())).unwrap();
}

fn found(world: &World, partition: &str, thing: &str) -> Value {
    let document = world
        .run(get_one(&*world.store, Key::new(partition, thing.to_owned())))
        .unwrap();
    document.map_or(Value::Null, |document| document.parse().unwrap())
}

#[test]
fn many_changes_of_one_thing_are_few_messages() {
    let world = World::new(seed());
    let runs = Arc::new(AtomicUsize::default());
    let process = world.start(vec![follower(&runs)]);
    // 10,000 changes in ten seconds.
    for n in 0..10_000 {
        change(&world, &process, "a", n);
        if n % 10 == 0 {
            world.run(process.app.run_pending_work());
            world.work(&process, Lane::Default, -1).unwrap();
        }
        world.clock.advance(1);
    }
    world.run(process.app.run_pending_work());
    world.drain(&process);
    assert_eq!(found(&world, "followed", "a"), json!({ "n": 9_999 }));
    let runs = runs.load(Ordering::SeqCst);
    assert!(runs <= 20, "{runs} runs");
}

#[test]
fn no_change_is_missed() {
    for round in 0..200 {
        let seed = seed() * 1_000 + round;
        let (world, mut rng) = (World::new(seed), Rng::with_seed(seed));
        let runs = Arc::new(AtomicUsize::default());
        let mut process = world.start(vec![follower(&runs)]);
        for n in 0..100 {
            match rng.u8(0..12) {
                0..6 => change(&world, &process, rng.choice(["a", "b"]).unwrap(), n),
                6..8 => world.clock.advance(rng.i64(1..3_000)),
                8 => {
                    let is_down = rng.bool();
                    world.queue.is_down.store(is_down, Ordering::SeqCst);
                }
                9 => {
                    let _ = world.work(&process, Lane::Default, rng.i64(-1..20));
                }
                10 => {
                    let _ = world.run_for(rng.i64(1..20), process.app.run_pending_work());
                }
                _ => {
                    process = world.start(vec![follower(&runs)]);
                    // As at the start of the local host; it may be killed again.
                    let _ = world.run_for(rng.i64(1..40), process.platform.sweep(0));
                }
            }
        }
        world.queue.is_down.store(false, Ordering::SeqCst);
        world.clock.advance(60_000);
        world.run(process.platform.sweep(0)).unwrap();
        world.run(process.app.run_pending_work());
        world.drain(&process);
        for thing in ["a", "b"] {
            assert_eq!(
                found(&world, "followed", thing),
                found(&world, "things", thing),
                "seed {seed}"
            );
        }
    }
}

/// What the sweeper sends again may have been done: a change that follows is not left to it.
#[test]
fn a_change_after_a_sweep_is_not_missed() {
    for round in 0..60 {
        // The order in which records are swept depends on the seed.
        let (world, moments) = (World::new(seed() + round / 6), 1 + i64::try_from(round % 6).unwrap());
        let runs = Arc::new(AtomicUsize::default());
        let process = world.start(vec![follower(&runs)]);
        for n in 0..3 {
            change(&world, &process, "a", n);
        }
        // Killed at some point, perhaps when all was sent and nothing was deleted from the outbox.
        let _ = world.run_for(moments, process.app.run_pending_work());
        world.clock.advance(2_000);
        world.work(&process, Lane::Default, -1).unwrap();
        let process = world.start(vec![follower(&runs)]);
        world.run(process.platform.sweep(0)).unwrap();
        change(&world, &process, "a", 3);
        world.run(process.app.run_pending_work());
        world.drain(&process);
        assert_eq!(
            found(&world, "followed", "a"),
            json!({ "n": 3 }),
            "killed after {moments} moments"
        );
    }
}
