//! What waited in a queue or rested before an update is read after it.

use http::Method;
use serde_json::json;
use souk_core::documents::get_one;
use souk_core::{Change, Commit, Condition, Documents as _, Key, Message};
use souk_kit::jobs::dead_letters::DeadLetter;

use crate::seed;
use crate::world::World;

#[test]
fn a_message_says_what_it_says_for_ever() {
    let message = json!({
        "id": "evt_1.community.count", "job": "community.count", "lane": "default", "body": { "n": 1 },
        "created_at": "2025-01-31T12:00:00.000Z",
    });
    let read: Message = serde_json::from_value(message.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), message);
    let whole = json!({
        "id": "job_1", "job": "operators.replay", "lane": "high", "body": {}, "trace": crate::TRACE,
        "created_at": "2025-01-31T12:00:00.000Z", "not_before": "2025-01-31T12:00:01.000Z",
        "expires_at": "2025-02-01T00:00:00.000Z", "attempts": [{ "failed_at": "2025-01-31T12:00:00.500Z", "error": "no" }],
        "tracked": true, "account": "acc_1",
    });
    let read: Message = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), whole);

    let letter = json!({
        "id": "job_1", "lane": "high", "job": "operators.replay", "error": "no",
        "attempts": [{ "failed_at": "2025-01-31T12:00:00.500Z", "error": "no" }], "trace": null,
        "died_at": "2025-01-31T12:00:02.000Z", "message": whole,
    });
    let read: DeadLetter = serde_json::from_value(letter.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), letter);
    // Earlier versions wrote this name, and as few decimals as there were.
    let old = letter
        .to_string()
        .replace("failed_at", "at")
        .replace("00Z", "Z")
        .replace(".0Z", "Z");
    assert_ne!(old, letter.to_string());
    assert_eq!(serde_json::from_str::<DeadLetter>(&old).unwrap(), read);
}

/// A program does not write to a store that a newer one has written to, and says so.
#[test]
fn a_store_of_a_newer_version_is_not_written_to() {
    let world = World::new(seed());
    let process = world.start(vec![souk_ops::function()]);
    let key = Key::of("format", "market");
    let stored = || world.run(get_one(&*world.store, key.clone())).unwrap();
    assert!(stored().is_none());
    world.run(process.app.tick());
    assert_eq!(stored().unwrap().body, r#"{"version":3}"#);
    world.member(&process, "early");

    let newer = Change::Put {
        key: key.clone(),
        body: r#"{"version":4}"#.into(),
        counters: Vec::new(),
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    };
    world.run(world.store.commit(Commit::new(vec![newer]))).unwrap();
    let older = world.start(vec![souk_ops::function()]);
    let new = json!({ "email": "late@work.test", "username": "late", "password": "wind every clock" });
    let (status, problem) = world.call(&older, "", Method::POST, "/v1/accounts", Some(new));
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    let (status, problem) = world.call(&older, "", Method::GET, "/readyz", None);
    assert_eq!((status, &problem["code"]), (503, &json!("not_ready")));
    let error = &problem["errors"][0];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!("documents"), &json!("unavailable"))
    );
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("newer version")
    );
    let before = world.partition("schedules").len();
    world.run(older.app.tick());
    assert_eq!(
        (stored().unwrap().body.as_str(), world.partition("schedules").len()),
        (r#"{"version":4}"#, before)
    );
}
