//! Votes: one per account and product, and the count that follows.

use std::future::IntoFuture as _;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;
use souk_tests::client::{Client, market};

use crate::{path_of, text};

#[tokio::test]
async fn a_hundred_votes_of_fifty_accounts_are_fifty() {
    let Some(market) = market() else { return };
    let voters = market.members(50).await;
    let category = market.category(json!([])).await;
    let product = voters[0].published(&category, json!({})).await;
    let (path, vote) = (path_of(&product), format!("{}/upvote", path_of(&product)));
    let put = |n: usize| voters[n % 50].call(Method::PUT, &vote).patient().into_future();
    let replies: Vec<_> = stream::iter(0..100).map(put).buffer_unordered(100).collect().await;
    for reply in replies {
        reply.expect(200);
    }
    let count = async |expected: usize| {
        voters[0]
            .until(&path, |product| product["upvote_count"] == expected)
            .await
    };
    count(50).await;
    for _ in 0..2 {
        voters[7].delete(&vote).await.expect(200);
    }
    count(49).await;
    // Nothing was still under way: these are the next numbers.
    voters[8].delete(&vote).await.expect(200);
    count(48).await;
    voters[7].call(Method::PUT, &vote).await.expect(200);
    let product = count(49).await;
    assert_eq!(product["version"], 2, "votes are no edits");
}

#[tokio::test]
async fn a_vote_is_for_what_can_be_seen() {
    let Some(market) = market() else { return };
    let members = market.members(2).await;
    let (seller, ada) = (&members[0], &members[1]);
    let anyone = market.anonymous();
    let category = market.category(json!([])).await;
    let product = seller.draft(&category, json!({})).await;
    let vote = format!("{}/upvote", path_of(&product));
    let all = |who: Client, status: u16| {
        let vote = vote.clone();
        async move {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                who.call(method, &vote).await.expect(status);
            }
        }
    };
    all(ada.clone(), 404).await;
    all(anyone.clone(), 401).await;
    seller.act(&format!("{}/publish", path_of(&product))).await.expect(200);
    let upvoted = async |who: &Client| who.get(&vote).await.expect(200)["upvoted"].clone();
    assert_eq!(upvoted(ada).await, false);
    ada.delete(&vote).await.expect(200);
    // By slug too, and one's own.
    ada.call(Method::PUT, &format!("/v1/products/{}/upvote", text(&product, "slug")))
        .await
        .expect(200);
    seller.call(Method::PUT, &vote).await.expect(200);
    assert_eq!(upvoted(ada).await, true);
    seller
        .until(&path_of(&product), |product| product["upvote_count"] == 2)
        .await;
    // Whoever voted may take it back although the product was archived.
    seller.act(&format!("{}/archive", path_of(&product))).await.expect(200);
    ada.call(Method::PUT, &vote).await.expect(404);
    assert_eq!(upvoted(ada).await, true);
    ada.delete(&vote).await.expect(200);
    all(ada.clone(), 404).await;
    seller
        .until(&path_of(&product), |product| product["upvote_count"] == 1)
        .await;
    let nothing = "/v1/products/none/upvote";
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        ada.call(method, nothing).await.expect(404);
    }
}
