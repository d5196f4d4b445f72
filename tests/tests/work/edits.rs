//! An edit that changes nothing announces nothing.

use http::Method;
use serde_json::{Value, json};

use crate::seed;
use crate::world::World;

#[test]
fn an_edit_that_changes_nothing_makes_no_message() {
    let world = World::new(seed());
    let needed = ["catalog", "vendors", "community"];
    let others = souk_market::functions().into_iter();
    let process = world.start(others.filter(|function| needed.contains(&function.name)).collect());
    let admin = world.admin(&process);
    let add = |path: &str, new: Value| {
        let (status, thing) = world.call(&process, &admin, Method::POST, path, Some(new));
        assert_eq!(status, 201, "{thing}");
        thing
    };
    let of = |list: &str, thing: &Value| format!("/v1/{list}/{}", thing["id"].as_str().unwrap());
    let category = add("/v1/categories", json!({ "name": "Lamps" }));
    let vendor = add("/v1/vendors", json!({ "name": "Shop" }));
    let product = add(
        "/v1/products",
        json!({ "title": "Lamp", "category": "lamps", "vendor": "shop", "price": { "amount": 1, "currency": "EUR" } }),
    );
    let path = of("products", &product);
    let publish = || world.call(&process, &admin, Method::POST, &format!("{path}/publish"), None);
    assert_eq!(publish().0, 200);
    let comment = add(&format!("{path}/comments"), json!({ "body": "Does it leak?" }));
    let waiting = world.outbox();
    assert_eq!(publish().0, 200);
    assert_eq!(world.outbox(), waiting);
    for (path, same, other) in [
        (
            path.clone(),
            json!({ "title": "Lamp", "category": "lamps" }),
            json!({ "title": "Lamp 2" }),
        ),
        (
            of("categories", &category),
            json!({ "name": " Lamps" }),
            json!({ "icon": "x" }),
        ),
        (
            of("vendors", &vendor),
            json!({ "name": "Shop" }),
            json!({ "description": "Lamps" }),
        ),
        (
            of("comments", &comment),
            json!({ "body": "Does it leak?" }),
            json!({ "body": "Does it?" }),
        ),
    ] {
        let (_, before) = world.call(&process, &admin, Method::GET, &path, None);
        let waiting = world.outbox();
        world.clock.advance(5_000);
        for patch in [same, json!({})] {
            let edited = world.call(&process, &admin, Method::PATCH, &path, Some(patch));
            assert_eq!(edited, (200, before.clone()));
            assert_eq!(world.outbox(), waiting, "{path}");
        }
        let (status, after) = world.call(&process, &admin, Method::PATCH, &path, Some(other));
        assert_eq!(
            (status, after["version"].as_u64()),
            (200, before["version"].as_u64().map(|n| n + 1))
        );
        assert_eq!(world.outbox(), waiting + 1, "{path}");
    }
}
