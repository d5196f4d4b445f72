//! Markets of one deployment. The random source is seeded in the same way for each market, so all of their ids are equal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::{Documents as _, Key, Tenant};
use souk_kit::jobs::{JobError, Schedule, tracked};
use souk_kit::{Context, Failure, Function};

use crate::Fragile;
use crate::ports::Store;
use crate::world::{Process, World};

const DOMAIN: &str = "work.test";

fn functions() -> Vec<Function> {
    vec![
        souk_tenants::function(),
        souk_catalog::function(),
        souk_community::function(),
        souk_vendors::function(),
    ]
}

/// A deployment with two markets, and its operator.
fn deployment(functions: Vec<Function>) -> (World, Process, String) {
    let mut world = World::new(7);
    world.tenant_domain = Some(DOMAIN);
    let process = world.start(functions);
    let operator = world.admin(&process);
    for name in ["one", "other"] {
        let new = json!({ "name": name, "title": name, "first_admin": "root@work.test" });
        assert_eq!(
            world
                .call(&process, &operator, Method::POST, "/v1/tenants", Some(new))
                .0,
            201
        );
    }
    (world, process, operator)
}

fn host(name: &str) -> String {
    format!("{name}.{DOMAIN}")
}

/// What a market says of a request; fails unless it has this status.
#[track_caller]
fn ask(
    world: &World,
    process: &Process,
    name: &str,
    token: &str,
    what: (Method, &str),
    body: Value,
    status: u16,
) -> Value {
    let body = Some(body).filter(|body| !body.is_null());
    let (found, json) = world.call_at(process, &host(name), token, what.0, what.1, body);
    assert_eq!(found, status, "{name} {}: {json}", what.1);
    json
}

/// The access token of the admin of a market, whom this signs up.
fn root(world: &World, process: &Process, name: &str) -> String {
    let new = json!({ "email": "root@work.test", "username": "root", "password": "the same everywhere" });
    ask(
        world,
        process,
        name,
        "",
        (Method::POST, "/v1/accounts"),
        new.clone(),
        201,
    );
    world.verify(process, name, "root");
    let tokens = ask(
        world,
        process,
        name,
        "",
        (Method::POST, "/v1/sessions"),
        new_session(),
        201,
    );
    tokens["access_token"].as_str().unwrap().to_owned()
}

fn new_session() -> Value {
    json!({ "username": "root", "password": "the same everywhere" })
}

/// All keys of a market in the store, as it knows them.
fn keys(world: &World, name: &str) -> BTreeSet<(String, String)> {
    keys_in(world, &world.store, name)
}

fn keys_in(world: &World, store: &Store, name: &str) -> BTreeSet<(String, String)> {
    let tenant = Tenant::named(name).unwrap();
    let documents = world.run(store.scan(&tenant, None)).unwrap().documents;
    let own = |key: Key| (tenant.own(&key.pk).unwrap().to_owned(), key.sk);
    documents.into_iter().map(|document| own(document.key)).collect()
}

