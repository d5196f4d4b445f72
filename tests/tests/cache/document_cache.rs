//! Cached documents are never older than their kind allows or than what their own process wrote, and no decision rests on them.

use std::sync::atomic::Ordering;

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::Consistency::{Eventual, Strong};
use souk_core::documents::get_one;
use souk_core::queue::{Delivery, Outcome};
use souk_core::{
    Change, Clock as _, Commit, Condition, Consistency, Document, Documents as _, Key, KeyValue as _, Query,
    StoreError, Timestamp,
};
use souk_kit::{App, Context, Platform};
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use crate::world::{Account, Note, Task, World, call, category, get, plain, run, step};

/// How old a cached category may be, in milliseconds.
const LIFE: i64 = 60_000;
const THINGS: &str = "/v1/categories/things";

/// Another body of the category, at the version that it has now.
fn edit(world: &World, name: &str, attributes: Value) -> Commit {
    let document = run(get_one(&world.store.model, CATEGORY.key(&category())))
        .unwrap()
        .unwrap();
    let mut body: Value = document.parse().unwrap();
    (body["name"], body["attributes"]) = (name.into(), attributes);
    let change = Change::replace(document.key, document.version, body.to_string(), &[], Vec::new());
    Commit::new(vec![change])
}

/// What the category is called, and its `ETag`.
fn name(app: &App, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let response = run(get(app, path, headers));
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let name = body["name"].as_str().unwrap();
    (name.to_owned(), response.headers()["etag"].to_str().unwrap().to_owned())
}

fn new_product(world: &World, app: &App, who: &Account, attributes: Value) -> u16 {
    let body = json!({ "title": "Lamp", "category": "things", "price": { "amount": 1, "currency": "EUR" },
                       "attributes": attributes });
    let request = http::Request::post("/v1/products")
        .header("authorization", world.token(who))
        .header("content-type", "application/json")
        .body(Some(body.to_string().into()));
    run(app.handle(request.unwrap())).status().as_u16()
}

/// Puts a document into the store, and nowhere else.
fn store(world: &World, key: &Key, expires_at: Option<Timestamp>) {
    let change = Change::Put {
        key: key.clone(),
        body: json!({ "from": "store" }).to_string(),
        counters: Vec::new(),
        expires_at,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    };
    run(world.store.model.commit(Commit::new(vec![change]))).unwrap();
}

/// Puts a document into the store, and another one into the cache.
fn plant(world: &World, key: &Key) {
    store(world, key, None);
    let copy = Document {
        key: key.clone(),
        version: 1,
        body: json!({ "from": "cache" }).to_string(),
        counters: "{}".into(),
        expires_at: None,
    };
    let (value_key, text) = (format!("document/{}", key.pk), serde_json::to_string(&copy).unwrap());
    run(world.values.put(&value_key, &text, world.clock.ahead(LIFE))).unwrap();
}

/// Where each of these documents comes from; empty if there is none.
fn origins(platform: &Platform, keys: &[Key], consistency: Consistency) -> Vec<String> {
    let found = run(platform.documents().get(keys, consistency)).unwrap();
    let origin = |document: Option<Document>| document.map_or(String::new(), |found| found.field("from").unwrap());
    found.into_iter().map(origin).collect()
}

#[test]
fn only_eventually_consistent_gets_of_declared_kinds_are_cached() {
    let world = World::new(60);
    world.values.be_good();
    let (_, platform) = world.process("values");
    let declared = [CATEGORY.key("cat_1"), CATEGORY.name_key("lamps")];
    let others = [
        PRODUCT.key("prd_1"),
        PRODUCT.name_key("lamp"),
        ACCOUNT.key("acc_1"),
        // No function of this process declares vendors.
        VENDOR.key("vnd_1"),
        Key::of("categories", "cat_1"),
        Key::of("settings", "search"),
        Key::new("category/cat_1", "part"),
    ];
    for key in declared.iter().chain(&others) {
        plant(&world, key);
        let expected = if declared.contains(key) { "cache" } else { "store" };
        let key = std::slice::from_ref(key);
        assert_eq!(origins(&platform, key, Eventual), [expected], "{key:?}");
        assert_eq!(origins(&platform, key, Strong), ["store"], "{key:?}");
        for consistency in [Eventual, Strong] {
            let query = Query::partition(&key[0].pk, 1);
            let page = run(platform.documents().query(&query, consistency)).unwrap();
            let from: String = page.items[0].document.field("from").unwrap();
            assert_eq!(from, "store", "{key:?}");
        }
    }
    // The store is asked for the other one anyway.
    let both = [declared[0].clone(), others[0].clone()];
    assert_eq!(origins(&platform, &both, Eventual), ["store", "store"]);
}

