//! The `Clock` port: the only source of the current time.

/// A point in time, in UTC. Serialized as RFC 3339.
pub type Timestamp = jiff::Timestamp;

/// The host's clock. Tests pass a clock that they set.
pub trait Clock: Send + Sync {
    /// The current time, to the millisecond at least.
    fn now(&self) -> Timestamp;
}

/// `base` moved by `seconds`; what cannot be told apart from never is a hundred years from `base`.
#[must_use]
pub fn after(base: Timestamp, seconds: i64) -> Timestamp {
    let moved = base.as_millisecond().saturating_add(seconds.saturating_mul(1000));
    let century = base.as_millisecond().saturating_add(100 * 365 * 86_400_000);
    Timestamp::from_millisecond(moved.min(century)).unwrap_or(base)
}
