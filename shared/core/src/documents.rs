//! The `Documents` port: versioned JSON documents with strongly consistent reads and atomic commits.
//!
//! **Consistency.** A [`Strong`](Consistency::Strong) `get` sees every commit that was acknowledged before it began. A
//! strong `query` sees an index as one commit left it, and never returns a document that is deleted; an adapter may let
//! it lag by milliseconds. [`Eventual`](Consistency::Eventual) reads may lag by seconds, but an instance always sees
//! its own commits. A `commit` is atomic, whatever fails and whenever.
//!
//! **Data model.** It is DynamoDB's, because DynamoDB scales without a ceiling and SQL can implement the model cheaply;
//! the reverse is not true. A document has a [`Key`] (partition and sort key). A partition can be read in the order of
//! its sort keys. A document may also be in any number of *indexes*, through the [`Entry`]s that its writer computes:
//! an order is in `orders/open`, in `orders/open/buyer/7` and so on. Entries change in the same commit as their
//! document. Index names start with a kind of their own, so the names of indexes and key partitions never collide.
//!
//! **Counters** (votes, views) are numbers that many writers add to. They are stored beside the body: [`Change::Add`]
//! never conflicts with an edit and does not change the version.
//!
//! **Time to live.** From the millisecond of its `expires_at` on, a document is absent to every read and every
//! condition; its storage is freed later. A put to its key creates a new document: version 1, counters at zero.
//!
//! `tests/src/contract` checks all of this for every adapter.

use std::collections::{HashMap, HashSet};
use std::fmt;

use async_trait::async_trait;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::tenant::NAME_LENGTH;
use crate::{Tenant, Timestamp};

/// The size limit of a commit: each change counts one, and so does each entry that is written or removed (DynamoDB's
/// limit).
pub const MAX_COMMIT: usize = 100;
/// The largest body of a document, in bytes (the smallest of all platforms' limits, with room to spare).
pub const MAX_BODY: usize = 100 * 1024;
/// The largest sum of the bodies of one commit, in bytes (DynamoDB accepts 4 MB including everything else).
pub const MAX_COMMIT_BODY: usize = 3 * 1024 * 1024;
/// The longest part of a key, index name or sort key of an entry, in bytes (DynamoDB's limit, less a prefix). Nothing
/// longer is ever stored, so a `get` of a longer key finds nothing.
pub const MAX_KEY: usize = 1000;
/// The largest delta of an `Add`: what every store and every JSON parser keeps exact.
pub const MAX_DELTA: i64 = 9_007_199_254_740_991;
/// The maximum number of keys of a `get`.
pub const MAX_KEYS: usize = 200;
/// The maximum number of items of a `query` page.
pub const MAX_LIMIT: usize = 100;
/// How far a `query` counts at most.
pub const MAX_COUNT: usize = 1_001;

/// The key of a document: partition and sort key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The partition, for example `account` or `sessions/acc_…`. Writes should spread over many partitions.
    pub pk: String,
    /// The sort key. A partition is read in the byte order of its sort keys.
    pub sk: String,
}

impl Key {
    /// The key with partition `pk` and sort key `sk`.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// The key of a document in a partition of its own: `kind/name`.
    #[must_use]
    pub fn of(kind: &str, name: &str) -> Self {
        Self {
            pk: [kind, "/", name].concat(),
            sk: String::new(),
        }
    }
}

/// How current a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// The newest state. Required for whatever is decided, written or shown to a principal.
    #[default]
    Strong,
    /// A replica or cache may answer, which may be stale by seconds. For public responses that caches keep for seconds
    /// anyway.
    Eventual,
}

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The key.
    pub key: Key,
    /// 1 when created, increased by one with every put. Counters do not change it.
    pub version: u64,
    /// A JSON object as text, byte for byte as it was put, so it can be served without parsing.
    pub body: String,
    /// A JSON object of integers, as text.
    pub counters: String,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl Document {
    /// Parses the body as `T`. A body that does not fit is our fault, never the client's.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.body).map_err(|e| self.corrupt(&e))
    }

    /// The counter `name`; 0 if there is none.
    #[must_use]
    pub fn counter(&self, name: &str) -> i64 {
        let counters: HashMap<&str, i64> = serde_json::from_str(&self.counters).unwrap_or_default();
        counters.get(name).copied().unwrap_or(0)
    }

    /// One field of the body. Parses the body up to that field and no further.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let mut found = None;
        let visitor = FieldVisitor {
            name,
            found: &mut found,
        };
        let result = serde_json::Deserializer::from_str(&self.body).deserialize_map(visitor);
        match (found, result) {
            (Some(value), _) => Ok(value),
            (None, Err(error)) => Err(self.corrupt(&error)),
            (None, Ok(())) => Err(StoreError::Corrupt(format!("{}: {name}", self.key.pk))),
        }
    }

    fn corrupt(&self, error: &serde_json::Error) -> StoreError {
        StoreError::Corrupt(format!("{}/{}: {error}", self.key.pk, self.key.sk))
    }
}

