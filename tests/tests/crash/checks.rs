//! What is there after a restart, held against what its writers know.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;

use crate::STATUSES;
use crate::host::Api;
use crate::writer::{Creation, Tracked, Work};

/// How many checks are under way at once.
const AT_ONCE: usize = 16;

/// Checks every product of a round and answers with those that live, by id.
pub(crate) async fn check_all(api: &Api, work: Vec<Work>, lost: &mut Vec<String>) -> BTreeMap<String, Value> {
    let (mut products, mut unanswered) = (Vec::new(), Vec::new());
    for done in work {
        products.extend(done.products);
        unanswered.extend(done.unanswered);
    }
    let known = stream::iter(&products).map(async |product: &Tracked| {
        let found = product.check(api).await;
        found.map_err(|fault| format!("{} {fault}", product.first["id"]))
    });
    let unknown = stream::iter(&unanswered).map(async |creation: &Creation| {
        let (_, shown) = creation
            .again(api)
            .await
            .map_err(|fault| format!("{}: {fault}", creation.key))?;
        let again = creation.again(api).await?;
        if again == (true, shown.clone()) && shown["slug"] == creation.slug().as_str() {
            return Ok(Some(shown));
        }
        Err(format!(
            "{}: half of it was there, or it happens twice: {shown}, {again:?}",
            creation.key
        ))
    });
    let mut found: Vec<Result<Option<Value>, String>> = known.buffer_unordered(AT_ONCE).collect().await;
    found.extend(unknown.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    let mut live = BTreeMap::new();
    for result in found {
        match result {
            Ok(Some(shown)) => drop(live.insert(shown["id"].as_str().unwrap().to_owned(), shown)),
            Ok(None) => {}
            Err(fault) => lost.push(fault),
        }
    }
    live
}

/// Checks every list that the products of a round can stand in.
pub(crate) async fn check_lists(
    api: &Api,
    authors: &[Api],
    category: &Value,
    live: &BTreeMap<String, Value>,
    faults: &mut Vec<String>,
) {
    for status in STATUSES {
        let expected = of_status(live, status);
        for author in authors {
            let own: Vec<_> = expected
                .iter()
                .copied()
                .filter(|product| product["author"] == author.id.as_str())
                .collect();
            for sort in ["newest", "price"] {
                let query = format!("status={status}&author={}&sort={sort}", author.id);
                faults.extend(check_list(&author.at(api), &query, &own).await.err());
            }
        }
        if ["published", "sold"].contains(&status) {
            let query = format!("status={status}&category={}", category["slug"].as_str().unwrap());
            faults.extend(check_list(api, &query, &expected).await.err());
        }
    }
}

pub(crate) fn of_status<'a>(products: &'a BTreeMap<String, Value>, status: &str) -> Vec<&'a Value> {
    products
        .values()
        .filter(|product| product["status"] == status)
        .collect()
}

/// A list holds exactly these products, each once and as it is.
pub(crate) async fn check_list(api: &Api, query: &str, expected: &[&Value]) -> Result<(), String> {
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/products?{query}&limit=100{cursor}");
        let mut page = api
            .send(Method::GET, &path, None, None)
            .await
            .ok_or("no answer")?
            .expect(200)?;
        listed.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    if listed.iter().eq(expected.iter().copied()) {
        return Ok(());
    }
    let ids =
        |of: &mut dyn Iterator<Item = &Value>| of.map(|item| item["id"].to_string()).collect::<Vec<_>>().join(" ");
    let (listed, expected) = (ids(&mut listed.iter()), ids(&mut expected.iter().copied()));
    Err(format!(
        "the list {query} is not what it should be: {listed} instead of {expected}"
    ))
}