#[test]
fn at_most_four_keys_are_looked_up() {
    let world = World::new(61);
    world.values.be_good();
    let (app, platform) = world.process("values");
    let keys: Vec<Key> = (0..5).map(|n| CATEGORY.key(&format!("cat_{n}"))).collect();
    keys.iter().for_each(|key| plant(&world, key));
    assert_eq!(origins(&platform, &keys[..4], Eventual), ["cache"; 4]);
    let gets = world.values.gets.load(Ordering::SeqCst);
    assert_eq!(origins(&platform, &keys, Eventual), ["store"; 5]);
    assert_eq!(world.values.gets.load(Ordering::SeqCst), gets);
    assert!(!app.has_pending_work());
    // Of several keys, only those that are missing are read from the store, in one call: a strongly consistent one, since
    // they will be served for a while.
    run(world.values.delete("document/category/cat_1")).unwrap();
    run(world.values.delete("document/category/cat_3")).unwrap();
    let counts = || [&world.store.reads, &world.store.strong_reads].map(|count| count.load(Ordering::SeqCst));
    let [reads, strong_reads] = counts();
    let mixed = ["cache", "store", "cache", "store"];
    assert_eq!(origins(&platform, &keys[..4], Eventual), mixed);
    assert_eq!(counts(), [reads + 1, strong_reads + 1]);
}

#[test]
fn documents_that_do_not_exist_are_not_cached() {
    let world = World::new(62);
    world.values.be_good();
    let (app, platform) = world.process("values");
    let key = [CATEGORY.key("cat_1")];
    for _ in 0..2 {
        assert_eq!(origins(&platform, &key, Eventual), [""]);
        assert!(!app.has_pending_work());
        run(app.run_pending_work());
    }
    // It is created where this process does not hear of it.
    store(&world, &key[0], None);
    assert_eq!(origins(&platform, &key, Eventual), ["store"]);
    assert!(app.has_pending_work());
}

#[test]
fn documents_that_expire_are_not_cached() {
    let world = World::new(63);
    world.values.be_good();
    let (app, platform) = world.process("values");
    let key = [CATEGORY.key("cat_1")];
    store(&world, &key[0], Some(world.clock.ahead(LIFE / 2)));
    for _ in 0..2 {
        assert_eq!(origins(&platform, &key, Eventual), ["store"]);
        assert!(!app.has_pending_work());
        run(app.run_pending_work());
    }
    assert_eq!(world.values.puts.load(Ordering::SeqCst), 0);
    world.clock.advance(LIFE / 2);
    assert_eq!(origins(&platform, &key, Eventual), [""]);
}

