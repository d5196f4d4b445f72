//! Markets that share a deployment: nothing of one is seen in another, and operators make, limit, suspend, name, export and
//! erase them. The host is started with `SOUK_TENANT_DOMAIN=souk.localhost`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Call, Client, Market, eventually, market, product, unique};

use crate::receiver::{Receiver, publish};
use crate::text;

/// A market of its own, by its name, and its admin.
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) market: Market,
    pub(crate) admin: Client,
}

/// The domain below which markets have their names.
const DOMAIN: &str = "souk.localhost";
const PASSWORD: &str = "the same in all markets";

impl Tenant {
    /// Whoever signs up with this email address first is its admin. Every second market lives in the database that
    /// `SOUK_TEST_DATABASE` names, if there is one.
    pub(crate) async fn new(main: &Market, more: Value) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = unique("t");
        let mut new = json!({ "name": name, "title": "A market", "first_admin": "root@tenants.test" });
        if let Ok(database) = std::env::var("SOUK_TEST_DATABASE")
            && MADE.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
        {
            new["database"] = database.into();
        }
        for (field, value) in more.as_object().unwrap() {
            new[field] = value.clone();
        }
        let made = main.admin().await.add("/v1/tenants", new).await;
        assert_eq!((&made["name"], &made["status"]), (&json!(name), &json!("active")));
        let market = main.at(&format!("{name}.{DOMAIN}"));
        let account = json!({ "email": "root@tenants.test", "username": "root", "password": PASSWORD });
        let me = market.anonymous().add("/v1/accounts", account).await;
        market
            .verify("root@tenants.test", text(&me["email_verification"], "id"))
            .await;
        let mut admin = market.sign_in("root@tenants.test", PASSWORD).await;
        admin.me = me;
        Self { name, market, admin }
    }

    /// An account that has the same name in every market.
    pub(crate) async fn member(&self, username: &str) -> Client {
        let email = format!("{username}@tenants.test");
        let account = json!({ "email": email, "username": username, "password": PASSWORD });
        let me = self.market.anonymous().add("/v1/accounts", account).await;
        let mut member = self.market.sign_in(username, PASSWORD).await;
        member.me = me;
        member
    }
}

/// The ids and titles of all products that a list or a search has.
async fn titles(client: &Client, path: &str) -> BTreeSet<String> {
    let all = client.all(path).await;
    all.iter().map(|item| text(item, "title").to_owned()).collect()
}

