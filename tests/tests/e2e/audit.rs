//! The audit log: what staff did by their permissions, with a reason, unbroken.

use reqwest::Method;
use serde_json::{Value, json};
use souk_kit::operation::audit::{Head, verify};
use souk_tests::client::{Client, market, unique};

use crate::{path_of, text};

/// The records about this document, the newest first.
async fn records(admin: &Client, document: &str) -> Vec<Value> {
    admin.all(&format!("/v1/audit?document={document}")).await
}

fn document(of: &Value) -> String {
    let kind = text(of, "id").split('_').next().unwrap();
    let kind = [
        ("prd", "product"),
        ("vnd", "vendor"),
        ("cat", "category"),
        ("rol", "role"),
    ]
    .into_iter()
    .find(|(prefix, _)| *prefix == kind)
    .unwrap();
    format!("{}/{}", kind.1, text(of, "id"))
}

/// An edit of the title, for this reason.
async fn edit_with(who: &Client, path: &str, reason: &str) -> souk_tests::client::Reply {
    who.patch(path, json!({ "title": "€ off" }))
        .header("souk-reason", reason)
        .await
}

/// An act by a permission is recorded in the commit that it is; what is one's own is not.
#[tokio::test]
async fn what_staff_does_is_recorded() {
    let Some(market) = market() else { return };
    let (admin, owner, moderator) = (market.admin().await, market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    assert_eq!(records(&admin, &format!("category/{category}")).await.len(), 1);
    let roles = format!("/v1/accounts/{}/roles", moderator.id());
    admin
        .call(Method::PUT, &roles)
        .json(&json!({ "roles": ["moderator"] }))
        .await
        .expect(200);

    let product = owner
        .published(&category, json!({ "title": "Before", "tags": ["same"] }))
        .await;
    owner
        .patch(&path_of(&product), json!({ "description": "Mine" }))
        .await
        .expect(200);
    assert_eq!(records(&admin, &document(&product)).await, Vec::<Value>::new());

    // What staff may do without a permission takes no reason: with what is its own, and what its shop sells.
    let without = |call: souk_tests::client::Call| call.header("souk-reason", "");
    let own = moderator.published(&category, json!({})).await;
    without(moderator.patch(&path_of(&own), json!({ "title": "Mine" })))
        .await
        .expect(200);
    let shop = moderator.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let shop_path = format!("/v1/vendors/{}", text(&shop, "id"));
    let staff = format!("{shop_path}/staff/{}", text(&owner.me, "username"));
    without(moderator.call(Method::PUT, &staff)).await.expect(204);
    let sold = owner.draft(&category, json!({ "vendor": shop["id"] })).await;
    without(moderator.patch(&path_of(&sold), json!({ "title": "Ours" })))
        .await
        .expect(200);
    for thing in [&own, &shop, &sold] {
        assert_eq!(records(&admin, &document(thing)).await, Vec::<Value>::new());
    }
    // What is to somebody else's takes one, also where a row takes the permission.
    let taken = json!({ "username": owner.me["username"] });
    for (path, body) in [(&roles, json!({ "roles": [] })), (&format!("{shop_path}/owner"), taken)] {
        let call = admin.call(Method::PUT, path).json(&body);
        assert_eq!(without(call).await.expect(403)["code"], "reason_missing");
    }
    edit_with(&moderator, &path_of(&product), "%E2%82%AC%20off")
        .await
        .expect(200);
    assert_eq!(records(&admin, &document(&product)).await[0]["reason"], "€ off");
    for bad in ["%FF", &"x".repeat(501)] {
        edit_with(&moderator, &path_of(&product), bad)
            .await
            .names(400, &["Souk-Reason"]);
    }

    // Without a reason nothing is done, and reading takes none.
    let path = path_of(&product);
    let edit = || moderator.patch(&path, json!({ "title": "After" }));
    let refused = edit().header("souk-reason", "").await.names(403, &["Souk-Reason"]);
    assert_eq!(refused["code"], "reason_missing");
    let edited = edit()
        .header("souk-reason", "Spam in the title")
        .header("x-request-id", "audit-me")
        .await
        .expect(200);
    let all = records(&admin, &document(&product)).await;
    let [record, _] = &*all else { panic!("{all:#?}") };
    assert_eq!(
        (
            &record["actor"],
            &record["action"],
            &record["permissions"],
            &record["reason"],
            &record["request_id"]
        ),
        (
            &moderator.me["id"],
            &json!("updateProduct"),
            &json!(["products:write"]),
            &json!("Spam in the title"),
            &json!("audit-me")
        )
    );
    let change = &record["changes"][0];
    assert_eq!(
        (&change["document"], &change["owner"]),
        (&json!(document(&product)), &owner.me["id"])
    );
    assert_eq!(
        (&change["before"]["title"], &change["after"]["title"]),
        (&json!("€ off"), &json!("After"))
    );
    assert!(change["after"].get("tags").is_none(), "only what changed: {change:#}");
    // A change that changes nothing is no act.
    assert_eq!(edit().await.expect(200)["version"], edited["version"]);
    moderator.delete(&path).await.expect(204);
    let all = records(&admin, &document(&product)).await;
    assert_eq!(
        (all.len(), &all[0]["action"], &all[0]["changes"][0]["after"]),
        (3, &json!("deleteProduct"), &Value::Null)
    );

    // By who did it, and by what they were let do.
    let by = admin
        .all(&format!("/v1/audit?actor={}", text(&moderator.me, "username")))
        .await;
    assert_eq!(by, all);
    let assigned = admin.all("/v1/audit?permission=roles:assign").await;
    let of_moderator = |record: &&Value| record["changes"][0]["document"] == format!("account/{}", moderator.id());
    let assigned = assigned.iter().find(of_moderator).unwrap();
    assert_eq!(assigned["changes"][0]["after"]["roles"], json!(["moderator"]));
    assert!(!assigned.to_string().contains("@example.com"));
    moderator.get("/v1/audit").await.expect(403);
    admin
        .get("/v1/audit?actor=nobody-has-this")
        .await
        .names(422, &["actor"]);
}

/// However many act at once, the records are one chain without gaps, and an export of it can be checked.
#[tokio::test]
async fn the_log_is_one_chain() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let added = futures_util::future::join_all(
        (0..12).map(|_| admin.add("/v1/categories", json!({ "name": unique("Chain") }))),
    );
    for category in added.await {
        assert_eq!(records(&admin, &document(&category)).await.len(), 1);
    }
    let (mut head, mut lines) = (Head::default(), String::new());
    loop {
        let part = admin.get(&format!("/v1/audit/export?after={}", head.number)).await;
        if part.status == 204 {
            break;
        }
        assert_eq!(part.header("content-type"), "application/x-ndjson");
        head = verify(part.body.as_bytes(), head).unwrap();
        lines.push_str(&part.body);
    }
    assert!(head.number >= 13);
    let whole = verify(lines.as_bytes(), Head::default()).unwrap();
    assert_eq!(whole, head);
    let edited = lines.replacen("createCategory", "updateCategory", 1);
    assert!(verify(edited.as_bytes(), Head::default()).is_err());
    let newest = &admin.get("/v1/audit?limit=1").await.expect(200);
    assert!(newest.items()[0]["number"].as_u64().unwrap() >= head.number);
}