/// Stops parsing at a field. The deserializer then reports that it has not reached the end of the object; that error is
/// ignored.
struct FieldVisitor<'a, T> {
    name: &'a str,
    found: &'a mut Option<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for FieldVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field {}", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_wanted) = map.next_key_seed(IsName(self.name))? {
            if is_wanted {
                *self.found = Some(map.next_value()?);
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Deserializes a field name to whether it equals this one, without copying it.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The position of a document in an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The name of the index.
    pub index: String,
    /// The sort key in the index, compared byte by byte. Must end in something unique to this document, such as its id.
    pub sort: String,
}

impl Entry {
    /// An entry of `index` at `sort`.
    pub fn new(index: impl Into<String>, sort: impl Into<String>) -> Self {
        Self {
            index: index.into(),
            sort: sort.into(),
        }
    }
}

/// A precondition on a document. A commit happens only if all of them hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The document does not exist (or has expired).
    Absent,
    /// The document exists.
    Exists,
    /// The document exists at this version.
    Version(u64),
    /// No condition.
    Any,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Writes the body. The version becomes 1 if the document was absent, else it grows by one.
    Put {
        /// The key of the document.
        key: Key,
        /// A JSON object.
        body: String,
        /// Counters that start at zero if the document is new. An existing document keeps exactly the counters that it
        /// has.
        counters: Vec<String>,
        /// When the document expires; replaces an earlier expiry, and `None` removes it. May be in the past. A document
        /// that expires has no entries.
        expires_at: Option<Timestamp>,
        /// The precondition.
        condition: Condition,
        /// The entries to add.
        entries: Vec<Entry>,
        /// The entries to remove. The store does not check that they are the document's, so a writer that computes them
        /// from a document should require the version that it read.
        stale: Vec<Entry>,
    },
    /// Deletes the document. The condition `Absent` is refused.
    Delete {
        /// The key of the document.
        key: Key,
        /// The precondition.
        condition: Condition,
        /// All entries of the document.
        stale: Vec<Entry>,
    },
    /// Adds to a counter of a document, which must exist. A missing counter starts at zero. A counter stays within
    /// ±(2^53 - 1), which JSON and every store keep exact.
    Add {
        /// The key of the document.
        key: Key,
        /// The counter's name: ASCII letters, digits and `_`.
        counter: String,
        /// The amount to add; may be negative.
        delta: i64,
    },
    /// Writes nothing, but the commit fails unless the condition holds.
    Require {
        /// The key of the document.
        key: Key,
        /// The condition. `Any` is refused.
        condition: Condition,
    },
}

impl Change {
    /// Creates a document; fails if it exists.
    pub fn create(key: Key, body: String, entries: Vec<Entry>) -> Self {
        Change::Put {
            key,
            body,
            counters: Vec::new(),
            expires_at: None,
            condition: Condition::Absent,
            entries,
            stale: Vec::new(),
        }
    }

    /// Replaces the body of the document that was read at `version`, and its entries `before` by `after`.
    pub fn replace(key: Key, version: u64, body: String, before: &[Entry], after: Vec<Entry>) -> Self {
        let stale = before.iter().filter(|e| !after.contains(e)).cloned().collect();
        let entries = after.into_iter().filter(|e| !before.contains(e)).collect();
        let condition = Condition::Version(version);
        Change::Put {
            key,
            body,
            counters: Vec::new(),
            expires_at: None,
            condition,
            entries,
            stale,
        }
    }

    /// Claims a unique name for one owner: creates a small document, which fails if the name is taken.
    pub fn claim(key: Key, owner: &str) -> Self {
        Change::create(key, serde_json::json!({ "id": owner }).to_string(), Vec::new())
    }

    /// The key of the document that it concerns.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Change::Put { key, .. }
            | Change::Delete { key, .. }
            | Change::Add { key, .. }
            | Change::Require { key, .. } => key,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Change::Put { entries, stale, .. } => 1 + entries.len() + stale.len(),
            Change::Delete { stale, .. } => 1 + stale.len(),
            Change::Add { .. } | Change::Require { .. } => 1,
        }
    }
}

/// A unit of work: all of its changes are applied, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The changes. Their order does not matter; no two may have the same key.
    pub changes: Vec<Change>,
}

impl Commit {
    /// A commit of these changes.
    #[must_use]
    pub fn new(changes: Vec<Change>) -> Self {
        Self { changes }
    }

