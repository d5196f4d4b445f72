//! The community's jobs, with a queue that delivers late, again and again and in any order: what they leave is what the
//! documents say.
//!
//! `SOUK_TEST_SEED` is the seed of what happens (3).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine: a panic is how it fails"
)]

mod world;

use std::collections::BTreeMap;

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::{Change, Commit, Document, Query};
use souk_model::catalog::{PRODUCT, rank};
use souk_model::vendors::VENDOR;

use world::{Account, World};

/// A market and the dice that say what happens in it.
async fn begin() -> (World, Rng) {
    let seed = std::env::var("SOUK_TEST_SEED").map_or(3, |text| text.parse().unwrap());
    (World::new(seed).await, Rng::with_seed(seed))
}

/// Somebody does something to one of these products, if it can be done.
async fn happen(
    world: &World,
    rng: &mut Rng,
    accounts: &[Account],
    products: &[(usize, String)],
    written: &mut Vec<String>,
) {
    let (author, product) = &products[rng.usize(..products.len())];
    let (author, someone) = (&accounts[*author], &accounts[rng.usize(..accounts.len())]);
    let path = format!("/v1/products/{product}");
    let call = async |who, method, path: &str, body| world.call(who, method, path, body).await;
    match rng.u8(..20) {
        0..8 => drop(call(someone, Method::PUT, &format!("{path}/upvote"), Value::Null).await),
        8..10 => drop(call(someone, Method::DELETE, &format!("{path}/upvote"), Value::Null).await),
        10..14 => {
            let parent = (!written.is_empty() && rng.bool()).then(|| rng.choice(&*written).unwrap());
            let new = json!({ "body": "Nice", "parent": parent });
            if let Ok(comment) = call(someone, Method::POST, &format!("{path}/comments"), new).await {
                written.push(comment["id"].as_str().unwrap().to_owned());
            }
        }
        14 | 15 if !written.is_empty() => {
            let comment = rng.choice(&*written).unwrap();
            drop(call(someone, Method::DELETE, &format!("/v1/comments/{comment}"), Value::Null).await);
        }
        16 => drop(call(author, Method::PATCH, &path, json!({ "title": "Renamed" })).await),
        18 => drop(call(someone, Method::POST, &format!("{path}/views"), Value::Null).await),
        17 if rng.u8(..4) == 0 => drop(call(author, Method::DELETE, &path, Value::Null).await),
        _ => {
            let step = ["archive", "publish", "sold", "draft", "publish"][rng.usize(..5)];
            drop(call(author, Method::POST, &format!("{path}/{step}"), Value::Null).await);
        }
    }
}

/// What a vote or comment weighs, and when it was given.
fn score(since: i64, given: &[(f64, i64)]) -> f64 {
    const HALF_LIFE: f64 = 172_800_000.0;
    let weights = given
        .iter()
        .map(|(points, at)| points * ((at - since) as f64 / HALF_LIFE).exp2());
    since as f64 + HALF_LIFE * (1.0 + weights.sum::<f64>()).log2()
}

fn millis(value: &Value) -> i64 {
    value
        .as_str()
        .unwrap()
        .parse::<souk_core::Timestamp>()
        .unwrap()
        .as_millisecond()
}

fn body(document: &Document) -> Value {
    serde_json::from_str(&document.body).unwrap()
}

