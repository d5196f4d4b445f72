//! Webhooks: events reach whom they concern, signed, again and again until they are answered for.

#![expect(clippy::disallowed_methods, reason = "tests run on a real machine")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::receiver::Receiver;
use crate::{path_of, text};

/// How long what is under way may take, on the slowest host.
const PATIENCE: Duration = Duration::from_secs(400);

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A verified webhook to this receiver, with `more` of its fields, as its owner first sees it: with its secret.
pub(crate) async fn webhook(owner: &Client, receiver: &Receiver, events: &[&str], more: Value) -> Value {
    let created = new_webhook(owner, receiver, events, more).await;
    is_verified(owner, &created).await;
    created
}

pub(crate) async fn is_verified(owner: &Client, webhook: &Value) {
    eventually("the URL is verified", async || {
        let shown = owner.get(&of(webhook, "")).await.expect(200);
        (shown["verified"] == true).then_some(())
    })
    .await;
}

/// A webhook whose receiver is not verified yet.
async fn new_webhook(owner: &Client, receiver: &Receiver, events: &[&str], more: Value) -> Value {
    let mut new = json!({ "url": receiver.url, "events": events });
    for (name, value) in more.as_object().into_iter().flatten() {
        new[name] = value.clone();
    }
    owner.add("/v1/webhooks", new).await
}

pub(crate) fn of(webhook: &Value, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", text(webhook, "id"))
}

/// The deliveries of a webhook but those that only verify its URL.
async fn log(owner: &Client, webhook: &Value) -> Vec<Value> {
    let mut log = owner.all(&of(webhook, "/deliveries")).await;
    log.retain(|delivery| delivery["payload"]["data"]["reason"] != "the URL is new");
    log
}

/// The deliveries of a webhook, once `number` of them stand so.
pub(crate) async fn deliveries(owner: &Client, webhook: &Value, status: &str, number: usize) -> Vec<Value> {
    let what = format!("{number} {status} of {}", webhook["url"]);
    eventually(&what, async || {
        let mut log = log(owner, webhook).await;
        log.retain(|delivery| delivery["status"] == status);
        (log.len() >= number).then_some(log)
    })
    .await
}

#[tokio::test]
async fn an_event_arrives_signed_and_the_log_has_it() {
    let Some(market) = market() else { return };
    let Some(receiver) = Receiver::new("ok") else { return };
    let owner = market.member().await;
    let more = json!({ "description": "Mine" });
    let created = webhook(&owner, &receiver, &["product.*"], more).await;
    let secret = text(&created, "secret");
    assert!(secret.starts_with("whsec_"));
    let shown = owner.get(&of(&created, "")).await.expect(200).json;
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    for changed in ["verified", "updated_at", "version"] {
        expected[changed] = shown[changed].clone();
    }
    assert_eq!((&shown, &created["verified"]), (&expected, &json!(false)));
    assert_eq!(
        shown,
        json!({
            "id": created["id"], "owner": owner.id(), "scope": "account", "vendor": null, "url": receiver.url,
            "events": ["product.*"], "description": "Mine", "snapshot": false, "enabled": true, "disabled_reason": null, "verified": true,
            "created_at": created["created_at"], "updated_at": shown["updated_at"], "version": 2,
        })
    );
    assert_eq!(owner.all("/v1/webhooks").await, [shown]);

    let category = market.category(json!([])).await;
    let draft = owner.draft(&category, json!({})).await;
    let log = deliveries(&owner, &created, "delivered", 1).await;
    let [seen] = &receiver.seen()[..] else {
        panic!("{:?}", receiver.seen())
    };
    assert!(seen.is_signed_by(secret));
    assert_eq!(seen.header("content-type"), "application/json");
    let payload = seen.json();
    assert_eq!(
        (&payload["type"], &payload["actor"]),
        (&json!("product.created"), &json!(owner.id()))
    );
    assert_eq!(
        (&payload["data"]["product"], &payload["version"]),
        (&draft["id"], &json!(1))
    );

    let [delivery] = &log[..] else { panic!("{log:?}") };
    assert_eq!(
        (text(delivery, "id"), &delivery["payload"]),
        (seen.header("webhook-id"), &payload)
    );
    assert_eq!(
        (&delivery["type"], &delivery["event"]),
        (&payload["type"], &payload["id"])
    );
    let attempt = &delivery["attempts"][0];
    assert_eq!(
        (&attempt["response"]["status"], &attempt["error"]),
        (&json!(204), &Value::Null)
    );
    let sent = &attempt["request"];
    assert_eq!(
        (&sent["url"], text(&sent["headers"], "webhook-signature")),
        (&json!(receiver.url), seen.header("webhook-signature"))
    );
    let path = of(&created, &format!("/deliveries/{}", text(delivery, "id")));
    assert_eq!(owner.get(&path).await.expect(200).json, *delivery);

    // What it does not ask for does not come; what it asks for later does.
    owner
        .patch(&of(&created, ""), json!({ "events": ["product.published"] }))
        .await
        .expect(200);
    owner
        .patch(&path_of(&draft), json!({ "title": unique("Other") }))
        .await
        .expect(200);
    owner.act(&format!("{}/publish", path_of(&draft))).await.expect(200);
    let log = deliveries(&owner, &created, "delivered", 2).await;
    let types: Vec<&str> = log.iter().map(|delivery| text(delivery, "type")).collect();
    assert_eq!(types, ["product.published", "product.created"]);
    owner.delete(&of(&created, "")).await.expect(204);
    owner.get(&of(&created, "")).await.expect(404);
    assert!(owner.all("/v1/webhooks").await.is_empty());
}