    /// Refuses a commit that some store could not apply. Every adapter calls it first, so that all refuse the same
    /// commits.
    pub fn check(&self) -> Result<(), StoreError> {
        let refuse = |why: &str| Err(StoreError::Refused(why.to_owned()));
        if self.changes.is_empty() || self.changes.iter().map(Change::weight).sum::<usize>() > MAX_COMMIT {
            return refuse("a commit holds 1 to 100 changes and entries");
        }
        let mut seen = HashSet::new();
        let mut places = HashSet::new();
        let mut bodies = 0;
        for change in &self.changes {
            let key = change.key();
            if !is_name(&key.pk) || key.sk.len() > MAX_KEY {
                return refuse("each part of a key is at most 1000 bytes");
            }
            if !seen.insert(change.key()) {
                return refuse("two changes of one commit touch one document");
            }
            match change {
                Change::Put {
                    body,
                    entries,
                    stale,
                    expires_at,
                    counters,
                    ..
                } => {
                    bodies += body.len();
                    if body.len() > MAX_BODY || bodies > MAX_COMMIT_BODY {
                        return refuse("a document is at most 100 KB, and all of a commit at most 3 MB");
                    }
                    if entries.iter().any(|e| !is_name(&e.index) || e.sort.len() > MAX_KEY) {
                        return refuse("each part of an entry is at most 1000 bytes");
                    }
                    if expires_at.is_some() && !(entries.is_empty() && stale.is_empty()) {
                        return refuse("a document that expires has no entries");
                    }
                    if !counters.iter().all(|c| is_counter(c)) {
                        return refuse("a counter's name is ASCII letters, digits and _");
                    }
                    if !entries.iter().chain(stale).all(|e| places.insert(e)) {
                        return refuse("two changes of one commit touch one entry");
                    }
                }
                Change::Delete { condition, stale, .. } => {
                    if *condition == Condition::Absent {
                        return refuse("a delete cannot require that there is nothing");
                    }
                    if !stale.iter().all(|e| places.insert(e)) {
                        return refuse("two changes of one commit touch one entry");
                    }
                }
                Change::Require {
                    condition: Condition::Any,
                    ..
                } => return refuse("nothing is required"),
                Change::Add { delta, .. } if !(-MAX_DELTA..=MAX_DELTA).contains(delta) => {
                    return refuse("a counter moves by less than 2^53 at a time");
                }
                Change::Add { counter, .. } if !is_counter(counter) => {
                    return refuse("a counter's name is ASCII letters, digits and _");
                }
                Change::Add { .. } | Change::Require { .. } => {}
            }
        }
        Ok(())
    }
}

/// Whether a partition or an index may have this name, beside that of a tenant before it.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let own = match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        Some((tenant, own)) if NAME_LENGTH.contains(&tenant.len()) => own,
        _ => name,
    };
    own.len() <= MAX_KEY
}

fn is_counter(name: &str) -> bool {
    !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What a query reads: a key partition or an index, in the order of its sort keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// What to read.
    pub source: Source,
    /// Only sort keys with this prefix. Empty for all.
    pub prefix: String,
    /// In descending order.
    pub descending: bool,
    /// The maximum number of items, from 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Only items after this sort key, in the requested order. It need not exist.
    pub after: Option<String>,
    /// Counts the items, at most so many; 0 does not count. Only for the first page of an index: its documents do not
    /// expire, so that counting reads no documents.
    #[serde(default)]
    pub count: usize,
}

/// Where a query reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The documents of one key partition.
    Partition(String),
    /// The documents of one index.
    Index(String),
}

impl Query {
    /// The first `limit` documents of an index.
    pub fn index(name: impl Into<String>, limit: usize) -> Self {
        let source = Source::Index(name.into());
        Self {
            source,
            prefix: String::new(),
            descending: false,
            limit,
            after: None,
            count: 0,
        }
    }

    /// The first `limit` documents of a partition.
    pub fn partition(pk: impl Into<String>, limit: usize) -> Self {
        let source = Source::Partition(pk.into());
        Self {
            source,
            prefix: String::new(),
            descending: false,
            limit,
            after: None,
            count: 0,
        }
    }

    /// The range of sort keys with the prefix: from the first, inclusive, to the second, exclusive (`None`: no end). It
    /// does not consider `after`.
    #[must_use]
    pub fn bounds(&self) -> (&str, Option<String>) {
        let mut end = self.prefix.clone();
        while let Some(last) = end.pop() {
            // The next code point. Surrogates are not characters, and nothing follows the last code point.
            let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
            if let Some(next) = next {
                end.push(next);
                return (&self.prefix, Some(end));
            }
        }
        (&self.prefix, None)
    }

