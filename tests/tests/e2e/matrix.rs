//! Who may do what to whose: every operation on a thing, by every role, to what is its own, another member's, another vendor's,
//! another market's and nobody's. The operations come from the API's description, so one that is added is in it; a new kind of
//! thing fails the test until [`KINDS`] says who else may see and change it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, market, unique};

use crate::{path_of_nobody, text};

/// What there is to know of a kind of thing beyond the access of its operations.
struct Kind {
    /// How its paths begin.
    start: &'static str,
    /// Whether others find it; those who may not do not learn that it is there.
    is_shown: bool,
    /// The permissions to see what is not shown, and to change what is somebody else's.
    see: &'static [&'static str],
    change: &'static [&'static str],
}

const fn kind(
    start: &'static str,
    is_shown: bool,
    see: &'static [&'static str],
    change: &'static [&'static str],
) -> Kind {
    Kind {
        start,
        is_shown,
        see,
        change,
    }
}

const KINDS: [Kind; 12] = [
    kind("/v1/accounts/", true, &[], &[]),
    kind("/v1/categories/", true, &[], &[]),
    kind("/v1/comments/", true, &[], &["comments:write"]),
    kind("/v1/imports/", false, &[], &[]),
    kind("/v1/jobs/", false, &["jobs:read"], &[]),
    kind("/v1/me/sessions/", false, &[], &[]),
    kind("/v1/me/tokens/", false, &[], &[]),
    // Drafts.
    kind(
        "/v1/products/",
        false,
        &["products:read", "products:write"],
        &["products:write"],
    ),
    kind("/v1/roles/", true, &[], &[]),
    kind("/v1/vendors/", true, &[], &["vendors:write"]),
    kind("/v1/webhooks/", false, &["webhooks:write"], &["webhooks:write"]),
    // The same as drafts, once they are published.
    kind("/v1/products/", true, &[], &["products:write"]),
];

/// What a member does to somebody else's thing that is its own, such as to follow it; and what it does only to what is shown.
const PERSONAL: [&str; 5] = ["/comments", "/follow", "/save", "/upvote", "/views"];
const OF_WHAT_IS_SHOWN: [&str; 3] = ["/save", "/upvote", "/views"];

/// An operation on a thing.
struct Operation {
    id: String,
    method: Method,
    pattern: String,
    access: String,
    body: Option<Value>,
}

impl Operation {
    fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    fn is_personal(&self) -> bool {
        PERSONAL.iter().any(|end| self.pattern.ends_with(end))
    }

    /// Whether it names something in the thing that is absent.
    fn has_part(&self) -> bool {
        self.pattern.contains("{part}") || self.pattern.contains("{delivery}")
    }

    /// What it takes to do it to what is somebody else's.
    fn change<'a>(&self, kind: &'a Kind) -> &'a [&'a str] {
        match self.pattern.contains("/staff") {
            true => &["vendors:staff"],
            false => kind.change,
        }
    }

    async fn call(&self, client: &Client, id: &str, username: &str) -> (u16, Value, Value) {
        let path = self.pattern.replace("{id}", id).replace("{username}", username);
        let path = path_of_nobody(&path);
        let call = client.call(self.method.clone(), &path);
        let reply = match &self.body {
            Some(body) => call.json(body).await,
            None => call.await,
        };
        (reply.status, reply.json["code"].clone(), reply.json["detail"].clone())
    }
}

/// The operations on things that have ids.
async fn operations(market: &Market) -> Vec<Operation> {
    let openapi = market.anonymous().get("/openapi.json").await.expect(200).json;
    let mut all = Vec::new();
    for (pattern, methods) in openapi["paths"].as_object().unwrap() {
        if !pattern.contains("{id}") || pattern.contains("/dead-letters/") {
            continue;
        }
        for (method, operation) in methods.as_object().unwrap() {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let body = match method.as_str() {
                // An edit of nothing.
                "patch" => json!({}),
                _ => example.clone(),
            };
            all.push(Operation {
                id: text(operation, "operationId").to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                pattern: pattern.clone(),
                access: text(operation, "x-access").to_owned(),
                body: Some(body).filter(|_| operation.get("requestBody").is_some()),
            });
        }
    }
    all
}

/// Somebody who makes things: in which category, and who makes what members cannot.
struct Owner<'a> {
    market: &'a Market,
    client: &'a Client,
    admin: &'a Client,
    category: &'a str,
    /// The vendor that its products are of.
    vendor: Option<&'a str>,
}