#[tokio::test]
async fn an_attempt_that_fails_is_made_again_with_the_same_id() {
    let Some(market) = market() else { return };
    let (Some(once), Some(away)) = (Receiver::new("once"), Receiver::new("away")) else {
        return;
    };
    let owner = market.member().await;
    let (once_hook, away_hook) = (
        webhook(&owner, &once, &["product.sold"], json!({})).await,
        webhook(&owner, &away, &["*"], json!({})).await,
    );
    for hook in [&once_hook, &away_hook] {
        let reply = owner.act(&of(hook, "/test")).await.expect(202);
        assert_eq!(
            (&reply["status"], &reply["type"]),
            (&json!("pending"), &json!("webhook.test"))
        );
        assert_eq!(
            reply.header("location"),
            of(hook, &format!("/deliveries/{}", reply.text("id")))
        );
    }
    let log = deliveries(&owner, &once_hook, "delivered", 1).await;
    let attempts = log[0]["attempts"].as_array().unwrap();
    let statuses: Vec<_> = attempts.iter().map(|attempt| &attempt["response"]["status"]).collect();
    assert_eq!(statuses, [&json!(500), &json!(204)]);
    assert_eq!(attempts[0]["response"]["body"], "an answer");
    let seen = once.seen();
    assert_eq!(
        seen.iter()
            .map(|seen| seen.header("webhook-id"))
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.is_signed_by(text(&once_hook, "secret"))));
    // A redirect is no answer, and is not followed.
    let log = deliveries(&owner, &away_hook, "pending", 1).await;
    let attempt = eventually("an attempt", async || {
        let delivery = owner
            .get(&of(&away_hook, &format!("/deliveries/{}", text(&log[0], "id"))))
            .await
            .json;
        delivery["attempts"]
            .get(0)
            .map(|attempt| (attempt.clone(), delivery["next_attempt_at"].clone()))
    });
    let (attempt, next) = attempt.await;
    assert_eq!(attempt["response"]["status"], 302);
    assert!(next.is_string());
}

