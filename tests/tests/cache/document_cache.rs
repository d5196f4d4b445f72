//! Cached documents are never older than their kind allows, and no decision rests on them.

use std::sync::atomic::Ordering;

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::Consistency::{Eventual, Strong};
use souk_core::documents::get_one;
use souk_core::{Change, Clock as _, Commit, Condition, Document, Documents as _, Key, KeyValue as _, StoreError};
use souk_kit::App;
use souk_model::catalog::{CATEGORY, PRODUCT};

use crate::world::{Account, Task, World, call, category, get, plain, run, step};

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
    /// What it reads: which document, and the oldest place in its history that it may see.
    least: Vec<(usize, usize)>,
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
fn nothing_is_older_than_its_kind_allows() {
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
        // What each document was, and since when, in milliseconds.
        let mut histories = keys.clone().map(|_| vec![(i64::MIN, None)]);
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
                                (n, if may_be_cached { living } else { newest })
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
                acts.push(Act { task, least });
            }
            let n = rng.usize(..acts.len());
            if rng.u8(..100) == 0 {
                drop(acts.swap_remove(n));
                continue;
            }
            let done = step(&mut acts[n].task);
            let truth = run(world.store.model.get(&keys, Strong)).unwrap();
            for (history, truth) in histories.iter_mut().zip(truth) {
                if history.last().unwrap().1 != truth {
                    history.push((now, truth));
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
                Done::Wrote(Ok(())) => writes += 1,
                Done::Wrote(Err(_)) | Done::Flushed => {}
            }
        }
    }
    assert!(
        old > 1_000 && fresh > 10_000 && writes > 1_000,
        "{old} {fresh} {writes}"
    );
}
