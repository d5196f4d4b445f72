//! What operators see and do through the API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use serde_json::{Value, json};
use souk_core::event::Cause;
use souk_core::{Event, Lane, Message};
use souk_kit::jobs::tracked;
use souk_kit::{Context, Failure};
use souk_model::catalog::events::{PRODUCT_CREATED, ProductEvent};
use souk_model::community::{UPVOTE_ADDED, UpvoteEvent};

use crate::world::{Process, World};
use crate::{Counted, Fragile, counted, fragile, jobs, message, seed};

fn get(world: &World, process: &Process, token: &str, path: &str) -> Value {
    let (status, json) = world.call(process, token, Method::GET, path, None);
    assert_eq!(status, 200, "{path}: {json}");
    json
}

/// Every page of a list.
fn pages(world: &World, process: &Process, token: &str, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = get(world, process, token, &format!("{path}{cursor}"));
        all.append(page["items"].as_array_mut().unwrap());
        let Some(next) = page["next_cursor"].as_str() else {
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// A world in which so many messages rest in each lane.
fn with_letters(each: usize, filler: &str) -> (World, Process, Arc<AtomicBool>) {
    let (world, fixed) = (World::new(seed()), Arc::new(AtomicBool::default()));
    let process = world.start(vec![jobs(vec![fragile(&fixed, true)])]);
    for lane in Lane::ALL {
        for n in 0..each {
            let mut message = message::<Fragile>(&process, lane, n + 100 * lane as usize);
            message.body["filler"] = json!(filler);
            message.expires_at = Some(world.clock.ahead(60_000));
            world.queue.put(message);
        }
    }
    world.drain(&process);
    (world, process, fixed)
}

#[test]
fn dead_letters_are_listed_read_replayed_and_discarded() {
    let (world, process, fixed) = with_letters(7, "");
    let admin = world.admin(&process);
    for limit in [1, 3, 7, 100] {
        let all = pages(&world, &process, &admin, &format!("/v1/dead-letters?limit={limit}"));
        let ids: BTreeSet<&str> = all.iter().map(|letter| text(letter, "id")).collect();
        assert_eq!((all.len(), ids.len()), (28, 28), "by {limit}");
        let high = pages(
            &world,
            &process,
            &admin,
            &format!("/v1/dead-letters?lane=high&limit={limit}"),
        );
        assert_eq!(high.len(), 7);
        assert!(
            high.iter()
                .all(|letter| letter["lane"] == "high" && letter.get("message").is_none())
        );
    }
    let call = |method, path: &str| world.call(&process, &admin, method, path, None).0;
    for path in ["/v1/dead-letters?lane=none", "/v1/dead-letters?cursor=none"] {
        assert_eq!(call(Method::GET, path), 400);
    }
    let letters = get(&world, &process, &admin, "/v1/dead-letters?lane=low&limit=2");
    let path = |n: usize| format!("/v1/dead-letters/low/{}", text(&letters["items"][n], "id"));
    let letter = get(&world, &process, &admin, &path(0));
    assert!(text(&letter, "error").starts_with("poison ") && text(&letter["message"], "job") == "test.fragile");
    assert_eq!(letter["attempts"].as_array().unwrap().len(), 1);

    // Replayed long after the time in which it was worth doing: the operator wants it.
    fixed.store(true, Ordering::SeqCst);
    world.clock.advance(120_000);
    let again = format!("{}/replay", path(0));
    assert_eq!(call(Method::POST, &again), 204);
    world.run(process.app.run_pending_work());
    world.drain(&process);
    assert_eq!(world.partition("effects").len(), 1);
    assert_eq!(call(Method::DELETE, &path(1)), 204);
    for (method, path) in [
        (Method::POST, again),
        (Method::GET, path(0)),
        (Method::GET, path(1)),
        (Method::DELETE, path(1)),
        (Method::GET, path(1).replace("/low/", "/lower/")),
        (Method::POST, "/v1/dead-letters/lower/replay".into()),
    ] {
        assert_eq!(call(method, &path), 404, "{path}");
    }
    assert_eq!(world.partition("dead/low").len(), 5);
    assert_eq!(world.partition("effects").len(), 1);
}

/// Messages as large as they may be are replayed too, though few of them fit into one commit.
#[test]
fn large_letters_are_replayed() {
    let (world, process, fixed) = with_letters(5, &"x".repeat(60_000));
    let admin = world.admin(&process);
    fixed.store(true, Ordering::SeqCst);
    for lane in Lane::ALL {
        let path = format!("/v1/dead-letters/{}/replay", lane.name());
        let (status, job) = world.call(&process, &admin, Method::POST, &path, None);
        assert_eq!(status, 202, "{job}");
        world.run(process.app.run_pending_work());
        world.drain(&process);
        let job = get(&world, &process, &admin, &format!("/v1/jobs/{}", text(&job, "id")));
        assert_eq!(job["result"], json!({ "replayed": 5 }));
    }
    let effects = world.partition("effects");
    assert_eq!(effects.len(), 20);
    assert!(effects.iter().all(|effect| effect.version == 1));
}

#[test]
fn a_job_is_shown_to_those_whom_it_concerns() {
    let (world, fixed) = (World::new(seed()), Arc::new(AtomicBool::default()));
    let process = world.start(vec![jobs(vec![fragile(&fixed, true)])]);
    let (admin, other) = (world.admin(&process), world.member(&process, "other"));
    let (_, job) = world.call(&process, &admin, Method::POST, "/v1/dead-letters/low/replay", None);
    let path = format!("/v1/jobs/{}", text(&job, "id"));
    assert_eq!(get(&world, &process, &admin, &path)["status"], "queued");
    assert_eq!(world.call(&process, &other, Method::GET, &path, None).0, 404);
    assert_eq!(world.call(&process, &admin, Method::GET, "/v1/jobs/none", None).0, 404);
    // One that is given up says so.
    let cx = Context::system(process.platform.clone());
    let start = cx.commit(|tx| async move { tracked::start::<Failure, _>(&tx, &Fragile { n: 1 }, "acc_0") });
    let job = world.run(start).unwrap();
    world.run(process.app.run_pending_work());
    world.drain(&process);
    let job = get(&world, &process, &admin, &format!("/v1/jobs/{}", job.id));
    assert_eq!((text(&job, "status"), text(&job, "error")), ("failed", "poison 1"));
}

#[test]
fn lanes_say_what_waits_and_what_was_done() {
    let (world, calls) = (World::new(seed()), Arc::new(AtomicUsize::new(0)));
    let fixed = Arc::new(AtomicBool::default());
    let process = world.start(vec![jobs(vec![counted(&calls), fragile(&fixed, true)])]);
    world.admin(&process);
    for n in 0..50 {
        world.queue.put(message::<Counted>(&process, Lane::High, n));
    }
    world.drain(&process);
    world.clock.advance(10 * 60_000);
    for n in 0..10 {
        world.queue.put(message::<Counted>(&process, Lane::High, n));
        world.queue.put(message::<Fragile>(&process, Lane::High, n));
    }
    world.drain(&process);
    world.queue.put(message::<Counted>(&process, Lane::Low, 1));
    let admin = world.sign_in(&process, "keeper");
    let lanes = get(&world, &process, &admin, "/v1/lanes");
    let high = &lanes["items"][0];
    assert_eq!((text(high, "lane"), &high["backlog"]["ready"]), ("high", &json!(0)));
    assert_eq!(high["done_per_minute"], json!(2.0));
    assert_eq!(
        high["last_5_minutes"],
        json!({ "done": 10, "retried": 0, "dead": 10, "expired": 0, "shed": 0 })
    );
    assert_eq!(high["last_60_minutes"]["done"], json!(60));
    assert_eq!(lanes["items"][3]["backlog"]["ready"], json!(1));
    assert_eq!(lanes["items"].as_array().unwrap().len(), 4);
    world.run(process.app.tick());
    let schedules = get(&world, &process, &admin, "/v1/schedules");
    let sweep = &schedules["items"][0];
    assert_eq!(
        (text(sweep, "name"), text(&sweep["runs"][0], "outcome")),
        ("operators.sweep", "0 commits")
    );
}

#[test]
fn every_event_is_in_the_log_once() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    world.admin(&process);
    let began = world.now();
    let event = |n: usize| {
        let (clock, random, cause) = (&*process.platform.clock, &*process.platform.random, Cause::default());
        if n.is_multiple_of(2) {
            let data = UpvoteEvent {
                product: format!("prd_{n}"),
                account: "acc_1".into(),
                created_at: world.now(),
            };
            return Event::new(UPVOTE_ADDED, &data, &cause, clock, random).unwrap();
        }
        let data = ProductEvent {
            product: format!("prd_{n}"),
            version: 1,
            status: "draft".into(),
            slug: "a".into(),
            title: "A".into(),
            category: "cat_1".into(),
            author: "acc_1".into(),
            vendor: None,
            changed: Vec::new(),
        };
        Event::new(PRODUCT_CREATED, &data, &cause, clock, random).unwrap()
    };
    let mut sent = Vec::new();
    // Over four hours, some hours empty, and everything delivered twice.
    for n in 0..300 {
        sent.push(event(n));
        world
            .run(process.platform.commit(Vec::new(), vec![sent[n].clone()], Vec::new()))
            .unwrap();
        world.clock.advance(if n == 150 { 2 * 3_600_000 } else { 20_000 });
        if n % 40 == 0 {
            world.run(process.platform.sweep(0)).unwrap();
            world.run(process.app.run_pending_work());
            world.drain(&process);
        }
    }
    world.run(process.app.run_pending_work());
    world.drain(&process);
    let admin = world.sign_in(&process, "keeper");
    let ids = |events: &[Value]| -> Vec<String> { events.iter().map(|event| text(event, "id").to_owned()).collect() };
    let expected = |wanted: &dyn Fn(&Event) -> bool| -> Vec<String> {
        sent.iter()
            .filter(|event| wanted(event))
            .map(|event| event.id.clone())
            .collect()
    };
    for limit in [7, 100] {
        let path = format!("/v1/events?after={began}&limit={limit}");
        assert_eq!(ids(&pages(&world, &process, &admin, &path)), expected(&|_| true));
        let upvotes = pages(&world, &process, &admin, &format!("{path}&type=upvote.added"));
        assert_eq!(ids(&upvotes), expected(&|event| event.name == UPVOTE_ADDED));
        let products = pages(&world, &process, &admin, &format!("{path}&type=product.*"));
        assert_eq!(ids(&products), expected(&|event| event.name == PRODUCT_CREATED));
    }
    let from = sent[222].timestamp;
    let late = pages(&world, &process, &admin, &format!("/v1/events?after={from}&limit=50"));
    assert_eq!(ids(&late), expected(&|event| event.timestamp >= from));
    assert_eq!(serde_json::from_value::<Event>(late[0].clone()).unwrap(), sent[222]);
    let hour = world.clock.ahead(-3_600_000);
    let usual = pages(&world, &process, &admin, "/v1/events?limit=100");
    assert_eq!(ids(&usual), expected(&|event| event.timestamp >= hour));
    assert_eq!(
        world
            .call(&process, &admin, Method::GET, "/v1/events?after=yesterday", None)
            .0,
        400
    );
    world.clock.advance(7 * 24 * 3_600_000);
    let admin = world.sign_in(&process, "keeper");
    let path = format!("/v1/events?after={began}");
    assert_eq!(
        pages(&world, &process, &admin, &path.replace('?', "?limit=100&")).len(),
        0
    );
}

#[test]
fn the_catalog_names_every_type() {
    let world = World::new(seed());
    let others = souk_market::functions().into_iter();
    let others = others.filter(|function| !["identity", "operators"].contains(&function.name));
    let process = world.start(others.collect());
    let types = get(&world, &process, "", "/v1/events/catalog");
    let items = types["items"].as_array().unwrap();
    assert_eq!(items.len(), souk_market::registry().events.len());
    let upvote = items.iter().find(|of| of["type"] == UPVOTE_ADDED).unwrap();
    assert_eq!(upvote["version"], 1);
    assert!(
        upvote["schema"]["required"]
            .as_array()
            .unwrap()
            .contains(&json!("product"))
    );
    let mut names: Vec<&str> = items.iter().map(|of| text(of, "type")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), items.len(), "a type of two shapes");
}

/// Nothing that an operator asks of a queue that is gone fails for it.
#[test]
fn a_dead_queue_is_seen_as_such() {
    let (world, fixed) = (World::new(seed()), Arc::new(AtomicBool::new(true)));
    let process = world.start(vec![jobs(vec![fragile(&fixed, true)])]);
    let admin = world.admin(&process);
    world.queue.is_down.store(true, Ordering::SeqCst);
    let lanes = get(&world, &process, &admin, "/v1/lanes");
    assert!(
        lanes["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|lane| lane["backlog"].is_null())
    );
    let (status, _) = world.call(&process, &admin, Method::POST, "/v1/dead-letters/low/replay", None);
    assert_eq!(status, 202);
    let messages: Vec<Message> = vec![message::<Fragile>(&process, Lane::High, 1)];
    world.commit(&process, &messages);
}
