//! The `Documents` port: versioned JSON documents, read strongly, written atomically.
//!
//! **Consistency.** A [`Strong`](Consistency::Strong) `get` sees every commit that was acknowledged before it began. A strong
//! `query` sees an index as one commit left it, and never names a document that is gone; an adapter may let it lag by
//! milliseconds. [`Eventual`](Consistency::Eventual) reads may lag by seconds, but an instance always sees its own commits.
//! A `commit` happens whole or not at all, whatever fails and whenever.
//!
//! **Shape.** It is DynamoDB's, because that one scales without a ceiling and SQL gets it cheaply; the reverse is not
//! true. A document lives at a [`Key`] (partition and sort). Partitions can be read in order. Beside them a document may
//! stand in any number of *indexes*, through the [`Entry`]s that its writer computes: an order stands in
//! `orders/open`, in `orders/open/buyer/7` and so on. Entries change in the same commit as their document.
//! Index names start with a kind of their own, so that index and key partitions never mix.
//!
//! **Numbers that many add to** (votes, views) are *counters* beside the body: [`Change::Add`] never conflicts with an
//! edit and does not change the version.
//!
//! **Time to live.** From the millisecond of its `expires_at` on a document is absent for every read and every condition;
//! the storage is given back later. What is written in its place is a new document: version 1, counters at zero.
//!
//! All of this is what `tests/src/contract` checks of every adapter.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use async_trait::async_trait;
use serde::de::{DeserializeOwned, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How much one commit may hold: each change and each entry that it writes or removes counts one (DynamoDB's limit).
pub const MAX_COMMIT: usize = 100;
/// How large a document's body may be, in bytes (the smallest of all platforms' limits, with room to spare).
pub const MAX_BODY: usize = 100 * 1024;
/// How large all the bodies of one commit may be together, in bytes (DynamoDB takes 4 MB with everything else).
pub const MAX_COMMIT_BODY: usize = 3 * 1024 * 1024;
/// How long each part of a key, the name of an index and a sort key may be, in bytes (DynamoDB's limit, less a mark).
/// Nothing longer is ever stored, so a `get` of a longer key finds nothing.
pub const MAX_KEY: usize = 1000;
/// How far one `Add` may go: what every store and every JSON reader keeps exact.
pub const MAX_DELTA: i64 = 9_007_199_254_740_991;
/// How many keys one `get` takes.
pub const MAX_KEYS: usize = 100;
/// How many items one `query` page holds.
pub const MAX_LIMIT: usize = 100;

/// Where a document lives: a partition and a place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The partition, for example `account` or `sessions/acc_…`. Spread writes over many partitions.
    pub pk: String,
    /// The place in it; a partition is read in the order of these, byte by byte.
    pub sk: String,
}

impl Key {
    /// The key at `sk` of partition `pk`.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// The key of a document that has a partition to itself: `kind/name`.
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
    /// The newest state. Whatever is decided, written or shown to a principal reads this way.
    #[default]
    Strong,
    /// A replica or a cache may answer that is seconds behind. For public responses that caches keep for seconds anyway.
    Eventual,
}

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where it lives.
    pub key: Key,
    /// 1 when created, one more with every put. Counters leave it alone.
    pub version: u64,
    /// A JSON object, as text, byte for byte as it was put: it can be served without being parsed.
    pub body: String,
    /// A JSON object of integers, as text.
    pub counters: String,
    /// When it ceases to exist.
    pub expires_at: Option<Timestamp>,
}

impl Document {
    /// The body as `T`. A body that does not fit is a fault of ours, never the client's.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.body).map_err(|e| self.corrupt(&e))
    }

    /// One field of the body. Reads the body up to that field and no further.
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

/// Stops reading at a field. Serde has no word for "enough", so the visitor ends with an error once it has the value.
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
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.name {
                *self.found = Some(map.next_value()?);
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom(format!("there is no field {}", self.name)))
    }
}

/// A document's place in an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The name of the index.
    pub index: String,
    /// Its place in the index, read byte by byte. Must end in something that only this document has, such as its id.
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

/// What must be true of a document for a commit to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// There is none (or it has expired).
    Absent,
    /// There is one.
    Exists,
    /// There is one, at this version.
    Version(u64),
    /// Either way.
    Any,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Writes the body. The version becomes 1 for a document that was absent, else one more than it was.
    Put {
        /// Where.
        key: Key,
        /// A JSON object.
        body: String,
        /// Counters that start at zero with a new document; one that was there keeps exactly its own, and gets none of
        /// these.
        counters: Vec<String>,
        /// When it ceases to exist, for good or until the next put says otherwise; it may have passed already. A document
        /// that expires has no entries.
        expires_at: Option<Timestamp>,
        /// What must be true before.
        condition: Condition,
        /// Entries that it has now and did not have before.
        entries: Vec<Entry>,
        /// Entries that it had before and loses. A store takes the writer's word for it, so whoever computes them from
        /// what was read should hold on to the version that was read.
        stale: Vec<Entry>,
    },
    /// Removes the document. `Absent` makes no sense here and is refused.
    Delete {
        /// Where.
        key: Key,
        /// What must be true before.
        condition: Condition,
        /// All the entries that it had.
        stale: Vec<Entry>,
    },
    /// Adds to a counter of a document, which must exist; a counter that it has not starts at zero. A counter stays within
    /// ±(2^53 - 1), what JSON and every store can say exactly.
    Add {
        /// Where.
        key: Key,
        /// The counter's name: ASCII letters, digits and `_`.
        counter: String,
        /// How much, also negative.
        delta: i64,
    },
    /// Writes nothing; the commit fails unless this is true.
    Require {
        /// Where.
        key: Key,
        /// What must be true. `Any` makes no sense here and is refused.
        condition: Condition,
    },
}