#[test]
fn cached_documents_are_not_read_again() {
    let world = World::new(50);
    world.values.be_good();
    let (far, _) = world.process("values");
    let (near, _) = world.process("memory,values");
    let reads = || world.store.reads.load(Ordering::SeqCst);
    let gets = || world.values.gets.load(Ordering::SeqCst);
    let truth = run(get(&world.bare, THINGS, &[]));
    let look = |app: &App, path: &str, least: (usize, usize)| {
        let before = (reads(), gets());
        let response = run(get(app, path, &[]));
        assert_eq!(
            (response.status(), response.body()),
            (truth.status(), truth.body()),
            "{path}"
        );
        assert_eq!(plain(&response)["etag"], plain(&truth)["etag"], "{path}");
        assert_eq!((reads() - before.0, gets() - before.1), least, "{path}");
    };
    // The claim on the name and the thing, one after the other.
    look(&far, THINGS, (2, 2));
    assert!(far.has_pending_work());
    look(&far, THINGS, (2, 2));
    run(far.run_pending_work());
    assert!(!far.has_pending_work());
    look(&far, THINGS, (0, 2));
    look(&near, THINGS, (0, 2));
    look(&near, &format!("/v1/categories/{}", category()), (0, 1));
    // Requests with credentials, and documents that do not exist, are not cached.
    let before = gets();
    let token = world.token(&world.account(1));
    run(get(&far, THINGS, &[("authorization", &token)]));
    run(get(&far, THINGS, &[("cookie", "a=b")]));
    run(call(&far, Method::POST, THINGS, &[]));
    run(get(&far, "/v1/products/none", &[]));
    run(get(&far, "/v1/accounts/user-1", &[]));
    assert_eq!(gets(), before);
    let puts = world.values.puts.load(Ordering::SeqCst);
    run(get(&far, "/v1/categories/none", &[]));
    run(far.run_pending_work());
    assert_eq!(world.values.puts.load(Ordering::SeqCst), puts);
    // The operator may switch the cache off.
    let (off, _) = world.process("off");
    look(&off, THINGS, (2, 0));
}

#[test]
fn processes_without_the_cache_delete_what_they_change() {
    let world = World::new(58);
    world.values.be_good();
    let (far, _) = world.process("values");
    let (_, off) = world.process("off");
    name(&far, THINGS, &[]);
    run(far.run_pending_work());
    run(off.documents().commit(edit(&world, "Others", json!([])))).unwrap();
    assert_eq!(name(&far, THINGS, &[]).0, "Others");
}

#[test]
fn no_decision_rests_on_a_cached_document() {
    let world = World::new(51);
    world.values.be_good();
    let (far, _) = world.process("values");
    let (near, _) = world.process("memory,values");
    let seller = world.account(1);
    let old = name(&far, THINGS, &[]);
    run(far.run_pending_work());
    // Edited where nobody hears of it.
    let size = json!([{ "name": "size", "label": null, "type": "text", "required": true, "filterable": true }]);
    run(world.store.model.commit(edit(&world, "Others", size))).unwrap();
    assert_eq!(name(&far, THINGS, &[]), old, "this is a copy");
    let new = name(&far, THINGS, &[("authorization", &world.token(&seller))]);
    assert_eq!(
        (new.0.as_str(), name(&world.bare, THINGS, &[])),
        ("Others", new.clone())
    );
    assert_eq!(new_product(&world, &far, &seller, json!({})), 422);
    assert_eq!(new_product(&world, &far, &seller, json!({ "size": "L" })), 201);
    world.clock.advance(LIFE - 1);
    assert_eq!(name(&far, THINGS, &[]), old);
    assert_eq!(name(&near, THINGS, &[]), old);
    world.clock.advance(1);
    assert_eq!(name(&far, THINGS, &[]), new);
    assert_eq!(name(&near, &format!("/v1/categories/{}", category()), &[]), new);
}

#[test]
fn jobs_and_transactions_read_the_store() {
    let world = World::new(64);
    world.values.be_good();
    let (app, platform) = world.process("values");
    name(&app, THINGS, &[]);
    run(app.run_pending_work());
    run(world.store.model.commit(edit(&world, "Others", json!([])))).unwrap();
    assert_eq!(name(&app, THINGS, &[]).0, "Things", "this is a copy");
    let context = Context::system(platform);
    let read = run(context.read::<Value>(CATEGORY.key(&category()))).unwrap().unwrap();
    assert_eq!(read["name"], "Others");
    let message = context.message(&Note {}).unwrap();
    assert_eq!(
        run(app.work(vec![Delivery { message, deliveries: 1 }])),
        [Outcome::Done]
    );
    let noted = run(get_one(&world.store.model, Note::key())).unwrap().unwrap();
    assert_eq!(noted.field::<String>("name").unwrap(), "Others");
}

