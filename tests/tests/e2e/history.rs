//! Products, vendors and settings as they were.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{market, unique};

use crate::text;

#[tokio::test]
async fn what_was_is_shown_to_those_who_may_see_it() {
    let Some(market) = market() else { return };
    let (admin, seller) = (market.admin().await, market.member().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": "Lantern One" })).await;
    let vendor = format!("/v1/vendors/{}", text(&shop, "id"));
    let product = seller.draft(&category, json!({ "title": "Lamp one" })).await;
    let path = format!("/v1/products/{}", text(&product, "id"));
    let moment = |document: &Value| text(document, "updated_at").to_owned();
    let mut moments = vec![moment(&product)];
    for title in ["Lamp two", "Lamp three"] {
        let edited = seller.patch(&path, json!({ "title": title })).await.expect(200).json;
        moments.push(moment(&edited));
    }
    let renamed = seller
        .patch(&vendor, json!({ "name": "Lantern Two" }))
        .await
        .expect(200)
        .json;
    let at = async |path: &str, moment: &str| admin.get(&format!("{path}?as_of={moment}")).await;
    for (moment, title, version) in [
        (&moments[0], "Lamp one", 1),
        (&moments[1], "Lamp two", 2),
        (&moments[2], "Lamp three", 3),
    ] {
        let then = at(&path, moment).await.expect(200);
        assert_eq!(
            (&then["title"], &then["version"]),
            (&json!(title), &json!(version)),
            "{moment}"
        );
    }
    at(&path, "2020-01-01T00:00:00Z").await.expect(404);
    assert_eq!(
        at(&vendor, text(&shop, "created_at")).await.expect(200)["name"],
        "Lantern One"
    );
    assert_eq!(at(&vendor, &moment(&renamed)).await.expect(200)["name"], "Lantern Two");
    // Who reads the audit log sees of drafts no more than before.
    let (auditor, role) = (
        market.member().await,
        json!({ "name": unique("Auditor"), "permissions": ["audit:read"] }),
    );
    let role = admin.add("/v1/roles", role).await;
    let of_auditor = format!("/v1/accounts/{}/roles", auditor.id());
    let roles = json!({ "roles": [role["id"]] });
    admin.call(Method::PUT, &of_auditor).json(&roles).await.expect(200);
    auditor.get(&format!("{path}?as_of={}", moments[0])).await.expect(404);
    let shop_then = format!("{vendor}?as_of={}", text(&shop, "created_at"));
    auditor.get(&shop_then).await.expect(200);
    // What was deleted is there at the time when it was.
    seller.delete(&path).await.expect(204);
    admin.get(&path).await.expect(404);
    assert_eq!(at(&path, &moments[2]).await.expect(200)["title"], "Lamp three");
    at(&path, "2099-01-01T00:00:00Z").await.names(400, &["as_of"]);
    // Settings are whole too, whether they were ever set or not.
    let settings = at("/v1/search/settings", &moments[2]).await.expect(200);
    assert!(
        settings["version"].is_u64() && settings["weights"].is_object(),
        "{settings:?}"
    );
    // Its author may not see it, and nobody else.
    seller
        .get(&format!("{path}?as_of={}", moments[0]))
        .await
        .fails(403, "forbidden");
    market
        .anonymous()
        .get(&format!("{path}?as_of={}", moments[0]))
        .await
        .expect(401);
    admin
        .get(&format!("{path}?as_of=yesterday"))
        .await
        .names(400, &["as_of"]);
    admin
        .get(&format!("/v1/products/{}?as_of={}", unique("none"), moments[0]))
        .await
        .expect(404);
}
