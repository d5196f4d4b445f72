//! Views: distinct viewers, counted in a moment.

use std::future::IntoFuture as _;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use souk_tests::client::{Call, Client, market, unique};

use crate::path_of;

#[tokio::test]
async fn each_viewer_counts_once() {
    let Some(market) = market() else { return };
    let members = market.members(4).await;
    let (seller, anyone) = (&members[0], market.anonymous());
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let (path, view) = (path_of(&product), format!("{}/views", path_of(&product)));
    let browsers: Vec<_> = (0..8).map(|_| unique("Browser")).collect();
    let anonymous = |n: usize| anyone.act(&view).header("user-agent", &browsers[n % 8]);
    let member = |n: usize| {
        let who: &Client = &members[n % 4];
        // A member is one viewer with any browser.
        who.act(&view).header("user-agent", unique("Other"))
    };
    let views = (0..40).map(anonymous).chain((0..20).map(member));
    let replies: Vec<_> = stream::iter(views.map(Call::into_future))
        .buffer_unordered(30)
        .collect()
        .await;
    for reply in replies {
        reply.expect(204);
    }
    let count = async |expected: u32| anyone.until(&path, |product| product["view_count"] == expected).await;
    count(12).await;
    anonymous(3).await.expect(204);
    member(2).await.expect(204);
    anyone.act(&view).header("user-agent", unique("New")).await.expect(204);
    let product = count(13).await;
    assert_eq!(product["version"], 2, "views are no edits");
}

#[tokio::test]
async fn only_what_can_be_seen_is_viewed() {
    let Some(market) = market() else { return };
    let members = market.members(1).await;
    let (seller, anyone) = (&members[0], market.anonymous());
    let category = market.category(json!([])).await;
    let draft = seller.draft(&category, json!({})).await;
    for who in [seller, &anyone] {
        who.act(&format!("{}/views", path_of(&draft))).await.expect(404);
        who.act("/v1/products/none/views").await.expect(404);
    }
    market
        .with_token("forged")
        .act(&format!("{}/views", path_of(&draft)))
        .await
        .expect(401);
}
