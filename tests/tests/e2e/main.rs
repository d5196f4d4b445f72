//! The black-box suite: the same tests, over HTTP alone, against every host. [`souk_tests::client`] says which variables
//! they read. Each test makes what it needs under names of its own, so they run beside each other and in a market
//! that has seen use.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic is how a test fails"
)]

mod accounts;
mod addresses;
mod audit;
mod authorization;
mod background;
mod browsers;
mod caching;
mod categories;
mod codes;
mod comments;
mod concurrency;
mod cookies;
mod edits;
mod entry;
mod errors;
mod examples;
mod factors;
mod filters;
mod follows;
mod gate;
mod history;
mod idempotency;
mod imports;
mod keys;
mod life;
mod limits;
mod listing;
mod mails;
mod matrix;
mod mine;
mod operations;
mod paging;
mod products;
mod ranking;
mod receiver;
mod roles;
mod search;
mod search_rules;
mod sessions;
mod staff;
mod tenants;
mod tokens;
mod tree;
mod upvotes;
mod variants;
mod vendors;
mod views;
mod visibility;
mod webhook_rules;
mod webhooks;
mod writing;

use serde_json::Value;

/// The path of an operation, with a parameter for each of its braces that nobody has.
fn path_of_nobody(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| match part {
        "{lane}" => "low",
        "{part}" => "1",
        "{host}" => "nobody.example",
        _ if part.starts_with('{') => "nobody-has-this",
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A field that is text.
#[track_caller]
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// `/v1/products/{id}`
fn path_of(product: &Value) -> String {
    format!("/v1/products/{}", text(product, "id"))
}

/// The ids of these things, in their order.
fn ids(things: &[Value]) -> Vec<&str> {
    things.iter().map(|thing| text(thing, "id")).collect()
}
