//! Copies of documents: no older than two minutes, never behind what their own process wrote, and nothing is decided by them.

use std::sync::atomic::Ordering;

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::freshness::relaxed;
use souk_core::kind::{CATEGORY, PRODUCT, VENDOR};
use souk_core::{Change, Clock as _, Commit, Condition, Document, Documents as _, Key, KeyValue as _, StoreError};
use souk_kit::App;

use crate::world::{Account, Task, World, call, category, get, plain, run, step};

/// How old a copy may be, in milliseconds.
const LIFE: i64 = 120_000;
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
fn what_was_copied_is_not_read_again() {
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
    assert!(far.has_news());
    look(&far, THINGS, (2, 2));
    run(far.relay());
    assert!(!far.has_news());
    look(&far, THINGS, (0, 2));
    look(&near, THINGS, (0, 2));
    look(&near, &format!("/v1/categories/{}", category()), (0, 0));
    // What belongs to somebody, or is not there, is no business of theirs.
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
    run(far.relay());
    assert_eq!(world.values.puts.load(Ordering::SeqCst), puts);
    // The operator may have none.
    let (off, _) = world.process("off");
    look(&off, THINGS, (2, 0));
}

#[test]
fn who_reads_no_copies_removes_them_too() {
    let world = World::new(58);
    world.values.be_good();
    let (far, _) = world.process("values");
    let (_, off) = world.process("off");
    name(&far, THINGS, &[]);
    run(far.relay());
    run(off.documents.commit(edit(&world, "Others", json!([])))).unwrap();
    assert_eq!(name(&far, THINGS, &[]).0, "Others");
}

#[test]
fn no_decision_rests_on_a_copy() {
    let world = World::new(51);
    world.values.be_good();
    let (far, _) = world.process("values");
    let (near, _) = world.process("memory,values");
    let seller = world.account(1);
    let old = name(&far, THINGS, &[]);
    run(far.relay());
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
fn what_changes_leaves_the_values_before_it_is_acknowledged() {
    let world = World::new(56);
    world.values.be_good();
    let [(far, _), (writer, platform)] = ["values", "values"].map(|layers| world.process(layers));
    for round in 0..3 {
        name(&far, THINGS, &[]);
        run(far.relay());
        assert_eq!(name(&far, THINGS, &[]).0, name(&world.bare, THINGS, &[]).0);
        let new = format!("Things {round}");
        // What the writer has read before it shall not be put after it.
        world.clock.advance(LIFE);
        name(&writer, THINGS, &[]);
        run(platform.documents.commit(edit(&world, &new, json!([])))).unwrap();
        run(writer.relay());
        assert_eq!(name(&far, THINGS, &[]).0, new);
        run(far.relay());
        // Nor by somebody else, whose copy is there when the writer comes.
        run(platform.documents.commit(edit(&world, "Last", json!([])))).unwrap();
        assert_eq!(name(&far, THINGS, &[]).0, "Last");
        world.clock.advance(3 * LIFE);
    }
}

#[test]
fn a_copy_is_as_old_as_the_beginning_of_its_read() {
    let mut rng = Rng::with_seed(54);
    for seed in 0..20 {
        let world = World::new(seed);
        world.values.be_good();
        let (far, platform) = world.process("values");
        let keys = [CATEGORY.key(&category())];
        let began = world.clock.now().as_millisecond();
        world.crowd(&mut rng);
        let mut slow: Task<'_, _> = Box::pin(relaxed(platform.documents.get(&keys)));
        while step(&mut slow).is_none() {
            let reads = world.store.reads.load(Ordering::SeqCst);
            world.clock.advance(i64::try_from(reads).unwrap() * 10_000);
        }
        world.calm();
        run(far.relay());
        let reads = |at: i64| {
            world.clock.advance(at - world.clock.now().as_millisecond());
            let before = world.store.reads.load(Ordering::SeqCst);
            run(relaxed(platform.documents.get(&keys))).unwrap();
            world.store.reads.load(Ordering::SeqCst) - before
        };
        assert_eq!((reads(began + LIFE - 1), reads(began + LIFE)), (0, 1));
    }
}

#[test]
fn what_is_no_copy_is_not_taken_for_one() {
    let world = World::new(55);
    world.values.be_good();
    let truth = name(&world.bare, THINGS, &[]);
    let (far, _) = world.process("values");
    let now = world.clock.now().as_millisecond();
    let other = r#"{"id":"cat_1","name":"Other"}"#;
    let late = world.clock.ahead(3_600_000);
    for text in [
        "",
        "Other",
        other,
        &format!("{now}\n{other}"),
        &format!("{now} 1\n{other}"),
        &format!("{now} one {{}}\n{other}"),
        &format!("{} 1 {{}}\n{other}", now + 60_001),
    ] {
        for key in [CATEGORY.name_key("things"), CATEGORY.key(&category())] {
            run(world.values.put(&format!("copy/{}", key.pk), text, late)).unwrap();
        }
        assert_eq!(name(&far, THINGS, &[]), truth, "{text}");
    }
    let key = format!("copy/{}", CATEGORY.key(&category()).pk);
    run(world
        .values
        .put(&key, &format!("{} 1 {{}}\n{other}", now + 60_000), late))
    .unwrap();
    assert_eq!(name(&far, THINGS, &[]).0, "Other", "this is one");
}

#[test]
fn who_wrote_reads_what_it_wrote() {
    let mut rng = Rng::with_seed(52);
    let world = World::new(52);
    world.values.fails.store(0, Ordering::SeqCst);
    let (far, platform) = world.process("values");
    let (near, _) = world.process("memory,values");
    for round in 0..200 {
        // Others bring in copies of what is now.
        for app in [&far, &near] {
            name(app, THINGS, &[]);
            run(app.relay());
        }
        let (new, next) = (
            format!("Things {round}"),
            edit(&world, &format!("Things {round}"), json!([])),
        );
        if round % 4 == 0 {
            // Nobody sees how it ends, and it ends late.
            world.store.holds.store(true, Ordering::SeqCst);
            let mut write: Task<'_, _> = Box::pin(platform.documents.commit(next));
            assert!(step(&mut write).is_none());
            drop(write);
            world.store.holds.store(false, Ordering::SeqCst);
            world.clock.advance(rng.i64(0..60_000));
            // Somebody copies what is about to be old.
            name(&near, THINGS, &[]);
            run(near.relay());
            let late = std::mem::take(&mut *world.store.late.lock().unwrap());
            assert_eq!(late.len(), 1);
            late.into_iter()
                .for_each(|commit| run(world.store.model.commit(commit)).unwrap());
        } else {
            run(platform.documents.commit(next)).unwrap();
        }
        for _ in 0..10 {
            assert_eq!(name(&far, THINGS, &[]).0, new);
            name(&near, THINGS, &[]);
            run(far.relay());
            run(near.relay());
            world.clock.advance(rng.i64(0..30_000));
        }
    }
}

#[test]
fn without_values_all_is_as_with_them() {
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
        run(far.relay());
        run(world
            .store
            .model
            .commit(edit(&world, &format!("Things {round}"), json!([]))))
        .unwrap();
        world.clock.advance(1_000);
    }
    let gets = world.values.gets.load(Ordering::SeqCst);
    assert!(
        (5..=12).contains(&gets),
        "{gets}: one that fails is not asked again at once"
    );
}

