//! Effects once, and nothing lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload;
use souk_core::{Change, Condition, Key, Lane, Message};
use souk_kit::Function;
use souk_kit::jobs::dead_letters::DeadLetter;
use souk_kit::jobs::{Job, JobOutput, JobTransaction};

use crate::world::{BATCH, World};
use crate::{Fragile, fragile, jobs, message, number, seed, tally};

const MESSAGES: usize = 10_000;

/// Payloads with a number, each of a job of its own.
macro_rules! numbers {
    ($($name:ident $job:literal $lane:ident),+) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name {
                n: usize,
            }

            impl Payload for $name {
                const JOB: &'static str = $job;
                const LANE: Lane = Lane::$lane;
            }
        )+
    };
}
numbers!(Summed "test.summed" Default, Single "test.single" Default, After "test.after" High);

/// A document that counts.
fn place(key: Key) -> Change {
    Change::Put {
        key,
        body: "{}".into(),
        counters: vec!["n".into()],
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    }
}

/// Adds what many messages add up to.
fn sum(tx: &JobTransaction, name: &str, numbers: impl Iterator<Item = usize>) {
    let mut sums: BTreeMap<_, i64> = BTreeMap::new();
    for n in numbers {
        *sums.entry(tally(name, n)).or_default() += 1;
    }
    for (key, sum) in sums {
        tx.add(key, "n", sum).or_retry();
    }
}

/// Sums of many messages in one write; each of every third message has a consequence of its own. `runs` counts what
/// was begun.
fn counting(runs: &Arc<AtomicUsize>) -> Function {
    let (batches, singles) = (runs.clone(), runs.clone());
    let summed = Job::batch("", 40, move |tx: JobTransaction, payloads: Vec<Summed>| {
        batches.fetch_add(payloads.len(), Ordering::SeqCst);
        async move {
            sum(&tx, "summed", payloads.iter().map(|payload| payload.n));
            Ok(JobOutput::default())
        }
    });
    let single = Job::single("", move |tx: JobTransaction, Single { n }, _| {
        singles.fetch_add(1, Ordering::SeqCst);
        async move {
            tx.add(tally("single", n), "n", 1).or_retry();
            tx.send(tx.message(&After { n })?);
            Ok(JobOutput::default())
        }
    });
    let after = Job::batch("", 40, |tx: JobTransaction, payloads: Vec<After>| async move {
        sum(&tx, "after", payloads.iter().map(|payload| payload.n));
        Ok(JobOutput::default())
    });
    jobs(vec![summed, single, after])
}

/// Each message comes one to five times, in any order, and one consumer in four is killed in the middle of its batch.
#[test]
fn effects_happen_once() {
    let (world, mut rng) = (World::new(seed()), Rng::with_seed(seed()));
    let runs = Arc::new(AtomicUsize::new(0));
    let mut process = world.start(vec![counting(&runs)]);
    let places = (0..20).flat_map(|n| ["summed", "single", "after"].map(|name| place(tally(name, n))));
    world
        .run(process.platform.commit(places.collect(), Vec::new(), Vec::new()))
        .unwrap();

    let (mut copies, mut expected) = (Vec::new(), BTreeMap::<_, i64>::new());
    for n in 0..MESSAGES {
        let message = if n % 3 == 0 {
            *expected.entry(tally("single", n)).or_default() += 1;
            *expected.entry(tally("after", n)).or_default() += 1;
            message::<Single>(&process, Lane::Default, n)
        } else {
            *expected.entry(tally("summed", n)).or_default() += 1;
            message::<Summed>(&process, Lane::Default, n)
        };
        copies.extend(std::iter::repeat_n(message, rng.usize(1..=5)));
    }
    rng.shuffle(&mut copies);
    let delivered = copies.len();
    for message in copies {
        world.queue.put(message);
    }

    let mut killed = 0;
    loop {
        let mut done = 0;
        for lane in [Lane::Default, Lane::High] {
            let moments = if rng.u8(0..4) == 0 { rng.i64(1..=60) } else { -1 };
            match world.work(&process, lane, moments) {
                Ok(count) => done += count,
                Err(_) => {
                    killed += 1;
                    // Its successor knows what is stored, and no more.
                    process = world.start(vec![counting(&runs)]);
                    world.clock.advance(rng.i64(0..2_000));
                    done += 1;
                }
            }
        }
        if rng.u8(0..20) == 0 || done == 0 {
            // Sometimes the sweeper does not live to the end either.
            let moments = if rng.bool() { rng.i64(1..=60) } else { -1 };
            if world.run_for(moments, process.platform.sweep(0)).is_none() {
                process = world.start(vec![counting(&runs)]);
            }
        }
        if done == 0 && world.queue.rows.lock().unwrap().is_empty() && world.outbox() == 0 {
            break;
        }
    }
    for (key, count) in &expected {
        assert_eq!(world.counter(key), *count, "{key:?}");
    }
    for lane in Lane::ALL {
        assert_eq!(world.partition(&format!("dead/{}", lane.name())).len(), 0);
    }
    let runs = runs.load(Ordering::SeqCst);
    println!("{MESSAGES} messages, {delivered} deliveries, {killed} consumers killed, {runs} runs: effects once");
    // Or nothing was proved.
    assert!(killed > 50 && runs > MESSAGES + BATCH);
}

