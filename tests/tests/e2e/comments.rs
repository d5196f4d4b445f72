//! Comments: threads, tombstones, who may do what, and text that means harm.

use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::{ids, path_of, text};

/// How deep replies go.
const MAX_DEPTH: usize = 8;

async fn reply(who: &Client, list: &str, parent: Option<&Value>, body: &str) -> Value {
    let parent = parent.map(|parent| &parent["id"]);
    who.add(list, json!({ "body": body, "parent": parent })).await
}

fn path(comment: &Value) -> String {
    format!("/v1/comments/{}", text(comment, "id"))
}

#[tokio::test]
async fn threads_are_listed_in_order_and_keep_their_shape_without_a_comment() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let (anyone, members) = (market.anonymous(), market.members(2).await);
    let (ada, bob) = (&members[0], &members[1]);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let list = format!("{}/comments", path_of(&product));
    assert!(anyone.get(&list).await.expect(200).items().is_empty());

    let first = reply(ada, &list, None, "first").await;
    let second = reply(bob, &list, None, "second").await;
    let answer = reply(bob, &list, Some(&first), "an answer").await;
    let other = reply(&seller, &list, Some(&first), "another answer").await;
    let deeper = reply(ada, &list, Some(&answer), "deeper").await;
    assert_eq!(
        (&first["parent"], &first["depth"], &first["version"]),
        (&Value::Null, &json!(0), &json!(1))
    );
    assert_eq!((&deeper["parent"], &deeper["depth"]), (&answer["id"], &json!(2)));
    assert_eq!((&first["author"], &first["product"]), (&ada.me["id"], &product["id"]));
    assert_eq!(anyone.get(&path(&first)).await.expect(200).json, first);
    let ordered = [&first, &answer, &deeper, &other, &second].map(Value::clone);
    assert_eq!(anyone.all(&list).await, ordered);
    assert_eq!(
        anyone
            .all(&format!("/v1/products/{}/comments", text(&product, "slug")))
            .await,
        ordered
    );
    anyone
        .until(&path_of(&product), |product| product["comment_count"] == 5)
        .await;

    // Page by page, of any size.
    for limit in [1, 2, 4, 5] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = anyone.get(&format!("{list}?limit={limit}{cursor}")).await.expect(200);
            seen.extend_from_slice(page.items());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ordered, "limit={limit}");
    }
    let some = anyone
        .get(&format!("{list}?limit=2&fields=id,author&include=author"))
        .await
        .expect(200);
    let author = &some.items()[0]["author"];
    assert_eq!(
        (&author["id"], &author["username"]),
        (&ada.me["id"], &ada.me["username"])
    );
    assert!(author.get("email").is_none() && some.items()[0].as_object().unwrap().len() == 2);

    // Taken back, it leaves its place to its replies.
    bob.delete(&path(&answer)).await.expect(204);
    bob.delete(&path(&answer)).await.expect(204);
    let left = anyone.get(&path(&answer)).await.expect(200);
    assert_eq!(
        (&left["deleted"], &left["body"], &left["author"], &left["parent"]),
        (&json!(true), &Value::Null, &Value::Null, &first["id"])
    );
    assert_eq!(ids(&anyone.all(&list).await), ids(&ordered));
    let opened = anyone
        .get(&format!("{}?include=author", path(&answer)))
        .await
        .expect(200);
    assert!(opened["author"].is_null());
    bob.patch(&path(&answer), json!({ "body": "again" })).await.expect(409);
    ada.post(&list, json!({ "body": "too late", "parent": answer["id"] }))
        .await
        .names(422, &["parent"]);
    reply(bob, &list, Some(&deeper), "below it all goes on").await;
    // Five, less one, and one more.
    ada.delete(&path(&second)).await.expect(403);
    bob.delete(&path(&second)).await.expect(204);
    anyone
        .until(&path_of(&product), |product| product["comment_count"] == 4)
        .await;
}

