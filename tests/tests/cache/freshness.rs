//! An acknowledged change is seen by the next read, whatever happens at the same time.

use std::sync::atomic::Ordering;

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::Documents as _;

use crate::world::{Account, Task, World, get, run, step};

fn market(seed: u64) -> (World, Vec<Account>, Vec<String>) {
    let world = World::new(seed);
    let accounts: Vec<Account> = (0..3).map(|n| world.account(n)).collect();
    let products = (0..9).map(|n| world.product(&accounts[n % 3], &format!("Thing {n}"), n % 2 == 0));
    let products = products.collect();
    (world, accounts, products)
}

fn paths(accounts: &[Account], products: &[String]) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/v1/products",
        "/v1/products?limit=2",
        "/v1/products?sort=price",
        "/v1/products?category=things&include=author,category",
        "/v1/products?tag=some",
        "/v1/products?tag=other",
        "/v1/products?sort=popular",
        "/v1/categories",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend(
        accounts
            .iter()
            .map(|account| format!("/v1/products?author={}", account.id)),
    );
    paths.extend((0..accounts.len()).map(|n| format!("/v1/accounts/user-{n}")));
    for id in products {
        paths.extend([format!("/v1/products/{id}"), format!("/v1/products/{id}/comments")]);
    }
    paths
}

/// One after the other: every answer of the cache is the one that the store gives.
#[test]
fn each_read_agrees_with_the_store() {
    let (world, accounts, products) = market(20);
    let paths = paths(&accounts, &products);
    let mut rng = Rng::with_seed(20);
    let mut hits = 0;
    for turn in 0..6_000 {
        world.clock.advance(rng.i64(0..300));
        if rng.u8(..4) == 0 {
            let n = rng.usize(..products.len());
            let (who, path) = (&accounts[n % 3], format!("/v1/products/{}", products[n]));
            match rng.u8(..7) {
                0 => world_act(&world, who, &path, "publish"),
                1 => world_act(&world, who, &path, "archive"),
                2 => world_act(&world, who, &path, "draft"),
                3 => drop(run(world.write(
                    who,
                    Method::PATCH,
                    "/v1/me",
                    json!({ "name": "A", "bio": format!("At {turn}") }),
                ))),
                4 => {
                    // A comment stands under a product that is public.
                    let status = run(get(&world.bare, &path, &[])).status();
                    if status == 200 {
                        let text = json!({ "body": format!("At {turn}") });
                        drop(run(world.write(who, Method::POST, &format!("{path}/comments"), text)));
                    }
                }
                _ => {
                    let tags = if rng.bool() { json!(["some"]) } else { json!(["other"]) };
                    let price = json!({ "amount": rng.u32(1..50), "currency": "EUR" });
                    let patch = json!({ "title": format!("At {turn}"), "tags": tags, "price": price });
                    drop(run(world.write(who, Method::PATCH, &path, patch)));
                }
            }
        }
        hits += usize::from(world.is_fresh(rng.choice(&paths).unwrap()).contains("hit"));
        if rng.u8(..100) == 0 {
            for path in &paths {
                world.is_fresh(path);
            }
        }
        run(world.app.run_pending_work());
    }
    assert!(hits > 2_000, "{hits}");
}

/// Moves a product, if it may move so.
fn world_act(world: &World, who: &Account, path: &str, act: &str) {
    let request = http::Request::post(format!("{path}/{act}"))
        .header("authorization", world.token(who))
        .body(Some(bytes::Bytes::new()));
    let response = run(world.app.handle(request.unwrap()));
    assert!(!response.status().is_server_error(), "{path}/{act}");
}

fn number(body: &[u8]) -> u32 {
    let json: Value = serde_json::from_slice(body).unwrap();
    let product = json.get("items").map_or(&json, |items| &items[0]);
    let title = product["title"].as_str().unwrap();
    title.rsplit(' ').next().unwrap().parse().unwrap()
}