#[tokio::test]
async fn late_repeated_and_shuffled_messages_end_right() {
    let (world, mut rng) = begin().await;
    let mut accounts = Vec::new();
    for n in 0..12 {
        accounts.push(world.account(n).await);
    }
    let mut products = Vec::new();
    for (n, author) in accounts.iter().enumerate().take(8) {
        products.push((n, world.publish(author, None).await));
        world.clock.advance(3_600_000);
    }
    let mut written = Vec::new();
    for _ in 0..150 {
        // While jobs are at work.
        let mut other = rng.fork();
        let at_most = rng.usize(..12);
        let happenings = async {
            for _ in 0..rng.usize(..8) {
                happen(&world, &mut rng, &accounts, &products[1..], &mut written).await;
                world.clock.advance(rng.i64(0..600_000));
            }
        };
        world.at_once(happenings, world.deliver(&mut other, at_most)).await;
    }
    // Somebody is slower than the removal of the product: what they leave is found in the end.
    let (author, last) = &products[0];
    let path = format!("/v1/products/{last}");
    drop(world.call(&accounts[*author], Method::DELETE, &path, Value::Null).await);
    for _ in 0..20 {
        world.deliver(&mut rng, 1_000).await;
    }
    let vote = json!({ "created_at": "2026-01-01T00:00:00Z" }).to_string();
    let vote = Change::create(
        souk_core::Key::new(format!("upvotes/{last}"), "acc_late"),
        vote,
        Vec::new(),
    );
    world
        .platform
        .documents()
        .commit(Commit::new(vec![vote]))
        .await
        .unwrap();
    world.drain(&mut rng).await;

    let mut public: BTreeMap<&str, Vec<(&str, i64, f64)>> = BTreeMap::new();
    for (_, id) in &products {
        let votes = world.all(Query::partition(format!("upvotes/{id}"), 100)).await;
        let comments = world.all(Query::index(format!("comments/{id}"), 100)).await;
        let documents = &**world.platform.documents();
        let rank = get_one(documents, rank::key(id)).await.unwrap();
        let product = get_one(documents, PRODUCT.key(id)).await.unwrap();
        let Some(product) = product else {
            assert!(
                votes.is_empty() && comments.is_empty() && rank.is_none(),
                "{id} is gone"
            );
            assert_eq!(world.count(&format!("views/{id}")).await, 0);
            continue;
        };
        let counts: Value = serde_json::from_str(&product.counters).unwrap();
        let comments: Vec<Value> = comments
            .iter()
            .map(body)
            .filter(|comment| comment["deleted"] == false)
            .collect();
        assert_eq!(counts["upvote_count"], votes.len(), "{id}");
        assert_eq!(counts["comment_count"], comments.len(), "{id}");
        assert_eq!(counts["view_count"], world.count(&format!("views/{id}")).await, "{id}");
        let product = body(&product);
        let given = votes.iter().map(|vote| (1.0, millis(&body(vote)["created_at"])));
        let given = given.chain(comments.iter().map(|comment| (0.5, millis(&comment["created_at"]))));
        let given: Vec<_> = given.collect();
        let since = millis(&product["published_at"]);
        match product["status"].as_str().unwrap() {
            status @ ("published" | "sold") => {
                let status = if status == "sold" { "sold" } else { "published" };
                let place = (id.as_str(), i64::try_from(votes.len()).unwrap(), score(since, &given));
                public.entry(status).or_default().push(place);
            }
            _ => {
                assert!(rank.is_some_and(|rank| body(&rank)["standing"].is_null()), "{id}");
            }
        }
    }
    for status in ["published", "sold"] {
        let mut expected = public.remove(status).unwrap_or_default();
        for sort in ["popular", "trending"] {
            expected.sort_by(|a, b| match sort {
                "popular" => (b.1, b.0).cmp(&(a.1, a.0)),
                _ => b.2.total_cmp(&a.2),
            });
            let path = format!(
                "/v1/products?status={status}&sort={sort}&category={}",
                world::category()
            );
            let page = world.call(&accounts[0], Method::GET, &path, Value::Null).await.unwrap();
            let listed: Vec<_> = page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap())
                .collect();
            let ids: Vec<_> = expected.iter().map(|place| place.0).collect();
            assert_eq!(listed, ids, "{path}");
            // No list has what a product has left behind.
            let index = format!("ranked/{status}");
            assert_eq!(world.all(Query::index(index, 100)).await.len(), ids.len() * 2, "{path}");
        }
    }
}

