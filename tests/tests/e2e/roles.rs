//! Roles: sets of permissions, built in and made by the market, given and taken by those who have them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, market, unique};

use crate::{path_of_nobody, text};

async fn role(admin: &Client, permissions: &[&str]) -> String {
    let new = json!({ "name": unique("Role"), "permissions": permissions });
    text(&admin.add("/v1/roles", new).await, "id").to_owned()
}

async fn assign(by: &Client, to: &Client, roles: &[&str]) -> souk_tests::client::Reply {
    let path = format!("/v1/accounts/{}/roles", to.id());
    by.call(Method::PUT, &path).json(&json!({ "roles": roles })).await
}

/// Every operation that takes a permission, by the permission: a method and a path of something that nobody has.
async fn operations(market: &Market) -> BTreeMap<String, Vec<(Method, String, bool)>> {
    let openapi = market.anonymous().get("/openapi.json").await.expect(200).json;
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let access = text(operation, "x-access");
            if access.contains(':') {
                let path = path_of_nobody(path);
                let has_body = operation.get("requestBody").is_some();
                let entry = (method.to_uppercase().parse().unwrap(), path, has_body);
                all.entry(access.to_owned()).or_default().push(entry);
            }
        }
    }
    all
}

/// What a role of three permissions may call is what takes one of the three, for every permission that a row takes.
#[tokio::test]
async fn a_role_of_three_permissions_may_do_these_three() {
    let Some(market) = market() else { return };
    let (admin, member) = (market.admin().await, market.member().await);
    let operations = operations(&market).await;
    let names: Vec<&str> = operations.keys().map(String::as_str).collect();
    assert!(names.len() > 8, "{names:?}");
    for chosen in names.chunks(3) {
        let id = role(&admin, chosen).await;
        assign(&admin, &member, &[&id]).await.expect(200);
        let me = member.get("/v1/me").await.expect(200);
        let mut sorted: Vec<&str> = me["permissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        sorted.sort_unstable();
        assert_eq!((&me["roles"], sorted), (&json!([id]), chosen.to_vec()));
        for (permission, calls) in &operations {
            for (method, path, has_body) in calls {
                let call = member.call(method.clone(), path);
                let call = if *has_body { call.json(&json!([])) } else { call };
                let reply = call.await;
                let what = format!("{method} {path} {permission} with {chosen:?}: {}", reply.body);
                assert_eq!(reply.status != 403, chosen.contains(&permission.as_str()), "{what}");
            }
        }
        // Without the role it may do nothing of it, from the next request on.
        admin.delete(&format!("/v1/roles/{id}")).await.expect(204);
        let (method, path, _) = &operations[chosen[0]][0];
        member.call(method.clone(), path).await.expect(403);
        assert_eq!(member.get("/v1/me").await.expect(200)["permissions"], json!([]));
    }
}

/// Permissions that no row takes: what they allow to what belongs to others, and nothing else.
#[tokio::test]
async fn permissions_are_asked_for_what_belongs_to_others() {
    let Some(market) = market() else { return };
    let (admin, owner, staff) = (market.admin().await, market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let shop = owner.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let shop = format!("/v1/vendors/{}", text(&shop, "id"));
    let draft = owner.draft(&category, json!({})).await;
    let draft = format!("/v1/products/{}", text(&draft, "id"));
    let shown = owner.published(&category, json!({})).await;
    let shown = format!("/v1/products/{}", text(&shown, "id"));
    let comment = owner.add(&format!("{shown}/comments"), json!({ "body": "Mine" })).await;
    let comment = format!("/v1/comments/{}", text(&comment, "id"));
    let edit = |path: &str| staff.patch(path, json!({}));
    let add_staff = async || {
        staff
            .call(Method::PUT, &format!("{shop}/staff/{}", text(&admin.me, "username")))
            .await
    };
    // To see and to change the draft, to change what is shown, the comment and the shop, and to add staff to the shop.
    for (permission, expected) in [
        ("products:read", [200, 403, 403, 403, 403, 403]),
        ("products:write", [200, 200, 200, 403, 403, 403]),
        ("comments:write", [404, 404, 403, 200, 403, 403]),
        ("vendors:write", [404, 404, 403, 403, 200, 403]),
        ("vendors:staff", [404, 404, 403, 403, 403, 204]),
        ("categories:write", [404, 404, 403, 403, 403, 403]),
    ] {
        let id = role(&admin, &[permission]).await;
        assign(&admin, &staff, &[&id]).await.expect(200);
        let found = [
            staff.get(&draft).await.status,
            edit(&draft).await.status,
            edit(&shown).await.status,
            staff.patch(&comment, json!({ "body": "Mine" })).await.status,
            edit(&shop).await.status,
            add_staff().await.status,
        ];
        assert_eq!(found, expected, "{permission}");
        admin.delete(&format!("/v1/roles/{id}")).await.expect(204);
    }
    // What a row takes a permission for takes no other.
    let id = role(&admin, &["products:hand-over"]).await;
    assign(&admin, &staff, &[&id]).await.expect(200);
    let new = json!({ "username": staff.me["username"] });
    let handed = staff
        .call(Method::PUT, &format!("{draft}/author"))
        .json(&new)
        .await
        .expect(200);
    assert_eq!(handed["author"], staff.me["id"]);
    admin.delete(&format!("/v1/roles/{id}")).await.expect(204);
}

/// Nobody gives or takes what they do not have, and nobody makes themselves more than they are.
#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let Some(market) = market() else { return };
    let (admin, keeper, other) = (market.admin().await, market.member().await, market.member().await);
    let own = ["roles:read", "roles:write", "roles:assign", "categories:write"];
    let keeper_role = role(&admin, &own).await;
    let strong = role(&admin, &["products:write"]).await;
    assign(&admin, &keeper, &[&keeper_role]).await.expect(200);

    // Roles of what it has, and of nothing else.
    let weak = keeper
        .add(
            "/v1/roles",
            json!({ "name": unique("Role"), "permissions": ["categories:write"] }),
        )
        .await;
    let weak_path = format!("/v1/roles/{}", text(&weak, "id"));
    let stronger = json!({ "permissions": ["products:write"] });
    keeper
        .post(
            "/v1/roles",
            json!({ "name": unique("Role"), "permissions": ["products:write"] }),
        )
        .await
        .names(403, &["permissions"]);
    keeper
        .patch(&weak_path, stronger.clone())
        .await
        .names(403, &["permissions"]);
    let strong_path = format!("/v1/roles/{strong}");
    keeper
        .patch(&strong_path, json!({ "name": "Mine" }))
        .await
        .names(403, &["permissions"]);
    keeper.delete(&strong_path).await.names(403, &["permissions"]);
    keeper
        .patch("/v1/roles/admin", json!({ "name": "Mine" }))
        .await
        .expect(403);
    keeper.delete("/v1/roles/moderator").await.expect(403);

    // It gives and takes these, also of itself.
    let weak = text(&weak, "id");
    for roles in [&["admin"][..], &["moderator"], &[&strong], &[weak, "operator"]] {
        assign(&keeper, &other, roles).await.names(403, &["roles"]);
        let more: Vec<&str> = [keeper_role.as_str()]
            .into_iter()
            .chain(roles.iter().copied())
            .collect();
        assign(&keeper, &keeper, &more).await.names(403, &["roles"]);
    }
    assign(&admin, &other, &[&strong, weak]).await.expect(200);
    assign(&keeper, &other, &[]).await.names(403, &["roles"]);
    assign(&keeper, &other, &[&strong]).await.expect(200);
    assign(&keeper, &admin, &[]).await.names(403, &["roles"]);
    assert_eq!(admin.get("/v1/me").await.expect(200)["roles"], json!(["admin"]));

    // What is wrong is named.
    assign(&admin, &other, &["no-such-role"])
        .await
        .names(422, &["roles[0]"]);
    assign(&admin, &other, &["moderator", "moderator"])
        .await
        .names(422, &["roles"]);
    for (permissions, field) in [(json!([]), "permissions"), (json!(["no:such"]), "permissions[0]")] {
        admin
            .post("/v1/roles", json!({ "name": "R", "permissions": permissions }))
            .await
            .names(422, &[field]);
    }
    let nobody = "/v1/accounts/nobody-has-this/roles";
    admin
        .call(Method::PUT, nobody)
        .json(&json!({ "roles": [] }))
        .await
        .expect(404);
}

/// Who has a role is listed, and an edit of a role is in force with the next request.
#[tokio::test]
async fn roles_are_listed_and_edited() {
    let Some(market) = market() else { return };
    let (admin, member) = (market.admin().await, market.member().await);
    let id = role(&admin, &["categories:write"]).await;
    let path = format!("/v1/roles/{id}");
    assign(&admin, &member, &[&id, "support"]).await.expect(200);
    let accounts = admin.all(&format!("{path}/accounts")).await;
    assert_eq!(
        accounts.iter().map(|account| text(account, "id")).collect::<Vec<_>>(),
        [member.id()]
    );
    assert_eq!(accounts[0].get("email"), None);
    let supporters = admin.all("/v1/roles/support/accounts").await;
    assert!(supporters.iter().any(|account| account["id"] == member.me["id"]));
    let of_account = format!("/v1/accounts/{}/roles", member.id());
    assert_eq!(
        admin.get(&of_account).await.expect(200)["roles"],
        json!([id, "support"])
    );
    assert_eq!(
        member.get(&of_account).await.expect(200)["roles"],
        json!([id, "support"])
    );

    let add = || json!({ "name": unique("Category") });
    member.add("/v1/categories", add()).await;
    let role = admin.get(&path).await.expect(200);
    let edited = admin
        .patch(&path, json!({ "permissions": ["jobs:read"], "description": "Less" }))
        .header("if-match", role.header("etag"))
        .await
        .expect(200);
    assert_eq!(
        (&edited["version"], &edited["permissions"]),
        (&json!(2), &json!(["jobs:read"]))
    );
    admin
        .patch(&path, json!({ "name": "Late" }))
        .header("if-match", role.header("etag"))
        .await
        .expect(412);
    member.post("/v1/categories", add()).await.expect(403);

    // The list has the built-in roles first, with what they may do.
    let all = admin.get("/v1/roles").await.expect(200);
    let first: Vec<&Value> = all.items().iter().take(4).map(|role| &role["id"]).collect();
    assert_eq!(first, ["admin", "moderator", "support", "operator"]);
    let permissions = admin.get("/v1/permissions").await.expect(200);
    assert_eq!(
        all.items()[0]["permissions"].as_array().unwrap().len(),
        permissions.items().len()
    );
    assert!(
        all.items()
            .iter()
            .any(|role| role["id"] == json!(id) && role["built_in"] == json!(false))
    );

    let read = admin.get(&of_account).await.expect(200);
    let replace = |roles: &[&str]| {
        let call = admin.call(Method::PUT, &of_account).json(&json!({ "roles": roles }));
        call.header("if-match", read.header("etag"))
    };
    replace(&["support"]).await.expect(200);
    replace(&[]).await.expect(412);
    assign(&admin, &member, &[]).await.expect(200);
    assert_eq!(admin.all(&format!("{path}/accounts")).await, Vec::<Value>::new());
    assert_eq!(member.get("/v1/me").await.expect(200)["roles"], json!([]));
}
