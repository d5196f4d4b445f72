//! What time does to accounts: fresh sign-ins, mailed codes and second factors; and each code counts once, whatever else happens.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};
use souk_core::{Change, Commit, Documents as _, Key, Lane};
use totp_rs::{Builder, Secret, Totp};

use crate::seed;
use crate::world::{Process, World};

const MINUTE: i64 = 60_000;
const PASSWORD: &str = "a password of the work world";

/// Somebody who has just signed up and in: the access token, and what signing up answered.
fn member(world: &World, process: &Process, name: &str) -> (String, Value) {
    let email = format!("{name}@work.test");
    let new = json!({ "email": email, "username": name, "password": PASSWORD, "sign_in": true });
    let (status, me) = world.call(process, "", Method::POST, "/v1/accounts", Some(new));
    assert_eq!(status, 201, "{me}");
    (me["session"]["access_token"].as_str().unwrap().to_owned(), me)
}

/// The code of the last mail to an address.
fn code(world: &World, process: &Process, email: &str) -> String {
    world.drain(process);
    let mails = world.partition(&format!("dev-mail-to/{email}"));
    let mail: Value = serde_json::from_str(&mails.last().unwrap().body).unwrap();
    let text = mail["text"].as_str().unwrap().split(" is ").nth(1).unwrap();
    text.chars().filter(char::is_ascii_digit).take(6).collect()
}

fn request(method: Method, path: &str, token: &str, body: &Value) -> Request<Option<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "work.test")
        .header("content-type", "application/json");
    let request = match token {
        "" => request,
        token => request.header("authorization", format!("Bearer {token}")),
    };
    request.body(Some(body.to_string().into())).unwrap()
}

/// What so many of the same requests at once are answered.
fn at_once(world: &World, process: &Process, count: usize, path: &str, body: &Value) -> Vec<u16> {
    let calls = (0..count).map(|_| process.app.handle(request(Method::POST, path, "", body)));
    let replies = world.run(join_all(calls));
    replies.iter().map(|reply| reply.status().as_u16()).collect()
}

/// A second factor of the account with this token.
fn second_factor(world: &World, process: &Process, token: &str) -> Totp {
    let (status, new) = world.call(process, token, Method::POST, "/v1/me/second-factor", Some(json!({})));
    assert_eq!(status, 201, "{new}");
    let secret = Secret::try_from_base32(new["secret"].as_str().unwrap()).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let first = json!({ "code": generate(world, &totp) });
    let path = "/v1/me/second-factor/confirm";
    assert_eq!(world.call(process, token, Method::POST, path, Some(first)).0, 200);
    totp
}

fn generate(world: &World, totp: &Totp) -> String {
    totp.generate(u64::try_from(world.now().as_second()).unwrap())
        .to_string()
}

#[test]
fn what_is_sensitive_asks_for_a_fresh_sign_in() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, me) = member(&world, &process, "ada");
    let make = |token: &str| {
        let (status, made) = world.call(
            &process,
            token,
            Method::POST,
            "/v1/me/tokens",
            Some(json!({ "name": "x" })),
        );
        (status, made["code"].as_str().unwrap_or_default().to_owned())
    };
    world.clock.advance(9 * MINUTE);
    assert_eq!(make(&token).0, 201);
    world.clock.advance(2 * MINUTE);
    let refresh = json!({ "refresh_token": me["session"]["refresh_token"] });
    let (_, tokens) = world.call(&process, "", Method::POST, "/v1/sessions/refresh", Some(refresh));
    let token = tokens["access_token"].as_str().unwrap();
    // A refresh says nothing of who is there.
    assert_eq!(make(token), (403, "sign_in_required".to_owned()));
    let confirm = |password: &str| {
        let body = json!({ "password": password });
        world
            .call(
                &process,
                token,
                Method::POST,
                "/v1/sessions/current/confirm",
                Some(body),
            )
            .0
    };
    assert_eq!(confirm("a guess"), 422);
    assert_eq!(make(token).0, 403);
    assert_eq!(confirm(PASSWORD), 204);
    assert_eq!(make(token).0, 201);
}

#[test]
fn a_mailed_code_ends_after_half_an_hour() {
    for (minutes, status) in [(29, 200), (31, 422)] {
        let world = World::new(seed());
        let process = world.start(Vec::new());
        let (_, me) = member(&world, &process, "ada");
        let code = code(&world, &process, "ada@work.test");
        world.clock.advance(minutes * MINUTE);
        let proof = json!({ "challenge": me["email_verification"]["id"], "code": code });
        let (found, reply) = world.call(&process, "", Method::POST, "/v1/email-confirmations", Some(proof));
        assert_eq!(found, status, "{minutes}: {reply}");
    }
}