#[test]
fn markets_with_equal_ids_share_nothing() {
    let (world, process, _) = deployment(functions());
    let mut tokens = Vec::new();
    for name in ["one", "other"] {
        world.reseed(11);
        let token = root(&world, &process, name);
        let category = ask(
            &world,
            &process,
            name,
            &token,
            (Method::POST, "/v1/categories"),
            json!({ "name": "Lamps" }),
            201,
        );
        let vendor = ask(
            &world,
            &process,
            name,
            &token,
            (Method::POST, "/v1/vendors"),
            json!({ "name": "Lantern & Co" }),
            201,
        );
        let product = json!({
            "title": format!("Lamp of {name}"), "slug": "lamp", "category": category["id"], "sku": "L-1", "vendor": vendor["id"],
            "price": { "amount": 100, "currency": "EUR" },
        });
        let product = ask(
            &world,
            &process,
            name,
            &token,
            (Method::POST, "/v1/products"),
            product,
            201,
        );
        let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
        ask(
            &world,
            &process,
            name,
            &token,
            (Method::POST, &format!("{path}/publish")),
            Value::Null,
            200,
        );
        ask(
            &world,
            &process,
            name,
            &token,
            (Method::PUT, &format!("{path}/upvote")),
            Value::Null,
            200,
        );
        ask(
            &world,
            &process,
            name,
            &token,
            (Method::POST, &format!("{path}/comments")),
            json!({ "body": name }),
            201,
        );
        world.drain(&process);
        tokens.push((token, path));
    }
    let [(one, path), (_, same)] = <[_; 2]>::try_from(tokens).unwrap();
    assert_eq!(path, same, "the ids are equal");
    assert_eq!(keys(&world, "one"), keys(&world, "other"));
    for (name, count) in [("one", 1), ("other", 1)] {
        let list = ask(
            &world,
            &process,
            name,
            "",
            (Method::GET, "/v1/products"),
            Value::Null,
            200,
        );
        assert_eq!(list["items"].as_array().unwrap().len(), count);
        let shown = ask(&world, &process, name, "", (Method::GET, &path), Value::Null, 200);
        assert_eq!(
            (&shown["title"], &shown["upvote_count"]),
            (&json!(format!("Lamp of {name}")), &json!(1))
        );
        let comments = ask(
            &world,
            &process,
            name,
            "",
            (Method::GET, &format!("{path}/comments")),
            Value::Null,
            200,
        );
        assert_eq!(comments["items"][0]["body"], name);
    }
    // The sessions are equal too, and yet the token of the one is nothing to the other.
    ask(
        &world,
        &process,
        "other",
        &one,
        (Method::GET, "/v1/me"),
        Value::Null,
        401,
    );
    assert_eq!(world.call(&process, &one, Method::GET, "/v1/me", None).0, 401);
    // What one does changes nothing of the other.
    ask(
        &world,
        &process,
        "one",
        &one,
        (Method::PATCH, &path),
        json!({ "title": "Mine" }),
        200,
    );
    ask(&world, &process, "one", &one, (Method::DELETE, &path), Value::Null, 204);
    world.drain(&process);
    ask(&world, &process, "one", "", (Method::GET, &path), Value::Null, 404);
    let kept = ask(&world, &process, "other", "", (Method::GET, &path), Value::Null, 200);
    assert_eq!((&kept["title"], &kept["version"]), (&json!("Lamp of other"), &json!(2)));
    let (status, main) = world.call(&process, "", Method::GET, "/v1/products", None);
    assert_eq!((status, &main["items"]), (200, &json!([])));
}

#[test]
fn what_a_crash_left_of_a_market_is_swept_up() {
    let (world, process, _) = deployment(functions());
    let token = root(&world, &process, "one");
    world.drain(&process);
    ask(
        &world,
        &process,
        "one",
        &token,
        (Method::POST, "/v1/categories"),
        json!({ "name": "Lamps" }),
        201,
    );
    assert_eq!(world.outbox(), 1);
    // Another process finds it, which has not heard of the market.
    let process = world.start(functions());
    world.clock.advance(120_000);
    world.run(process.app.tick());
    world.drain(&process);
    assert_eq!(world.outbox(), 0);
    let token = ask(
        &world,
        &process,
        "one",
        "",
        (Method::POST, "/v1/sessions"),
        new_session(),
        201,
    );
    let token = token["access_token"].as_str().unwrap();
    let events = ask(
        &world,
        &process,
        "one",
        token,
        (Method::GET, "/v1/events"),
        Value::Null,
        200,
    );
    assert_eq!(events["items"][0]["type"], "category.created");
}

#[test]
fn a_message_shows_whose_it_is() {
    let (world, process, operator) = deployment(functions());
    let token = root(&world, &process, "one");
    world.drain(&process);
    ask(
        &world,
        &process,
        "one",
        &token,
        (Method::POST, "/v1/categories"),
        json!({ "name": "Lamps" }),
        201,
    );
    world.run(process.app.run_pending_work());
    {
        let mut rows = world.queue.rows.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.message.job == "operators.log").unwrap();
        assert_eq!(row.message.tenant.name(), "one");
        row.message.tenant = Tenant::named("other").unwrap();
    }
    world.drain(&process);
    let other = root(&world, &process, "other");
    let events = ask(
        &world,
        &process,
        "other",
        &other,
        (Method::GET, "/v1/events"),
        Value::Null,
        200,
    );
    assert_eq!(events["items"], json!([]));
    let dead = world.call(&process, &operator, Method::GET, "/v1/dead-letters", None).1;
    assert_eq!(dead["items"][0]["job"], "operators.log", "{dead}");
}