    /// Refuses a query that some store could not run. Every adapter calls it first.
    pub fn check(&self) -> Result<(), StoreError> {
        let (Source::Partition(name) | Source::Index(name)) = &self.source;
        let after = self.after.as_ref().map_or(0, String::len);
        if !is_name(name) || self.prefix.len() > MAX_KEY || after > MAX_KEY {
            return Err(StoreError::Refused("what a query names is at most 1000 bytes".into()));
        }
        let is_countable = self.after.is_none() && matches!(self.source, Source::Index(_));
        if self.count > MAX_COUNT || (self.count > 0 && !is_countable) {
            return Err(StoreError::Refused(
                "only the first page of an index counts, up to 1001".into(),
            ));
        }
        if (1..=MAX_LIMIT).contains(&self.limit) {
            Ok(())
        } else {
            Err(StoreError::Refused("a page holds 1 to 100 documents".into()))
        }
    }
}

/// A document and its position in the queried partition or index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The sort key. As `after` it continues the query behind this item.
    pub sort: String,
    /// The document.
    pub document: Document,
}

/// One page of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// At most `limit` items. Fewer, or even none, does not mean the end.
    pub items: Vec<Item>,
    /// Where the next page starts; `None` at the end. Unless expired documents are in the range, it is `Some` only if
    /// items follow.
    pub next: Option<String>,
    /// How many items there are, at most [`Query::count`]; `None` if the query does not count.
    #[serde(default)]
    pub total: Option<usize>,
}

/// Some of the documents of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The documents; there may be none on a page.
    pub documents: Vec<Document>,
    /// The `after` of the next page; `None` at the end.
    pub next: Option<String>,
}

/// Refuses the main market, for what is done to all that a tenant has.
pub fn check_tenant(tenant: &Tenant) -> Result<(), StoreError> {
    match tenant.is_main() {
        true => Err(StoreError::Refused("this is not done to the main market".into())),
        false => Ok(()),
    }
}

/// Why a store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StoreError {
    /// A condition did not hold. Nothing was written.
    #[error("the condition of change {0} does not hold")]
    Conflict(
        /// The index of the change. If several failed, any one of them.
        usize,
    ),
    /// Throttled, timed out or out of reach. A commit was applied as a whole or not at all. Retrying is safe for a
    /// commit that carries a claim or a version.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Some store could not do this; the caller's fault.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// The stored data is not in the expected form.
    #[error("a stored document is damaged: {0}")]
    Corrupt(String),
}

/// Begins the text of an `Unavailable` error of a database whose tables are of an older version than the program.
pub const OUTDATED: &str = "the database lacks a migration";

/// The documents port. `Send` on every host; the Workers adapter wraps futures that are not.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The documents with these keys, in their order; `None` if absent. Accepts at most [`MAX_KEYS`] keys, repeated
    /// ones included. Without keys, the store is not called.
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError>;

    /// One page of a partition or an index.
    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError>;

    /// Applies all changes or none.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// Some of the documents of a tenant, in an order of the store's own: for its export. It may read all of the store, page by
    /// page. The keys are those that are stored.
    async fn scan(&self, _tenant: &Tenant, _after: Option<&str>) -> Result<Scan, StoreError> {
        Err(StoreError::Refused("this store cannot be scanned".into()))
    }

    /// Removes some of what a tenant has, documents and entries, for its erasure. Returns the `after` of the next call, `None` if
    /// nothing is left. The main market cannot be erased.
    async fn erase(&self, _tenant: &Tenant, _after: Option<&str>) -> Result<Option<String>, StoreError> {
        Err(StoreError::Refused("nothing can be erased in this store".into()))
    }

    /// Checks that the store responds, for `/readyz`.
    async fn ping(&self) -> Result<(), StoreError> {
        self.get(&[Key::of("ping", "ping")], Consistency::Strong)
            .await
            .map(drop)
    }
}

/// The newest state of the document at `key`.
pub async fn get_one(store: &dyn Documents, key: Key) -> Result<Option<Document>, StoreError> {
    Ok(store.get(&[key], Consistency::Strong).await?.pop().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_at_any_position() {
        let document = |body: &str| Document {
            key: Key::of("thing", "1"),
            version: 1,
            body: body.into(),
            counters: "{}".into(),
            expires_at: None,
        };
        for body in [
            r#"{"a":{"n":1},"n":7,"b":[]}"#,
            r#"{"n":7}"#,
            r#" { "\u006e" : 7 , "#,
            r#"{"x":"\"n\":1","n":7}"#,
        ] {
            assert_eq!(document(body).field::<u8>("n"), Ok(7), "{body}");
        }
        for body in ["", "[]", "{}", r#"{"n":"x"}"#, r#"{"a":{"n":1}}"#, r#"{"a":1"#] {
            assert!(document(body).field::<u8>("n").is_err(), "{body}");
        }
    }
}
