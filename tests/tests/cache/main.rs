//! What the cache in front of the router promises, on a market in memory with a clock, chance and faults of the test's own.
//!
//! - `safety.rs`: nobody gets what is another's, and nothing that a request carries changes what others get.
//! - `freshness.rs`: an acknowledged change is seen by the next read, whatever happens at the same time.
//! - `document_cache.rs`: cached documents are never older than they may be, and no decision rests on them.
//! - here: what is kept, for how long, and for whom.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test: a panic is how it fails"
)]

mod document_cache;
mod freshness;
mod safety;
mod values;
mod world;

use std::sync::atomic::Ordering;

use http::{Method, Response};
use serde_json::{Value, json};
use souk_catalog::OldAddress;
use souk_catalog::operations::{edit_category, set_old_address};
use souk_core::Key;
use souk_core::documents::get_one;
use souk_kit::{Context as OperationContext, IfMatch, MergePatch};
use world::{ORIGIN, Task, World, call, category, get, run, step};

fn way(response: &Response<bytes::Bytes>) -> &str {
    let status = response.headers()["cache-status"].to_str().unwrap();
    status.strip_prefix("Souk; ").unwrap()
}

const HIT: &str = "hit; detail=memory";
const STORED: &str = "fwd=miss; stored";
const BYPASS: &str = "fwd=bypass";

#[test]
fn what_everyone_sees_alike_is_made_once() {
    let world = World::new(1);
    let seller = world.account(1);
    let product = format!("/v1/products/{}", world.product(&seller, "Lamp", true));
    for path in [
        product.as_str(),
        "/v1/products",
        "/v1/products?limit=5&sort=price",
        "/v1/products?category=things&tag=some&include=category",
        "/v1/categories",
        "/v1/accounts/user-1",
        "/.well-known/jwks.json",
    ] {
        assert!(world.is_fresh(path).ends_with(STORED), "{path}");
        let reads = world.store.reads.load(Ordering::SeqCst);
        let hit = run(get(&world.app, path, &[]));
        assert_eq!(way(&hit), HIT, "{path}");
        assert_eq!(hit.headers()["server-timing"], "cache;desc=\"memory\"");
        let head = run(call(&world.app, Method::HEAD, path, &[]));
        assert_eq!(way(&head), HIT, "{path}");
        assert!(head.body().is_empty());
        assert_eq!(head.headers()["content-length"], hit.body().len().to_string());
        let tag = hit.headers()["etag"].to_str().unwrap();
        let same = run(get(&world.app, path, &[("if-none-match", tag), ("origin", ORIGIN)]));
        assert_eq!((way(&same), same.status().as_u16()), (HIT, 304), "{path}");
        assert!(same.body().is_empty() && !same.headers().contains_key("content-length"));
        assert_eq!(same.headers()["access-control-allow-origin"], ORIGIN);
        assert_eq!(world.store.reads.load(Ordering::SeqCst), reads, "{path}");
        // The page of another gets nothing of this one.
        assert!(
            !run(get(&world.app, path, &[]))
                .headers()
                .contains_key("access-control-allow-origin")
        );
    }
    // The same in other words, and what is the same for HEAD.
    let other = "/v1/products?sort=pric%65&&%6cimit=5";
    assert_eq!(way(&run(get(&world.app, other, &[]))), HIT);
    let path = "/v1/products?limit=7";
    assert_eq!(way(&run(call(&world.app, Method::HEAD, path, &[]))), STORED);
    assert!(world.is_fresh(path).ends_with(HIT));
}

#[test]
fn what_is_not_for_everyone_does_not_enter() {
    let world = World::new(2);
    let seller = world.account(1);
    let product = format!("/v1/products/{}", world.product(&seller, "Lamp", true));
    let draft = format!("/v1/products/{}", world.product(&seller, "Draft", false));
    let token = world.token(&seller);
    for _ in 0..2 {
        for (path, header) in [
            (product.as_str(), ("authorization", token.as_str())),
            (&draft, ("authorization", &token)),
            (&product, ("cookie", "theme=dark")),
            (&product, ("authorization", "Bearer x")),
            ("/v1/me", ("authorization", &token)),
            ("/v1/me", ("accept", "*/*")),
            ("/none", ("accept", "*/*")),
        ] {
            assert_eq!(way(&run(get(&world.app, path, &[header]))), BYPASS, "{path}");
        }
        for (path, status) in [
            (draft.as_str(), 404),
            ("/v1/products/none", 404),
            ("/v1/products?limit=0", 400),
            ("/v1/products?limit=1&limit=1", 400),
            ("/v1/products?limit=1&x=1", 400),
            ("/v1/products?tag=", 400),
        ] {
            let response = run(get(&world.app, path, &[]));
            assert_eq!((way(&response), response.status().as_u16()), (BYPASS, status), "{path}");
        }
    }
    let read = run(call(&world.app, Method::POST, &format!("{product}/views"), &[]));
    assert_eq!(way(&read), BYPASS);
}