impl Change {
    /// A new document; fails if there is one.
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

    /// A new body for the document that was read at `version`, whose entries were `before` and shall be `after`.
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

    /// Takes a name for one owner: a small document that fails if the name is taken.
    pub fn claim(key: Key, owner: &str) -> Self {
        Change::create(key, serde_json::json!({ "id": owner }).to_string(), Vec::new())
    }

    /// Where it happens.
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

/// A unit of work: all of its changes happen, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// In no particular order: no two may touch one key.
    pub changes: Vec<Change>,
}

impl Commit {
    /// A commit of these changes.
    #[must_use]
    pub fn new(changes: Vec<Change>) -> Self {
        Self { changes }
    }

    /// Refuses what not every store could do; every adapter calls it first, so that all refuse alike.
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
            if key.pk.len() > MAX_KEY || key.sk.len() > MAX_KEY {
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
                    if entries
                        .iter()
                        .any(|e| e.index.len() > MAX_KEY || e.sort.len() > MAX_KEY)
                    {
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

fn is_counter(name: &str) -> bool {
    !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What a query reads: a partition of keys or an index, in the order of its sort keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// What to read.
    pub source: Source,
    /// Only what sorts with this prefix. Empty for all.
    pub prefix: String,
    /// From the last to the first.
    pub descending: bool,
    /// At most this many, from 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Only what comes after this sort key, in the order asked for; it need not exist.
    pub after: Option<String>,
}

/// Where a query reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The documents of one key partition.
    Partition(String),
    /// The documents that stand in one index.
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
        }
    }

    /// The sort keys it may answer with, as a range: from the first, inclusive, to the second, exclusive (`None`: no end).
    /// `after` is applied besides.
    #[must_use]
    pub fn bounds(&self) -> (&str, Option<String>) {
        let mut end = self.prefix.clone();
        while let Some(last) = end.pop() {
            // The next character up; surrogates are no characters, and nothing follows the last one.
            let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
            if let Some(next) = next {
                end.push(next);
                return (&self.prefix, Some(end));
            }
        }
        (&self.prefix, None)
    }

    /// Refuses what not every store could do; every adapter calls it first.
    pub fn check(&self) -> Result<(), StoreError> {
        let (Source::Partition(name) | Source::Index(name)) = &self.source;
        let after = self.after.as_ref().map_or(0, String::len);
        if name.len() > MAX_KEY || self.prefix.len() > MAX_KEY || after > MAX_KEY {
            return Err(StoreError::Refused("what a query names is at most 1000 bytes".into()));
        }
        if (1..=MAX_LIMIT).contains(&self.limit) {
            Ok(())
        } else {
            Err(StoreError::Refused("a page holds 1 to 100 documents".into()))
        }
    }
}

/// A document and where it stood in what was queried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its sort key: pass it as `after` to go on behind this one.
    pub sort: String,
    /// The document.
    pub document: Document,
}

/// One page of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// At most `limit` of them; fewer, even none, does not mean the end.
    pub items: Vec<Item>,
    /// Where to go on, or `None` at the end. With nothing expired in sight it is `Some` only if something follows.
    pub next: Option<String>,
}

/// Why a store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StoreError {
    /// A condition did not hold. Nothing was written.
    #[error("the condition of change {0} does not hold")]
    Conflict(
        /// Which change, counted from 0. With several, any of them.
        usize,
    ),
    /// Throttled, timed out or out of reach. A commit has happened whole or not at all; to ask again is safe for a
    /// commit that carries a claim or a version.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Not something that every store could do; a fault of the caller.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// What is stored is not what was expected.
    #[error("a stored document is damaged: {0}")]
    Corrupt(String),
}

/// The port. `Send` on every host; the Workers adapter hides futures that are not.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The documents at these keys, in their order, `None` where there is none. At most [`MAX_KEYS`], also repeated ones;
    /// no keys, no call.
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError>;

    /// One page of a partition or an index.
    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError>;

    /// All the changes or none.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// Asks the store for a sign of life, for `/readyz`.
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
    fn a_field_is_read_wherever_it_is() {
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