/// 500 messages that no attempt can do: each rests with its error, and is done once after the fix.
#[test]
fn poison_rests_and_is_replayed() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::default());
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    let admin = world.admin(&process);
    let poison: Vec<Message> = (0..500)
        .map(|n| message::<Fragile>(&process, Lane::Default, n))
        .collect();
    world.commit(&process, &poison);
    world.run(process.app.run_pending_work());

    let all_rest = || {
        world.drain(&process);
        let letters = world.partition("dead/default");
        let letters: BTreeMap<String, DeadLetter> = letters
            .iter()
            .map(|letter| (letter.key.sk.clone(), letter.parse().unwrap()))
            .collect();
        assert_eq!(letters.len(), 500);
        for message in &poison {
            let letter = &letters[&message.id];
            let n = number(message);
            assert_eq!(letter.error, format!("poison {n}"));
            assert_eq!((letter.attempts.len(), &letter.trace), (7, &message.trace));
            assert_eq!(
                (&letter.message.body, letter.job.as_str()),
                (&message.body, "test.fragile")
            );
        }
        letters
    };
    waits_are_bounded_and_jittered(&all_rest());
    assert_eq!(world.partition("effects").len(), 0);

    // Before the fix a replay changes nothing, and ends.
    for (is_fixed, effects) in [(false, 0), (true, 500)] {
        fixed.store(is_fixed, Ordering::SeqCst);
        let (status, job) = world.call(&process, &admin, Method::POST, "/v1/dead-letters/default/replay", None);
        assert_eq!((status, &job["status"]), (202, &json!("queued")));
        world.run(process.app.run_pending_work());
        if is_fixed {
            world.drain(&process);
            assert_eq!(world.partition("dead/default").len(), 0);
        } else {
            all_rest();
        }
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        let (_, job) = world.call(&process, &admin, Method::GET, &path, None);
        assert_eq!(
            (&job["status"], &job["result"]),
            (&json!("done"), &json!({ "replayed": 500 }))
        );
        let done = world.partition("effects");
        assert_eq!(done.len(), effects);
        assert!(done.iter().all(|effect| effect.version == 1), "some were done twice");
    }
}

/// After the n-th failure a wait between nothing and 2^(n-1) seconds, at most a minute; spread over all of it.
fn waits_are_bounded_and_jittered(letters: &BTreeMap<String, DeadLetter>) {
    for n in 1..7_usize {
        let ceiling = 1000.0 * 2_f64.powi(i32::try_from(n).unwrap() - 1).min(60.0);
        let waits = letters.values().map(|letter| {
            let at = |n: usize| letter.attempts[n].failed_at.as_millisecond();
            (at(n) - at(n - 1)) as f64
        });
        let waits: Vec<f64> = waits.collect();
        // The queue counts whole seconds and the consumer takes them when it is due.
        let (least, most) = (
            waits.iter().copied().fold(f64::MAX, f64::min),
            waits.iter().copied().fold(0.0, f64::max),
        );
        assert!(most <= ceiling + 2_000.0, "{most} after {n} failures");
        if n > 3 {
            let mean = waits.iter().sum::<f64>() / 500.0;
            assert!(
                least < ceiling * 0.25 && most > ceiling * 0.75,
                "{least} to {most} after {n} failures"
            );
            assert!((mean / ceiling - 0.5).abs() < 0.2, "{mean} after {n} failures");
        }
    }
}
