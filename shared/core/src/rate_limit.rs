//! The `RateLimit` port: how much a client may do in a time, counted once for all instances of a host.
//!
//! Each key has a *cell*, which counts the units taken in the current window. A window begins with the first unit that is
//! taken and ends a fixed time later; then the whole quota is there again. An instance that is asked often takes several units
//! at once and spends them itself. Units that are not spent are given back, or return with the next window. So never more
//! than the quota is spent in a window, whatever fails.
//!
//! `tests/src/contract/limits.rs` checks every adapter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Clock, StoreError};

/// How many units may be spent in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The units.
    pub units: u32,
    /// The length of the window in seconds.
    pub seconds: u32,
}

/// What a cell lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many units may be spent now; none if nothing is left.
    pub granted: u32,
    /// How many are left for others.
    pub left: u32,
    /// The end of the window, in milliseconds since 1970.
    pub ends_at: i64,
}

/// The rate limit port.
#[async_trait]
pub trait RateLimit: Send + Sync {
    /// Takes up to `wanted` units, as [`Cell::take`] says.
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError>;

    /// Gives back units of the window that ends at `ends_at`. If that window is over, nothing happens. It is tried once: units that
    /// are lost so return with the next window.
    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError>;

    /// Ends the window of a key: its whole quota is there again, beside what others have taken before.
    async fn clear(&self, key: &str) -> Result<(), StoreError>;
}

/// The count of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The units taken in the window.
    pub used: u32,
    /// The end of the window, in milliseconds since 1970.
    pub ends_at: i64,
}

impl Cell {
    /// Takes up to `wanted` units: one, or at most a third of what is left, so that other instances get theirs and an instance
    /// that ends takes little with it. Near the end of the quota it is always one.
    pub fn take(&mut self, quota: Quota, wanted: u32, now: i64) -> Taken {
        let length = i64::from(quota.seconds).saturating_mul(1000);
        // A window that ends much later than one from now on is one of a clock that was wrong.
        if self.ends_at <= now || self.ends_at > latest_end(quota, now) {
            *self = Self {
                used: 0,
                ends_at: now.saturating_add(length),
            };
        }
        let left = quota.units.saturating_sub(self.used);
        let granted = share(left, wanted);
        self.used = self.used.saturating_add(granted);
        Taken {
            granted,
            left: left.saturating_sub(granted),
            ends_at: self.ends_at,
        }
    }

    /// Gives back units of the window that ends at `ends_at`.
    pub fn give_back(&mut self, units: u32, ends_at: i64) {
        if self.ends_at == ends_at {
            self.used = self.used.saturating_sub(units);
        }
    }
}

/// When a window ends at the latest, as far as is believed: the clocks of instances differ a little.
#[must_use]
pub fn latest_end(quota: Quota, now: i64) -> i64 {
    now.saturating_add(i64::from(quota.seconds).saturating_mul(2000))
}

/// How many units are granted of those that are left.
#[must_use]
pub fn share(left: u32, wanted: u32) -> u32 {
    wanted.min((left / 3).max(1)).min(left)
}

/// Cells in the memory of this process, for a host that has one process only, and for tests.
pub struct InMemory {
    clock: Arc<dyn Clock>,
    cells: Mutex<HashMap<String, Cell>>,
}

/// From how many cells on those whose windows are over are removed. Hosts with so many clients have another adapter.
const MANY: usize = 10_000;

impl InMemory {
    /// No cells yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            cells: Mutex::default(),
        }
    }

    fn cells(&self) -> std::sync::MutexGuard<'_, HashMap<String, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RateLimit for InMemory {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        let now = self.clock.now().as_millisecond();
        let mut cells = self.cells();
        if cells.len() >= MANY {
            cells.retain(|_, cell| cell.ends_at > now);
        }
        Ok(cells.entry(key.to_owned()).or_default().take(quota, wanted, now))
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        if let Some(cell) = self.cells().get_mut(key) {
            cell.give_back(units, ends_at);
        }
        Ok(())
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        self.cells().remove(key);
        Ok(())
    }
}
