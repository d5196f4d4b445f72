//! The ports of a market in memory: they do what a test says.
//!
//! Every operation of the store and the queue has two moments at which its process may die: before it has happened, and
//! after, before it is known.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use fastrand::Rng;
use souk_core::documents::Scan;
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, QueueError, check};
use souk_core::{
    Commit, Consistency, Document, Documents, Key, Lane, Message, Outbound, Page, Query, Queue, Random, StoreError,
    Tenant,
};
use souk_tests::contract::{Model, TestClock};

/// Until when the process lives: so many moments, for ever if negative.
#[derive(Default)]
pub(crate) struct Life(pub(crate) AtomicI64);

impl Life {
    /// A moment; the last one never ends.
    async fn moment(&self) {
        let mut first = true;
        std::future::poll_fn(|context| {
            if self.0.load(Ordering::SeqCst) == 0 {
                return Poll::Pending;
            }
            if first {
                first = false;
                // Others have their turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let left = self.0.load(Ordering::SeqCst);
            self.0.store((left - 1).max(-1), Ordering::SeqCst);
            if left == 1 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// The reference store, out of reach when told so.
pub(crate) struct Store {
    pub(crate) model: Model,
    pub(crate) life: Arc<Life>,
    pub(crate) is_down: AtomicBool,
}

impl Store {
    async fn step<T>(&self, act: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.life.moment().await;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("told so".into()));
        }
        let result = act.await;
        self.life.moment().await;
        result
    }
}

#[async_trait]
impl Documents for Store {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.step(self.model.get(keys, consistency)).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.step(self.model.query(query, consistency)).await
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        self.step(self.model.scan(tenant, after)).await
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.step(self.model.erase(tenant, after)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.step(self.model.commit(commit)).await
    }
}

/// A message in its lane.
pub(crate) struct Row {
    pub(crate) message: Message,
    pub(crate) due: i64,
    pub(crate) deliveries: u32,
}

/// A queue in memory, out of reach when told so.
pub(crate) struct Lanes {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) life: Arc<Life>,
    pub(crate) rows: Mutex<Vec<Row>>,
    pub(crate) is_down: AtomicBool,
}

impl Lanes {
    /// Puts a message there as it is, due now.
    pub(crate) fn put(&self, message: Message) {
        self.rows.lock().unwrap().push(Row {
            message,
            due: self.clock.ahead(0).as_millisecond(),
            deliveries: 0,
        });
    }

    /// Takes up to so many that are due, in the order in which they stand.
    pub(crate) fn take(&self, lane: Lane, limit: usize) -> Vec<Row> {
        let now = self.clock.ahead(0).as_millisecond();
        let mut taken = Vec::new();
        let mut rows = self.rows.lock().unwrap();
        let mut rest = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if row.message.lane == lane && row.due <= now && taken.len() < limit {
                taken.push(row);
            } else {
                rest.push(row);
            }
        }
        *rows = rest;
        taken
    }
}

#[async_trait]
impl Queue for Lanes {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        check(messages)?;
        self.life.moment().await;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(QueueError::Unavailable("told so".into()));
        }
        let now = self.clock.ahead(0);
        for message in messages {
            self.rows.lock().unwrap().push(Row {
                due: now.as_millisecond() + message.delay_seconds(now) * 1000,
                message: message.clone(),
                deliveries: 0,
            });
        }
        self.life.moment().await;
        Ok(())
    }

    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(QueueError::Unavailable("told so".into()));
        }
        let now = self.clock.ahead(0).as_millisecond();
        let rows = self.rows.lock().unwrap();
        let ready = rows
            .iter()
            .filter(|row| row.message.lane == lane && row.due <= now)
            .count();
        Ok(Backlog {
            ready: Some(u64::try_from(ready).unwrap()),
            ..Backlog::default()
        })
    }
}

pub(crate) struct Seeded(pub(crate) Mutex<Rng>);

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

pub(crate) struct Nobody;

#[async_trait]
impl Outbound for Nobody {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Failed("there is nobody".into()))
    }
}
