//! The examples of the API document (`functions/market/src/examples.json`) are one story: each request is sent, under names of
//! its own, and what it is answered has the form of its example.
//!
//! A step says who acts (`as`), where its parameters come from (`path`, by what an earlier step `keep`s), which codes were
//! `mailed` to Ada for which challenge, and `request` and `response`. A step that is `unsent` says why.

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, Reply, market, unique};

const EXAMPLES: &str = include_str!("../../../functions/market/src/examples.json");

/// The names in the examples that must be unique in a market.
const NAMES: [&str; 4] = ["lamps", "lantern-co", "ada", "lanterns"];

/// An operation of the document.
struct Operation {
    method: Method,
    path: String,
    described: Value,
}

fn operations(document: &Value) -> BTreeMap<String, Operation> {
    let mut all = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let operation = Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                described: described.clone(),
            };
            all.insert(described["operationId"].as_str().unwrap().to_owned(), operation);
        }
    }
    all
}

/// What has happened so far.
struct Story {
    market: Market,
    admin: Client,
    /// The name of this run for each of [`NAMES`].
    names: BTreeMap<&'static str, String>,
    /// What steps have kept, by name.
    kept: Value,
}

impl Story {
    async fn new(market: Market) -> Self {
        let admin = market.admin().await;
        let address = unique("/products/red-shirt");
        let (plan, host) = (unique("small"), format!("{}.example", unique("lanterns")));
        let kept = json!({
            "admin": { "id": admin.me["username"] }, "old": { "id": address }, "plan": { "id": plan }, "host": { "id": host },
        });
        let names = NAMES.into_iter().map(|name| (name, unique(name))).collect();
        Self {
            market,
            admin,
            names,
            kept,
        }
    }

    /// The example under the names of this run.
    fn own(&self, example: &Value) -> Value {
        match example {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.own(value)))
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.own(item)).collect(),
            Value::String(text) => match self.names.get(&**text) {
                Some(name) => json!(name),
                None if text == "ada@example.com" => json!(format!("{}@example.com", self.names["ada"])),
                // The file of an import.
                None => json!(text.replace(",lamps,", &format!(",{},", self.names["lamps"]))),
            },
            other => other.clone(),
        }
    }

    /// `vendor` is the id of what was kept as `vendor`, `session.refresh_token` a field; anything else is itself.
    fn recall(&self, text: &str) -> String {
        let (name, field) = text.split_once('.').unwrap_or((text, "id"));
        let kept = self.kept[name][field].as_str();
        kept.map_or_else(|| text.to_owned(), str::to_owned)
    }

    async fn send(&self, step: &Value, operation: &Operation) -> Reply {
        let (mut path, mut body) = (operation.path.clone(), self.own(&step["request"]));
        for (name, from) in step["path"].as_object().into_iter().flatten() {
            let (place, value) = (format!("{{{name}}}"), self.recall(from.as_str().unwrap()));
            if path.contains(&place) {
                path = path.replace(&place, &value);
            } else {
                body[name] = json!(value);
            }
        }
        for (name, from) in step["mailed"].as_object().into_iter().flatten() {
            let email = format!("{}@example.com", self.names["ada"]);
            body[name] = json!(self.market.code(&email, &self.recall(from.as_str().unwrap())).await);
        }
        if let Some(query) = step["query"].as_object() {
            let mut pairs = Serializer::new(path + "?");
            for (name, value) in query {
                let own = self.own(value);
                pairs.append_pair(name, &self.recall(own.as_str().unwrap()));
            }
            path = pairs.finish();
        }
        let who = match step["as"].as_str().unwrap() {
            "admin" => self.admin.clone(),
            "ada" => self.market.with_token(&self.recall("session.access_token")),
            _ => self.market.anonymous(),
        };
        let mut call = who.call(operation.method.clone(), &path);
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            call = call.header(name, value.as_str().unwrap());
        }
        match body {
            Value::Null => call.await,
            Value::String(file) => call.body("application/octet-stream", file).await,
            body => call.json(&body).await,
        }
    }
}

/// Whether an answer has the form of its example: the same fields, and in these the same types. Null stands for anything, an
/// array for one of any length; what is deeper may lack optional fields.
fn fits(example: &Value, answer: &Value, place: &str) {
    match (example, answer) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(example), Value::Object(answer)) => {
            if place.is_empty() {
                assert!(example.keys().eq(answer.keys()), "the fields are {:?}", answer.keys());
            }
            for (name, value) in example {
                fits(
                    value,
                    answer.get(name).unwrap_or(&Value::Null),
                    &format!("{place}.{name}"),
                );
            }
        }
        (Value::Array(example), Value::Array(answer)) => {
            for (example, answer) in example.iter().zip(answer) {
                fits(example, answer, &format!("{place}[]"));
            }
        }
        _ => {
            let same = std::mem::discriminant(example) == std::mem::discriminant(answer);
            assert!(same, "{place} is {answer}, not like {example}");
        }
    }
}

#[tokio::test]
async fn every_example_is_executed_and_answered_like_its_example() {
    let Some(market) = market() else { return };
    let document = market.anonymous().get("/openapi.json").await.expect(200).json;
    let operations = operations(&document);
    let steps: Vec<Value> = serde_json::from_str(EXAMPLES).unwrap();
    let mut story = Story::new(market).await;
    for step in steps.iter().filter(|step| step["unsent"].is_null()) {
        let id = step["operation"].as_str().unwrap();
        let operation = operations
            .get(id)
            .unwrap_or_else(|| panic!("there is no operation {id}"));
        let responses = operation.described["responses"].as_object().unwrap();
        let (status, response) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
        let reply = story.send(step, operation).await.expect(status.parse().unwrap());
        for (name, header) in response["headers"].as_object().unwrap() {
            let header = document
                .pointer(header["$ref"].as_str().unwrap().trim_start_matches('#'))
                .unwrap();
            let is_sent = reply.headers.contains_key(name);
            assert!(is_sent || header["required"] != true, "{id}: no {name}");
        }
        fits(&step["response"], &reply.json, "");
        if let Some(name) = step["keep"].as_str() {
            story.kept[name] = reply.json;
        }
    }
}

#[tokio::test]
async fn every_body_has_an_example() {
    let Some(market) = market() else { return };
    let document = market.anonymous().get("/openapi.json").await.expect(200).json;
    let mut bare = Vec::new();
    for (id, operation) in operations(&document) {
        let responses = operation.described["responses"].as_object().unwrap();
        let answers = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let bodies = answers
            .map(|(_, response)| response)
            .chain([&operation.described["requestBody"]]);
        let mut contents = bodies.filter_map(|body| body["content"].as_object()).flatten();
        if contents.any(|(_, content)| content["example"].is_null()) {
            bare.push(id);
        }
    }
    assert_eq!(
        bare,
        Vec::<String>::new(),
        "add them to functions/market/src/examples.json"
    );
}