#[test]
fn a_commit_deletes_cached_documents_before_it_is_acknowledged() {
    let world = World::new(56);
    world.values.be_good();
    let [(far, _), (writer, platform)] = ["values", "values"].map(|layers| world.process(layers));
    for round in 0..3 {
        name(&far, THINGS, &[]);
        run(far.run_pending_work());
        assert_eq!(name(&far, THINGS, &[]).0, name(&world.bare, THINGS, &[]).0);
        let new = format!("Things {round}");
        // What the writer has read before it shall not be put after it.
        world.clock.advance(LIFE);
        name(&writer, THINGS, &[]);
        run(platform.documents().commit(edit(&world, &new, json!([])))).unwrap();
        run(writer.run_pending_work());
        assert_eq!(name(&far, THINGS, &[]).0, new);
        run(far.run_pending_work());
        // Nor by somebody else, whose copy is there when the writer comes.
        run(platform.documents().commit(edit(&world, "Last", json!([])))).unwrap();
        assert_eq!(name(&far, THINGS, &[]).0, "Last");
        world.clock.advance(3 * LIFE);
    }
}

#[test]
fn a_commit_whose_outcome_is_unknown_deletes_cached_documents() {
    let world = World::new(59);
    world.values.be_good();
    let [(far, _), (_, platform)] = ["values", "values"].map(|layers| world.process(layers));
    name(&far, THINGS, &[]);
    run(far.run_pending_work());
    world.store.breaks.store(true, Ordering::SeqCst);
    let result = run(platform.documents().commit(edit(&world, "Others", json!([]))));
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert_eq!(name(&far, THINGS, &[]).0, "Others");
}

/// Other processes may see it until it expires.
#[test]
fn a_process_does_not_see_what_it_replaced_and_could_not_delete() {
    let mut stale = 0;
    for seed in 0..10 {
        let world = World::new(seed);
        world.values.be_good();
        let [(writer, platform), (far, _)] = ["values", "values"].map(|layers| world.process(layers));
        name(&far, THINGS, &[]);
        run(far.run_pending_work());
        world.clock.advance(LIFE / 2);
        world.values.fails.store(100, Ordering::SeqCst);
        run(platform.documents().commit(edit(&world, "Others", json!([])))).unwrap();
        world.values.be_good();
        for millis in [LIFE / 2 - 1, 1, LIFE] {
            assert_eq!(name(&writer, THINGS, &[]).0, "Others");
            // A call that fails may have been done.
            stale += usize::from(name(&far, THINGS, &[]).0 == "Things");
            world.clock.advance(millis);
        }
        assert_eq!(name(&far, THINGS, &[]).0, "Others");
    }
    assert!(stale > 4, "{stale}");
}

/// Whatever was being read and put when it was replaced, and whatever another process puts later.
#[test]
fn a_process_does_not_see_what_it_replaced() {
    let mut rng = Rng::with_seed(52);
    let world = World::new(52);
    let (far, platform) = world.process("values");
    let (near, _) = world.process("memory,values");
    let keys = [CATEGORY.name_key("things"), CATEGORY.key(&category())];
    for round in 0..200 {
        for app in [&far, &near] {
            name(app, THINGS, &[]);
            run(app.run_pending_work());
        }
        let new = format!("Things {round}");
        let next = edit(&world, &new, json!([]));
        world.crowd(&mut rng);
        let documents = platform.documents();
        let mut tasks: Vec<Task<'_, ()>> = vec![
            Box::pin(async { documents.commit(next).await.unwrap() }),
            Box::pin(async { drop(documents.get(&keys, Eventual).await) }),
            Box::pin(async {
                drop(documents.get(&keys, Eventual).await);
                far.run_pending_work().await;
            }),
        ];
        while !tasks.is_empty() {
            let n = rng.usize(..tasks.len());
            if step(&mut tasks[n]).is_some() {
                drop(tasks.swap_remove(n));
            }
        }
        world.calm();
        for _ in 0..10 {
            assert_eq!(name(&far, THINGS, &[]).0, new, "round {round}");
            name(&near, THINGS, &[]);
            run(far.run_pending_work());
            run(near.run_pending_work());
            world.clock.advance(rng.i64(0..30_000));
        }
    }
}