/// All at once: no read shows less than what was acknowledged when it began.
#[test]
fn no_read_goes_behind_an_acknowledged_change() {
    enum Done {
        Read { least: u32, seen: u32 },
        Wrote(u32),
    }
    let mut changes = 0;
    for seed in 0..40 {
        let world = World::new(seed);
        let mut rng = Rng::with_seed(seed);
        let seller = world.account(1);
        let id = world.product(&seller, "Thing 0", true);
        let path = format!("/v1/products/{id}");
        let paths = [path.clone(), "/v1/products".into(), format!("{path}?include=author")];
        world.crowd(&mut rng);
        let (mut acknowledged, mut next, mut writing) = (0, 1, false);
        let mut tasks: Vec<Task<'_, Done>> = Vec::new();
        for _ in 0..3_000 {
            if tasks.len() < 12 {
                if !writing && rng.u8(..6) == 0 {
                    let patch = json!({ "title": format!("Thing {next}") });
                    let (world, seller, path, n) = (&world, &seller, &path, next);
                    tasks.push(Box::pin(async move {
                        world.write(seller, Method::PATCH, path, patch).await;
                        Done::Wrote(n)
                    }));
                    (next, writing) = (next + 1, true);
                } else {
                    let (app, path, least) = (&world.app, rng.choice(&paths).unwrap().as_str(), acknowledged);
                    tasks.push(Box::pin(async move {
                        let seen = number(get(app, path, &[]).await.body());
                        Done::Read { least, seen }
                    }));
                }
            }
            let n = rng.usize(..tasks.len());
            // Some clients do not wait.
            if rng.u8(..200) == 0 && !writing {
                drop(tasks.swap_remove(n));
                continue;
            }
            match step(&mut tasks[n]) {
                Some(Done::Read { least, seen }) => assert!(seen >= least, "seed {seed}: {seen} after {least}"),
                Some(Done::Wrote(n)) => (acknowledged, writing) = (n, false),
                None => continue,
            }
            drop(tasks.swap_remove(n));
        }
        changes += acknowledged;
    }
    assert!(changes > 400, "{changes}");
}

/// The client of a write goes away, and the write happens all the same, later.
#[test]
fn a_commit_that_nobody_waits_for_is_seen_when_it_happens() {
    let world = World::new(30);
    let seller = world.account(1);
    let path = format!("/v1/products/{}", world.product(&seller, "Thing 1", true));
    for n in 2..20 {
        for path in [path.as_str(), "/v1/products"] {
            world.is_fresh(path);
        }
        world.store.holds.store(true, Ordering::SeqCst);
        {
            let patch = json!({ "title": format!("Thing {n}") });
            let mut write: Task<'_, _> = Box::pin(world.write(&seller, Method::PATCH, &path, patch));
            assert!(step(&mut write).is_none());
        }
        world.store.holds.store(false, Ordering::SeqCst);
        let late = std::mem::take(&mut *world.store.late.lock().unwrap());
        assert_eq!(late.len(), 1);
        for path in [path.as_str(), "/v1/products"] {
            assert!(world.is_fresh(path).ends_with("fwd=miss"), "this is not to be kept yet");
        }
        world.clock.advance(30_000);
        for commit in late {
            run(world.store.model.commit(commit)).unwrap();
        }
        for path in [path.as_str(), "/v1/products"] {
            world.is_fresh(path);
            assert_eq!(number(run(get(&world.app, path, &[])).body()), n);
        }
        world.clock.advance(60_000);
        assert!(world.is_fresh(&path).ends_with("stored"));
        assert!(world.is_fresh(&path).contains("hit"));
    }
}

/// What was found goes when the index changes, what was completed also when it is used.
#[test]
fn searches_are_as_fresh_as_the_index() {
    let world = World::new(40);
    let search = &world.platform.index;
    let both = |finds: &str, completes: &str| {
        assert!(world.is_fresh("/search").ends_with(finds));
        assert!(world.is_fresh("/suggest").ends_with(completes));
    };
    let (made, kept) = ("stored", "memory");
    both(made, made);
    both(kept, kept);
    run(search.apply(&[])).unwrap();
    both(made, made);
    run(search.used(&[])).unwrap();
    both(kept, made);
    // Nobody sees what is being built, until it is there.
    run(search.begin()).unwrap();
    run(search.fill(1, &[])).unwrap();
    both(kept, kept);
    run(search.finish(1)).unwrap();
    both(made, made);
    assert!(world.app.has_pending_work(), "the top pages are to be made");
}
