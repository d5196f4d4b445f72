//! What costs an attempt and what does not, what is put off, shed, swept up and given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::Method;
use souk_core::queue::{Delivery, Outcome};
use souk_core::{Change, Clock as _, Commit, Key, Lane, Message, Timestamp};
use souk_kit::jobs::dead_letters::DeadLetter;
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, Runs, Schedule};
use souk_kit::platform::recent as recent_counts;
use souk_kit::{Context, Function};

use crate::world::{Process, World};
use crate::{Counted, Fragile, counted, effect, fragile, jobs, message, seed};

fn recent(world: &World, process: &Process, lane: Lane) -> BTreeMap<String, u64> {
    let [sums] = world.run(recent_counts(&process.platform, lane, [60])).unwrap();
    sums.into_iter().filter(|(_, n)| *n > 0).collect()
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect()
}

#[test]
fn a_store_out_of_reach_costs_no_attempt() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::new(true));
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    for n in 0..30 {
        world.queue.put(message::<Fragile>(&process, Lane::Default, n));
    }
    world.store.is_down.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        world.work(&process, Lane::Default, -1).unwrap();
        world.clock.advance(21_000);
    }
    {
        let rows = world.queue.rows.lock().unwrap();
        assert_eq!(rows.len(), 30);
        assert!(rows.iter().all(|row| row.message.attempts.is_empty()));
    }
    world.store.is_down.store(false, Ordering::SeqCst);
    world.drain(&process);
    assert_eq!(world.partition("effects").len(), 30);
}

/// The longer the store is out of reach, the later clients come again; who only asks whether the process lives changes nothing.
#[test]
fn a_long_outage_spaces_out_the_clients() {
    let world = World::new(seed());
    let process = world.start(vec![souk_ops::function()]);
    world.member(&process, "early");
    let retry_after = |method: Method, path: &str| {
        let body =
            (method == Method::POST).then(|| br#"{"username": "early", "password": "wind every clock"}"#.to_vec());
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Some(body.unwrap_or_default().into()))
            .unwrap();
        let response = world.run(process.app.handle(request));
        let header = response.headers().get("retry-after");
        (
            response.status().as_u16(),
            header.map(|value| value.to_str().unwrap().to_owned()),
        )
    };
    let write = || retry_after(Method::POST, "/v1/sessions");
    world.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(write(), (503, Some("1".into())));
    world.clock.advance(20_000);
    assert_eq!(retry_after(Method::GET, "/healthz").0, 200);
    assert_eq!(write(), (503, Some("10".into())));
    world.clock.advance(3_600_000);
    assert_eq!(write(), (503, Some("30".into())));
    world.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(write().0, 201);
    world.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(write(), (503, Some("1".into())));
}

/// The queue may be out of reach when a failed message is to be sent again: it stays where it is.
#[test]
fn a_queue_out_of_reach_keeps_what_failed() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::default());
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    world.queue.put(message::<Fragile>(&process, Lane::High, 1));
    world.queue.is_down.store(true, Ordering::SeqCst);
    world.work(&process, Lane::High, -1).unwrap();
    assert_eq!(world.queue.rows.lock().unwrap().len(), 1);
    world.queue.is_down.store(false, Ordering::SeqCst);
    fixed.store(true, Ordering::SeqCst);
    world.drain(&process);
    assert_eq!(world.partition("effects").len(), 1);
}

#[test]
fn one_bad_message_does_not_keep_its_batch() {
    let world = World::new(seed());
    let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let batch = Job::batch("", 40, move |tx: JobTransaction, payloads: Vec<Fragile>| {
        seen.lock().unwrap().push(payloads.len());
        async move {
            if payloads.iter().any(|payload| payload.n == 7) {
                return Err(JobError::Fatal("seven".into()));
            }
            assert!(payloads.iter().all(|payload| payload.n != 8), "eight");
            for payload in payloads {
                effect(&tx, payload.n);
            }
            Ok(JobOutput::default())
        }
    });
    let process = world.start(vec![jobs(vec![batch])]);
    for n in 0..20 {
        world.queue.put(message::<Fragile>(&process, Lane::Default, n));
    }
    world.drain(&process);
    let effects = world.partition("effects");
    assert_eq!(effects.len(), 18);
    assert!(effects.iter().all(|effect| effect.version == 1));
    // A panic is tried again like any other failure.
    let letters = world.partition("dead/default");
    let mut errors: Vec<(String, usize)> = letters
        .iter()
        .map(|letter| letter.parse::<DeadLetter>().unwrap())
        .map(|letter| (letter.error, letter.attempts.len()))
        .collect();
    errors.sort();
    assert_eq!(
        errors,
        [("seven".to_owned(), 1), ("the job panicked: eight".to_owned(), 7)]
    );
    let mut sizes = sizes.lock().unwrap().clone();
    assert_eq!(sizes.remove(0), 20);
    assert!(sizes.iter().all(|size| *size == 1));
    let done = counts(&[("done", 18), ("dead", 2), ("retried", 6)]);
    assert_eq!(recent(&world, &process, Lane::Default), done);
}

