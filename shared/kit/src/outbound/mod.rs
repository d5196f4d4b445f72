//! Resilience of outbound requests: a circuit breaker per dependency, a retry budget, and a concurrency limit per
//! owner. The wrapped [`Outbound`] port makes single attempts.
//!
//! **Circuit breaker.** After [`FAILURES`] consecutive failures (no response, or a 5xx) the circuit of a dependency is
//! *open*: requests fail at once, so that the time-outs of one dependency do not block other work. After [`REST_MS`],
//! doubled after each failed probe up to [`MAX_REST_MS`], the circuit is *half-open*: one probe is sent, and its result
//! closes the circuit or opens it again.
//!
//! **Retries.** A request that is idempotent (by its method, or because it has an `Idempotency-Key`) is retried once if
//! the connection failed or the status was 502, 503 or 504: immediately, within the deadline of the request, and only
//! while retries are less than a tenth of all requests. No other layer retries within a request. Jobs have their own
//! retry schedules, and a POST without an `Idempotency-Key` is sent once here.
//!
//! **Concurrency.** Requests to a system that belongs to an account ([`CircuitBreaker::call_for`]) are limited to
//! [`CONCURRENCY_PER_OWNER`] in flight per account, so that the slow receivers of one account do not delay the others. While
//! [`SHARED_CONCURRENCY`] are in flight, an account may have one only: the rest is kept for accounts that have none.
//!
//! The state is in the memory of this instance and is not shared between instances. It holds [`MAX_DEPENDENCIES`]
//! dependencies and evicts the least recently used one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use souk_core::outbound::{Call, OutboundError, Reply, target};
use souk_core::{Clock, Outbound, Timestamp};

/// How many consecutive failures open the circuit.
pub const FAILURES: u32 = 5;
/// How long the circuit stays open at first, in milliseconds.
pub const REST_MS: i64 = 30_000;
/// How long the circuit stays open at most, in milliseconds.
pub const MAX_REST_MS: i64 = 600_000;
/// How many dependencies have a circuit breaker at most.
pub const MAX_DEPENDENCIES: usize = 1_000;
/// How many requests may be in flight for one owner.
pub const CONCURRENCY_PER_OWNER: u32 = 8;
/// How many requests of all owners may be in flight before an owner may have no second one: three quarters of what the local
/// host works on at once.
pub const SHARED_CONCURRENCY: u32 = 192;
/// What one retry takes from the budget; each request adds 1.
const RETRY_COST: u32 = 10;
/// The limit of the budget: ten consecutive retries.
const MAX_RETRY_BUDGET: u32 = 100;

/// An [`Outbound`] port with circuit breakers, retries and concurrency limits.
pub struct CircuitBreaker {
    port: Arc<dyn Outbound>,
    clock: Arc<dyn Clock>,
    allow: Vec<String>,
    memory: Mutex<Memory>,
}

struct Memory {
    retry_budget: u32,
    breakers: HashMap<String, Breaker>,
    /// Requests in flight by owner; owners without any are absent.
    under_way: HashMap<String, u32>,
}

/// One request in flight for an owner; dropping it releases the slot.
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

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CircuitState)]
pub enum Circuit {
    /// Requests are sent.
    Closed,
    /// Requests fail immediately.
    Open,
    /// The next request is sent as a probe.
    HalfOpen,
}

/// An external system, as seen by this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Dependency {
    /// The host and port, or a name chosen by the caller.
    pub name: String,
    /// The state of its circuit breaker.
    pub state: Circuit,
    /// The number of consecutive failures.
    pub failures: u32,
    /// When the circuit opened; `null` if it is closed.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub opened_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Breaker {
    failures: u32,
    opened_at: Option<i64>,
    /// When the next probe may be sent, in milliseconds. It lies after the deadline of a running probe, so a lost probe
    /// does not block the next one.
    probe_at: i64,
    rest: i64,
    used_at: i64,
}

impl Breaker {
    fn state(&self, now: i64) -> Circuit {
        match self.opened_at {
            None => Circuit::Closed,
            // A longer rest is one of a clock that has been set back.
            Some(_) if (self.probe_at.saturating_sub(MAX_REST_MS)..self.probe_at).contains(&now) => Circuit::Open,
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// Whether a request may be sent. While a probe is in flight, no other request is, until the deadline of the probe.
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
        // Ignore requests that were in flight when the circuit opened; a failed probe doubles the time that it stays
        // open.
        if self.failures >= FAILURES && !rests {
            self.rest = self.rest.saturating_mul(2).clamp(REST_MS, MAX_REST_MS);
            self.opened_at = Some(now);
            self.probe_at = now.saturating_add(self.rest);
        }
    }
}

impl CircuitBreaker {
    /// Wraps `port`. `allow` lists the hosts that the operator allows besides public addresses.
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

    /// Sends a request to a system of `owner`, within the concurrency limit of `owner`. The circuit breaker is that of
    /// `name` rather than of the host, for example because a host serves many receivers that fail independently.
    pub async fn call_for(&self, owner: &str, name: &str, call: Call) -> Result<Reply, OutboundError> {
        let _permit = self.acquire(owner).ok_or(OutboundError::Busy)?;
        self.call_as(name, call).await
    }

    fn acquire<'a>(&'a self, owner: &'a str) -> Option<Permit<'a>> {
        let mut memory = self.memory();
        let all = memory
            .under_way
            .values()
            .fold(0_u32, |all, count| all.saturating_add(*count));
        let own = memory.under_way.get(owner).copied().unwrap_or(0);
        let is_free = own == 0 || (own < CONCURRENCY_PER_OWNER && all < SHARED_CONCURRENCY);
        is_free.then(|| {
            memory.under_way.insert(owner.to_owned(), own.saturating_add(1));
            Permit { breaker: self, owner }
        })
    }

    async fn call_as(&self, name: &str, call: Call) -> Result<Reply, OutboundError> {
        // A refused URL is no failure of the dependency, and must not take a place in the memory.
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

    /// Takes one retry from the budget; `false` if it is used up.
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
            // No request was sent.
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

    /// The dependencies that this instance has called recently, sorted by name.
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
    /// The circuit breaker is that of the host and port.
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        let target = target(&call.url, &self.allow)?;
        self.call_as(&format!("{}:{}", target.host, target.port), call).await
    }
}

/// Whether the failure is transient.
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