#[tokio::test]
async fn both_secrets_sign_after_a_rotation() {
    let Some(market) = market() else { return };
    let Some(receiver) = Receiver::new("ok") else { return };
    let owner = market.member().await;
    let hook = webhook(&owner, &receiver, &["product.sold"], json!({})).await;
    let rotated = owner.act(&of(&hook, "/rotate")).key("once").await.expect(200);
    assert!(text(&hook, "secret") != rotated.text("secret") && rotated["previous_until"].is_string());
    // Asked again, it is the same rotation.
    let again = owner.act(&of(&hook, "/rotate")).key("once").await.expect(200);
    assert_eq!(again["secret"], rotated["secret"]);
    owner.act(&of(&hook, "/test")).await.expect(202);
    deliveries(&owner, &hook, "delivered", 1).await;
    let seen = &receiver.seen()[0];
    assert!(seen.is_signed_by(text(&hook, "secret")) && seen.is_signed_by(rotated.text("secret")));
    assert_eq!(seen.header("webhook-signature").split(' ').count(), 2);
    assert!(!seen.is_signed_by("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_switched_off_with_notice() {
    let Some(market) = market() else { return };
    let (Some(gone), Some(notices)) = (Receiver::new("gone"), Receiver::new("ok")) else {
        return;
    };
    let owner = market.member().await;
    let hook = webhook(&owner, &gone, &["product.sold"], json!({})).await;
    let notice = webhook(&owner, &notices, &["webhook.disabled"], json!({})).await;
    owner.act(&of(&hook, "/test")).await.expect(202);
    let failed = deliveries(&owner, &hook, "failed", 1).await;
    assert_eq!(failed[0]["attempts"][0]["response"]["status"], 410);
    let off = owner.get(&of(&hook, "")).await.expect(200);
    assert_eq!(off["enabled"], json!(false));
    assert!(off.text("disabled_reason").contains("410"));
    deliveries(&owner, &notice, "delivered", 1).await;
    assert_eq!(notices.seen()[0].json()["data"]["webhook"], hook["id"]);

    let range = json!({ "from": hook["created_at"], "to": "2999-01-01T00:00:00Z" });
    let delivery = of(&hook, &format!("/deliveries/{}/replay", text(&failed[0], "id")));
    for call in [
        owner.act(&of(&hook, "/test")),
        owner.act(&delivery),
        owner.post(&of(&hook, "/replay"), range),
    ] {
        assert_eq!(call.await.expect(409)["code"], "webhook_disabled");
    }
    let on = owner
        .patch(&of(&hook, ""), json!({ "enabled": true }))
        .await
        .expect(200);
    assert_eq!((&on["enabled"], &on["disabled_reason"]), (&json!(true), &Value::Null));
    owner.act(&of(&hook, "/test")).await.expect(202);
    deliveries(&owner, &hook, "failed", 2).await;
}

#[tokio::test]
async fn deliveries_are_replayed_one_by_one_or_by_time() {
    let Some(market) = market() else { return };
    let Some(receiver) = Receiver::new("ok") else { return };
    let owner = market.member().await;
    let hook = webhook(&owner, &receiver, &["product.sold"], json!({})).await;
    let mut log = Vec::new();
    for number in 1..=3 {
        // One after the other, so that no two have one time.
        owner.act(&of(&hook, "/test")).await.expect(202);
        log = deliveries(&owner, &hook, "delivered", number).await;
    }
    let replayed_to = async |rounds: [u64; 3]| {
        eventually("a replay", async || {
            let log = deliveries(&owner, &hook, "delivered", 3).await;
            let all: Vec<_> = log.iter().map(|delivery| delivery["round"].as_u64().unwrap()).collect();
            (all == rounds).then_some(())
        })
        .await;
    };
    let path = of(&hook, &format!("/deliveries/{}/replay", text(&log[0], "id")));
    let replayed = owner.act(&path).key("once").await.expect(202);
    assert_eq!((&replayed["round"], &replayed["id"]), (&json!(2), &log[0]["id"]));
    assert_eq!(owner.act(&path).key("once").await.expect(202)["round"], json!(2));
    replayed_to([2, 1, 1]).await;

    // From the second to the end, and the log's newest is first.
    let range = json!({ "from": log[1]["created_at"], "to": "2999-01-01T00:00:00Z" });
    let job = owner.post(&of(&hook, "/replay"), range).await.expect(202);
    assert_eq!(job.header("location"), format!("/v1/jobs/{}", job.text("id")));
    replayed_to([3, 2, 1]).await;
    // To the second, exclusive; and of those that failed there are none.
    let until = json!({ "from": log[2]["created_at"], "to": log[1]["created_at"] });
    owner.post(&of(&hook, "/replay"), until.clone()).await.expect(202);
    replayed_to([3, 2, 2]).await;
    let ids: BTreeSet<_> = receiver
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    for (body, field) in [
        (json!({ "from": until["to"], "to": until["from"] }), "to"),
        (json!({ "from": "yesterday", "to": until["to"] }), "from"),
        (
            json!({ "from": until["from"], "to": until["to"], "status": "lost" }),
            "status",
        ),
    ] {
        owner.post(&of(&hook, "/replay"), body).await.names(422, &[field]);
    }
}

/// An update says which fields it is of, and a webhook that asks for it gets the thing too, if its owner may see it.
#[tokio::test]
async fn payloads_say_what_changed_and_show_it() {
    let Some(market) = market() else { return };
    let (Some(plain), Some(full), Some(theirs)) = (Receiver::new("ok"), Receiver::new("ok"), Receiver::new("ok"))
    else {
        return;
    };
    let (owner, admin) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let draft = owner.draft(&category, json!({})).await;
    let path = path_of(&draft);
    let bare = webhook(&owner, &plain, &["product.*"], json!({})).await;
    let hook = webhook(&owner, &full, &["product.*"], json!({ "snapshot": true })).await;
    assert_eq!(hook["snapshot"], true);
    let edited = owner
        .patch(&path, json!({ "title": "Another", "tags": ["new"] }))
        .await
        .expect(200)
        .json;
    // Nothing changes, so nothing is sent.
    assert_eq!(
        owner.patch(&path, json!({ "title": "Another" })).await.expect(200).json,
        edited
    );
    owner.act(&format!("{path}/publish")).await.expect(200);
    for (hook, receiver) in [(&bare, &plain), (&hook, &full)] {
        deliveries(&owner, hook, "delivered", 2).await;
        let of = async |name: &str| {
            let payload = || {
                receiver
                    .seen()
                    .iter()
                    .map(crate::receiver::Seen::json)
                    .find(|payload| payload["type"] == name)
            };
            eventually(name, async || payload()).await
        };
        let (updated, published) = (of("product.updated").await, of("product.published").await);
        assert_eq!(updated["data"]["changed"], json!(["tags", "title"]));
        assert!(published["data"].get("changed").is_none());
        for payload in [&updated, &published] {
            assert_eq!(payload.get("snapshot").is_some(), hook["snapshot"] == true);
        }
    }
    let snapshot = full
        .seen()
        .iter()
        .map(crate::receiver::Seen::json)
        .find(|seen| seen["type"] == "product.updated");
    let snapshot = snapshot.unwrap()["snapshot"].clone();
    // It is as it was when the delivery was made, which may have been after the next event.
    assert_eq!((&snapshot["id"], &snapshot["title"]), (&draft["id"], &json!("Another")));
    assert!(snapshot["version"].as_i64() >= edited["version"].as_i64());

    // The admin hears of its own edit, but the draft is somebody else's.
    let heard = webhook(&admin, &theirs, &["product.updated"], json!({ "snapshot": true })).await;
    let hidden = owner.draft(&category, json!({})).await;
    admin
        .patch(&path_of(&hidden), json!({ "title": "Hidden" }))
        .await
        .expect(200);
    let payloads = eventually("the admin hears of its edit", async || {
        let log = deliveries(&admin, &heard, "delivered", 1).await;
        let own = log
            .into_iter()
            .find(|delivery| delivery["payload"]["data"]["product"] == hidden["id"]);
        own.map(|delivery| delivery["payload"].clone())
    });
    assert_eq!(payloads.await.get("snapshot"), Some(&Value::Null));
    admin.delete(&of(&heard, "")).await.expect(204);
}

/// Nobody can have events sent to a receiver that does not want them.
#[tokio::test]
async fn a_url_is_verified_before_events_go_there() {
    let Some(market) = market() else { return };
    let (Some(mute), Some(other)) = (Receiver::new("mute"), Receiver::new("mute")) else {
        return;
    };
    let owner = market.member().await;
    let category = market.category(json!([])).await;
    let hook = new_webhook(&owner, &mute, &["product.created"], json!({})).await;
    let first = eventually("the answer to the challenge", async || {
        let log = owner.all(&of(&hook, "/deliveries")).await;
        log.into_iter().find(|delivery| delivery["status"] == "failed")
    })
    .await;
    assert!(text(&first, "error").contains("not verified"), "{first}");
    let draft = owner.draft(&category, json!({})).await;
    let waiting = deliveries(&owner, &hook, "pending", 1).await;
    assert_eq!((mute.seen().len(), &waiting[0]["attempts"]), (1, &json!([])));

    // Only who sees the requests there knows the challenge: the log does not tell it.
    let challenge = mute.seen()[0].header("webhook-challenge").to_owned();
    assert!(
        !owner
            .all(&of(&hook, "/deliveries"))
            .await
            .iter()
            .any(|delivery| delivery.to_string().contains(&challenge))
    );
    let verify = of(&hook, "/verify");
    for wrong in ["x", &challenge[1..], &challenge.to_lowercase()] {
        owner
            .post(&verify, json!({ "challenge": wrong }))
            .await
            .names(422, &["challenge"]);
    }
    owner.post(&verify, json!({})).await.names(422, &["challenge"]);
    let stranger = market.member().await;
    stranger
        .post(&verify, json!({ "challenge": challenge }))
        .await
        .expect(404);
    let verified = owner.post(&verify, json!({ "challenge": challenge })).await.expect(200);
    assert_eq!(verified["verified"], json!(true));
    deliveries(&owner, &hook, "delivered", 1).await;
    assert_eq!(mute.seen()[1].json()["data"]["product"], draft["id"]);

    // Another URL is another receiver.
    let moved = owner
        .patch(&of(&hook, ""), json!({ "url": other.url }))
        .await
        .expect(200);
    assert_eq!(moved["verified"], json!(false));
    owner
        .post(&verify, json!({ "challenge": challenge }))
        .await
        .names(422, &["challenge"]);
    let second = eventually("another challenge", async || other.seen().first().cloned()).await;
    assert_ne!(second.header("webhook-challenge"), challenge);

    // Tests are limited, also those that new URLs cause.
    let mut reply = owner.act(&of(&hook, "/test")).await;
    for _ in 0..60 {
        if reply.status != 202 {
            break;
        }
        reply = owner.act(&of(&hook, "/test")).await;
    }
    let reply = reply.expect(429);
    assert_eq!(reply["code"], "rate_limited");
    let seconds: u32 = reply.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&seconds));
}