#[test]
fn what_comes_too_late_or_too_early_is_not_done() {
    let (world, calls) = (World::new(seed()), Arc::new(AtomicUsize::new(0)));
    let process = world.start(vec![jobs(vec![counted(&calls)])]);
    let mut late = message::<Counted>(&process, Lane::Notifications, 1);
    late.expires_at = Some(world.now());
    let mut early = message::<Counted>(&process, Lane::Notifications, 2);
    // Later than any queue can wait.
    let due = world.clock.ahead(2 * 3_600_000);
    early.not_before = Some(due);
    world.run(process.platform.send(vec![late, early])).unwrap();
    let mut hops = 0;
    while calls.load(Ordering::SeqCst) == 0 {
        assert!(hops < 20 && world.now() <= due);
        world.work(&process, Lane::Notifications, -1).unwrap();
        let next = world.queue.rows.lock().unwrap().first().map(|row| row.due);
        if let Some(next) = next {
            world.clock.advance(next - world.now().as_millisecond());
        }
        hops += 1;
    }
    assert!(world.clock.now() >= due, "it came too early");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let [sums] = world
        .run(recent_counts(&process.platform, Lane::Notifications, [24 * 60]))
        .unwrap();
    assert_eq!((sums["expired"], sums["done"]), (1, 1));
}

#[test]
fn a_full_backlog_sheds_low_alone() {
    let mut world = World::new(seed());
    world.backlog = 50;
    let calls = Arc::new(AtomicUsize::new(0));
    let process = world.start(vec![jobs(vec![counted(&calls)])]);
    let all = |n: usize| Lane::ALL.map(|lane| message::<Counted>(&process, lane, n)).to_vec();
    for n in 0..100 {
        world.commit(&process, &all(n));
        world.run(process.app.run_pending_work());
        world.clock.advance(1_000);
    }
    let waiting = |lane: Lane| {
        world
            .queue
            .rows
            .lock()
            .unwrap()
            .iter()
            .filter(|row| row.message.lane == lane)
            .count()
    };
    for lane in [Lane::High, Lane::Default, Lane::Notifications] {
        assert_eq!(waiting(lane), 100);
    }
    let low = waiting(Lane::Low);
    assert!((10..=20).contains(&low), "{low}");
    assert_eq!(recent(&world, &process, Lane::Low)["shed"], 100 - low as u64);
    // When the backlog is gone, all are served again.
    world.drain(&process);
    world.clock.advance(10_000);
    world.commit(&process, &all(100));
    world.run(process.app.run_pending_work());
    assert_eq!(waiting(Lane::Low), 1);
}

/// A message that ends its consumer takes no other with it: they are done once, and only it becomes a dead letter.
#[test]
fn only_what_died_alone_is_given_up() {
    let world = World::new(seed());
    let runs = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = runs.clone();
    let deadly = Job::batch("", 40, move |tx: JobTransaction, payloads: Vec<Fragile>| {
        seen.lock().unwrap().push(payloads.len());
        async move {
            // It never ends: the process is killed meanwhile.
            while payloads.iter().any(|payload| payload.n == 7) {
                tx.get(Key::of("any", "thing")).await?;
            }
            // One has nothing to do, so that no inbox entry tells that it is done.
            for payload in payloads.iter().filter(|payload| payload.n != 9) {
                effect(&tx, payload.n);
            }
            Ok(JobOutput::default())
        }
    });
    let process = world.start(vec![jobs(vec![deadly])]);
    for n in 0..100 {
        world.queue.put(message::<Fragile>(&process, Lane::High, n));
    }
    let mut killed = 0;
    while !world.queue.rows.lock().unwrap().is_empty() {
        killed += usize::from(world.work(&process, Lane::High, 3_000).is_err());
        world.clock.advance(10_000);
        assert!(killed <= 4, "{killed}");
    }
    // With the others once, then on its own.
    assert_eq!(killed, 4);
    assert_eq!(world.partition("effects").len(), 98);
    let letters = world.partition("dead/high");
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}")
    };
    assert!(letter.parse::<DeadLetter>().unwrap().error.contains("consumers ended"));
}