impl Owner<'_> {
    /// The id of a new thing of this kind.
    async fn make(&self, kind: &Kind) -> String {
        let Self { client, admin, .. } = self;
        let product = async |is_shown| {
            let more = self.vendor.map_or(json!({}), |vendor| json!({ "vendor": vendor }));
            match is_shown {
                true => client.published(self.category, more).await,
                false => client.draft(self.category, more).await,
            }
        };
        let hook = async |is_enabled: bool| {
            let new =
                json!({ "url": "https://receiver.example/souk", "events": ["product.sold"], "enabled": is_enabled });
            client.add("/v1/webhooks", new).await
        };
        let made = match kind.start {
            "/v1/accounts/" => self.market.member().await.me,
            "/v1/categories/" => admin.add("/v1/categories", json!({ "name": unique("Lamps") })).await,
            "/v1/comments/" => {
                let product = product(true).await;
                let path = format!("/v1/products/{}/comments", text(&product, "id"));
                client.add(&path, json!({ "body": "Does it leak?" })).await
            }
            "/v1/imports/" => client.add("/v1/imports", json!({})).await,
            "/v1/jobs/" => {
                let hook = hook(true).await;
                let path = format!("/v1/webhooks/{}/replay", text(&hook, "id"));
                client
                    .post(
                        &path,
                        json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" }),
                    )
                    .await
                    .expect(202)
                    .json
            }
            "/v1/products/" => product(kind.is_shown).await,
            "/v1/me/sessions/" => {
                let again = json!({ "username": client.me["username"], "password": client.password });
                let tokens = client.signed_out().add("/v1/sessions", again).await;
                let id = text(&tokens, "refresh_token").split('.').nth(1).unwrap();
                return id.to_owned();
            }
            "/v1/me/tokens/" => client.add("/v1/me/tokens", json!({ "name": "A program" })).await,
            "/v1/roles/" => {
                let new = json!({ "name": unique("Role"), "permissions": ["usage:read"] });
                admin.add("/v1/roles", new).await
            }
            "/v1/vendors/" => client.add("/v1/vendors", json!({ "name": unique("Shop") })).await,
            "/v1/webhooks/" => hook(false).await,
            other => unreachable!("what is at {other}?"),
        };
        text(&made, "id").to_owned()
    }
}

/// Whose a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Own,
    OtherMembers,
    OtherVendors,
    OtherTenants,
    Absent,
}

/// What is expected of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Unauthorized,
    Forbidden,
    /// As if there were no such thing.
    Absent,
    Allowed,
}

/// The expectation for somebody with these permissions; `None` for who is not signed in.
fn expected(
    operation: &Operation,
    kind: &Kind,
    permissions: Option<&BTreeSet<String>>,
    relation: Relation,
) -> Expected {
    let has = |wanted: &[&str]| permissions.is_some_and(|all| wanted.iter().any(|name| all.contains(*name)));
    let takes_permission = operation.access.contains(':');
    match relation {
        _ if operation.access != "public" && permissions.is_none() => Expected::Unauthorized,
        _ if takes_permission && !has(&[&operation.access]) => Expected::Forbidden,
        Relation::OtherTenants | Relation::Absent => Expected::Absent,
        _ if !kind.is_shown && OF_WHAT_IS_SHOWN.iter().any(|end| operation.pattern.ends_with(end)) => Expected::Absent,
        // Nobody keeps themselves out.
        Relation::Own if operation.pattern.ends_with("activate") => Expected::Forbidden,
        _ if takes_permission => Expected::Allowed,
        Relation::Own => Expected::Allowed,
        _ if !kind.is_shown && !has(kind.see) => Expected::Absent,
        _ if operation.is_personal() || has(operation.change(kind)) => Expected::Allowed,
        _ if operation.is_read() && !operation.pattern.contains("/staff") => Expected::Allowed,
        _ => Expected::Forbidden,
    }
}

/// An account with this role beside what it may.
struct Role {
    name: &'static str,
    client: Client,
    permissions: Option<BTreeSet<String>>,
}

