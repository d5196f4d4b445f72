//! A gate and the host behind it, which share a store.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};

use crate::world::{Process, World};

const DOMAIN: &str = "work.test";
const IDENTITY: &str = "souk-identity";

/// The two of them, and the token of an admin.
fn hosts() -> (World, Process, Process, String) {
    let mut world = World::new(3);
    world.tenant_domain = Some(DOMAIN);
    let gate = world.start(vec![souk_ops::function()]);
    let admin = world.admin(&gate);
    world.gate_only = true;
    let inner = world.start(vec![souk_tenants::function(), souk_ops::function()]);
    (world, gate, inner, admin)
}

fn request(host: &str, token: &str, method: Method, path: &str) -> http::request::Parts {
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).unwrap().into_parts().0
}

/// What a host answers.
fn answer(world: &World, host: &Process, parts: http::request::Parts, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let response = world.run(host.app.handle(Request::from_parts(parts, Some(body))));
    let json = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), json)
}

/// The headers with which a gate forwards a request.
fn forwarded(world: &World, gate: &Process, parts: &mut http::request::Parts) -> HeaderMap {
    world.run(gate.app.vouch(parts, true)).unwrap();
    parts.headers.clone()
}

#[test]
fn who_goes_around_the_gate_is_refused() {
    let (world, gate, inner, admin) = hosts();
    let ask = |headers: Option<&str>, method, path: &str| {
        let mut parts = request(DOMAIN, &admin, method, path);
        if let Some(identity) = headers {
            parts.headers.insert(IDENTITY, identity.parse().unwrap());
        }
        answer(&world, &inner, parts, &Value::Null)
    };
    let refused =
        |found: (u16, Value)| assert_eq!((found.0, &found.1["code"]), (403, &json!("forbidden")), "{}", found.1);
    for (method, path) in [
        (Method::GET, "/v1/me"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/v1/sessions"),
        (Method::OPTIONS, "/v1/me"),
    ] {
        refused(ask(None, method, path));
    }
    assert_eq!(ask(None, Method::GET, "/healthz").0, 200);

    let mut parts = request(DOMAIN, &admin, Method::GET, "/v1/me");
    let headers = forwarded(&world, &gate, &mut parts);
    let identity = headers[IDENTITY].to_str().unwrap();
    assert_eq!(ask(Some(identity), Method::GET, "/v1/me").0, 200);
    // For this one request only, and not for long.
    refused(ask(Some(identity), Method::DELETE, "/v1/me"));
    refused(ask(Some(identity), Method::GET, "/v1/tenants"));
    refused(ask(Some(&admin), Method::GET, "/v1/me"));
    let (head, signature) = identity.rsplit_once('.').unwrap();
    let other: String = signature.chars().rev().collect();
    refused(ask(Some(&format!("{head}.{other}")), Method::GET, "/v1/me"));
    refused(ask(Some(head), Method::GET, "/v1/me"));
    world.clock.advance(36_000);
    refused(ask(Some(identity), Method::GET, "/v1/me"));
    // Another deployment's gate has another key.
    let stranger = World::new(4);
    let gate = stranger.start(Vec::new());
    let mut parts = request(DOMAIN, "", Method::GET, "/v1/me");
    let headers = forwarded(&stranger, &gate, &mut parts);
    refused(ask(Some(headers[IDENTITY].to_str().unwrap()), Method::GET, "/v1/me"));
}

#[test]
fn the_host_behind_a_gate_knows_who_it_is() {
    let (world, gate, inner, admin) = hosts();
    let member = world.member(&gate, "member");
    let through = |host: &str, token: &str, method, path: &str, body: Value| {
        let mut parts = request(host, token, method, path);
        // What a client sends of it is nothing.
        parts.headers.insert(IDENTITY, "forged".parse().unwrap());
        parts
            .headers
            .insert("content-type", "application/json".parse().unwrap());
        let headers = forwarded(&world, &gate, &mut parts);
        (headers, answer(&world, &inner, parts, &body))
    };
    let (headers, (status, me)) = through(DOMAIN, &member, Method::GET, "/v1/me", Value::Null);
    assert_eq!((status, &me["username"]), (200, &json!("member")), "{me}");
    assert!(!headers.contains_key("authorization"), "the function needs no token");
    let new = json!({ "name": "one", "title": "One", "first_admin": "root@work.test" });
    for (token, status, code) in [
        ("", 401, "token_missing"),
        ("x", 401, "token_invalid"),
        (&member, 403, "forbidden"),
    ] {
        let (_, found) = through(DOMAIN, token, Method::POST, "/v1/tenants", new.clone());
        assert_eq!((found.0, &found.1["code"]), (status, &json!(code)), "{}", found.1);
    }
    assert_eq!(through(DOMAIN, &admin, Method::POST, "/v1/tenants", new).1.0, 201);

    // The market is the one of the host name at the gate, where this admin is nobody.
    let root = json!({ "email": "root@work.test", "username": "root", "password": "the same everywhere" });
    let (_, found) = through("one.work.test", "", Method::POST, "/v1/accounts", root);
    assert_eq!(found.0, 201, "{}", found.1);
    let root = json!({ "username": "root", "password": "the same everywhere" });
    let (_, (status, tokens)) = through("one.work.test", "", Method::POST, "/v1/sessions", root);
    assert_eq!(status, 201, "{tokens}");
    let root = tokens["access_token"].as_str().unwrap();
    for (host, token, status) in [
        ("one.work.test", root, 200),
        (DOMAIN, root, 401),
        ("one.work.test", &member, 401),
    ] {
        assert_eq!(
            through(host, token, Method::GET, "/v1/me", Value::Null).1.0,
            status,
            "{host}"
        );
    }
    // An admin of a market has no permission of the deployment.
    assert_eq!(
        through("one.work.test", root, Method::GET, "/v1/tenants", Value::Null)
            .1
            .0,
        403
    );

    // A session that has ended, and a token that has expired.
    assert_eq!(
        through(DOMAIN, &member, Method::DELETE, "/v1/sessions/current", Value::Null)
            .1
            .0,
        204
    );
    let (_, (status, problem)) = through(DOMAIN, &member, Method::GET, "/v1/me", Value::Null);
    assert_eq!((status, &problem["code"]), (401, &json!("session_ended")));
    world.clock.advance(601_000);
    let (headers, (status, problem)) = through(DOMAIN, &admin, Method::GET, "/v1/me", Value::Null);
    assert_eq!((status, &problem["code"]), (401, &json!("token_expired")));
    assert!(
        headers.contains_key("authorization"),
        "the function says why the token is refused"
    );
}

#[test]
fn a_host_with_a_store_of_its_own_finds_out_who_it_is() {
    let (world, gate, inner, admin) = hosts();
    let mut parts = request("one.work.test", &admin, Method::GET, "/v1/me");
    world.run(gate.app.vouch(&mut parts, false)).unwrap();
    assert!(parts.headers.contains_key("authorization"));
    assert_eq!(
        answer(&world, &inner, parts, &Value::Null).0,
        404,
        "there is no such market"
    );
    let mut parts = request(DOMAIN, &admin, Method::GET, "/v1/me");
    world.run(gate.app.vouch(&mut parts, false)).unwrap();
    assert_eq!(answer(&world, &inner, parts, &Value::Null).0, 200);
}