#[test]
fn what_the_queue_gave_up_with_others_runs_again() {
    let (world, calls) = (World::new(seed()), Arc::new(AtomicUsize::new(0)));
    let process = world.start(vec![jobs(vec![counted(&calls)])]);
    let often = message::<Counted>(&process, Lane::High, 1);
    let mut nobodys = message::<Counted>(&process, Lane::High, 2);
    nobodys.job = "test.unheard-of".into();
    let deliveries = [(often, 11), (nobodys, 1)].map(|(message, deliveries)| Delivery { message, deliveries });
    assert_eq!(world.run(process.app.work(deliveries.to_vec())), [Outcome::Done; 2]);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let delivery = |message: Message| vec![Delivery { message, deliveries: 1 }];
    let given_up = message::<Counted>(&process, Lane::Low, 3);
    let mut unreadable = message::<Counted>(&process, Lane::Low, 4);
    unreadable.job = String::new();
    for message in [given_up, unreadable] {
        assert_eq!(world.run(process.app.dead_letter(delivery(message))), [Outcome::Done]);
    }
    world.drain(&process);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let errors = |lane: &str| -> Vec<String> {
        let letters = world.partition(&format!("dead/{lane}"));
        letters
            .iter()
            .map(|letter| letter.parse::<DeadLetter>().unwrap().error)
            .collect()
    };
    assert!(errors("high").len() == 1 && errors("high")[0].contains("no such job"));
    assert!(errors("low").len() == 1 && errors("low")[0].contains("the queue gave it up"));
}

#[test]
fn what_a_crash_left_is_sent_by_the_sweeper_and_twice_does_no_harm() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::new(true));
    let start = || world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    let dead = start();
    let messages: Vec<Message> = (0..120).map(|n| message::<Fragile>(&dead, Lane::Default, n)).collect();
    for message in &messages {
        world.commit(&dead, std::slice::from_ref(message));
    }
    drop(dead);
    let process = start();
    // What is new may be under way.
    assert_eq!(world.run(process.platform.sweep(30_000)).unwrap(), 0);
    world.clock.advance(30_000);
    assert_eq!(world.run(process.platform.sweep(30_000)).unwrap(), 120);
    assert_eq!(world.outbox(), 0);
    // Somebody else thought that he should send them too.
    world.commit(&process, &messages);
    world.run(process.app.run_pending_work());
    assert_eq!(world.queue.rows.lock().unwrap().len(), 240);
    world.drain(&process);
    let effects = world.partition("effects");
    assert_eq!(effects.len(), 120);
    assert!(effects.iter().all(|effect| effect.version == 1));
}

/// A queue that does not answer costs no write; all is delivered when it does.
#[test]
fn a_dead_queue_fails_no_write() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::new(true));
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    world.queue.is_down.store(true, Ordering::SeqCst);
    for n in 0..500 {
        world.commit(&process, &[message::<Fragile>(&process, Lane::Default, n)]);
        world.run(process.app.run_pending_work());
        world.clock.advance(240);
    }
    assert_eq!((world.outbox(), process.app.has_pending_work()), (500, false));
    world.run(process.app.tick());
    assert_eq!(world.outbox(), 500);
    world.queue.is_down.store(false, Ordering::SeqCst);
    world.clock.advance(60_000);
    world.run(process.app.tick());
    assert_eq!(world.outbox(), 0);
    world.drain(&process);
    assert_eq!(world.partition("effects").len(), 500);
    // The operator sees both runs.
    let runs: Runs = world.partition("schedules")[0].parse().unwrap();
    assert!(runs.runs[0].outcome.as_deref() == Some("500 commits") && runs.runs[1].error.is_some());
}

