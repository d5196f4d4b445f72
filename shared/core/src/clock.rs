//! The `Clock` port: the only way to learn what time it is.

/// A moment, in UTC. Serialised as RFC 3339.
pub type Timestamp = jiff::Timestamp;

/// What time it is, as the host sees it. Tests pass a clock that they set.
pub trait Clock: Send + Sync {
    /// The present moment, to the millisecond at least.
    fn now(&self) -> Timestamp;
}

/// `base` moved by `seconds`, held at the ends of what a timestamp can say.
#[must_use]
pub fn after(base: Timestamp, seconds: i64) -> Timestamp {
    let moved = base.as_millisecond().saturating_add(seconds.saturating_mul(1000));
    Timestamp::from_millisecond(moved).unwrap_or(Timestamp::MAX)
}
