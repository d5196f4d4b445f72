//! Addresses of a shop that moved in: they lead to what is here now.

use reqwest::Method;
use serde_json::json;
use souk_tests::client::{market, unique};

use crate::{path_of, text};

const PATH: &str = "/v1/old-addresses";

#[tokio::test]
async fn old_addresses_lead_on_for_good() {
    let Some(market) = market() else { return };
    let (admin, seller, anyone) = (market.admin().await, market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let shop = unique("shop");
    let set = async |address: &str, id: &str| {
        let new = json!({ "address": format!("/{shop}{address}"), "leads_to": id });
        admin.call(Method::PUT, PATH).json(&new).await.expect(200)
    };
    let slug = text(&product, "slug");
    let first = set("/Products/red%20shirt/?utm_source=mail#sizes", text(&product, "id")).await;
    let address = format!("/{shop}/Products/red%20shirt");
    assert_eq!(first.json, json!({ "address": address, "leads_to": product["id"] }));
    set("/index.php?id=7&lang=de", text(&product, "id")).await;
    set("/index.php?id=8", &category).await;

    let find = async |path: &str| {
        let found = anyone.get(&format!("/{shop}{path}")).await.expect(301);
        assert!(
            found
                .header("cache-control")
                .starts_with("public, max-age=0, s-maxage=60,"),
            "{path}"
        );
        assert_eq!(found.text("location"), found.header("location"));
        let (_, path) = found
            .header("location")
            .split_at(found.header("location").find("/v1/").unwrap());
        assert!(found.header("location").starts_with("http"));
        path.to_owned()
    };
    let page = format!("/v1/products/{slug}");
    for path in [
        "/Products/red%20shirt",
        "/Products/red%20shirt/",
        "/Products/red%20shirt?variant=1&utm_source=x&",
        "/index.php?lang=de&id=7",
        "/index.php/?id=7&lang=d%65&gclid=a",
    ] {
        assert_eq!(find(path).await, page, "{path}");
    }
    let slug_of = async |path: &str| text(&anyone.get(path).await.expect(200).json, "slug").to_owned();
    let by_id = format!("/v1/categories/{category}");
    assert_eq!(
        find("/index.php?id=8").await,
        format!("/v1/categories/{}", slug_of(&by_id).await)
    );
    let head = anyone.call(Method::HEAD, &address).await.expect(301);
    assert!(head.header("location").ends_with(&page));
    let own = seller.get(&address).await.expect(301);
    assert_eq!(own.header("cache-control"), "private, no-cache");
    let tags = anyone.get(&address).await.header("cache-tag").to_owned();
    assert!(
        tags.is_empty() || tags == format!("product,{}", text(&product, "id")),
        "{tags}"
    );

    // Nothing else does.
    for path in [
        "/products/red%20shirt",
        "/index.php?id=9",
        "/index.php",
        "/Products/red%20shirt/x",
        "/a%2F..%2F",
    ] {
        anyone.get(&format!("/{shop}{path}")).await.expect(404);
    }
    anyone.call(Method::POST, &address).await.expect(404);
    anyone.get(&format!("/v1{address}")).await.expect(404);

    // A category keeps its address whatever it is called, and an address leads where it was last set to.
    let renamed = unique("lamps");
    admin.patch(&by_id, json!({ "slug": renamed })).await.expect(200);
    assert_eq!(find("/index.php?id=8").await, format!("/v1/categories/{renamed}"));
    set("/Products/red shirt", &category).await;
    assert_eq!(find("/Products/red%20shirt").await, format!("/v1/categories/{renamed}"));

    // What nobody may see is not there, and what is gone leads nowhere.
    let other = format!("/{shop}/index.php?lang=de&id=7");
    seller.act(&format!("{}/archive", path_of(&product))).await.expect(200);
    anyone.get(&other).await.expect(404);
    seller.get(&other).await.expect(301);
    seller.act(&format!("{}/publish", path_of(&product))).await.expect(200);
    anyone.get(&other).await.expect(301);
    seller.delete(&path_of(&product)).await.expect(204);
    anyone.get(&other).await.expect(404);

    let remove = format!("{PATH}?address=https://old.example{}/", address.replace('%', "%25"));
    admin.delete(&remove).await.expect(204);
    anyone.get(&address).await.expect(404);
    admin.delete(&remove).await.expect(404);
}

#[tokio::test]
async fn only_admins_set_old_addresses_and_only_of_other_shops() {
    let Some(market) = market() else { return };
    let (admin, member) = (market.admin().await, market.member().await);
    let category = market.category(json!([])).await;
    let new = json!({ "address": format!("/{}", unique("shop")), "leads_to": category });
    member.call(Method::PUT, PATH).json(&new).await.expect(403);
    market.anonymous().call(Method::PUT, PATH).json(&new).await.expect(401);
    let long = format!("/{}", "a".repeat(2000));
    for address in [
        "",
        "/",
        "/?p=7",
        "lamps",
        "https://old.example",
        "/v1/products/lamp",
        "javascript://a/b",
        &long,
    ] {
        let new = json!({ "address": address, "leads_to": category });
        admin.call(Method::PUT, PATH).json(&new).await.names(422, &["address"]);
    }
    for id in [
        "",
        "lamps",
        "https://evil.example",
        member.id(),
        "prd_0123456789abcdef0123456789abcdef",
    ] {
        let new = json!({ "address": "/a", "leads_to": id });
        admin.call(Method::PUT, PATH).json(&new).await.names(422, &["leads_to"]);
    }
    let both = admin
        .call(Method::PUT, PATH)
        .json(&json!({ "address": "a", "leads_to": "a" }));
    both.await.names(422, &["address", "leads_to"]);
    admin.delete(PATH).await.names(400, &["address"]);
    // No address takes the place of a page.
    let new = json!({ "address": "/docs", "leads_to": category });
    admin.call(Method::PUT, PATH).json(&new).await.expect(200);
    market.anonymous().get("/docs").await.expect(200);
    admin.delete(&format!("{PATH}?address=/docs")).await.expect(204);
}