/// A mail may be late or be sent twice; it has one code, and none once it is of no use.
#[test]
fn a_mail_that_is_sent_again_says_the_same() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (_, me) = member(&world, &process, "ada");
    world.run(process.app.run_pending_work());
    // After it was kept, and before the job was done.
    let killed = [4, 6, 8].map(|moments| world.work(&process, Lane::Notifications, moments).is_err());
    assert!(killed.contains(&true), "the job was never killed");
    world.drain(&process);
    let mails = world.partition("dev-mail-to/ada@work.test");
    let texts = mails
        .iter()
        .map(|mail| serde_json::from_str::<Value>(&mail.body).unwrap()["text"].clone());
    let texts: Vec<Value> = texts.collect();
    assert!(
        !texts.is_empty() && texts.iter().all(|text| *text == texts[0]),
        "{texts:?}"
    );
    let proof = json!({ "challenge": me["email_verification"]["id"], "code": code(&world, &process, "ada@work.test") });
    assert_eq!(
        world
            .call(&process, "", Method::POST, "/v1/email-confirmations", Some(proof))
            .0,
        200
    );
}

/// `SOUK_TEST_CODES` sets how many codes.
#[test]
fn of_many_who_send_a_code_one_gets_in() {
    let rounds = std::env::var("SOUK_TEST_CODES").map_or(40, |text| text.parse().unwrap());
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, _) = member(&world, &process, "ada");
    let totp = second_factor(&world, &process, &token);
    let mut right = 0;
    for _ in 0..rounds {
        world.clock.advance(MINUTE / 2);
        let body = json!({ "username": "ada", "password": PASSWORD, "second_factor": generate(&world, &totp) });
        let statuses = at_once(&world, &process, 4, "/v1/sessions", &body);
        assert!(
            statuses.iter().all(|status| [201, 401, 503].contains(status)),
            "{statuses:?}"
        );
        right += statuses.iter().filter(|status| **status == 201).count();
        // Nor later.
        assert_eq!(at_once(&world, &process, 1, "/v1/sessions", &body), [401]);
        world.clock.advance(MINUTE / 2);
        assert_eq!(at_once(&world, &process, 1, "/v1/sessions", &body), [401]);
    }
    assert_eq!(right, rounds);
}

#[test]
fn a_reset_ends_every_session_and_keeps_the_second_factor() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, me) = member(&world, &process, "ada");
    let totp = second_factor(&world, &process, &token);
    let proof = json!({ "challenge": me["email_verification"]["id"], "code": code(&world, &process, "ada@work.test") });
    assert_eq!(
        world
            .call(&process, "", Method::POST, "/v1/email-confirmations", Some(proof))
            .0,
        200
    );
    let email = json!({ "email": "ada@work.test" });
    let (_, challenge) = world.call(&process, "", Method::POST, "/v1/password-resets", Some(email));
    let code = code(&world, &process, "ada@work.test");
    let reset = json!({ "challenge": challenge["id"], "code": code, "password": "another password, new" });
    let statuses = at_once(&world, &process, 10, "/v1/password-resets/confirm", &reset);
    assert_eq!(
        statuses.iter().filter(|status| **status == 204).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(world.call(&process, &token, Method::GET, "/v1/me", None).0, 401);
    world.clock.advance(MINUTE);
    for (password, factor, status) in [
        (PASSWORD, Some(()), 401),
        ("another password, new", None, 401),
        ("another password, new", Some(()), 201),
    ] {
        let mut body = json!({ "username": "ada", "password": password });
        if factor.is_some() {
            body["second_factor"] = generate(&world, &totp).into();
        }
        assert_eq!(
            at_once(&world, &process, 1, "/v1/sessions", &body),
            [status],
            "{password} {factor:?}"
        );
    }
}

