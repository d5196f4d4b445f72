//! The life of an account: its sessions, its password, and accounts that are kept out.

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::json;
use souk_tests::client::{Client, Market, market, unique};

use crate::text;

/// Somebody who has signed in once more, with this password.
async fn again(market: &Market, who: &Client, password: &str) -> Client {
    let mut client = market.sign_in(text(&who.me, "username"), password).await;
    client.me = who.me.clone();
    client
}

async fn refresh(client: &Client) -> u16 {
    let body = json!({ "refresh_token": client.refresh_token });
    client.signed_out().post("/v1/sessions/refresh", body).await.status
}

async fn change(client: &Client, current: &str, password: &str) -> souk_tests::client::Reply {
    let body = json!({ "current_password": current, "password": password });
    client.call(Method::PUT, "/v1/me/password").json(&body).await
}

/// The id of the session of a client, by its refresh token.
fn session(client: &Client) -> String {
    client.refresh_token.split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_member_sees_and_ends_sessions() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let credentials = json!({ "username": member.me["username"], "password": member.password });
    let phone = market.anonymous().post("/v1/sessions", credentials);
    let phone = phone.header("user-agent", "A phone/1.0 (of brass)").await.expect(201);
    let phone = market.with_token(phone.text("access_token"));
    let other = again(&market, &member, &member.password).await;

    let list = member.get("/v1/me/sessions").await.expect(200);
    let items = list.items();
    let current: Vec<_> = items
        .iter()
        .filter(|item| item["current"] == true)
        .map(|item| text(item, "id"))
        .collect();
    assert_eq!((items.len(), current), (3, vec![session(&member).as_str()]));
    assert_eq!(items[0]["id"], session(&other), "the newest first");
    assert_eq!(items[1]["user_agent"], "A phone/1.0 (of brass)");
    let [ends, seen] = ["expires_at", "refreshed_at"].map(|field| text(&items[0], field).to_owned());
    assert!(ends > seen && seen.as_str() >= text(&items[0], "created_at"));
    let page = member.get("/v1/me/sessions?limit=2").await.expect(200);
    assert_eq!((page.items().len(), page["next_cursor"].is_string()), (2, true));

    // One, and it is not there for anybody else.
    let stranger = market.member().await;
    let path = format!("/v1/me/sessions/{}", text(&items[1], "id"));
    stranger.delete(&path).await.fails(404, "not_found");
    phone.get("/v1/me").await.expect(200);
    member.delete(&path).await.expect(204);
    phone.get("/v1/me").await.fails(401, "session_ended");
    member.delete(&path).await.fails(404, "not_found");
    member.delete("/v1/me/sessions/nothing").await.fails(404, "not_found");

    // All but the one that asks, which goes on.
    member.delete("/v1/me/sessions").await.expect(204);
    other.get("/v1/me").await.fails(401, "session_ended");
    assert_eq!(refresh(&other).await, 401);
    let left = member.get("/v1/me/sessions").await.expect(200);
    assert_eq!(left.items().len(), 1);
    let gone = format!("/v1/me/sessions/{}", session(&other));
    member.delete(&gone).await.fails(404, "not_found");
    assert_eq!(refresh(&member).await, 201);
    let late = again(&market, &member, &member.password).await;
    late.get("/v1/me").await.expect(200);
    late.delete(&format!("/v1/me/sessions/{}", session(&late)))
        .await
        .expect(204);
    late.get("/v1/me").await.fails(401, "session_ended");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let others = join_all((0..4).map(async |_| again(&market, &member, &member.password).await)).await;
    let new = unique("lamps of brass");
    change(&member, "wrong", &new).await.names(422, &["current_password"]);
    for weak in ["password1", "1234567", &format!("{}!", text(&member.me, "username"))] {
        change(&member, &member.password, weak).await.names(422, &["password"]);
    }
    for other in &others {
        other.get("/v1/me").await.expect(200);
    }
    // Two at once: one of them is of a session that the other ends, or finds another password.
    let both = [
        change(&member, &member.password, &new),
        change(&others[0], &member.password, &new),
    ];
    let mut statuses: Vec<u16> = join_all(both).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert!(statuses[0] == 204 && [401, 422].contains(&statuses[1]), "{statuses:?}");
    let clients = others.iter().chain([&member]);
    let alive = join_all(clients.map(async |client| client.get("/v1/me").await.status)).await;
    assert_eq!(alive.iter().filter(|status| **status == 200).count(), 1, "{alive:?}");
    for other in &others[1..] {
        assert_eq!(refresh(other).await, 401);
    }
    let credentials = |password: &str| json!({ "username": member.me["username"], "password": password });
    let anyone = market.anonymous();
    anyone
        .post("/v1/sessions", credentials(&member.password))
        .await
        .fails(401, "invalid_credentials");
    anyone.post("/v1/sessions", credentials(&new)).await.expect(201);
}