#[tokio::test]
async fn a_product_that_changes_while_it_is_ranked_ends_right() {
    let (world, mut rng) = begin().await;
    let mut accounts = Vec::new();
    for n in 0..8 {
        accounts.push(world.account(n).await);
    }
    let product = world.publish(&accounts[0], None).await;
    let (vote, category) = (format!("/v1/products/{product}/upvote"), world::category());
    let path = format!("/v1/products/{product}");
    let act = async |step: &str| {
        let path = format!("{path}/{step}");
        world
            .call(&accounts[0], Method::POST, &path, Value::Null)
            .await
            .unwrap();
    };
    for round in 0..40 {
        // While the jobs of one step are at work the next is taken, and its own jobs may be faster.
        let (first, second) = [
            ("archive", "publish"),
            ("archive", "draft"),
            ("publish", "archive"),
            ("publish", "sold"),
        ][round % 4];
        world.drain(&mut rng).await;
        act(first).await;
        let voter = &accounts[rng.usize(..accounts.len())];
        let method = if rng.bool() { Method::PUT } else { Method::DELETE };
        let (mut one, mut two) = (rng.fork(), rng.fork());
        let next = async {
            act(second).await;
            // A vote would have it looked at once more.
            if rng.bool() {
                drop(world.call(voter, method, &vote, Value::Null).await);
            }
            world.deliver(&mut two, 100).await;
        };
        world.at_once(next, world.deliver(&mut one, 100)).await;
        world.drain(&mut rng).await;
        let shown = world.call(&accounts[0], Method::GET, &path, Value::Null).await.unwrap();
        for status in ["published", "sold"] {
            let ranked = world
                .all(Query::index(format!("ranked/{status}/category/{category}"), 100))
                .await;
            assert_eq!(ranked.len() == 2, shown["status"] == status, "round {round}: {status}");
            for rank in ranked {
                assert_eq!(body(&rank)["standing"]["votes"], shown["upvote_count"], "round {round}");
            }
        }
    }
}

#[tokio::test]
async fn everybody_who_follows_finds_a_publication_once() {
    let (world, mut rng) = begin().await;
    let author = world.account(0).await;
    let vendor = format!("vnd_{:032x}", 1);
    let shop = json!({ "id": vendor, "slug": "shop", "name": "Shop", "owner": author.id });
    let change = Change::create(VENDOR.key(&vendor), shop.to_string(), Vec::new());
    world
        .platform
        .documents()
        .commit(Commit::new(vec![change]))
        .await
        .unwrap();
    let follow = [
        format!("/v1/accounts/{}/follow", author.id),
        format!("/v1/vendors/{vendor}/follow"),
    ];
    let mut followers = Vec::new();
    for n in 1..=250 {
        let follower = world.account(n).await;
        // Of three, one follows both.
        for path in &follow {
            if n % 3 == 0 || (n % 3 == 1) == (path == &follow[0]) {
                world.call(&follower, Method::PUT, path, Value::Null).await.unwrap();
            }
        }
        followers.push(follower);
    }
    let mut products = Vec::new();
    for _ in 0..3 {
        products.insert(0, world.publish(&author, Some(&vendor)).await);
        world.clock.advance(1_000);
    }
    world.drain(&mut rng).await;
    for (n, follower) in (1..).zip(&followers) {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/feed?limit={}&fields=id{cursor}", 1 + n % 3);
            let page = world.call(follower, Method::GET, &path, Value::Null).await.unwrap();
            found.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, products, "{n}");
    }
    // Who follows both and leaves one still has it from the other; who leaves both has nothing.
    let both = &followers[2];
    for (path, expected) in follow.iter().zip([3, 0]) {
        world.call(both, Method::DELETE, path, Value::Null).await.unwrap();
        let page = world.call(both, Method::GET, "/v1/feed", Value::Null).await.unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), expected);
    }
}

#[tokio::test]
async fn an_own_change_is_in_the_count_whatever_was_delivered() {
    let (world, mut rng) = begin().await;
    let (author, voter) = (world.account(0).await, world.account(1).await);
    let product = world.publish(&author, None).await;
    let vote = format!("/v1/products/{product}/upvote");
    let follow = format!("/v1/accounts/{}/follow", author.id);
    for round in 0..200 {
        let (path, count) = if rng.bool() {
            (&vote, "upvote_count")
        } else {
            (&follow, "follower_count")
        };
        let wanted = rng.bool();
        let method = if wanted { Method::PUT } else { Method::DELETE };
        let state = world.call(&voter, method, path, Value::Null).await.unwrap();
        assert_eq!(state[count], u8::from(wanted), "{path} in round {round}");
        let at_most = rng.usize(..6);
        world.deliver(&mut rng, at_most).await;
        world.clock.advance(rng.i64(0..60_000));
    }
}
