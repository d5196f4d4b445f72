//! Limits: how often something may be done, by whom, and what refusals say.

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;
use souk_tests::client::{Client, Reply, market, unique};

use crate::text;

/// What `call` answers to so many calls, a few at a time.
async fn all(count: usize, call: impl AsyncFn(usize) -> Reply) -> Vec<Reply> {
    stream::iter(0..count)
        .map(|n| call(n))
        .buffer_unordered(4)
        .collect()
        .await
}

/// Replies that are not refusals by a limit. The refusals say by which, and when to come again.
fn passed<'r>(replies: &'r [Reply], limit: &str) -> Vec<&'r Reply> {
    let (refused, passed) = replies.iter().partition::<Vec<_>, _>(|reply| reply.status == 429);
    for reply in refused {
        assert_eq!(reply.text("code"), "rate_limited");
        assert_eq!(reply.json["violated-policies"], json!([limit]));
        let seconds: u32 = reply.header("retry-after").parse().unwrap();
        let state = format!("\"{limit}\";r=0;t={seconds}");
        assert!(
            reply.header("ratelimit").contains(&state),
            "{state} {:#?}",
            reply.headers
        );
        assert!(reply.header("ratelimit-policy").contains(&format!("\"{limit}\";q=")));
    }
    passed
}

fn statuses(replies: &[&Reply]) -> Vec<u16> {
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.dedup();
    statuses
}

async fn try_password(client: &Client, member: &Client, password: &str, device: Option<&str>) -> Reply {
    let mut credentials = json!({ "username": member.me["username"], "password": password });
    if let Some(device) = device {
        credentials["device"] = device.into();
    }
    client.post("/v1/sessions", credentials).await
}

/// Whoever guesses has ten attempts from a network; the right password begins again, and others are not concerned.
#[tokio::test]
async fn passwords_cannot_be_guessed_from_one_network() {
    let Some(market) = market() else { return };
    let (member, other) = (market.member().await, market.member().await);
    let network = market.anonymous();
    for _ in 0..2 {
        for _ in 0..9 {
            let reply = try_password(&network, &member, "a guess", None).await.expect(401);
            // It tells nobody how often others have tried.
            assert!(!reply.header("ratelimit").contains("sign-in"), "{:#?}", reply.headers);
        }
        try_password(&network, &member, &member.password, None)
            .await
            .expect(201);
    }
    let replies = all(15, async |_| try_password(&network, &member, "a guess", None).await).await;
    let passed = passed(&replies, "sign-in");
    assert!(passed.len() <= 10, "{}", passed.len());
    assert_eq!(statuses(&passed), [401]);
    // Nor with the right password, nor by the other name of the account.
    try_password(&network, &member, &member.password, None)
        .await
        .expect(429);
    let by_name = json!({ "username": member.me["username"], "password": member.password });
    network.post("/v1/sessions", by_name).await.expect(429);
    // Another account from here, this account from elsewhere, and from a device that it has signed in on.
    try_password(&network, &other, &other.password, None).await.expect(201);
    let known = try_password(&network, &member, &member.password, Some(&member.device)).await;
    assert_ne!(known.expect(201).text("device"), member.device);
    try_password(&network, &member, &member.password, Some(&other.device))
        .await
        .expect(429);
    try_password(&network, &member, &member.password, Some("made up"))
        .await
        .expect(429);
    try_password(&market.anonymous(), &member, &member.password, None)
        .await
        .expect(201);
    // An account that does not exist is no exception.
    let nobody = json!({ "email": format!("{}@example.com", unique("nobody")), "password": "a guess" });
    let network = market.anonymous();
    let replies = all(12, async |_| network.post("/v1/sessions", nobody.clone()).await).await;
    assert!(self::passed(&replies, "sign-in").len() <= 10);
}

/// Many networks together have a hundred attempts at an account, and do not keep its owner out.
#[tokio::test]
async fn passwords_cannot_be_guessed_from_many_networks() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let networks: Vec<Client> = (0..12).map(|_| market.anonymous()).collect();
    let replies = all(120, async |n| {
        try_password(&networks[n % 12], &member, "a guess", None).await
    })
    .await;
    let passed = passed(&replies, "sign-in-account");
    assert!((80..=100).contains(&passed.len()), "{} guesses", passed.len());
    assert_eq!(statuses(&passed), [401]);
    let elsewhere = market.anonymous();
    try_password(&elsewhere, &member, &member.password, None)
        .await
        .expect(429);
    for _ in 0..3 {
        try_password(&elsewhere, &member, &member.password, Some(&member.device))
            .await
            .expect(201);
    }
}

/// What is counted once for all instances is exact, wherever the requests arrive and however many come at once.
#[tokio::test]
async fn a_strict_limit_is_exact() {
    let Some(market) = market() else { return };
    let network = market.anonymous();
    let known = market.member().await.me;
    let known = |n: usize| json!({ "email": format!("{n}{}", text(&known, "email")), "username": known["username"], "password": "correct horse" });
    let replies = all(60, async |n| network.post("/v1/accounts", known(n)).await).await;
    let admitted = passed(&replies, "sign-ups");
    assert_eq!((admitted.len(), statuses(&admitted)), (20, vec![409]));
    // Accounts that vote from one address have their votes counted together.
    let (mut a, b) = (market.member().await, market.member().await);
    a.address.clone_from(&b.address);
    let replies = all(700, async |n| {
        let voter = if n % 2 == 0 { &a } else { &b };
        voter.call(Method::PUT, "/v1/products/no-such-product/upvote").await
    });
    let replies = replies.await;
    let admitted = passed(&replies, "votes");
    // An instance of several may keep a few that it has borrowed.
    assert!((570..=600).contains(&admitted.len()), "{} votes", admitted.len());
    assert_eq!(statuses(&admitted), [404]);
}

/// Answers say how much is left, but for those that others get too.
#[tokio::test]
async fn answers_say_how_much_is_left() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let read = member.get("/v1/me").await.expect(200);
    assert_eq!(read.header("ratelimit-policy"), "\"requests\";q=6000;w=60");
    assert!(
        read.header("ratelimit").starts_with("\"requests\";r="),
        "{:#?}",
        read.headers
    );
    let written = member.patch("/v1/me", json!({ "bio": "changed" })).await.expect(200);
    assert_eq!(
        written.header("ratelimit-policy"),
        "\"requests\";q=6000;w=60, \"writes\";q=1200;w=60"
    );
    let shared = market.anonymous().get("/v1/categories").await.expect(200);
    assert_eq!(shared.header("ratelimit"), "");
    let health = market.anonymous().get("/healthz").await.expect(200);
    assert_eq!(health.header("ratelimit"), "");
}
