//! What stands between the market and the systems that it calls: a circuit breaker per dependency, and retries within a
//! budget. The [`Outbound`] port below makes single attempts.
//!
//! **Breaker.** After [`FAILURES`] failures in a row (no answer, or a 5xx) a dependency is *open*: nobody is asked, and
//! calls fail at once, so that its time-outs are no one else's. After [`REST_MS`], twice as long each time up to
//! [`MAX_REST_MS`], it is *half-open*: one call goes through, and decides.
//!
//! **Retries.** What may be repeated (by its method, or because it carries an `Idempotency-Key`) is tried once more if
//! the first attempt broke or met a 502, 503 or 504: at once, within the call's own deadline, and only as long as
//! retries are less than a tenth of all calls. This is the only layer that retries inside of a call; jobs have schedules
//! of their own, and what they send by POST is tried once here.
//!
//! **Shares.** Whoever makes us call what is theirs ([`CircuitBreaker::call_for`]) has at most [`CONCURRENCY_PER_OWNER`] such calls under way at
//! once, so that their receivers, however slow, leave room for those of others.
//!
//! The state is this instance's own and is lost with it: it protects, it does not count. It remembers
//! [`MAX_DEPENDENCIES`] dependencies and forgets first what was not called for the longest time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use souk_core::outbound::{Call, OutboundError, Reply, target};
use souk_core::{Clock, Outbound, Timestamp};

/// How many failures in a row open the circuit.
pub const FAILURES: u32 = 5;
/// How long it stays open at first, in milliseconds.
pub const REST_MS: i64 = 30_000;
/// How long it stays open at most, in milliseconds.
pub const MAX_REST_MS: i64 = 600_000;
/// How many dependencies are remembered.
pub const MAX_DEPENDENCIES: usize = 1_000;
/// How many calls may be under way at once for one owner.
pub const CONCURRENCY_PER_OWNER: u32 = 8;
/// What one retry costs; each call earns one.
const RETRY_COST: u32 = 10;
/// How much can be saved up: ten retries in a row.
const MAX_RETRY_BUDGET: u32 = 100;

/// The port, guarded.
pub struct CircuitBreaker {
    port: Arc<dyn Outbound>,
    clock: Arc<dyn Clock>,
    allow: Vec<String>,
    memory: Mutex<Memory>,
}

struct Memory {
    retry_budget: u32,
    breakers: HashMap<String, Breaker>,
    /// How many calls are under way for whom; nobody is in it with none.
    under_way: HashMap<String, u32>,
}

/// A call under way for somebody, until it is dropped.
struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    owner: &'a str,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut memory = self.breaker.memory();
        match memory.under_way.get_mut(self.owner) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(memory.under_way.remove(self.owner)),
        }
    }
}

/// How a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// Calls go through.
    Closed,
    /// Calls fail at once.
    Open,
    /// The next call goes through, as a probe.
    HalfOpen,
}

/// A system that others of ours depend on, as this instance has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Dependency {
    /// Its host and port, or what the caller calls it.
    pub name: String,
    /// Its circuit.
    pub state: Circuit,
    /// How many calls in a row have failed.
    pub failures: u32,
    /// When the circuit opened, if it is not closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opened_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Breaker {
    failures: u32,
    opened_at: Option<i64>,
    /// When the next probe may go; a probe that is never heard of again blocks no other after that.
    probe_at: i64,
    rest: i64,
    used_at: i64,
}