#[tokio::test]
async fn replies_go_so_deep_and_no_deeper() {
    let Some(market) = market() else { return };
    let members = market.members(1).await;
    let seller = &members[0];
    let category = market.category(json!([])).await;
    let [product, other] = [0, 1].map(|_| seller.published(&category, json!({})));
    let (product, other) = (product.await, other.await);
    let list = format!("{}/comments", path_of(&product));
    let mut last: Option<Value> = None;
    for depth in 0..=MAX_DEPTH {
        let next = reply(seller, &list, last.as_ref(), "deeper").await;
        assert_eq!(next["depth"], depth);
        last = Some(next);
    }
    let last = last.unwrap();
    let below = |parent: &Value| seller.post(&list, json!({ "body": "deeper", "parent": parent }));
    below(&last["id"]).await.names(422, &["parent"]);
    let elsewhere = reply(seller, &format!("{}/comments", path_of(&other)), None, "elsewhere").await;
    for stranger in [
        elsewhere["id"].clone(),
        product["id"].clone(),
        json!("cmt_0123456789abcdef0123456789abcdef"),
        json!("x"),
        json!(7),
    ] {
        below(&stranger).await.names(422, &["parent"]);
    }
    assert_eq!(seller.all(&list).await.len(), MAX_DEPTH + 1);
}

#[tokio::test]
async fn a_comment_is_its_authors() {
    let Some(market) = market() else { return };
    let members = market.members(3).await;
    let [seller, ada, bob] = [0, 1, 2].map(|n| &members[n]);
    let (anyone, moderator) = (market.anonymous(), market.admin().await);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let list = format!("{}/comments", path_of(&product));
    let comment = reply(ada, &list, None, "mine").await;
    let path = path(&comment);
    let edit = |who: &Client, body: &str| who.patch(&path, json!({ "body": body }));

    // Not even the seller of the product may change it.
    for (who, status) in [(bob, 403), (seller, 403), (&anyone, 401)] {
        edit(who, "theirs").await.expect(status);
        who.delete(&path).await.expect(status);
    }
    anyone.post(&list, json!({ "body": "x" })).await.expect(401);
    assert_eq!(anyone.get(&path).await.expect(200).json, comment);

    let tag = ada.get(&path).await.expect(200).header("etag").to_owned();
    let edited = edit(ada, "better").header("if-match", &tag).await.expect(200);
    assert_eq!((&edited["body"], &edited["version"]), (&json!("better"), &json!(2)));
    assert!(comment["edited_at"].is_null() && edited["edited_at"].is_string());
    assert_eq!(edited["created_at"], comment["created_at"]);
    edit(ada, "too late").header("if-match", &tag).await.expect(412);
    ada.delete(&path).header("if-match", &tag).await.expect(412);
    for (body, fields) in [
        (json!({ "body": "" }), ["body"]),
        (json!({ "body": null }), ["body"]),
        (json!({ "parent": null, "body": "x", "author": bob.id() }), ["author"]),
        (json!({ "product": product["id"] }), ["product"]),
    ] {
        ada.patch(&path, body).await.names(422, &fields);
    }
    edit(&moderator, "moderated").await.expect(200);
    let seen = anyone.get(&path).await.expect(200);
    assert_eq!((&seen["body"], &seen["author"]), (&json!("moderated"), &ada.me["id"]));
    moderator.delete(&path).await.expect(204);
    assert_eq!(anyone.get(&path).await.expect(200)["deleted"], true);
}

