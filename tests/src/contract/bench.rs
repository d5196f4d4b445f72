//! What a case works with: [`Bench`], and short ways to say what it means.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use souk_core::{
    Change, Clock, Commit, Condition, Consistency, Document, Documents, Entry, Item, Key, Page, Query, StoreError,
    Timestamp,
};

/// A clock that stands still until it is moved.
///
/// It starts in the future (2049), so that a database with a time to live of its own never reaps what a case still needs.
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(2_500_000_000_000))
    }
}

impl TestClock {
    /// Moves it forward.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// The moment that lies `millis` ahead, or behind if negative.
    pub fn ahead(&self, millis: i64) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst) + millis).unwrap()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.ahead(0)
    }
}

/// An adapter that was opened, or what it lacks.
pub enum Made {
    /// The adapter, and what must live as long as it does (a temporary directory, say).
    Ready(Arc<dyn Documents>, Box<dyn Any + Send>),
    /// It cannot be tested here: what the reader should do first, for example `set SOUK_TEST_D1`.
    Missing(&'static str),
}

impl Made {
    /// An adapter that is ready.
    pub fn ready(store: impl Documents + 'static, keep: impl Any + Send) -> Self {
        Self::Ready(Arc::new(store), Box::new(keep))
    }
}

/// Opens an adapter from the address in the environment variable `name`, where there is one. `set` says how to get one.
pub async fn from_env<S, F>(name: &str, set: &'static str, open: F) -> Made
where
    S: Documents + 'static,
    F: AsyncFnOnce(String) -> S,
{
    match std::env::var(name) {
        Ok(address) => Made::ready(open(address).await, ()),
        Err(_) => Made::Missing(set),
    }
}

/// A store under test, with names of its own in it.
pub struct Bench {
    /// The store.
    pub store: Arc<dyn Documents>,
    /// The clock it was given.
    pub clock: Arc<TestClock>,
    prefix: String,
    _keep: Option<Box<dyn Any + Send>>,
}

/// Runs one case against what `make` opens, alone among those that share `turn`.
pub fn run(
    make: impl AsyncFnOnce(Arc<TestClock>) -> Made,
    turn: Option<&tokio::sync::Mutex<()>>,
    case: impl AsyncFnOnce(&Bench),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if let Some(bench) = open(make).await {
            let _turn = match turn {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            case(&bench).await;
        }
    });
}

/// Opens an adapter, or says aloud what it lacks.
pub async fn open(make: impl AsyncFnOnce(Arc<TestClock>) -> Made) -> Option<Bench> {
    let clock = Arc::new(TestClock::default());
    match make(clock.clone()).await {
        Made::Ready(store, keep) => Some(Bench {
            store,
            clock,
            prefix: unique(),
            _keep: Some(keep),
        }),
        Made::Missing(set) => {
            missing(set);
            None
        }
    }
}

/// Says once that something cannot be tested here, or fails for it where all is to be tested.
pub fn missing(set: &'static str) {
    assert!(
        std::env::var("SOUK_TEST_ALL").is_err(),
        "SOUK_TEST_ALL is set, but something is missing: {set}"
    );
    skipped(set);
}

/// Says once that something is not tested here.
pub fn skipped(set: &'static str) {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(set) {
        // Not by `eprintln!`, which the test harness shows for failed tests only.
        let _ = writeln!(std::io::stderr(), "skipped: {set}");
    }
}

/// A name that nothing else has, in this run or another.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{:016x}",
        RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
    )
}

impl Bench {
    /// The same store under new names.
    pub fn renamed(&self) -> Bench {
        Bench {
            store: self.store.clone(),
            clock: self.clock.clone(),
            prefix: unique(),
            _keep: None,
        }
    }

    /// The name of a partition of this case.
    pub fn partition(&self, name: &str) -> String {
        format!("test-{}/{name}", self.prefix)
    }

    /// The name of an index of this case.
    pub fn index(&self, name: &str) -> String {
        format!("tests-{}/{name}", self.prefix)
    }

    /// A key of this case.
    pub fn key(&self, pk: &str, sk: &str) -> Key {
        Key::new(self.partition(pk), sk)
    }

    /// An entry of this case.
    pub fn entry(&self, index: &str, sort: &str) -> Entry {
        Entry::new(self.index(index), sort)
    }