#[test]
fn schedules_run_for_markets_too() {
    fn schedule() -> Schedule {
        Schedule::new("test.mark", "", 60, async |cx| {
            let mark = |tx: souk_kit::Transaction<souk_kit::Failure>| async move {
                tx.put(Key::of("mark", "1"), json!({})).always();
                Ok::<_, souk_kit::Failure>(())
            };
            cx.commit(mark).await.map_err(JobError::from)?;
            Ok(String::new())
        })
    }
    let with = |schedule: Schedule| {
        let mut all = functions();
        all.push(Function {
            name: "test",
            schedules: vec![schedule],
            ..Function::default()
        });
        all
    };
    for (schedule, expected) in [
        (schedule(), [true, false, false]),
        (schedule().for_each_tenant(), [true; 3]),
    ] {
        let (world, process, _) = deployment(with(schedule));
        world.run(process.app.tick());
        let found = ["", "@one/", "@other/"].map(|prefix| {
            let key = Key::of(&format!("{prefix}mark"), "1");
            world.run(get_one(&*world.store, key)).unwrap().is_some()
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn without_a_domain_there_is_one_market() {
    let world = World::new(3);
    let process = world.start(functions());
    let operator = world.admin(&process);
    let new = json!({ "name": "one", "title": "One" });
    let (status, problem) = world.call(&process, &operator, Method::POST, "/v1/tenants", Some(new));
    assert_eq!((status, &problem["code"]), (409, &json!("no_tenants")));
    let (status, _) = world.call_at(&process, "one.work.test", "", Method::GET, "/v1/products", None);
    assert_eq!(status, 200, "any host name is that of the market");
}

#[test]
fn what_was_known_of_a_market_holds_while_the_store_is_away() {
    let (world, process, _) = deployment(functions());
    ask(
        &world,
        &process,
        "one",
        "",
        (Method::GET, "/v1/events/catalog"),
        Value::Null,
        200,
    );
    world.store.is_down.store(true, Ordering::SeqCst);
    world.clock.advance(60_000);
    ask(
        &world,
        &process,
        "one",
        "",
        (Method::GET, "/v1/events/catalog"),
        Value::Null,
        200,
    );
    ask(
        &world,
        &process,
        "other",
        "",
        (Method::GET, "/v1/events/catalog"),
        Value::Null,
        503,
    );
    world.store.is_down.store(false, Ordering::SeqCst);
    ask(
        &world,
        &process,
        "other",
        "",
        (Method::GET, "/v1/events/catalog"),
        Value::Null,
        200,
    );
}

#[test]
fn a_market_may_live_in_a_database_of_its_own() {
    let poisoned = || {
        let mut all = functions();
        all.push(crate::jobs(vec![crate::fragile(
            &Arc::new(AtomicBool::default()),
            true,
        )]));
        all
    };
    let (mut world, process, operator) = deployment(poisoned());
    let tenants = |method, path: &str, body: Value| {
        let body = Some(body).filter(|body| !body.is_null());
        world.call(&process, &operator, method, path, body)
    };
    let new = |database: &str| json!({ "name": "away", "title": "Away", "first_admin": "root@work.test", "database": database });
    let (status, problem) = tenants(Method::POST, "/v1/tenants", new("nowhere"));
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("database")),
        "{problem}"
    );
    assert_eq!(tenants(Method::POST, "/v1/tenants", new("apart")).0, 201);
    let (status, problem) = tenants(Method::PATCH, "/v1/tenants/away", json!({ "database": null }));
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("database")),
        "{problem}"
    );

    // Everything of it is there, and nothing of anybody else.
    let at = |name: &str, token: &str, what, body, status| ask(&world, &process, name, token, what, body, status);
    let lamps = || json!({ "name": "Lamps" });
    let category = (Method::POST, "/v1/categories");
    let token = root(&world, &process, "away");
    at("away", &token, category.clone(), lamps(), 201);
    let other = root(&world, &process, "other");
    at("other", &other, category.clone(), lamps(), 201);
    assert_eq!(keys(&world, "away"), BTreeSet::new());
    assert_eq!(keys_in(&world, &world.apart, "other"), BTreeSet::new());
    assert!(keys_in(&world, &world.apart, "away").len() > 3);
    let waiting = || {
        let shards = (0..8).map(|shard| souk_core::Query::partition(format!("outbox/{shard}"), 100));
        let pages = shards.map(|query| {
            world
                .run(world.apart.query(&query, souk_core::Consistency::Strong))
                .unwrap()
        });
        pages.map(|page| page.items.len()).sum::<usize>()
    };
    assert!(waiting() > 0 && world.outbox() > 0);
    world.drain(&process);
    world.run(process.app.run_pending_work());
    assert_eq!((waiting(), world.outbox()), (0, 0));

    // What a crash leaves of it is swept up, also by who has not heard of it; and its outage is nobody else's.
    at("away", &token, category.clone(), json!({ "name": "Rugs" }), 201);
    at("other", &other, category.clone(), json!({ "name": "Rugs" }), 201);
    let process = world.start(poisoned());
    let at = |name: &str, token: &str, what, body, status| ask(&world, &process, name, token, what, body, status);
    world.clock.advance(120_000);
    world.apart.is_down.store(true, Ordering::SeqCst);
    world.run(process.app.tick());
    world.drain(&process);
    assert_eq!(world.outbox(), 0);
    let list = || (Method::GET, "/v1/categories");
    at("away", "", list(), Value::Null, 503);
    at("other", "", list(), Value::Null, 200);
    world.apart.is_down.store(false, Ordering::SeqCst);
    assert_eq!(waiting(), 1);
    world.clock.advance(120_000);
    world.run(process.app.tick());
    world.drain(&process);
    assert_eq!(waiting(), 0);
    let session = at("away", "", (Method::POST, "/v1/sessions"), new_session(), 201);
    let events = at(
        "away",
        session["access_token"].as_str().unwrap(),
        (Method::GET, "/v1/events"),
        Value::Null,
        200,
    );
    assert_eq!(events["items"].as_array().unwrap().len(), 2, "{events}");

    // A job that is given up says so there.
    let market = world
        .run(process.platform.of_tenant(&Tenant::named("away").unwrap()))
        .unwrap()
        .unwrap();
    let cx = Context::system(market);
    let start = cx.commit(|tx| async move { tracked::start::<Failure, _>(&tx, &Fragile { n: 1 }, "acc_0") });
    let job = world.run(start).unwrap();
    world.run(process.app.run_pending_work());
    world.drain(&process);
    let token = session["access_token"].as_str().unwrap();
    let job = at(
        "away",
        token,
        (Method::GET, &format!("/v1/jobs/{}", job.id)),
        Value::Null,
        200,
    );
    assert_eq!((&job["status"], &job["error"]), (&json!("failed"), &json!("poison 1")));
    assert_eq!(keys(&world, "away"), BTreeSet::new());

    // It is exported and erased from there.
    let operator = world.sign_in(&process, "keeper");
    let path = "/v1/tenants/away";
    let call = |method, path: &str| world.call(&process, &operator, method, path, None);
    let (status, export) = call(Method::GET, &format!("{path}/export"));
    assert_eq!(status, 200);
    assert!(export.to_string().contains("Rugs"));
    assert_eq!(call(Method::POST, &format!("{path}/suspend")).0, 200);
    assert_eq!(call(Method::DELETE, path).0, 202);
    world.drain(&process);
    assert_eq!(keys_in(&world, &world.apart, "away"), BTreeSet::new());

    // Then the database may go, and nobody else is kept from anything.
    let runs = Arc::new(AtomicUsize::default());
    let counted = runs.clone();
    let schedule = Schedule::new("test.count", "", 60, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(String::new()) }
    });
    world.has_apart = false;
    let mut all = functions();
    all.push(Function {
        name: "test",
        schedules: vec![schedule.for_each_tenant()],
        ..Function::default()
    });
    let process = world.start(all);
    world.run(process.app.tick());
    assert_eq!(runs.load(Ordering::SeqCst), 3, "in the main market and in two others");
    ask(
        &world,
        &process,
        "away",
        "",
        (Method::GET, "/v1/products"),
        Value::Null,
        404,
    );
}
