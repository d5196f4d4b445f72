//! The reference: what a store must do, in the fewest words.
//!
//! One lock is held from the first condition to the last write; that is all its atomicity.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use souk_core::documents::{MAX_KEYS, Scan, Source, check_tenant};
use souk_core::{
    Change, Clock, Commit, Condition, Consistency, Document, Documents, Entry, Item, Key, Page, Query, StoreError,
    Tenant, Timestamp,
};

/// Documents in memory.
pub struct Model {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    documents: BTreeMap<Key, Stored>,
    entries: BTreeMap<Entry, Key>,
}

#[derive(Clone)]
struct Stored {
    version: u64,
    body: String,
    counters: BTreeMap<String, i64>,
    expires_at: Option<Timestamp>,
}

impl Model {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Which changes stand in the way of a commit.
    pub fn failing(&self, changes: &[Change]) -> Vec<usize> {
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        (0..changes.len())
            .filter(|&i| !state.allows(&changes[i], now))
            .collect()
    }

    /// The entries that the document at `key` has.
    pub fn entries_of(&self, key: &Key) -> Vec<Entry> {
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        let of_key = state
            .entries
            .iter()
            .filter(|(_, owner)| *owner == key && state.live(key, now).is_some());
        of_key.map(|(entry, _)| entry.clone()).collect()
    }

    /// The version of the document at `key`, 0 where there is none.
    pub fn version_of(&self, key: &Key) -> u64 {
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        state.live(key, now).map_or(0, |stored| stored.version)
    }

    /// Whether the partition holds something that has expired.
    pub fn has_expired(&self, partition: &str) -> bool {
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        state
            .documents
            .keys()
            .any(|key| key.pk == partition && state.live(key, now).is_none())
    }
}

impl State {
    fn live(&self, key: &Key, now: Timestamp) -> Option<&Stored> {
        self.documents
            .get(key)
            .filter(|stored| stored.expires_at.is_none_or(|at| at > now))
    }

    fn document(&self, key: &Key, now: Timestamp) -> Option<Document> {
        let stored = self.live(key, now)?.clone();
        let counters = serde_json::to_string(&stored.counters).unwrap();
        let Stored {
            version,
            body,
            expires_at,
            ..
        } = stored;
        Some(Document {
            key: key.clone(),
            version,
            body,
            counters,
            expires_at,
        })
    }

    fn allows(&self, change: &Change, now: Timestamp) -> bool {
        let version = self.live(change.key(), now).map(|stored| stored.version);
        match change {
            Change::Put { condition, .. } | Change::Delete { condition, .. } | Change::Require { condition, .. } => {
                match condition {
                    Condition::Absent => version.is_none(),
                    Condition::Exists => version.is_some(),
                    Condition::Version(wanted) => version == Some(*wanted),
                    Condition::Any => true,
                }
            }
            Change::Add { .. } => version.is_some(),
        }
    }

    fn apply(&mut self, change: Change, now: Timestamp) {
        match change {
            Change::Put {
                key,
                body,
                counters,
                expires_at,
                entries,
                stale,
                ..
            } => {
                let stored = match self.live(&key, now).cloned() {
                    Some(old) => Stored {
                        version: old.version + 1,
                        body,
                        counters: old.counters,
                        expires_at,
                    },
                    None => {
                        let counters = counters.into_iter().map(|name| (name, 0)).collect();
                        Stored {
                            version: 1,
                            body,
                            counters,
                            expires_at,
                        }
                    }
                };
                self.documents.insert(key.clone(), stored);
                self.entries.retain(|entry, _| !stale.contains(entry));
                self.entries
                    .extend(entries.into_iter().map(|entry| (entry, key.clone())));
            }
            Change::Delete { key, stale, .. } => {
                self.documents.remove(&key);
                self.entries.retain(|entry, _| !stale.contains(entry));
            }
            Change::Add { key, counter, delta } => {
                if let Some(stored) = self.documents.get_mut(&key) {
                    *stored.counters.entry(counter).or_default() += delta;
                }
            }
            Change::Require { .. } => {}
        }
    }
}

#[async_trait]
impl Documents for Model {
    async fn get(&self, keys: &[Key], _: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        if keys.len() > MAX_KEYS {
            return Err(StoreError::Refused("too many keys".into()));
        }
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        Ok(keys.iter().map(|key| state.document(key, now)).collect())
    }

    async fn scan(&self, tenant: &Tenant, _: Option<&str>) -> Result<Scan, StoreError> {
        check_tenant(tenant)?;
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        let keys = state.documents.keys().filter(|key| tenant.own(&key.pk).is_some());
        let documents = keys.filter_map(|key| state.document(key, now)).collect();
        Ok(Scan { documents, next: None })
    }

    async fn erase(&self, tenant: &Tenant, _: Option<&str>) -> Result<Option<String>, StoreError> {
        check_tenant(tenant)?;
        let mut state = self.state.lock().unwrap();
        state.documents.retain(|key, _| tenant.own(&key.pk).is_none());
        state.entries.retain(|entry, _| tenant.own(&entry.index).is_none());
        Ok(None)
    }

    async fn query(&self, query: &Query, _: Consistency) -> Result<Page, StoreError> {
        query.check()?;
        let (now, state) = (self.clock.now(), self.state.lock().unwrap());
        let places: Vec<(&String, &Key)> = match &query.source {
            Source::Partition(pk) => state
                .documents
                .keys()
                .filter(|key| key.pk == *pk)
                .map(|key| (&key.sk, key))
                .collect(),
            Source::Index(name) => {
                let inside = state.entries.iter().filter(|(entry, _)| entry.index == *name);
                inside.map(|(entry, key)| (&entry.sort, key)).collect()
            }
        };
        let behind = |sort: &String| match &query.after {
            None => true,
            Some(after) if query.descending => sort < after,
            Some(after) => sort > after,
        };
        let all: Vec<_> = places
            .into_iter()
            .filter(|(sort, _)| sort.starts_with(&query.prefix))
            .collect();
        let total = (query.count > 0).then(|| all.len().min(query.count));
        let mut items: Vec<Item> = all
            .into_iter()
            .filter(|(sort, _)| behind(sort))
            .filter_map(|(sort, key)| {
                Some(Item {
                    sort: sort.clone(),
                    document: state.document(key, now)?,
                })
            })
            .collect();
        if query.descending {
            items.reverse();
        }
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|item| item.sort.clone());
        Ok(Page { items, next, total })
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check()?;
        let (now, mut state) = (self.clock.now(), self.state.lock().unwrap());
        if let Some(failing) = commit.changes.iter().position(|change| !state.allows(change, now)) {
            return Err(StoreError::Conflict(failing));
        }
        for change in commit.changes {
            state.apply(change, now);
        }
        Ok(())
    }
}