    /// Commits.
    pub async fn commit(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreError> {
        self.store.commit(Commit::new(changes.into_iter().collect())).await
    }

    /// Commits what must succeed.
    #[track_caller]
    pub fn done(&self, changes: impl IntoIterator<Item = Change>) -> impl Future<Output = ()> {
        let from = std::panic::Location::caller();
        let commit = self.commit(changes.into_iter().collect::<Vec<_>>());
        async move {
            commit
                .await
                .unwrap_or_else(|e| panic!("the commit at {from} failed: {e}"))
        }
    }

    /// The documents at these keys, their counters in a form that can be compared.
    pub async fn get(&self, keys: &[Key]) -> Vec<Option<Document>> {
        let found = self.store.get(keys, Consistency::Strong).await.unwrap();
        found.into_iter().map(|document| document.map(comparable)).collect()
    }

    /// The document at `key`.
    pub async fn one(&self, key: &Key) -> Option<Document> {
        self.get(std::slice::from_ref(key)).await.pop().unwrap()
    }

    /// One page, its documents in a form that can be compared.
    pub async fn page(&self, query: &Query) -> Page {
        let page = self.store.query(query, Consistency::Strong).await.unwrap();
        let item = |Item { sort, document }| Item {
            sort,
            document: comparable(document),
        };
        Page {
            items: page.items.into_iter().map(item).collect(),
            next: page.next,
            total: page.total,
        }
    }

    /// All pages of a query, from its `after` to the end.
    pub async fn all(&self, query: Query) -> Vec<Item> {
        let (mut query, mut all) = (query, Vec::new());
        loop {
            let page = self.page(&query).await;
            assert!(page.items.len() <= query.limit, "a page larger than asked for");
            all.extend(page.items);
            let Some(next) = page.next else { return all };
            assert_ne!(query.after.as_ref(), Some(&next), "{query:?} does not move on");
            query.after = Some(next);
        }
    }

    /// The sort keys of all pages.
    pub async fn sorts(&self, query: Query) -> Vec<String> {
        self.all(query).await.into_iter().map(|item| item.sort).collect()
    }
}

/// The document with its counters in alphabetical order and no spaces, whatever its store makes of them.
pub fn comparable(document: Document) -> Document {
    let counters: BTreeMap<String, i64> =
        serde_json::from_str(&document.counters).unwrap_or_else(|e| panic!("counters {}: {e}", document.counters));
    Document {
        counters: serde_json::to_string(&counters).unwrap(),
        ..document
    }
}

/// A small body.
pub fn body(n: impl Into<i64>) -> String {
    format!(r#"{{"n":{}}}"#, n.into())
}

/// A put of `body(n)` without anything else.
pub fn put(key: &Key, n: i64, condition: Condition) -> Change {
    let (key, body) = (key.clone(), body(n));
    Change::Put {
        key,
        body,
        counters: Vec::new(),
        expires_at: None,
        condition,
        entries: Vec::new(),
        stale: Vec::new(),
    }
}

/// A creation of `body(n)` with these entries.
pub fn create(key: &Key, n: i64, entries: impl IntoIterator<Item = Entry>) -> Change {
    Change::create(key.clone(), body(n), entries.into_iter().collect())
}

/// A put with counters.
pub fn counted(key: &Key, n: i64, condition: Condition, names: &[&str]) -> Change {
    let mut change = put(key, n, condition);
    if let Change::Put { counters, .. } = &mut change {
        *counters = names.iter().map(|&name| name.to_owned()).collect();
    }
    change
}

/// A put that expires.
pub fn expiring(key: &Key, n: i64, condition: Condition, at: Timestamp) -> Change {
    let mut change = put(key, n, condition);
    if let Change::Put { expires_at, .. } = &mut change {
        *expires_at = Some(at);
    }
    change
}

/// A deletion.
pub fn delete(key: &Key, condition: Condition, stale: impl IntoIterator<Item = Entry>) -> Change {
    Change::Delete {
        key: key.clone(),
        condition,
        stale: stale.into_iter().collect(),
    }
}

/// An addition to a counter.
pub fn add(key: &Key, counter: &str, delta: i64) -> Change {
    Change::Add {
        key: key.clone(),
        counter: counter.to_owned(),
        delta,
    }
}

/// A requirement.
pub fn require(key: &Key, condition: Condition) -> Change {
    Change::Require {
        key: key.clone(),
        condition,
    }
}