#[tokio::test]
async fn a_password_that_is_tried_first_is_refused() {
    let Some(market) = market() else { return };
    let name = unique("ada-lovelace");
    for (password, is_taken) in [
        ("12345678", false),
        ("Password1", false),
        (name.as_str(), false),
        ("seven lamps", true),
    ] {
        let new = json!({ "email": format!("{name}@example.com"), "username": name, "password": password });
        let reply = market.anonymous().post("/v1/accounts", new).await;
        match is_taken {
            true => drop(reply.expect(201)),
            false => drop(reply.names(422, &["password"])),
        }
    }
}

#[tokio::test]
async fn a_moderator_keeps_an_account_out() {
    let Some(market) = market() else { return };
    let (admin, moderator, member) = (market.admin().await, market.member().await, market.member().await);
    let roles = json!({ "roles": ["moderator"] });
    let path = format!("/v1/accounts/{}/roles", moderator.id());
    admin.call(Method::PUT, &path).json(&roles).await.expect(200);
    let of = |who: &Client, what: &str| format!("/v1/accounts/{}/{what}", who.id());
    // Nobody keeps out who may do more than they, nor themselves.
    moderator.act(&of(&admin, "deactivate")).await.names(403, &["roles"]);
    moderator
        .act(&of(&moderator, "deactivate"))
        .await
        .fails(403, "forbidden");
    member.act(&of(&moderator, "deactivate")).await.fails(403, "forbidden");

    let second = again(&market, &member, &member.password).await;
    moderator.act(&of(&member, "deactivate")).await.expect(204);
    moderator.act(&of(&member, "deactivate")).await.expect(204);
    for client in [&member, &second] {
        client.get("/v1/me").await.fails(401, "session_ended");
        assert_eq!(refresh(client).await, 401);
    }
    let credentials = json!({ "username": member.me["username"], "password": member.password });
    let sign_in = async || market.anonymous().post("/v1/sessions", credentials.clone()).await;
    sign_in().await.fails(403, "account_deactivated");
    let profile = format!("/v1/accounts/{}", member.id());
    moderator.get(&profile).await.fails(404, "not_found");

    moderator.act(&of(&member, "reactivate")).await.expect(204);
    moderator.get(&profile).await.expect(200);
    // What was open does not open again.
    member.get("/v1/me").await.fails(401, "session_ended");
    sign_in().await.expect(201);
    let audit = admin
        .get(&format!("/v1/audit?document=account/{}", member.id()))
        .await
        .expect(200);
    let acts: Vec<_> = audit
        .items()
        .iter()
        .map(|act| (&act["action"], &act["reason"]))
        .collect();
    let (again, out) = (json!("reactivateAccount"), json!("deactivateAccount"));
    assert_eq!(
        acts,
        [(&again, &json!("a test")), (&out, &json!("a test"))],
        "{}",
        audit.body
    );

    // A moderator who is kept out can lose the role meanwhile.
    admin.act(&of(&moderator, "deactivate")).await.expect(204);
    assert_eq!(admin.get(&path).await.expect(200)["roles"], json!(["moderator"]));
    admin
        .call(Method::PUT, &path)
        .json(&json!({ "roles": [] }))
        .await
        .expect(200);
    admin.act(&of(&moderator, "reactivate")).await.expect(204);
}

/// Who is ended at the same time as they end others ends nobody, or was first.
#[tokio::test]
async fn of_two_sessions_that_end_each_other_one_goes_on() {
    let Some(market) = market() else { return };
    for _ in 0..5 {
        let one = market.member().await;
        let other = again(&market, &one, &one.password).await;
        let new = unique("lamps of brass");
        let ends = async { other.delete("/v1/me/sessions").await };
        let (changed, ended) = join(change(&one, &one.password, &new), ends).await;
        let alive = [one.get("/v1/me").await.status, other.get("/v1/me").await.status];
        match (changed.status, ended.status) {
            (204, 401) => assert_eq!(alive, [200, 401]),
            (401, 204) => assert_eq!(alive, [401, 200]),
            found => unreachable!("{found:?} {alive:?}"),
        }
    }
}