#[test]
fn the_life_of_a_cached_document_begins_with_its_read() {
    let mut rng = Rng::with_seed(54);
    for seed in 0..20 {
        let world = World::new(seed);
        world.values.be_good();
        let (far, platform) = world.process("values");
        let keys = [CATEGORY.key(&category())];
        let began = world.clock.now().as_millisecond();
        world.crowd(&mut rng);
        let mut slow: Task<'_, _> = Box::pin(platform.documents().get(&keys, Eventual));
        while step(&mut slow).is_none() {
            let reads = world.store.reads.load(Ordering::SeqCst);
            world.clock.advance(i64::try_from(reads).unwrap() * 10_000);
        }
        world.calm();
        run(far.run_pending_work());
        let reads = |at: i64| {
            world.clock.advance(at - world.clock.now().as_millisecond());
            let before = world.store.reads.load(Ordering::SeqCst);
            run(platform.documents().get(&keys, Eventual)).unwrap();
            world.store.reads.load(Ordering::SeqCst) - before
        };
        assert_eq!((reads(began + LIFE - 1), reads(began + LIFE)), (0, 1));
    }
}

#[test]
fn damaged_values_are_ignored() {
    let world = World::new(55);
    world.values.be_good();
    let truth = name(&world.bare, THINGS, &[]);
    let (far, _) = world.process("values");
    let later = world.clock.ahead(3_600_000);
    for text in ["", "Other", "[]", r#"{"id":"cat_1","name":"Other"}"#] {
        for key in [CATEGORY.name_key("things"), CATEGORY.key(&category())] {
            run(world.values.put(&format!("document/{}", key.pk), text, later)).unwrap();
        }
        assert_eq!(name(&far, THINGS, &[]), truth, "{text}");
    }
}

#[test]
fn a_key_value_store_that_fails_is_as_if_it_were_empty() {
    let world = World::new(53);
    world.values.fails.store(100, Ordering::SeqCst);
    let (far, _) = world.process("edge,values");
    let seller = world.account(1);
    let id = world.product(&seller, "Lamp", true);
    let product = format!("/v1/products/{id}?include=category,author");
    for round in 0..60 {
        for path in [THINGS, "/v1/categories/none", "/v1/products?category=things", &product] {
            let (one, other) = (run(get(&far, path, &[])), run(get(&world.bare, path, &[])));
            assert_eq!((one.status(), plain(&one)), (other.status(), plain(&other)), "{path}");
            assert!(one.status() == 404 || one.body() == other.body(), "{path}");
        }
        run(far.run_pending_work());
        run(world
            .store
            .model
            .commit(edit(&world, &format!("Things {round}"), json!([]))))
        .unwrap();
        world.clock.advance(1_000);
    }
}

enum Done {
    Read(Vec<Option<Document>>),
    Wrote(Result<(), StoreError>),
    Flushed,
}

/// Something that a process does.
struct Act<'a> {
    task: Task<'a, Done>,
    process: usize,
    /// What it reads: which document, and the oldest place in its history that it may see.
    least: Vec<(usize, usize)>,
    /// The places in the histories that it made.
    made: Vec<(usize, usize)>,
}

fn change(rng: &mut Rng, key: Key, turn: usize) -> Change {
    let conditions = [Condition::Any, Condition::Absent, Condition::Exists];
    match rng.u8(..8) {
        0 => Change::Delete {
            key,
            condition: Condition::Any,
            stale: Vec::new(),
        },
        1 => Change::Add {
            key,
            counter: "n".into(),
            delta: 1,
        },
        _ => Change::Put {
            key,
            body: json!({ "turn": turn, "long": "x".repeat(rng.usize(..2000)) }).to_string(),
            counters: Vec::new(),
            expires_at: None,
            condition: *rng.choice(&conditions).unwrap(),
            entries: Vec::new(),
            stale: Vec::new(),
        },
    }
}

