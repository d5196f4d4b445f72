//! A `KeyValue` as bad as the port allows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fastrand::Rng;
use souk_core::key_value::{KeyValueError, check};
use souk_core::{Clock as _, KeyValue, Timestamp};
use souk_tests::contract::TestClock;

use crate::world::pause;

/// What a key had from a millisecond on: a value with its expiry, or none.
type State = (i64, Option<(String, i64)>);

/// Unless it is told to be better it gives what was there at any time in the last minute, fails now and then, takes its time,
/// and of what fails some is done.
pub(crate) struct Values {
    clock: Arc<TestClock>,
    states: Mutex<BTreeMap<String, Vec<State>>>,
    dice: Mutex<Rng>,
    /// How far it is behind, in milliseconds.
    pub(crate) lag: AtomicI64,
    /// How many calls of a hundred fail.
    pub(crate) fails: AtomicU8,
    pub(crate) gets: AtomicUsize,
    pub(crate) puts: AtomicUsize,
}

impl Values {
    pub(crate) fn new(seed: u64, clock: Arc<TestClock>) -> Self {
        Self {
            clock,
            states: Mutex::default(),
            dice: Mutex::new(Rng::with_seed(seed)),
            lag: 60_000.into(),
            fails: 5.into(),
            gets: 0.into(),
            puts: 0.into(),
        }
    }

    /// From now on it is as good as a store, but for what it has until then.
    pub(crate) fn be_good(&self) {
        self.lag.store(0, Ordering::SeqCst);
        self.fails.store(0, Ordering::SeqCst);
    }

    async fn call(&self) -> Result<(), KeyValueError> {
        let turns = self.dice.lock().unwrap().u8(..4);
        pause(turns).await;
        if self.dice.lock().unwrap().u8(..100) < self.fails.load(Ordering::SeqCst) {
            return Err(KeyValueError::Unavailable("bad luck".into()));
        }
        Ok(())
    }

    async fn set(&self, key: &str, state: Option<(String, i64)>) -> Result<(), KeyValueError> {
        let called = self.call().await;
        if called.is_ok() || self.dice.lock().unwrap().bool() {
            let mut states = self.states.lock().unwrap();
            let states = states.entry(key.to_owned()).or_insert_with(|| vec![(i64::MIN, None)]);
            states.push((self.clock.now().as_millisecond(), state));
        }
        let turns = self.dice.lock().unwrap().u8(..4);
        pause(turns).await;
        called
    }
}

#[async_trait]
impl KeyValue for Values {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        check(key, "")?;
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.call().await?;
        let now = self.clock.now().as_millisecond();
        let seen = {
            let states = self.states.lock().unwrap();
            let Some(states) = states.get(key) else { return Ok(None) };
            let from = now - self.lag.load(Ordering::SeqCst);
            let first = states.partition_point(|(since, _)| *since <= from) - 1;
            let n = self.dice.lock().unwrap().usize(first..states.len());
            let n = if from == now { states.len() - 1 } else { n };
            states[n].1.clone()
        };
        let turns = self.dice.lock().unwrap().u8(..4);
        pause(turns).await;
        Ok(seen.filter(|(_, expires_at)| now < *expires_at).map(|(value, _)| value))
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        check(key, value)?;
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.set(key, Some((value.to_owned(), expires_at.as_millisecond())))
            .await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        check(key, "")?;
        self.set(key, None).await
    }
}