/// Before addresses were verified, an account had the one that it named first. Whoever has the mail takes it over, with a reset:
/// nothing that was opened or made before works on.
#[test]
fn an_address_that_was_never_verified_is_taken_over_whole() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, me) = member(&world, &process, "squatter");
    second_factor(&world, &process, &token);
    let (_, made) = world.call(
        &process,
        &token,
        Method::POST,
        "/v1/me/tokens",
        Some(json!({ "name": "x" })),
    );
    let claim = Change::claim(
        Key::of("account-email", "squatter@work.test"),
        me["id"].as_str().unwrap(),
    );
    world.run(world.store.commit(Commit::new(vec![claim]))).unwrap();
    let by_address = json!({ "email": "squatter@work.test", "password": PASSWORD });
    // As before: it asks for the second factor, so it was found.
    let (status, reply) = world.call(&process, "", Method::POST, "/v1/sessions", Some(by_address));
    assert_eq!((status, &reply["code"]), (401, &json!("second_factor_required")));

    world.drain(&process);
    let mails = || world.partition("dev-mail-to/squatter@work.test").len();
    let before = mails();
    let email = json!({ "email": "squatter@work.test" });
    world.call(&process, "", Method::POST, "/v1/sessions/mailed", Some(email.clone()));
    world.drain(&process);
    assert_eq!(
        mails(),
        before,
        "a mailed sign-in would be into what somebody else may have made"
    );
    let (_, challenge) = world.call(&process, "", Method::POST, "/v1/password-resets", Some(email));
    let code = code(&world, &process, "squatter@work.test");
    let reset = json!({ "challenge": challenge["id"], "code": code, "password": "the owner's own, now" });
    assert_eq!(
        at_once(&world, &process, 1, "/v1/password-resets/confirm", &reset),
        [204]
    );
    for token in [token.as_str(), made["token"].as_str().unwrap()] {
        assert_eq!(world.call(&process, token, Method::GET, "/v1/me", None).0, 401);
    }
    let own = json!({ "email": "squatter@work.test", "password": "the owner's own, now" });
    assert_eq!(at_once(&world, &process, 1, "/v1/sessions", &own), [201]);
}

/// The password alone buys no more guesses.
#[test]
fn second_factors_are_counted_over_all_ways_in() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, _) = member(&world, &process, "ada");
    let totp = second_factor(&world, &process, &token);
    let mut statuses = Vec::new();
    for n in 0..30 {
        let guess = json!({ "username": "ada", "password": PASSWORD, "second_factor": "000000" });
        let confirm = json!({ "password": PASSWORD, "second_factor": "000000" });
        statuses.push(match n % 2 {
            0 => world.call(&process, "", Method::POST, "/v1/sessions", Some(guess)).0,
            _ => {
                world
                    .call(
                        &process,
                        &token,
                        Method::POST,
                        "/v1/sessions/current/confirm",
                        Some(confirm),
                    )
                    .0
            }
        });
        if n % 5 == 0 {
            let change = json!({ "current_password": PASSWORD, "password": PASSWORD });
            assert_eq!(
                world
                    .call(&process, &token, Method::PUT, "/v1/me/password", Some(change))
                    .0,
                204
            );
        }
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        20,
        "{statuses:?}"
    );
    assert!(statuses[20..].iter().all(|status| *status == 429), "{statuses:?}");
    world.clock.advance(61 * MINUTE);
    let right = json!({ "username": "ada", "password": PASSWORD, "second_factor": generate(&world, &totp) });
    assert_eq!(at_once(&world, &process, 1, "/v1/sessions", &right), [201]);
}

/// A change of the password ends what was begun before it, also by mail.
#[test]
fn challenges_end_with_the_sessions_of_their_account() {
    let world = World::new(seed());
    let process = world.start(Vec::new());
    let (token, me) = member(&world, &process, "ada");
    let proof = json!({ "challenge": me["email_verification"]["id"], "code": code(&world, &process, "ada@work.test") });
    assert_eq!(
        world
            .call(&process, "", Method::POST, "/v1/email-confirmations", Some(proof))
            .0,
        200
    );
    let email = json!({ "email": "ada@work.test" });
    let ask = |path: &str, body: &Value| {
        let (status, challenge) = world.call(&process, "", Method::POST, path, Some(body.clone()));
        assert_eq!(status, 201, "{challenge}");
        world.clock.advance(1_000);
        json!({ "challenge": challenge["id"], "code": code(&world, &process, "ada@work.test"), "password": "another one, quite new" })
    };
    let (first, second) = (ask("/v1/password-resets", &email), ask("/v1/password-resets", &email));
    let mut sign_in = ask("/v1/sessions/mailed", &email);
    sign_in.as_object_mut().unwrap().remove("password");
    let change = json!({ "email": "eve@work.test", "current_password": PASSWORD });
    let (_, change) = world.call(&process, &token, Method::PUT, "/v1/me/email", Some(change));
    let codes = ["ada@work.test", "eve@work.test"].map(|address| code(&world, &process, address));

    assert_eq!(
        at_once(&world, &process, 1, "/v1/password-resets/confirm", &second),
        [204]
    );
    assert_eq!(
        at_once(&world, &process, 1, "/v1/password-resets/confirm", &first),
        [422]
    );
    assert_eq!(
        at_once(&world, &process, 1, "/v1/sessions/mailed/confirm", &sign_in),
        [422]
    );
    for code in codes {
        let proof = json!({ "challenge": change["id"], "code": code });
        assert_eq!(at_once(&world, &process, 1, "/v1/email-confirmations", &proof), [422]);
    }
}