impl Breaker {
    fn state(&self, now: i64) -> Circuit {
        match self.opened_at {
            None => Circuit::Closed,
            Some(_) if now < self.probe_at => Circuit::Open,
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// Whether a call may go through. A probe takes the turn until its deadline.
    fn admits(&mut self, now: i64, timeout: i64) -> bool {
        self.used_at = now;
        match self.state(now) {
            Circuit::Closed => true,
            Circuit::Open => false,
            Circuit::HalfOpen => {
                self.probe_at = now.saturating_add(timeout).saturating_add(1);
                true
            }
        }
    }

    fn note(&mut self, healthy: bool, now: i64) {
        if healthy {
            let used_at = self.used_at;
            *self = Self {
                used_at,
                ..Self::default()
            };
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let rests = self.opened_at.is_some_and(|at| now < at.saturating_add(self.rest));
        // A call that was under way when it opened changes nothing; a probe that fails doubles the rest.
        if self.failures >= FAILURES && !rests {
            self.rest = self.rest.saturating_mul(2).clamp(REST_MS, MAX_REST_MS);
            self.opened_at = Some(now);
            self.probe_at = now.saturating_add(self.rest);
        }
    }
}

impl CircuitBreaker {
    /// The port behind its guard. `allow` is what the operator lets it call besides public addresses.
    pub fn new(port: Arc<dyn Outbound>, clock: Arc<dyn Clock>, allow: Vec<String>) -> Self {
        Self {
            port,
            clock,
            allow,
            memory: Mutex::new(Memory {
                retry_budget: MAX_RETRY_BUDGET,
                breakers: HashMap::new(),
                under_way: HashMap::new(),
            }),
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a system of `owner`'s, out of their share, as the dependency `name`: one of many receivers behind one host,
    /// say, whose failures are no fault of the others.
    pub async fn call_for(&self, owner: &str, name: &str, call: Call) -> Result<Reply, OutboundError> {
        let _permit = self.acquire(owner).ok_or(OutboundError::Busy)?;
        self.call_as(name, call).await
    }

    fn acquire<'a>(&'a self, owner: &'a str) -> Option<Permit<'a>> {
        let mut memory = self.memory();
        let count = memory.under_way.entry(owner.to_owned()).or_default();
        (*count < CONCURRENCY_PER_OWNER).then(|| {
            *count = count.saturating_add(1);
            Permit { breaker: self, owner }
        })
    }

    async fn call_as(&self, name: &str, call: Call) -> Result<Reply, OutboundError> {
        // What is refused says nothing of the dependency, and gives the memory nothing to remember.
        target(&call.url, &self.allow)?;
        let (began, timeout) = (self.now(), i64::from(call.timeout_ms));
        self.admit(name, began, timeout)?;
        let mut result = self.port.call(call.clone()).await;
        let left = timeout.saturating_sub(self.now().saturating_sub(began));
        if let Ok(left) = u32::try_from(left)
            && left > 0
            && is_passing(&result)
            && may_repeat(&call)
            && self.spend()
        {
            let timeout_ms = left;
            result = self.port.call(Call { timeout_ms, ..call }).await;
        }
        self.note(name, &result);
        result
    }

    fn admit(&self, name: &str, now: i64, timeout: i64) -> Result<(), OutboundError> {
        let mut memory = self.memory();
        memory.retry_budget = memory.retry_budget.saturating_add(1).min(MAX_RETRY_BUDGET);
        if !memory.breakers.contains_key(name) && memory.breakers.len() >= MAX_DEPENDENCIES {
            let oldest = memory.breakers.iter().min_by_key(|(_, breaker)| breaker.used_at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                memory.breakers.remove(&oldest);
            }
        }
        let breaker = memory.breakers.entry(name.to_owned()).or_default();
        if breaker.admits(now, timeout) {
            Ok(())
        } else {
            Err(OutboundError::Open)
        }
    }

    /// Takes a retry out of the budget.
    fn spend(&self) -> bool {
        let mut memory = self.memory();
        let rest = memory.retry_budget.checked_sub(RETRY_COST);
        memory.retry_budget = rest.unwrap_or(memory.retry_budget);
        rest.is_some()
    }

    fn note(&self, name: &str, result: &Result<Reply, OutboundError>) {
        let healthy = match result {
            Ok(reply) => reply.status < 500,
            Err(OutboundError::TimedOut | OutboundError::Failed(_)) => false,
            // Nobody was asked.
            Err(OutboundError::Refused(_) | OutboundError::Open | OutboundError::Busy) => return,
        };
        let now = self.now();
        let mut memory = self.memory();
        let Some(breaker) = memory.breakers.get_mut(name) else {
            return;
        };
        let before = breaker.opened_at;
        breaker.note(healthy, now);
        match (before, breaker.opened_at) {
            (None, Some(_)) => tracing::warn!(dependency = name, "circuit opened"),
            (Some(_), None) => tracing::info!(dependency = name, "circuit closed"),
            _ => {}
        }
    }

    /// What this instance has called lately, by name.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let now = self.now();
        let memory = self.memory();
        let mut all: Vec<Dependency> = memory
            .breakers
            .iter()
            .map(|(name, breaker)| Dependency {
                name: name.clone(),
                state: breaker.state(now),
                failures: breaker.failures,
                opened_at: breaker.opened_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[async_trait]
impl Outbound for CircuitBreaker {
    /// The dependency is the host with its port.
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        let target = target(&call.url, &self.allow)?;
        self.call_as(&format!("{}:{}", target.host, target.port), call).await
    }
}

/// Whether another attempt may do better.
fn is_passing(result: &Result<Reply, OutboundError>) -> bool {
    match result {
        Ok(reply) => matches!(reply.status, 502..=504),
        Err(error) => matches!(error, OutboundError::Failed(_)),
    }
}

fn may_repeat(call: &Call) -> bool {
    matches!(call.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
        || call.headers.iter().any(|(name, _)| name == "idempotency-key")
}

#[cfg(test)]
mod tests;