/// One that no queue takes is left out, and costs its neighbours nothing, whenever the queue goes away.
#[test]
fn a_message_that_is_refused_takes_no_other_with_it() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::new(true));
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    let mut large = message::<Fragile>(&process, Lane::Default, 0);
    large.body = serde_json::Value::String("x".repeat(70_000));
    world.commit(&process, &[large, message::<Fragile>(&process, Lane::Default, 1)]);
    world.queue.is_down.store(true, Ordering::SeqCst);
    world.run(process.app.run_pending_work());
    assert_eq!(world.outbox(), 1);
    world.queue.is_down.store(false, Ordering::SeqCst);
    world.clock.advance(60_000);
    world.run(process.app.tick());
    assert_eq!(world.outbox(), 0);
    world.drain(&process);
    assert_eq!(world.partition("effects").len(), 1);
}

/// What cannot be read stays, and keeps no other.
#[test]
fn a_damaged_record_keeps_no_other() {
    let world = World::new(seed());
    let fixed = Arc::new(AtomicBool::new(true));
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    for shard in 0..8 {
        let damaged = Change::create(Key::new(format!("outbox/{shard}"), "out_0"), "{}".into(), Vec::new());
        world
            .run(process.platform.documents().commit(Commit::new(vec![damaged])))
            .unwrap();
    }
    let messages: Vec<Message> = (0..100)
        .map(|n| message::<Fragile>(&process, Lane::Default, n))
        .collect();
    for message in &messages {
        world.commit(&process, std::slice::from_ref(message));
    }
    let process = world.start(vec![jobs(vec![fragile(&fixed, false)])]);
    assert_eq!(world.run(process.platform.sweep(0)).unwrap(), 100);
    assert_eq!(world.outbox(), 8);
}

#[test]
fn a_schedule_is_run_by_one_of_many() {
    let (world, runs) = (World::new(seed()), Arc::new(AtomicUsize::new(0)));
    let start = || {
        let runs = runs.clone();
        let schedule = Schedule::new("test.hourly", "", 3600, move |cx: Context| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                cx.documents().ping().await?;
                Ok("ran".to_owned())
            }
        });
        world.start(vec![Function {
            name: "test",
            schedules: vec![schedule],
            ..Function::default()
        }])
    };
    let processes: Vec<Process> = (0..20).map(|_| start()).collect();
    let began = world.now();
    for minute in 0..(3 * 60) {
        world.run(join_all(processes.iter().map(|process| process.app.tick())));
        assert_eq!(runs.load(Ordering::SeqCst), 1 + minute / 60);
        world.clock.advance(60_000);
    }
    let found = world.partition("schedules");
    let found: Vec<Runs> = found.iter().map(|document| document.parse().unwrap()).collect();
    let hourly = found.iter().find(|runs| runs.name == "test.hourly").unwrap();
    let starts: Vec<Timestamp> = hourly.runs.iter().rev().map(|run| run.started_at).collect();
    assert_eq!(starts.len(), 3);
    assert_eq!(starts[0], began);
    assert!(
        hourly
            .runs
            .iter()
            .all(|run| run.outcome.as_deref() == Some("ran") && run.duration_ms.is_some())
    );
}

/// An instance that dies in a run does not end the schedule.
#[test]
fn a_run_that_was_cut_off_is_followed_by_another() {
    let (world, runs) = (World::new(seed()), Arc::new(AtomicUsize::new(0)));
    let start = || {
        let runs = runs.clone();
        let schedule = Schedule::new("test.often", "", 60, move |cx: Context| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                cx.documents().ping().await?;
                Ok(String::new())
            }
        });
        world.start(vec![Function {
            name: "test",
            schedules: vec![schedule],
            ..Function::default()
        }])
    };
    // Killed somewhere in its schedules: the sweeper is one of them.
    let mut moments = 1;
    while runs.load(Ordering::SeqCst) == 0 {
        assert!(world.run_for(moments, start().app.tick()).is_none());
        moments += 1;
        world.clock.advance(400_000);
    }
    let process = start();
    world.clock.advance(400_000);
    world.run(process.app.tick());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}
