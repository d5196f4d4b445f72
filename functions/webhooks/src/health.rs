//! The health of a webhook's receiver, and how fast the receiver is called: `webhook-health/{id}`.
//!
//! **Rate.** [`BURST`] deliveries at once, then one every [`INTERVAL_MS`] (GCRA). A caller reserves the next slot before the
//! call, in a commit of its own, and comes back when that slot is due. So all consumers keep the rate together, and a wave of
//! retries is spread out.
//!
//! **Disabling.** A webhook is disabled after [`MAX_FAILURES`] failures in a row over at least [`MAX_FAILING_SECONDS`]; an
//! event says so. The outcome of a call is noted after the call: if the process dies in between, that outcome is not counted.

use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp, clock};

/// How many deliveries may be sent at once after a pause.
pub(crate) const BURST: i64 = 20;
/// The interval between deliveries after that, in milliseconds.
pub(crate) const INTERVAL_MS: i64 = 100;
/// A webhook is disabled after this many failures in a row ...
pub(crate) const MAX_FAILURES: u32 = 20;
/// ... if the first of them is at least this long ago, in seconds.
pub(crate) const MAX_FAILING_SECONDS: i64 = 24 * 3600;

/// What is known of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// The slot after the last reserved one, if slots were evenly spaced, in milliseconds since 1970.
    #[serde(default)]
    next_at: i64,
    /// How many calls in a row have failed.
    #[serde(default)]
    pub(crate) failures: u32,
    /// When the first of those calls failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
}

impl Health {
    pub(crate) fn key(webhook: &str) -> Key {
        Key::of("webhook-health", webhook)
    }

    /// Reserves the next slot; returns the milliseconds until it is due.
    pub(crate) fn reserve(&mut self, now: i64) -> i64 {
        let slot = self.next_at.max(now);
        self.next_at = slot.saturating_add(INTERVAL_MS);
        slot.saturating_sub(now)
            .saturating_sub((BURST - 1) * INTERVAL_MS)
            .max(0)
    }

    /// Notes the outcome of a call; returns whether the webhook is to be disabled.
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
    fn slots_come_in_a_burst_and_then_evenly() {
        let mut health = Health::default();
        let now = 1_800_000_000_000;
        let waits: Vec<i64> = (0..BURST + 3).map(|_| health.reserve(now)).collect();
        assert!(waits.iter().take(20).all(|wait| *wait == 0));
        assert_eq!(waits.iter().skip(20).copied().collect::<Vec<_>>(), [100, 200, 300]);
        // A delivery that comes back for its slot reserves no other; a pause earns the burst again.
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
        // Often, and not for long.
        assert!((0..100).all(|_| !health.note(false, start)));
        assert!(!health.note(false, clock::after(day, -1)));
        assert!(health.note(false, day));
        // For long, and not often.
        let mut health = Health::default();
        for n in 1..i64::from(MAX_FAILURES) {
            assert!(!health.note(false, clock::after(start, n * 86_400)));
        }
        // One success forgives it all.
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