enum Done {
    Read(Vec<Option<Document>>),
    Wrote(Result<(), StoreError>),
    Relayed,
}

/// Something that a process does.
struct Act<'a> {
    task: Task<'a, Done>,
    process: usize,
    /// What it reads: which document, and from which place in its history on.
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

/// Processes read, write, put copies and go away in between, over values as bad as they may be.
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
            VENDOR.key("vnd_1"),
            Key::of("settings", "search"),
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
                        Box::pin(async { Done::Wrote(platform.documents.commit(commit).await) })
                    }
                    1 | 2 => Box::pin(async {
                        app.relay().await;
                        Done::Relayed
                    }),
                    kind => {
                        least = some
                            .iter()
                            .map(|&n| {
                                let newest = histories[n].len() - 1;
                                let living = histories[n].partition_point(|(since, _)| *since <= now - LIFE) - 1;
                                let is_relaxed = kind > 4 && n > 0;
                                (
                                    n,
                                    if is_relaxed {
                                        living.max(wrote[process][n])
                                    } else {
                                        newest
                                    },
                                )
                            })
                            .collect();
                        let keys: Vec<Key> = some.iter().map(|n| keys[*n].clone()).collect();
                        Box::pin(async move {
                            let read = platform.documents.get(&keys);
                            Done::Read(if kind > 4 { relaxed(read).await } else { read.await }.unwrap())
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
            let truth = run(world.store.model.get(&keys)).unwrap();
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
                Done::Wrote(Err(_)) | Done::Relayed => {}
            }
        }
    }
    assert!(
        old > 1_000 && fresh > 10_000 && writes > 1_000,
        "{old} {fresh} {writes}"
    );
}
