//! Converts documents, entries and values to items of the table and back.
//!
//! | item | `pk` | `sk` | attributes |
//! | --- | --- | --- | --- |
//! | document | `d#` and the key's `pk` | `#` and its `sk` | `v` version, `b` body (JSON text), `n` counters (map), `x` expiry (epoch ms), `ttl` the same (epoch s) |
//! | entry | `i#` and the index | `#` and the sort | `dp`, `ds`: its document's `pk` and `sk`, as in this table |
//! | value | `v#` and the key | `#` | `b` value, `x` and `ttl` as above |
//! | cell of a limit | `l#` and the key | `#` | `used` units, `x` and `ttl` the end of the window |
//!
//! DynamoDB allows no empty sort key, hence the `#`. It compares strings by their UTF-8 bytes, as Rust does. It deletes
//! an item some time after its `ttl`; until then, every read and condition here checks `x`.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use souk_core::{Document, Entry, Key, StoreError, Timestamp};

/// An item, or some of its attributes.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The partition key of the documents of `pk`.
#[must_use]
pub fn document_partition(pk: &str) -> String {
    format!("d#{pk}")
}

/// The partition key of the entries of `index`.
#[must_use]
pub fn entry_partition(index: &str) -> String {
    format!("i#{index}")
}

/// The partition key of the value at `key`.
#[must_use]
pub fn value_partition(key: &str) -> String {
    format!("v#{key}")
}

/// The partition key of the cell of a limit.
#[must_use]
pub fn cell_partition(key: &str) -> String {
    format!("l#{key}")
}

/// A sort key as stored.
pub(crate) fn sort(sort: &str) -> String {
    format!("#{sort}")
}

/// The primary key of an item.
pub(crate) fn primary(pk: String, sk: &str) -> Item {
    Item::from([("pk".into(), text(pk)), ("sk".into(), text(sort(sk)))])
}

/// The primary key of a document's item.
pub(crate) fn document_key(key: &Key) -> Item {
    primary(document_partition(&key.pk), &key.sk)
}

/// The primary key of an entry's item.
pub(crate) fn entry_key(entry: &Entry) -> Item {
    primary(entry_partition(&entry.index), &entry.sort)
}

/// An entry's whole item.
pub(crate) fn entry_item(entry: &Entry, document: &Key) -> Item {
    let mut item = entry_key(entry);
    item.insert("dp".into(), text(document_partition(&document.pk)));
    item.insert("ds".into(), text(sort(&document.sk)));
    item
}

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The attribute of counters that start at zero.
pub(crate) fn zeros(counters: &[String]) -> AttributeValue {
    AttributeValue::M(counters.iter().map(|name| (name.clone(), number(0))).collect())
}

/// The expiry attributes: the exact time, and the second from which DynamoDB may delete the item.
pub(crate) fn expiry(at: Timestamp) -> [(&'static str, AttributeValue); 2] {
    let millis = at.as_millisecond();
    [
        ("x", number(millis)),
        ("ttl", number(millis.saturating_add(999).div_euclid(1000))),
    ]
}

/// The document in an item, or `None` if it has expired.
pub(crate) fn document(mut item: Item, now: Timestamp) -> Result<Option<Document>, StoreError> {
    let key = Key::new(take_text(&mut item, "pk", "d#")?, take_text(&mut item, "sk", "#")?);
    let expires_at = match item.remove("x") {
        Some(at) => Some(Timestamp::from_millisecond(integer("x", &at)?).map_err(|_| damaged("x"))?),
        None => None,
    };
    if expires_at.is_some_and(|at| at <= now) {
        return Ok(None);
    }
    let version = u64::try_from(integer("v", &item.remove("v").ok_or_else(|| damaged("v"))?)?);
    let Some(AttributeValue::M(counters)) = item.remove("n") else {
        return Err(damaged("n"));
    };
    let counters = counters
        .into_iter()
        .map(|(name, count)| Ok((name, integer("n", &count)?)))
        .collect::<Result<BTreeMap<String, i64>, StoreError>>()?;
    Ok(Some(Document {
        key,
        version: version.map_err(|_| damaged("v"))?,
        body: take_text(&mut item, "b", "")?,
        counters: serde_json::to_string(&counters).map_err(|_| damaged("n"))?,
        expires_at,
    }))
}

/// The sort key of an entry, and the key of its document.
pub(crate) fn entry(mut item: Item) -> Result<(String, Key), StoreError> {
    let document = Key::new(take_text(&mut item, "dp", "d#")?, take_text(&mut item, "ds", "#")?);
    Ok((take_text(&mut item, "sk", "#")?, document))
}

/// A text attribute without its stored prefix.
pub(crate) fn take_text(item: &mut Item, name: &str, prefix: &str) -> Result<String, StoreError> {
    match item.remove(name) {
        Some(AttributeValue::S(value)) => value
            .strip_prefix(prefix)
            .map(str::to_owned)
            .ok_or_else(|| damaged(name)),
        _ => Err(damaged(name)),
    }
}

fn integer(name: &str, value: &AttributeValue) -> Result<i64, StoreError> {
    value
        .as_n()
        .ok()
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| damaged(name))
}

fn damaged(name: &str) -> StoreError {
    StoreError::Corrupt(format!("an item's attribute {name} is not what it should be"))
}