/// A server that shows what it was sent does not tell the challenge to who has not asked it.
#[tokio::test]
async fn a_receiver_that_shows_its_requests_verifies_nothing() {
    let Some(market) = market() else { return };
    let Some(mirror) = Receiver::new("mirror") else { return };
    let owner = market.member().await;
    let hook = new_webhook(&owner, &mirror, &["*"], json!({})).await;
    let failed = eventually("the answer to the challenge", async || {
        let log = owner.all(&of(&hook, "/deliveries")).await;
        log.into_iter().find(|delivery| delivery["status"] == "failed")
    })
    .await;
    let challenge = mirror.seen()[0].header("webhook-challenge").to_owned();
    let body = text(&failed["attempts"][0]["response"], "body");
    assert!(
        body.contains("once the URL is verified") && !failed.to_string().contains(&challenge),
        "{failed}"
    );
    let shown = owner.get(&of(&hook, "")).await.expect(200);
    assert_eq!(shown["verified"], json!(false));
}

/// 100 receivers that time out and fail, and one among them that is dead: every event arrives, or the log says why not.
#[tokio::test]
async fn flaky_receivers_get_everything_in_the_end() {
    let Some(market) = market() else { return };
    let category = market.category(json!([])).await;
    let mut hooks = Vec::new();
    for account in 0..10 {
        let owner = market.member().await;
        for number in 0..10 {
            let dead = account == 0 && number == 0;
            let Some(receiver) = Receiver::new(if dead { "dead" } else { "flaky" }) else {
                return;
            };
            let hook = new_webhook(&owner, &receiver, &["product.*"], json!({})).await;
            hooks.push((owner.clone(), hook, receiver, dead));
        }
        owner.draft(&category, json!({})).await;
        owner.published(&category, json!({})).await;
    }
    let (mut arrived, mut attempts, mut late) = (0, 0, 0);
    for (owner, hook, receiver, dead) in &hooks {
        if !dead {
            deliveries(owner, hook, "delivered", 3).await;
        }
        let log = eventually("attempts", async || {
            let log = log(owner, hook).await;
            let begun = log.iter().all(|delivery| delivery["attempts"] != json!([]));
            (log.len() == 3 && begun).then_some(log)
        });
        for delivery in log.await {
            let seen = receiver.seen();
            let seen: Vec<_> = seen
                .iter()
                .filter(|seen| seen.header("webhook-id") == text(&delivery, "id"))
                .collect();
            assert!(seen.iter().all(|seen| seen.is_signed_by(text(hook, "secret"))));
            let tried = delivery["attempts"].as_array().unwrap();
            attempts += tried.len();
            late += tried
                .iter()
                .filter(|attempt| attempt["error"] == "no answer in time")
                .count();
            if *dead {
                assert_eq!(
                    (&delivery["status"], &tried[0]["error"]),
                    (&json!("pending"), &json!("no answer in time"))
                );
            } else {
                assert!(seen.iter().any(|seen| seen.status == 204), "{delivery}");
                arrived += 1;
            }
        }
    }
    println!("{arrived} of 297 arrived, {attempts} attempts, {late} of them timed out");
    assert_eq!(arrived, 297);
    assert!(attempts >= 300 + arrived / 10);
}