/// Processes read, write, cache and are cancelled in between, over a key-value store as bad as its contract allows.
#[test]
fn nothing_is_older_than_it_may_be() {
    let (mut old, mut fresh, mut writes) = (0, 0, 0);
    for seed in 0..30 {
        let world = World::new(seed);
        let mut rng = Rng::with_seed(seed);
        let keys = [
            PRODUCT.key("prd_1"),
            CATEGORY.key("cat_1"),
            CATEGORY.name_key("lamps"),
            CATEGORY.name_key("torches"),
            CATEGORY.key("cat_2"),
        ];
        let processes = ["memory,values", "memory,values", "values"].map(|layers| world.process(layers));
        // What each document was, since when, in milliseconds; and what each process wrote last of it.
        let mut histories = keys.clone().map(|_| vec![(i64::MIN, None)]);
        let mut wrote = [[0; 5]; 3];
        let mut acts: Vec<Act<'_>> = Vec::new();
        world.crowd(&mut rng);
        for turn in 0..4_000 {
            if rng.u8(..20) == 0 {
                world.clock.advance(rng.i64(0..20_000));
            }
            let now = world.clock.now().as_millisecond();
            if acts.len() < 8 {
                let process = rng.usize(..processes.len());
                let (app, platform) = &processes[process];
                let mut some: Vec<usize> = (0..keys.len()).filter(|_| rng.bool()).collect();
                let mut least = Vec::new();
                let task: Task<'_, Done> = match rng.u8(..10) {
                    0 if !some.is_empty() => {
                        some.truncate(2);
                        let changes = some.iter().map(|n| change(&mut rng, keys[*n].clone(), turn));
                        let commit = Commit::new(changes.collect());
                        Box::pin(async { Done::Wrote(platform.documents().commit(commit).await) })
                    }
                    1 | 2 => Box::pin(async {
                        app.run_pending_work().await;
                        Done::Flushed
                    }),
                    kind => {
                        least = some
                            .iter()
                            .map(|&n| {
                                let newest = histories[n].len() - 1;
                                let living = histories[n].partition_point(|(since, _)| *since <= now - LIFE) - 1;
                                let may_be_cached = kind > 4 && n > 0;
                                let oldest = living.max(wrote[process][n]);
                                (n, if may_be_cached { oldest } else { newest })
                            })
                            .collect();
                        let keys: Vec<Key> = some.iter().map(|n| keys[*n].clone()).collect();
                        let consistency = if kind > 4 { Eventual } else { Strong };
                        Box::pin(async move {
                            let read = platform.documents().get(&keys, consistency).await;
                            Done::Read(read.unwrap())
                        })
                    }
                };
                let made = Vec::new();
                acts.push(Act {
                    task,
                    process,
                    least,
                    made,
                });
            }
            let n = rng.usize(..acts.len());
            if rng.u8(..100) == 0 {
                drop(acts.swap_remove(n));
                continue;
            }
            let done = step(&mut acts[n].task);
            let truth = run(world.store.model.get(&keys, Strong)).unwrap();
            for (n_key, (history, truth)) in histories.iter_mut().zip(truth).enumerate() {
                if history.last().unwrap().1 != truth {
                    history.push((now, truth));
                    acts[n].made.push((n_key, history.len() - 1));
                }
            }
            let Some(done) = done else { continue };
            let act = acts.swap_remove(n);
            match done {
                Done::Read(documents) => {
                    assert_eq!(documents.len(), act.least.len());
                    for ((n, least), document) in act.least.into_iter().zip(documents) {
                        let may_be = histories[n][least..].iter().any(|(_, was)| *was == document);
                        assert!(may_be, "seed {seed}, turn {turn}: {document:?} of {:?}", histories[n]);
                        if histories[n].last().unwrap().1 == document {
                            fresh += 1;
                        } else {
                            old += 1;
                        }
                    }
                }
                Done::Wrote(Ok(())) => {
                    writes += 1;
                    for (n, place) in act.made {
                        let last = &mut wrote[act.process][n];
                        *last = place.max(*last);
                    }
                }
                Done::Wrote(Err(_)) | Done::Flushed => {}
            }
        }
    }
    assert!(
        old > 1_000 && fresh > 10_000 && writes > 1_000,
        "{old} {fresh} {writes}"
    );
}