/// Whoever asks for what is not here costs a read at most, and no memory.
#[test]
fn old_addresses_are_not_kept() {
    let world = World::new(9);
    let cx = OperationContext::system(world.platform.clone());
    let old = OldAddress {
        address: "/old/lamps".into(),
        leads_to: category(),
    };
    run(set_old_address(&cx, &old)).unwrap();
    let reads = |path: &str, status: u16| {
        let before = world.store.reads.load(Ordering::SeqCst);
        let response = run(get(&world.app, path, &[]));
        assert_eq!((response.status().as_u16(), way(&response)), (status, BYPASS), "{path}");
        world.store.reads.load(Ordering::SeqCst) - before
    };
    for _ in 0..2 {
        assert_eq!(reads("/old/lamps", 301), 2);
        assert_eq!(reads("/old/lamps/?ref=42&ref=&x", 301), 2);
        assert_eq!(reads("/wp-login.php?a=1", 404), 1);
        assert_eq!(reads("/v1/old/lamps", 404), 0);
        assert_eq!(reads(&format!("/{}", "a".repeat(2000)), 404), 0);
    }
    // Setting what is set writes nothing.
    run(set_old_address(&cx, &old)).unwrap();
    let address = Key::of(
        "old-address",
        "93b5298a26f0e484aedd5c6b985d41f32850a2856225ea45e76db80c806aaff6",
    );
    let stored = run(get_one(&world.store.model, address)).unwrap();
    assert_eq!(stored.unwrap().version, 1);
}

/// Caches in front keep a redirect. This one does not: it would also be of many queries.
#[test]
fn a_former_slug_leads_on_for_good() {
    let world = World::new(8);
    let cx = OperationContext::system(world.platform.clone());
    let (id, any) = (category(), IfMatch::default());
    let rename = |slug: &str| {
        let patch = MergePatch::new([("slug".to_owned(), json!(slug))].into_iter().collect());
        run(edit_category(&cx, &id, &any, &patch)).unwrap();
    };
    let leads_on = |slug: &str, to: &str| {
        let response = run(get(&world.app, &format!("/v1/categories/{slug}?fields=name"), &[]));
        assert_eq!((response.status().as_u16(), way(&response)), (308, BYPASS));
        let to = format!("/v1/categories/{to}?fields=name");
        assert_eq!(response.headers()["location"], to);
        assert!(
            response.headers()["cache-control"]
                .to_str()
                .unwrap()
                .starts_with("public, max-age=0, ")
        );
        assert_eq!(response.body(), &json!({ "location": to }).to_string());
    };
    rename("lamps");
    world.clock.advance(10 * 365 * 86_400_000);
    leads_on("things", "lamps");
    rename("灯");
    for former in ["things", "lamps"] {
        leads_on(former, "%E7%81%AF");
    }
    rename("things");
    assert!(world.is_fresh("/v1/categories/things?fields=name").ends_with(STORED));
    leads_on("%E7%81%AF", "things");
}

/// A cache behind this one keeps an answer as long as its route says since it was made, not since it got it.
#[test]
fn what_was_kept_says_how_old_it_is() {
    let world = World::new(7);
    let path = "/v1/categories";
    let age = |headers: &[(&str, &str)]| {
        let response = run(get(&world.app, path, headers));
        let age = response
            .headers()
            .get("age")
            .map(|age| age.to_str().unwrap().to_owned());
        (way(&response).to_owned(), age)
    };
    assert_eq!(age(&[]), (STORED.into(), None));
    for (millis, seconds) in [
        (0, "0"),
        (999, "0"),
        (1, "1"),
        (8_000, "9"),
        (6_999, "15"),
        (1, "16"),
        (44_000, "60"),
    ] {
        world.clock.advance(millis);
        let expected = if seconds == "60" { "hit; detail=stale" } else { HIT };
        assert_eq!(age(&[]), (expected.to_owned(), Some(seconds.to_owned())));
    }
    world.clock.advance(400_000);
    assert_eq!(age(&[("if-none-match", "*"), ("origin", ORIGIN)]).1.unwrap(), "460");
    run(world.app.run_pending_work());
    assert_eq!(age(&[]), (HIT.into(), Some("0".into())));
    // What was made for the one who asks has no age.
    assert_eq!(age(&[("cookie", "theme=dark")]), (BYPASS.into(), None));
    let response = run(get(&world.app, path, &[("origin", ORIGIN)]));
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.split(", ").any(|name| name == "age"), "{exposed}");
}

