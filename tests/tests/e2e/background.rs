//! What operators see of the work in the background: events, lanes, dead letters, schedules, jobs.

#![expect(clippy::disallowed_methods, reason = "tests run on a real machine")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use souk_tests::client::{market, unique};

use crate::text;

/// How long an event may be under way: where the clock alone moves it, a sweeper comes every minute.
const PATIENCE: Duration = Duration::from_secs(150);

/// What `look` finds, as soon as it does.
async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "it does not become what it should");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_has_happened_is_in_the_log() {
    let Some(market) = market() else { return };
    let (admin, seller) = (market.admin().await, market.member().await);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let path = format!("/v1/products/{}", text(&product, "id"));
    let edit = seller.patch(&path, json!({ "title": "Another" }));
    edit.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .await
        .expect(200);
    // Those of others are in between, perhaps many.
    let own = |events: &[Value]| -> Vec<Value> {
        let own = events.iter().filter(|event| event["data"]["product"] == product["id"]);
        own.cloned().collect()
    };
    let list = format!("/v1/events?type=product.*&after={}", text(&product, "created_at"));
    let mut events = eventually(async || Some(own(&admin.all(&list).await)).filter(|events| events.len() == 3)).await;
    events.sort_by_key(|event| event["data"]["version"].as_u64());
    let types: Vec<&str> = events.iter().map(|event| text(event, "type")).collect();
    assert_eq!(types, ["product.created", "product.published", "product.updated"]);
    for event in &events {
        assert_eq!(text(event, "actor"), seller.id());
        assert_eq!(event["version"], 1);
    }
    assert_eq!(text(&events[2], "trace").split('-').nth(1), Some(trace));
    assert_eq!(text(&events[2]["data"], "title"), "Another");
    assert_eq!(events[2]["data"]["changed"], serde_json::json!(["title"]));
    // Each of them is in the catalog, with a schema that names what it says.
    let catalog = market.anonymous().get("/v1/events/catalog").await.expect(200).json;
    for event in events {
        let listed = catalog["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|of| of["type"] == event["type"])
            .unwrap();
        let fields = listed["schema"]["properties"].as_object().unwrap();
        assert!(
            event["data"]
                .as_object()
                .unwrap()
                .keys()
                .all(|field| fields.contains_key(field))
        );
    }
}

#[tokio::test]
async fn lanes_and_schedules_are_shown() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let lanes = admin.get("/v1/lanes").await.expect(200).json;
    let names: Vec<&str> = lanes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lane| text(lane, "lane"))
        .collect();
    assert_eq!(names, ["high", "default", "notifications", "low"]);
    for lane in lanes["items"].as_array().unwrap() {
        for span in ["last_5_minutes", "last_60_minutes"] {
            for what in ["done", "retried", "dead", "expired", "shed"] {
                assert!(lane[span][what].is_u64(), "{lane}");
            }
        }
    }
    let schedules = admin.get("/v1/schedules").await.expect(200).json;
    assert!(schedules["items"].is_array());
    let dependencies = admin.get("/v1/dependencies").await.expect(200).json;
    assert!(dependencies["items"].is_array());
}

#[tokio::test]
async fn a_replay_is_a_job_that_can_be_asked_about() {
    let Some(market) = market() else { return };
    let (admin, other) = (market.admin().await, market.member().await);
    let key = unique("replay");
    let ask = || admin.act("/v1/dead-letters/low/replay").key(&key);
    let reply = ask().await.expect(202);
    let job = reply.json.clone();
    let path = format!("/v1/jobs/{}", text(&job, "id"));
    assert_eq!(reply.header("location"), path);
    assert_eq!(ask().await.expect(202).json, job, "a repeat is the same job");
    let ended = async || Some(admin.get(&path).await.expect(200).json).filter(|job| job["status"] != "queued");
    let done = eventually(ended).await;
    assert_eq!(text(&done, "status"), "done");
    assert!(done["result"]["replayed"].is_u64());
    other.get(&path).await.expect(404);
    market.anonymous().get(&path).await.expect(401);
}

#[tokio::test]
async fn letters_that_are_not_there() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let (none, lane) = ("/v1/dead-letters/low/job_0", "/v1/dead-letters/lower/job_0");
    for path in [none, lane] {
        admin.get(path).await.expect(404);
        admin.delete(path).await.expect(404);
        admin.act(&format!("{path}/replay")).await.expect(404);
    }
    admin.get("/v1/dead-letters?lane=lower").await.names(400, &["lane"]);
    admin.get("/v1/events?after=yesterday").await.names(400, &["after"]);
    admin.get("/v1/dead-letters?limit=3").await.expect(200);
}