#[tokio::test]
async fn a_comment_that_is_sent_again_is_one() {
    let Some(market) = market() else { return };
    let members = market.members(2).await;
    let (seller, ada) = (&members[0], &members[1]);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let list = format!("{}/comments", path_of(&product));
    let key = unique("key");
    let first = ada.post(&list, json!({ "body": "once" })).key(&key).await.expect(201);
    assert_eq!(first.header("location"), path(&first.json));
    let again = ada.post(&list, json!({ "body": "once" })).key(&key).await.expect(201);
    assert_eq!(
        (&again.json, again.header("idempotency-replayed")),
        (&first.json, "true")
    );
    ada.post(&list, json!({ "body": "twice" })).key(&key).await.expect(422);
    let two = reply(ada, &list, None, "once").await;
    assert_ne!(two["id"], first["id"]);
    assert_eq!(seller.all(&list).await.len(), 2);
    seller
        .until(&path_of(&product), |product| product["comment_count"] == 2)
        .await;
}

#[tokio::test]
async fn text_is_text_whatever_it_says() {
    let Some(market) = market() else { return };
    let members = market.members(1).await;
    let ada = &members[0];
    let category = market.category(json!([])).await;
    let product = ada.published(&category, json!({})).await;
    let list = format!("{}/comments", path_of(&product));
    for body in [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "'; DROP TABLE documents; --",
        "{\"$ne\": null} ${jndi:ldap://a} {{7*7}} %00 \\u0000 \\",
        "a\nb\r\n\tc",
        "\u{202e}\u{200b}\u{feff} ünï 👩‍👩‍👧",
        &"💡".repeat(4000),
        &"\"".repeat(4000),
        "x",
    ] {
        let comment = reply(ada, &list, None, body).await;
        let shown = ada.get(&path(&comment)).await.expect(200);
        assert_eq!(shown["body"], body);
        assert_eq!(shown.header("content-type"), "application/json");
    }
    for body in [
        json!(""),
        json!(" \n\t "),
        json!("a\u{0}b"),
        json!("\u{1b}[31m"),
        json!("x".repeat(4001)),
        json!(null),
        json!(7),
        json!(["x"]),
        json!({ "html": "<b>" }),
    ] {
        ada.post(&list, json!({ "body": body })).await.names(422, &["body"]);
    }
    ada.post(&list, json!({})).await.names(422, &["body"]);
    ada.post(&list, json!({ "body": "x", "depth": 0, "author": "acc_1" }))
        .await
        .names(422, &["depth", "author"]);
    ada.post(&list, json!({ "body": "x".repeat(70_000) })).await.expect(413);
    for query in ["limit=0", "cursor=x", "fields=email", "include=product", "sort=newest"] {
        let name = query.split('=').next().unwrap();
        ada.get(&format!("{list}?{query}")).await.names(400, &[name]);
    }
}

#[tokio::test]
async fn comments_are_seen_by_those_who_see_the_product() {
    let Some(market) = market() else { return };
    let members = market.members(2).await;
    let (seller, ada) = (&members[0], &members[1]);
    let anyone = market.anonymous();
    let category = market.category(json!([])).await;
    let product = seller.draft(&category, json!({})).await;
    let list = format!("{}/comments", path_of(&product));
    for who in [ada, &anyone] {
        who.get(&list).await.expect(404);
    }
    ada.post(&list, json!({ "body": "x" })).await.expect(404);
    seller.act(&format!("{}/publish", path_of(&product))).await.expect(200);
    let comment = reply(ada, &list, None, "seen").await;
    seller.act(&format!("{}/archive", path_of(&product))).await.expect(200);
    for hidden in [&list, &path(&comment)] {
        anyone.get(hidden).await.expect(404);
        ada.get(hidden).await.expect(404);
        seller.get(hidden).await.expect(200);
    }
    // What one wrote one may take back.
    ada.delete(&path(&comment)).await.expect(204);
    // Now it is nobody's, and as hidden as the product.
    ada.patch(&path(&comment), json!({ "body": "x" })).await.expect(404);
    ada.delete(&path(&comment)).await.expect(404);
    seller.delete(&path_of(&product)).await.expect(204);
    for gone in [&list, &path(&comment), "/v1/comments/cmt_0", "/v1/comments/x"] {
        seller.get(gone).await.expect(404);
    }
}