#[tokio::test]
async fn equal_names_in_two_markets_are_two_things() {
    let Some(main) = market() else { return };
    let (one, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    let mut made = Vec::new();
    for (tenant, secret) in [(&one, "quagga"), (&other, "zebroid")] {
        let category = tenant.admin.add("/v1/categories", json!({ "name": "Lamps" })).await;
        let seller = tenant.member("seller").await;
        let vendor = seller.add("/v1/vendors", json!({ "name": "Lantern & Co" })).await;
        let fields = json!({
            "title": "Oil lamp", "description": format!("It has a {secret} on it"), "vendor": vendor["id"], "tags": [secret],
            "options": [{ "name": "Size", "values": ["S"] }],
            "variants": [{ "sku": "LAMP-1", "options": { "Size": "S" }, "price": { "amount": 1999, "currency": "EUR" } }],
        });
        let new = product(text(&category, "id"), fields);
        // The same key in both markets is another request in each.
        let draft = seller
            .post("/v1/products", new)
            .key("the-same-key")
            .await
            .expect(201)
            .json;
        assert_eq!(draft["slug"], "oil-lamp");
        let shown = seller
            .act(&format!("/v1/products/{}/publish", text(&draft, "id")))
            .await
            .expect(200)
            .json;
        seller
            .add(
                &format!("/v1/products/{}/comments", text(&shown, "id")),
                json!({ "body": secret }),
            )
            .await;
        made.push((seller, shown, secret));
    }
    let [(seller, lamp, word), (stranger, foreign, foreign_word)] = <[_; 2]>::try_from(made).ok().unwrap();
    assert_ne!(lamp["id"], foreign["id"]);
    // By its name it is one's own, and by the id of the other market it is nothing.
    for (client, own, others) in [(&seller, &lamp, &foreign), (&stranger, &foreign, &lamp)] {
        for viewer in [client, &client.signed_out()] {
            let found = viewer.get("/v1/products/oil-lamp").await.expect(200);
            assert_eq!((&found["id"], &found["description"]), (&own["id"], &own["description"]));
            let missing = format!("/v1/products/{}", text(others, "id"));
            viewer.get(&missing).await.expect(404);
            assert_eq!(
                viewer
                    .get(&format!("/v1/products?ids={}", text(others, "id")))
                    .await
                    .expect(200)["items"],
                json!([])
            );
        }
        let path = format!("/v1/products/{}", text(others, "id"));
        client.patch(&path, json!({ "title": "Mine" })).await.expect(404);
        client.call(Method::PUT, &format!("{path}/upvote")).await.expect(404);
        client
            .post(&format!("{path}/comments"), json!({ "body": "x" }))
            .await
            .expect(404);
    }
    // What is found, completed and corrected is one's own.
    for (client, own, others) in [(&seller, word, foreign_word), (&stranger, foreign_word, word)] {
        let anonymous = client.signed_out();
        anonymous
            .until(&format!("/v1/search?q={own}"), |found| {
                found["items"].as_array().unwrap().len() == 1
            })
            .await;
        for path in [
            format!("/v1/search?q={others}"),
            format!("/v1/search?q={}", &others[..others.len() - 1]),
        ] {
            let found = anonymous.get(&path).await.expect(200);
            assert_eq!(
                (&found["items"], &found["total"]),
                (&json!([]), &json!(0)),
                "{}",
                found.body
            );
        }
        let completed = anonymous
            .get(&format!("/v1/search/suggest?q={}", &others[..3]))
            .await
            .expect(200);
        assert_eq!(completed["suggestions"], json!([]), "{}", completed.body);
        assert_eq!(
            titles(&anonymous, "/v1/products").await,
            BTreeSet::from(["Oil lamp".to_owned()])
        );
        let facets = anonymous.get("/v1/search?facets=tag").await.expect(200);
        assert!(
            facets.body.contains(own) && !facets.body.contains(others),
            "{}",
            facets.body
        );
    }
    // The main market has neither.
    let found = main.anonymous().get(&format!("/v1/search?q={word}")).await.expect(200);
    assert_eq!(found["items"], json!([]));
    main.anonymous()
        .get(&format!("/v1/products/{}", text(&lamp, "id")))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_token_is_one_of_its_market() {
    let Some(main) = market() else { return };
    let (one, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    let mine = one.admin.get("/v1/me").await.expect(200).json;
    assert_eq!(mine["roles"], json!(["admin"]));
    for market in [&other.market, &main] {
        let stranger = market.with_token(one.admin.token.as_deref().unwrap());
        stranger.get("/v1/me").await.fails(401, "token_invalid");
        let refresh = json!({ "refresh_token": one.admin.refresh_token });
        market
            .anonymous()
            .post("/v1/sessions/refresh", refresh)
            .await
            .expect(401);
    }
    // Tools name the market in a header, from anywhere. Nobody keeps such an answer.
    let token = one.admin.token.as_deref().unwrap();
    let tool = main
        .with_token(token)
        .get("/v1/me")
        .header("souk-tenant", &one.name)
        .await
        .expect(200);
    assert_eq!(tool["id"], one.admin.me["id"]);
    let reply = main
        .anonymous()
        .get("/v1/products")
        .header("souk-tenant", &one.name)
        .await
        .expect(200);
    assert!(
        !reply.header("cache-control").contains("s-maxage"),
        "{}",
        reply.header("cache-control")
    );
    for nothing in ["nobody-has-this", "", "..", "@", "MAIN"] {
        let reply = main
            .anonymous()
            .get("/v1/products")
            .header("souk-tenant", nothing)
            .await;
        reply.fails(404, "tenant_not_found");
    }
    main.at(&format!("nobody-has-this.{DOMAIN}"))
        .anonymous()
        .get("/v1/products")
        .await
        .fails(404, "tenant_not_found");
    // An admin of a market is nobody in the deployment.
    let all = one.admin.get("/v1/permissions").await.expect(200);
    assert!(
        !all.body.contains("tenants:") && all.body.contains("roles:assign"),
        "{}",
        all.body
    );
    for path in [
        "/v1/tenants",
        "/v1/plans",
        "/v1/lanes",
        "/v1/dead-letters",
        "/v1/schedules",
    ] {
        one.admin.get(path).await.fails(403, "forbidden");
    }
    let greedy = json!({ "name": "Greedy", "permissions": ["tenants:write"] });
    one.admin.post("/v1/roles", greedy).await.expect(422);
}

#[tokio::test]
async fn events_and_webhooks_stay_in_their_market() {
    let Some(main) = market() else { return };
    let Some(receiver) = Receiver::new("ok") else { return };
    let (one, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    let hook = json!({ "url": receiver.url, "events": ["*"], "scope": "market" });
    let hook = one.admin.add("/v1/webhooks", hook).await;
    let path = format!("/v1/webhooks/{}", text(&hook, "id"));
    one.admin.until(&path, |hook| hook["verified"] == true).await;
    let mut categories = Vec::new();
    for tenant in [&other, &one] {
        categories.push(tenant.admin.add("/v1/categories", json!({ "name": "Lamps" })).await);
    }
    let seen = eventually(async || match receiver.seen().as_slice() {
        [] => Err("nothing has arrived".to_owned()),
        seen => Ok(seen.to_vec()),
    })
    .await;
    assert!(
        seen.iter()
            .all(|seen| seen.json()["data"]["category"] == categories[1]["id"]),
        "{seen:?}"
    );
    for (tenant, own) in [(&other, &categories[0]), (&one, &categories[1])] {
        let events = tenant
            .admin
            .until("/v1/events?type=category.created", |page| page["items"] != json!([]))
            .await;
        let events = events["items"].as_array().unwrap();
        assert!(
            events.len() == 1 && events[0]["data"]["category"] == own["id"],
            "{events:?}"
        );
        let audit = tenant.admin.get("/v1/audit").await.expect(200);
        let audit = audit["items"].as_array().unwrap();
        assert!(audit.len() == usize::from(tenant.name == one.name) + 1, "{audit:?}");
    }
    other.admin.get(&path).await.expect(404);
}

/// Whoever names the first admin of a market could make themselves that, and so have all that it has.
#[tokio::test]
async fn only_admins_say_who_is_the_first_admin_of_a_market() {
    let Some(main) = market() else { return };
    let (admin, operator) = (main.admin().await, main.member().await);
    let roles = json!({ "roles": ["operator"] });
    let path = format!("/v1/accounts/{}/roles", operator.id());
    admin.call(Method::PUT, &path).json(&roles).await.expect(200);
    let tenant = Tenant::new(&main, json!({})).await;
    let path = format!("/v1/tenants/{}", tenant.name);
    let mine = json!({ "first_admin": operator.me["email"] });
    operator.patch(&path, mine.clone()).await.names(403, &["first_admin"]);
    let new = json!({ "name": unique("t"), "title": "Mine", "first_admin": "me@tenants.test" });
    operator.post("/v1/tenants", new).await.names(403, &["first_admin"]);
    operator.patch(&path, json!({ "title": "Theirs" })).await.expect(200);
    let nobody = json!({ "first_admin": "nobody" });
    admin.patch(&path, nobody).await.names(422, &["first_admin"]);
    // A market whose admin is lost gets another one.
    let late = tenant.member("late").await;
    let challenge = late.post("/v1/me/email/verification", json!({})).await.expect(201);
    tenant.market.verify("late@tenants.test", challenge.text("id")).await;
    assert_eq!(late.get("/v1/me").await.expect(200)["roles"], json!([]));
    let patch = json!({ "first_admin": "late@tenants.test" });
    admin.patch(&path, patch).await.expect(200);
    eventually(async || {
        let late = tenant.market.sign_in("late@tenants.test", PASSWORD).await;
        match late.get("/v1/me").await.expect(200)["roles"] == json!(["admin"]) {
            true => Ok(()),
            false => Err("not an admin yet".to_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_market_answers_nobody() {
    let Some(main) = market() else { return };
    let operator = main.admin().await;
    let tenant = Tenant::new(&main, json!({ "origins": ["https://page.tenants.test"] })).await;
    let path = format!("/v1/tenants/{}", tenant.name);
    tenant.market.anonymous().get("/v1/products").await.expect(200);
    operator.act(&format!("{path}/suspend")).await.expect(200);
    // Each function hears of it by itself, and so does each of its instances.
    let page = "https://page.tenants.test";
    let again = json!({ "email": "root@tenants.test", "password": PASSWORD });
    let refused = async |call: &dyn Fn() -> Call| {
        let refused = eventually(async || match call().await {
            reply if reply.status == 403 => Ok(reply),
            reply => Err(reply.body),
        });
        refused.await.fails(403, "tenant_suspended")
    };
    let anyone = tenant.market.anonymous();
    refused(&|| anyone.get("/v1/products")).await;
    refused(&|| tenant.admin.get("/v1/me")).await;
    refused(&|| anyone.post("/v1/sessions", again.clone())).await;
    // A page of the market may see why.
    let seen = refused(&|| anyone.get("/v1/products").header("origin", page)).await;
    let preflight = anyone
        .call(Method::OPTIONS, "/v1/products")
        .header("access-control-request-method", "GET")
        .header("origin", page);
    for reply in [preflight.await.expect(204), seen] {
        assert_eq!(reply.header("access-control-allow-origin"), page);
    }
    main.anonymous().get("/v1/products").await.expect(200);
    operator.act(&format!("{path}/resume")).await.expect(200);
    eventually(async || match tenant.admin.get("/v1/me").await.status {
        200 => Ok(()),
        status => Err(format!("{status}")),
    })
    .await;
}

#[tokio::test]
async fn a_plan_limits_what_a_market_has() {
    let Some(main) = market() else { return };
    let operator = main.admin().await;
    let plan = unique("plan");
    let put = async |quotas: Value| {
        let body = json!({ "title": "Small", "quotas": quotas });
        operator
            .call(Method::PUT, &format!("/v1/plans/{plan}"))
            .json(&body)
            .await
    };
    put(json!({ "unicorns": 1, "requests": 0 })).await.expect(422);
    put(json!({ "products": 1, "members": 2 })).await.expect(200);
    let tenant = Tenant::new(&main, json!({ "plan": plan })).await;
    let category = tenant.admin.add("/v1/categories", json!({ "name": "Lamps" })).await;
    let category = text(&category, "id");
    let first = tenant.admin.draft(category, json!({})).await;
    let second = tenant.admin.post("/v1/products", product(category, json!({}))).await;
    second.fails(429, "quota_used_up");
    tenant.member("second").await;
    let third = json!({ "email": "third@tenants.test", "username": "third", "password": PASSWORD });
    let refused = tenant.market.anonymous().post("/v1/accounts", third.clone()).await;
    assert_eq!(
        refused.json["violated-policies"],
        json!(["members"]),
        "{}",
        refused.body
    );
    let usage = tenant.admin.get("/v1/usage").await.expect(200);
    let expected = json!([
        { "quota": "members", "used": 2, "limit": 2 },
        { "quota": "products", "used": 1, "limit": 1 },
        { "quota": "requests", "used": null, "limit": null },
    ]);
    assert_eq!(usage["items"], expected);
    let seen = operator
        .get(&format!("/v1/tenants/{}/usage", tenant.name))
        .await
        .expect(200);
    assert_eq!(seen["items"], expected);
    // What is removed makes room.
    tenant
        .admin
        .delete(&format!("/v1/products/{}", text(&first, "id")))
        .await
        .expect(204);
    let again = tenant.admin.draft(category, json!({})).await;
    // What a plan allows is felt everywhere within seconds.
    put(json!({ "products": 2, "members": 3, "requests": 40 }))
        .await
        .expect(200);
    eventually(async || {
        match tenant
            .market
            .anonymous()
            .post("/v1/accounts", third.clone())
            .await
            .status
        {
            201 => Ok(()),
            status => Err(format!("{status}")),
        }
    })
    .await;
    tenant
        .admin
        .act(&format!("/v1/products/{}/publish", text(&again, "id")))
        .await
        .expect(200);
    let refused = eventually(async || {
        let reply = tenant.admin.get("/v1/me").await;
        match reply.status {
            429 => Ok(reply),
            status => Err(format!("{status}")),
        }
    })
    .await;
    refused.fails(429, "rate_limited");
    main.anonymous().get("/v1/products").await.expect(200);
}

#[tokio::test]
async fn a_host_name_leads_to_the_market_that_proved_it() {
    let Some(main) = market() else { return };
    if Receiver::new("ok").is_none() {
        return;
    }
    let operator = main.admin().await;
    let (one, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    let host = format!("{}.localhost", unique("shop"));
    let at = |tenant: &Tenant| format!("/v1/tenants/{}/domains/{host}", tenant.name);
    for wrong in [DOMAIN, "x.souk.localhost", "a..b", "127.0.0.1", "nodot", "a_b.example"] {
        let path = format!("/v1/tenants/{}/domains/{wrong}", one.name);
        operator.call(Method::PUT, &path).await.expect(422);
    }
    let broken = format!("/v1/tenants/{}/domains/{}.localhost", one.name, unique("broken"));
    operator.call(Method::PUT, &broken).await.expect(200);
    let failed = operator.act(&format!("{broken}/verify")).await;
    assert_eq!((failed.status, failed.text("code")), (503, "dns_unavailable"));
    let shop = main.at(&host);
    // Others may add it too; who proves it has it.
    let mine = operator.call(Method::PUT, &at(&one)).await.expect(200).json;
    let foreign = operator.call(Method::PUT, &at(&other)).await.expect(200).json;
    assert_ne!(mine["proof"], foreign["proof"]);
    operator
        .act(&format!("{}/verify", at(&one)))
        .await
        .fails(409, "not_proved");
    publish(&format!("_souk.{host}"), text(&foreign, "proof"));
    operator
        .act(&format!("{}/verify", at(&one)))
        .await
        .fails(409, "not_proved");
    publish(&format!("_souk.{host}"), text(&mine, "proof"));
    let verified = operator.act(&format!("{}/verify", at(&one))).await.expect(200).json;
    assert_eq!(verified["verified"], true);
    let root = json!({ "email": "root@tenants.test", "password": PASSWORD });
    let found = eventually(async || {
        let reply = shop.anonymous().post("/v1/sessions", root.clone()).await;
        match reply.status {
            201 => Ok(reply),
            status => Err(format!("{status}")),
        }
    })
    .await;
    let me = shop
        .with_token(found.text("access_token"))
        .get("/v1/me")
        .await
        .expect(200)
        .json;
    assert_eq!(me["id"], one.admin.me["id"]);
    publish(&format!("_souk.{host}"), text(&foreign, "proof"));
    operator
        .act(&format!("{}/verify", at(&other)))
        .await
        .fails(409, "taken");
    operator.delete(&at(&one)).await.expect(204);
    operator.act(&format!("{}/verify", at(&other))).await.expect(200);
    eventually(
        async || match shop.with_token(found.text("access_token")).get("/v1/me").await.status {
            401 => Ok(()),
            status => Err(format!("{status}")),
        },
    )
    .await;
}

#[tokio::test]
async fn a_market_is_exported_and_erased_as_a_whole() {
    let Some(main) = market() else { return };
    let operator = main.admin().await;
    let (tenant, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    for tenant in [&tenant, &other] {
        let category = tenant.admin.add("/v1/categories", json!({ "name": "Lamps" })).await;
        tenant
            .admin
            .published(text(&category, "id"), json!({ "title": "Oil lamp" }))
            .await;
        tenant
            .market
            .anonymous()
            .until("/v1/search?q=lamp", |found| found["total"] == 1)
            .await;
    }
    let path = format!("/v1/tenants/{}", tenant.name);
    let exported = export(&operator, &path).await;
    let partitions: Vec<&str> = exported.iter().map(|document| text(document, "partition")).collect();
    for kind in [
        "account/",
        "password/",
        "product/",
        "category-named/",
        "sessions/",
        "audit",
    ] {
        assert!(
            partitions.iter().any(|name| name.starts_with(kind)),
            "{kind}: {partitions:?}"
        );
    }
    assert!(partitions.iter().all(|name| !name.starts_with('@')));
    for wrong in ["x", "e30", "WyJhIl0"] {
        operator
            .get(&format!("{path}/export?cursor={wrong}"))
            .await
            .names(400, &["cursor"]);
    }
    operator.delete(&path).await.fails(409, "not_suspended");
    operator.act(&format!("{path}/suspend")).await.expect(200);
    let job = operator.delete(&path).await.expect(202).json;
    eventually(
        async || match tenant.market.anonymous().get("/v1/products").await.status {
            404 => Ok(()),
            status => Err(format!("{status}")),
        },
    )
    .await;
    let done = operator
        .until(&format!("/v1/jobs/{}", text(&job, "id")), |job| {
            job["status"] != "queued"
        })
        .await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(export(&operator, &path).await, Vec::<Value>::new());
    // Its name stays taken; the other market has lost nothing.
    let again = json!({ "name": tenant.name, "title": "Again" });
    operator.post("/v1/tenants", again).await.fails(409, "taken");
    operator
        .act(&format!("{path}/resume"))
        .await
        .fails(409, "tenant_erased");
    // Should the job have been lost, it is begun again.
    operator.delete(&path).await.expect(202);
    let found = other.market.anonymous().get("/v1/search?q=lamp").await.expect(200);
    assert_eq!(
        (&found["total"], titles(&other.admin, "/v1/products").await.len()),
        (&json!(1), 1)
    );
    assert!(
        !export(&operator, &format!("/v1/tenants/{}", other.name))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_market_has_a_bounded_number_of_host_names() {
    let Some(main) = market() else { return };
    let operator = main.admin().await;
    let tenant = Tenant::new(&main, json!({})).await;
    let path = format!("/v1/tenants/{}/domains", tenant.name);
    let add = |n: usize| operator.call(Method::PUT, &format!("{path}/{n}.{}.example", tenant.name));
    for n in 0..20 {
        add(n).await.expect(200);
    }
    add(20).await.fails(409, "too_many_domains");
    add(0).await.expect(200);
    assert_eq!(operator.get(&path).await.expect(200).items().len(), 20);
}

/// All documents of a market.
async fn export(operator: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = operator.get(&format!("{path}/export{cursor}")).await.expect(200).json;
        all.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return all,
        }
    }
}

/// How many mixed requests the canaries make (`SOUK_TEST_CANARIES`).
fn canaries() -> usize {
    std::env::var("SOUK_TEST_CANARIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(400)
}

/// A market in which everything that can hold a word holds one that no other market has.
struct Canary {
    tenant: Tenant,
    word: String,
    members: Vec<Client>,
    category: String,
    products: std::sync::Mutex<Vec<String>>,
    hook: Option<Receiver>,
}

impl Canary {
    async fn new(main: &Market, word: &str) -> Self {
        let tenant = Tenant::new(main, json!({})).await;
        let name = json!({ "name": format!("Lamps {word}"), "slug": "lamps", "description": word });
        let category = tenant.admin.add("/v1/categories", name).await;
        let mut members = Vec::new();
        for n in 0..3 {
            let member = tenant.member(&format!("member{n}")).await;
            member
                .patch("/v1/me", json!({ "name": format!("{word} {n}"), "bio": word }))
                .await
                .expect(200);
            let vendor = json!({ "name": format!("Shop {n} {word}"), "slug": format!("shop-{n}") });
            member.add("/v1/vendors", vendor).await;
            members.push(member);
        }
        let hook = Receiver::new("ok");
        if let Some(hook) = &hook {
            let new = json!({ "url": hook.url, "events": ["*"], "scope": "market" });
            tenant.admin.add("/v1/webhooks", new).await;
        }
        Self {
            category: text(&category, "id").to_owned(),
            word: word.to_owned(),
            tenant,
            members,
            products: std::sync::Mutex::default(),
            hook,
        }
    }

    /// One of the products of a market, as a path.
    fn any(&self, turn: usize) -> String {
        let products = self.products.lock().unwrap();
        match products.len() {
            0 => "/v1/products/none".to_owned(),
            len => format!("/v1/products/{}", products[turn % len]),
        }
    }

    /// The request of this turn, in this market; `other` is asked for by name where it must not be found. What it answers
    /// has no word of `other`.
    async fn step(&self, turn: usize, other: &Canary) {
        let member = &self.members[turn % self.members.len()];
        let anonymous = self.tenant.market.anonymous();
        let (word, foreign) = (&self.word, &other.word);
        let reply = match turn % 24 {
            0 | 1 => {
                let more = json!({
                    "title": format!("Oil lamp {word}"), "description": format!("It is {word}"), "tags": [word],
                });
                let key = format!("draft-{turn}");
                let new = product(&self.category, more);
                let reply = member.post("/v1/products", new).key(&key).await.expect(201);
                let id = reply.text("id").to_owned();
                self.products.lock().unwrap().push(id);
                reply
            }
            2 | 3 => member.act(&format!("{}/publish", self.any(turn))).await,
            4 => {
                member
                    .patch(&self.any(turn), json!({ "description": format!("{word} again") }))
                    .await
            }
            5 => member.call(Method::PUT, &format!("{}/upvote", self.any(turn))).await,
            6 => {
                member
                    .post(&format!("{}/comments", self.any(turn)), json!({ "body": word }))
                    .await
            }
            7 => anonymous
                .get("/v1/products?category=lamps&include=vendor,category,author")
                .await
                .expect(200),
            8 => anonymous.get("/v1/search?q=lamp&facets=tag,category").await.expect(200),
            9 => {
                let found = anonymous.get(&format!("/v1/search?q={foreign}")).await.expect(200);
                assert_eq!(found["total"], 0, "{}", found.body);
                return;
            }
            10 => {
                let typed: String = foreign.chars().take(4).collect();
                let completed = anonymous
                    .get(&format!("/v1/search/suggest?q={typed}"))
                    .await
                    .expect(200);
                assert!(!completed.body.contains(foreign), "{}", completed.body);
                return;
            }
            11 => member.get(&other.any(turn)).await.expect(404),
            12 => member
                .post(&format!("{}/comments", other.any(turn)), json!({ "body": word }))
                .await
                .expect(404),
            13 => anonymous.get("/v1/categories/lamps").await.expect(200),
            14 => anonymous.get("/v1/vendors").await.expect(200),
            15 => member.call(Method::PUT, "/v1/vendors/shop-1/follow").await,
            16 => member.get("/v1/feed").await,
            17 => self.tenant.admin.get("/v1/events?limit=50").await.expect(200),
            18 => self.tenant.admin.get("/v1/audit").await.expect(200),
            19 => member
                .post("/v1/products", json!({ "title": word, "category": other.category }))
                .await
                .expect(422),
            20 => anonymous.get(&self.any(turn)).await,
            21 => anonymous.get("/v1/search/suggest?q=lamp").await.expect(200),
            22 => member.get("/v1/products?author=me&status=any").await.expect(200),
            _ => anonymous
                .get("/v1/products")
                .header("souk-tenant", &self.tenant.name)
                .await
                .expect(200),
        };
        let headers = format!("{:?}", reply.headers);
        assert!(
            !reply.body.contains(foreign) && !headers.contains(foreign),
            "{turn}: {headers} {}",
            reply.body
        );
    }
}

/// Two markets are used at once in every way, and no word of one appears in the other.
#[tokio::test]
async fn no_canary_is_seen_in_another_market() {
    use futures_util::{StreamExt as _, stream};
    let Some(main) = market() else { return };
    let (one, other) = (
        Canary::new(&main, "quaggacanary").await,
        Canary::new(&main, "zebroidcanary").await,
    );
    let all = stream::iter(0..canaries()).for_each_concurrent(8, async |turn| match turn % 2 {
        0 => one.step(turn / 2, &other).await,
        _ => other.step(turn / 2, &one).await,
    });
    all.await;
    for (canary, foreign) in [(&one, &other.word), (&other, &one.word)] {
        let seen = canary.hook.as_ref().map(Receiver::seen).unwrap_or_default();
        assert!(seen.iter().all(|seen| !seen.body.contains(foreign)));
        let path = format!("/v1/tenants/{}", canary.tenant.name);
        let mut exported = export(&main.admin().await, &path).await;
        // The words that were searched for in vain.
        exported.retain(|document| !text(document, "partition").starts_with("search-usage/"));
        let exported = serde_json::to_string(&exported).unwrap();
        assert!(exported.contains(&canary.word) && !exported.contains(foreign));
    }
}

/// What exists in another market is answered like what exists nowhere, to its members and its admin, by every operation.
#[tokio::test]
async fn what_is_foreign_is_absent_to_every_operation() {
    let Some(main) = market() else { return };
    let (one, other) = (Tenant::new(&main, json!({})).await, Tenant::new(&main, json!({})).await);
    let owner = other.member("owner").await;
    let category = other.admin.add("/v1/categories", json!({ "name": "Lamps" })).await;
    let vendor = owner.add("/v1/vendors", json!({ "name": "Lantern & Co" })).await;
    let product = owner
        .published(text(&category, "id"), json!({ "vendor": vendor["id"] }))
        .await;
    let comments = format!("/v1/products/{}/comments", text(&product, "id"));
    let comment = owner.add(&comments, json!({ "body": "Does it leak?" })).await;
    let hook = json!({ "url": "https://receiver.example/souk", "events": ["product.sold"], "enabled": false });
    let hook = owner.add("/v1/webhooks", hook).await;
    let role = other
        .admin
        .add(
            "/v1/roles",
            json!({ "name": "Editor", "permissions": ["products:write"] }),
        )
        .await;
    let import = owner.add("/v1/imports", json!({})).await;
    // The things of the other market, by the beginning of the paths that name them.
    let things: [(&str, &Value); 7] = [
        ("/v1/products/", &product),
        ("/v1/categories/", &category),
        ("/v1/vendors/", &vendor),
        ("/v1/comments/", &comment),
        ("/v1/webhooks/", &hook),
        ("/v1/roles/", &role),
        ("/v1/imports/", &import),
    ];
    let member = one.member("member").await;
    let openapi = main.anonymous().get("/openapi.json").await.expect(200).json;
    let mut tried = BTreeSet::new();
    for (pattern, methods) in openapi["paths"].as_object().unwrap() {
        let Some((start, thing)) = things
            .iter()
            .find(|(start, _)| pattern.starts_with(&format!("{start}{{id}}")))
        else {
            continue;
        };
        let (foreign, prefix) = (text(thing, "id"), text(thing, "id").split('_').next().unwrap());
        let absent = format!("{prefix}_{:032x}", 1);
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for client in [&member, &one.admin, &member.signed_out()] {
                let ask = async |id: &str| {
                    let path = crate::path_of_nobody(&pattern.replace("{id}", id));
                    let call = client.call(method.clone(), &path);
                    let has_body = operation.get("requestBody").is_some();
                    let reply = if has_body {
                        call.json(&json!({})).await
                    } else {
                        call.await
                    };
                    (reply.status, reply.json["code"].clone(), reply.json["detail"].clone())
                };
                let (there, nowhere) = (ask(foreign).await, ask(&absent).await);
                assert_eq!(there, nowhere, "{method} {pattern} at {start}");
                assert!(there.0 >= 400 || there.0 == 204, "{method} {pattern}: {there:?}");
            }
            tried.insert(text(operation, "operationId").to_owned());
        }
    }
    assert!(tried.len() > 25, "{tried:?}");
    // Nothing has happened to them.
    let kept = owner
        .get(&format!("/v1/products/{}", text(&product, "id")))
        .await
        .expect(200);
    assert_eq!(kept["version"], product["version"]);
    other
        .admin
        .get(&format!("/v1/roles/{}", text(&role, "id")))
        .await
        .expect(200);
    owner
        .get(&format!("/v1/webhooks/{}", text(&hook, "id")))
        .await
        .expect(200);
}