impl Role {
    async fn of(market: &Market, name: &'static str) -> Self {
        if name == "anonymous" {
            let client = market.anonymous();
            return Self {
                name,
                client,
                permissions: None,
            };
        }
        // The admin too is one of many: it may end what it is.
        let client = market.member().await;
        if name != "member" {
            let path = format!("/v1/accounts/{}/roles", client.id());
            let given = market
                .admin()
                .await
                .call(Method::PUT, &path)
                .json(&json!({ "roles": [name] }))
                .await;
            given.expect(200);
        }
        let me = client.get("/v1/me").await.expect(200);
        let permissions = me["permissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned());
        Self {
            name,
            client,
            permissions: Some(permissions.collect()),
        }
    }
}

#[tokio::test]
async fn everybody_may_do_what_they_may_to_what_is_whose() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let (owner, seller) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let other = crate::tenants::Tenant::new(&market, json!({})).await;
    let (foreigner, lamps) = (
        other.member("owner").await,
        other.admin.add("/v1/categories", json!({ "name": "Lamps" })).await,
    );
    let owned = |client, vendor| Owner {
        market: &market,
        client,
        admin: &admin,
        category: &category,
        vendor,
    };
    let owners = [
        (Relation::OtherMembers, owned(&owner, None)),
        (Relation::OtherVendors, owned(&seller, Some(text(&shop, "id")))),
        (
            Relation::OtherTenants,
            Owner {
                market: &other.market,
                client: &foreigner,
                admin: &other.admin,
                category: text(&lamps, "id"),
                vendor: None,
            },
        ),
    ];
    let mut operations = operations(&market).await;
    // After this an admin may be none.
    operations.sort_by_key(|operation| operation.id == "replaceAccountRoles");
    let somebody = text(&owner.me, "username");
    let mut things: BTreeMap<(usize, Relation), String> = BTreeMap::new();
    for (n, kind) in KINDS.iter().enumerate() {
        for (relation, owner) in &owners {
            things.insert((n, *relation), owner.make(kind).await);
        }
        let prefix = things[&(n, Relation::OtherMembers)]
            .split('_')
            .next()
            .unwrap()
            .to_owned();
        things.insert((n, Relation::Absent), format!("{prefix}_{:032x}", 1));
    }
    let mut roles = Vec::new();
    for name in ["anonymous", "member", "support", "moderator", "operator", "admin"] {
        roles.push(Role::of(&market, name).await);
    }
    let of_role = async |role: &Role| {
        let (mut cells, mut wrong) = (0, Vec::new());
        let own = Owner {
            market: &market,
            client: &role.client,
            admin: &admin,
            category: &category,
            vendor: None,
        };
        for operation in &operations {
            let kinds: Vec<_> = KINDS
                .iter()
                .enumerate()
                .filter(|(_, kind)| operation.pattern.starts_with(kind.start))
                .collect();
            assert!(!kinds.is_empty(), "of which kind is {}?", operation.pattern);
            for (n, kind) in kinds {
                let absent = operation
                    .call(&role.client, &things[&(n, Relation::Absent)], somebody)
                    .await;
                for relation in [
                    Relation::Absent,
                    Relation::OtherTenants,
                    Relation::OtherMembers,
                    Relation::OtherVendors,
                    Relation::Own,
                ] {
                    // Nobody in particular has nothing of its own.
                    if relation == Relation::Own && role.permissions.is_none() {
                        continue;
                    }
                    let expected = expected(operation, kind, role.permissions.as_ref(), relation);
                    // What may change is made for this alone.
                    let fresh = match owners.iter().find(|(of, _)| *of == relation) {
                        _ if relation == Relation::Own && kind.start == "/v1/accounts/" => {
                            Some(role.client.id().to_owned())
                        }
                        _ if relation == Relation::Own => Some(own.make(kind).await),
                        Some((_, owner)) if expected == Expected::Allowed && !operation.is_read() => {
                            Some(owner.make(kind).await)
                        }
                        _ => None,
                    };
                    let id = fresh.as_ref().unwrap_or_else(|| &things[&(n, relation)]);
                    if fresh.is_some() && operation.id == "reactivateAccount" && relation != Relation::Own {
                        admin.act(&format!("/v1/accounts/{id}/deactivate")).await.expect(204);
                    }
                    let found = operation.call(&role.client, id, somebody).await;
                    let is_right = found.0 < 500
                        && match expected {
                            Expected::Unauthorized => found.0 == 401,
                            Expected::Forbidden => found.0 == 403,
                            Expected::Absent => found == absent && found.0 == 404,
                            Expected::Allowed => {
                                ![401, 403].contains(&found.0)
                                    && (absent.0 != 404 || found != absent || operation.has_part())
                            }
                        };
                    if !is_right {
                        wrong.push(format!(
                            "{} {} {relation:?} {id}: {found:?}, {expected:?}",
                            role.name, operation.id
                        ));
                    }
                    cells += 1;
                }
            }
        }
        (cells, wrong)
    };
    let found = futures_util::future::join_all(roles.iter().map(of_role)).await;
    let cells: usize = found.iter().map(|(cells, _)| cells).sum();
    let wrong: Vec<_> = found.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cells > 1500, "{cells}");

    // Who was refused has changed nothing.
    for (n, kind) in KINDS.iter().enumerate() {
        for (relation, owner) in &owners {
            let id = &things[&(n, *relation)];
            if kind.start.starts_with("/v1/me/") {
                let kept = owner.client.get(kind.start.trim_end_matches('/')).await.expect(200);
                assert!(kept.items().iter().any(|item| item["id"] == **id), "{}", kept.body);
                continue;
            }
            let path = format!("{}{id}", kind.start);
            if kind.start == "/v1/accounts/" {
                let roles = owner.admin.get(&format!("{path}/roles")).await.expect(200);
                assert_eq!(roles["roles"], json!([]), "{path}");
            }
            let reader = if ["/v1/roles/", "/v1/categories/"].contains(&kind.start) {
                owner.admin
            } else {
                owner.client
            };
            let kept = reader.get(&path).await.expect(200);
            let versions = if kind.start == "/v1/products/" && kind.is_shown {
                2
            } else {
                1
            };
            assert!(
                kept["version"].is_null() || kept["version"] == versions,
                "{path}: {}",
                kept.body
            );
        }
    }
}

