//! What the time does: a clock that jumps both ways, by up to a day, holds nothing up for longer than it was wrong; and a
//! refresh token works again for some seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::queue::MAX_DELAY_SECONDS;
use souk_core::{Lane, Message};
use souk_kit::jobs::Schedule;
use souk_kit::jobs::dead_letters::DeadLetter;
use souk_kit::{Context, Function};

use crate::world::{Process, World};
use crate::{Fragile, fragile, message, number, seed};

const DAY: i64 = 24 * 3_600_000;
const SECOND: i64 = 1_000;

/// A function whose job fails until `fixed`, and which does something every minute.
fn function(fixed: &Arc<AtomicBool>, runs: &Arc<AtomicUsize>) -> Function {
    let runs = runs.clone();
    let schedule = Schedule::new("test.often", "", 60, move |_: Context| {
        runs.fetch_add(1, Ordering::SeqCst);
        async { Ok(String::new()) }
    });
    Function {
        name: "test",
        jobs: vec![fragile(fixed, false)],
        schedules: vec![schedule],
        ..Function::default()
    }
}

/// What the local host does each minute: the queue believes no delay that nobody can have asked for.
fn mend(world: &World) {
    let now = world.now().as_millisecond();
    for row in world.queue.rows.lock().unwrap().iter_mut() {
        if row.due > now + (MAX_DELAY_SECONDS + 1) * SECOND {
            row.due = now;
        }
    }
}

fn work(world: &World, process: &Process, lanes: &[Lane]) {
    for lane in lanes {
        world.work(process, *lane, -1).unwrap();
    }
}

#[test]
fn a_clock_that_jumps_holds_nothing_up() {
    for round in 0..100 {
        let seed = seed() * 1_000 + round;
        let (world, mut rng) = (World::new(seed), Rng::with_seed(seed));
        let (fixed, runs) = (Arc::new(AtomicBool::default()), Arc::new(AtomicUsize::default()));
        let process = world.start(vec![function(&fixed, &runs)]);
        let mut offset = 0;
        let mut sent = 0;
        for _ in 0..60 {
            match rng.u8(0..8) {
                0 | 1 if sent < 40 => {
                    let messages: Vec<Message> = (sent..sent + 2)
                        .map(|n| message::<Fragile>(&process, Lane::Default, n))
                        .collect();
                    world.commit(&process, &messages);
                    sent += 2;
                }
                0..3 => world.run(process.app.run_pending_work()),
                3 => work(&world, &process, &Lane::ALL),
                4 => world.run(process.app.tick()),
                5 => world.clock.advance(rng.i64(0..30 * SECOND)),
                _ => {
                    // The clock is set to another wrong time, or to the right one.
                    let next = rng.choice([0, rng.clone().i64(-DAY..DAY), -DAY, DAY]).unwrap();
                    world.clock.advance(next - offset);
                    offset = next;
                    mend(&world);
                }
            }
        }
        world.clock.advance(-offset);
        fixed.store(true, Ordering::SeqCst);
        runs.store(0, Ordering::SeqCst);
        // Half an hour of the right time.
        for _ in 0..180 {
            world.clock.advance(10 * SECOND);
            mend(&world);
            world.run(process.app.tick());
            world.run(process.app.run_pending_work());
            world.run(process.platform.sweep(30 * SECOND)).unwrap();
            work(&world, &process, &Lane::ALL);
        }
        let effects = world.partition("effects");
        assert!(effects.iter().all(|effect| effect.version == 1), "seed {seed}");
        let mut settled: BTreeSet<usize> = effects.iter().map(|effect| effect.key.sk.parse().unwrap()).collect();
        for letter in world.partition("dead/default") {
            settled.insert(number(&letter.parse::<DeadLetter>().unwrap().message));
        }
        assert_eq!(settled, (0..sent).collect(), "seed {seed}: some wait");
        let runs = runs.load(Ordering::SeqCst);
        assert!((25..=31).contains(&runs), "seed {seed}: the schedule ran {runs} times");
        assert_eq!(
            (world.outbox(), world.queue.rows.lock().unwrap().len()),
            (0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn a_refresh_token_works_again_for_ten_seconds() {
    for (seconds, works) in [(0, true), (5, true), (9, true), (10, false), (-3_600, false)] {
        let world = World::new(seed());
        let process = world.start(Vec::new());
        world.member(&process, "ada");
        let post = |path: &str, body: Value| world.call(&process, "", Method::POST, path, Some(body));
        let refresh = |token: &Value| post("/v1/sessions/refresh", json!({ "refresh_token": token }));
        let who = json!({ "username": "ada", "password": "wind every clock" });
        let (_, first) = post("/v1/sessions", who);
        let (_, second) = refresh(&first["refresh_token"]);
        world.clock.advance(seconds * SECOND);
        let (status, again) = refresh(&first["refresh_token"]);
        if works {
            assert_eq!(
                (status, &again["refresh_token"]),
                (201, &second["refresh_token"]),
                "{seconds}"
            );
            assert_eq!(refresh(&second["refresh_token"]).0, 201);
            // Then it is an older one.
            assert_eq!(refresh(&first["refresh_token"]).0, 401);
        } else {
            assert_eq!(status, 401, "{seconds}");
            assert!(again["detail"].as_str().unwrap().contains("its session has ended"));
        }
        assert_eq!(refresh(&second["refresh_token"]).0, 401, "{seconds}");
    }
}
