//! The health and the rate limit of a webhook's receiver: `webhook-health/{id}`.
//!
//! **Rate limit.** [`BURST`] deliveries at once, then one every [`INTERVAL_MS`] (GCRA). A consumer reserves the next
//! slot in a separate commit before the request, and delays the delivery until that slot is due. So all consumers
//! together keep the limit, and a burst of retries is spread out.
//!
//! **Disabling.** A webhook is disabled after [`MAX_FAILURES`] consecutive failures over at least
//! [`MAX_FAILING_SECONDS`]; an event reports it. The outcome of a request is recorded after the request: if the process
//! crashes in between, that outcome is not counted.

use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp, clock};

/// How many deliveries may be sent in a burst after a pause.
pub(crate) const BURST: i64 = 20;
/// The interval between deliveries after a burst, in milliseconds.
pub(crate) const INTERVAL_MS: i64 = 100;
/// How far the clocks of two machines may differ, in milliseconds.
const CLOCK_SKEW_MS: i64 = 60_000;
/// A webhook is disabled after this many consecutive failures ...
pub(crate) const MAX_FAILURES: u32 = 20;
/// ... if the first of them is at least this long ago, in seconds.
pub(crate) const MAX_FAILING_SECONDS: i64 = 24 * 3600;

/// The state of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// The theoretical arrival time (GCRA) of the next delivery, in milliseconds since 1970.
    #[serde(default)]
    next_at: i64,
    /// When that was decided, in milliseconds since 1970: a moment that has not come yet is one of a wrong clock.
    #[serde(default)]
    reserved_at: i64,
    /// The number of consecutive failed requests.
    #[serde(default)]
    pub(crate) failures: u32,
    /// When the first of these requests failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
}

impl Health {
    pub(crate) fn key(webhook: &str) -> Key {
        Key::of("webhook-health", webhook)
    }

    /// Reserves the next slot; returns the milliseconds until it is due.
    pub(crate) fn reserve(&mut self, now: i64) -> i64 {
        let is_plausible = self.reserved_at <= now.saturating_add(CLOCK_SKEW_MS);
        let slot = if is_plausible { self.next_at.max(now) } else { now };
        self.reserved_at = now;
        self.next_at = slot.saturating_add(INTERVAL_MS);
        slot.saturating_sub(now)
            .saturating_sub((BURST - 1) * INTERVAL_MS)
            .max(0)
    }

    /// Records the outcome of a request; returns whether the webhook must be disabled.
    pub(crate) fn note(&mut self, is_success: bool, now: Timestamp) -> bool {
        if is_success {
            (self.failures, self.failing_since) = (0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.failures >= MAX_FAILURES && clock::after(since, MAX_FAILING_SECONDS) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_a_wrong_clock_holds_up_nothing() {
        let (mut health, now) = (Health::default(), 1_800_000_000_000);
        assert_eq!(health.reserve(now + 24 * 3_600_000), 0);
        assert_eq!(health.reserve(now), 0);
        assert_eq!(health.reserve(now - 24 * 3_600_000), 0);
    }

    #[test]
    fn slots_come_in_a_burst_and_then_evenly() {
        let mut health = Health::default();
        let now = 1_800_000_000_000;
        let waits: Vec<i64> = (0..BURST + 3).map(|_| health.reserve(now)).collect();
        assert!(waits.iter().take(20).all(|wait| *wait == 0));
        assert_eq!(waits.iter().skip(20).copied().collect::<Vec<_>>(), [100, 200, 300]);
        // A delivery that waits for its slot reserves no other slot; a pause allows a full burst again.
        assert_eq!(health.reserve(now + 350), 50);
        assert_eq!(health.reserve(now + 60_000), 0);
        let rested: i64 = (0..BURST - 1).map(|_| health.reserve(now + 60_000)).sum();
        assert_eq!((rested, health.reserve(now + 60_000)), (0, 100));
    }

    #[test]
    fn only_what_fails_for_long_and_often_is_disabled() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let day = clock::after(start, MAX_FAILING_SECONDS);
        let mut health = Health::default();
        // Many failures, but over a short time.
        assert!((0..100).all(|_| !health.note(false, start)));
        assert!(!health.note(false, clock::after(day, -1)));
        assert!(health.note(false, day));
        // Over a long time, but few failures.
        let mut health = Health::default();
        for n in 1..i64::from(MAX_FAILURES) {
            assert!(!health.note(false, clock::after(start, n * 86_400)));
        }
        // One success resets the count.
        assert!(!health.note(true, day) && health.failures == 0 && health.failing_since.is_none());
        assert!((0..100).all(|_| !health.note(false, clock::after(day, 60))));
    }

    #[test]
    fn stored_forms_are_pinned() {
        let stored = r#"{"next_at":1800000000000,"failures":3,"failing_since":"2026-11-21T12:00:00Z"}"#;
        let health: Health = serde_json::from_str(stored).unwrap();
        assert_eq!((health.next_at, health.failures), (1_800_000_000_000, 3));
        assert_eq!(serde_json::from_str::<Health>("{}").unwrap(), Health::default());
    }
}