/// Old answers are given for a while, and made anew behind that.
#[test]
fn who_meets_a_stale_answer_does_not_wait() {
    let world = World::new(3);
    let seller = world.account(1);
    let product = format!("/v1/products/{}", world.product(&seller, "Lamp", true));
    let title = |response: &Response<bytes::Bytes>| {
        let json: Value = serde_json::from_slice(response.body()).unwrap();
        json["title"].as_str().unwrap().to_owned()
    };
    world.is_fresh(&product);
    // Somebody writes whom the cache does not hear.
    let patch = http::Request::patch(&product)
        .header("authorization", world.token(&seller))
        .header("content-type", "application/json")
        .body(Some(json!({ "title": "Lantern" }).to_string().into()));
    assert_eq!(run(world.bare.handle(patch.unwrap())).status(), 200);
    run(world.app.run_pending_work());
    world.clock.advance(9_999);
    assert_eq!(way(&run(get(&world.app, &product, &[]))), HIT);
    // What operators have set is read again from time to time.
    run(world.app.run_pending_work());
    assert!(!world.app.has_pending_work());
    world.clock.advance(1);
    let reads = world.store.reads.load(Ordering::SeqCst);
    for _ in 0..3 {
        let stale = run(get(&world.app, &product, &[]));
        assert_eq!((way(&stale), title(&stale).as_str()), ("hit; detail=stale", "Lamp"));
    }
    assert_eq!(world.store.reads.load(Ordering::SeqCst), reads);
    assert!(world.app.has_pending_work());
    run(world.app.run_pending_work());
    assert_eq!(
        world.store.reads.load(Ordering::SeqCst),
        reads + 1,
        "once for all of them"
    );
    let fresh = run(get(&world.app, &product, &[]));
    assert_eq!((way(&fresh), title(&fresh).as_str()), (HIT, "Lantern"));
    // What is too old is not answered at all, and what was purged neither.
    world.clock.advance(70_000);
    assert!(world.is_fresh(&product).ends_with(STORED));
    world.clock.advance(20_000);
    run(world.write(&seller, Method::PATCH, &product, json!({ "title": "Torch" })));
    assert!(world.is_fresh(&product).ends_with(STORED));
}

#[test]
fn many_who_ask_at_once_ask_the_store_once() {
    let world = World::new(4);
    let mut rng = fastrand::Rng::with_seed(4);
    let seller = world.account(1);
    world.product(&seller, "Lamp", true);
    for path in ["/v1/products", "/v1/products?tag=some"] {
        world.crowd(&mut rng);
        let reads = world.store.reads.load(Ordering::SeqCst);
        let mut tasks: Vec<Task<'_, _>> = (0..50)
            .map(|_| Box::pin(get(&world.app, path, &[])) as Task<'_, _>)
            .collect();
        let mut ways = Vec::new();
        let mut bodies = Vec::new();
        // Nobody may end in the first round: the first one has to wait for the store.
        while !tasks.is_empty() {
            tasks.retain_mut(|task| match step(task) {
                Some(response) => {
                    ways.push(way(&response).to_owned());
                    bodies.push(response.into_body());
                    false
                }
                None => true,
            });
        }
        world.calm();
        assert_eq!(world.store.reads.load(Ordering::SeqCst), reads + 1, "{ways:?}");
        assert!(bodies.iter().all(|body| body == &bodies[0]));
        assert_eq!(ways.iter().filter(|way| *way == STORED).count(), 1);
    }
}

#[test]
fn nobody_hangs_on_one_who_goes_away_or_fails() {
    let world = World::new(5);
    let mut rng = fastrand::Rng::with_seed(5);
    let seller = world.account(1);
    world.product(&seller, "Lamp", true);
    for (round, path) in ["/v1/products?limit=1", "/v1/products?limit=2", "/v1/products/none"]
        .into_iter()
        .cycle()
        .take(60)
        .enumerate()
    {
        world.clock.advance(3_600_000);
        world.crowd(&mut rng);
        let mut tasks: Vec<Task<'_, _>> = (0..10)
            .map(|_| Box::pin(get(&world.app, path, &[])) as Task<'_, _>)
            .collect();
        for _ in 0..rng.usize(1..5) {
            tasks.retain_mut(|task| step(task).is_none());
        }
        if round % 3 < 2 && !tasks.is_empty() {
            drop(tasks.remove(0));
        }
        for _ in 0..200 {
            tasks.retain_mut(|task| step(task).is_none());
        }
        assert!(tasks.is_empty(), "{path}: {} wait for ever", tasks.len());
        world.calm();
    }
}

/// The pages that most come to see are there before they do.
#[test]
fn top_pages_are_made_before_anybody_asks() {
    let world = World::new(6);
    world.app.warm();
    assert!(world.app.has_pending_work());
    run(world.app.run_pending_work());
    assert!(!world.app.has_pending_work());
    for path in ["/v1/products", "/v1/categories", "/v1/products?sort=popular"] {
        assert!(world.is_fresh(path).ends_with(HIT), "{path}");
    }
}