/// Fields that no client sets anywhere, beside those that an answer has and its request has not.
const SERVERS: [&str; 12] = [
    "id",
    "author",
    "owner",
    "role",
    "roles",
    "permissions",
    "tenant",
    "version",
    "created_at",
    "upvote_count",
    "password_hash",
    "status",
];

/// The fields of an object schema.
fn fields(openapi: &Value, schema: &Value) -> BTreeSet<String> {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let schema = name.map_or(schema, |name| &openapi["components"]["schemas"][name]);
    let own = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone());
    let parts = schema["allOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|part| fields(openapi, part));
    own.chain(parts).collect()
}

#[tokio::test]
async fn no_write_takes_a_field_of_the_server() {
    let Some(market) = market() else { return };
    let (admin, category) = (market.admin().await, market.category(json!([])).await);
    let own = Owner {
        market: &market,
        client: &admin,
        admin: &admin,
        category: &category,
        vendor: None,
    };
    let tenant = crate::tenants::Tenant::new(&market, json!({})).await;
    let openapi = market.anonymous().get("/openapi.json").await.expect(200).json;
    let (mut writes, mut tried, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for (pattern, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let taken = fields(&openapi, &content["schema"]);
            // One takes a file, and one a choice of credentials.
            if taken.is_empty() {
                continue;
            }
            let shown = operation["responses"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(status, _)| status.starts_with('2'));
            let shown =
                shown.flat_map(|(_, answer)| fields(&openapi, &answer["content"]["application/json"]["schema"]));
            let servers: BTreeSet<String> = shown
                .chain(SERVERS.map(str::to_owned))
                .filter(|field| !taken.contains(field))
                .collect();
            let kind = KINDS
                .iter()
                .find(|kind| pattern.starts_with(&format!("{}{{id}}", kind.start)));
            let id = match kind {
                Some(kind) => own.make(kind).await,
                None => "nobody-has-this".to_owned(),
            };
            let path = pattern
                .replace("{id}", &id)
                .replace("/tenants/{name}", &format!("/tenants/{}", tenant.name));
            let path = path_of_nobody(&path);
            let body = if method == "patch" {
                json!({})
            } else {
                content["example"].clone()
            };
            for field in servers {
                let mut body = body.clone();
                body[&field] = json!("1");
                let call = admin.call(method.to_uppercase().parse().unwrap(), &path).json(&body);
                let reply = call.await;
                let is_named = reply.errors().any(|named| named == field);
                if !(reply.status == 422 && is_named) {
                    wrong.push(format!("{method} {path} with {field}: {} {}", reply.status, reply.body));
                }
                tried += 1;
            }
            if kind.is_some_and(|kind| !["/v1/accounts/", "/v1/jobs/", "/v1/me/tokens/"].contains(&kind.start)) {
                let thing = pattern.split("/{id}").next().unwrap();
                let kept = admin.get(&format!("{thing}/{id}")).await.expect(200);
                assert!(
                    kept["version"].is_null() || kept["version"] == 1,
                    "{method} {pattern}: {}",
                    kept.body
                );
            }
            writes.insert(text(operation, "operationId").to_owned());
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(writes.len() > 20 && tried > 250, "{tried} of {writes:?}");
}
