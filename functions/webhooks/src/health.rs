//! How a webhook's receiver is doing, and how fast it is called: `webhook-health/{id}`.
//!
//! **Rate.** [`BURST`] deliveries at once, then one every [`INTERVAL_MS`]: whoever wants to call takes the next turn by
//! writing when the one after it is (GCRA), before the call and in a commit of its own, and comes back when its turn is
//! due. So consumers anywhere keep the rate together, and a wave of retries is drawn out.
//!
//! **Switching off.** What was called in vain [`MAX_FAILURES`] times in a row over [`MAX_FAILING_SECONDS`] and more is
//! switched off, and told so by an event. The outcome of a call is noted after it: if we die in between, it counts for
//! nothing here, and the next one counts again.

use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::event::Cause;
use souk_core::fact::{WEBHOOK_DISABLED, WebhookFact};
use souk_core::{Commit, Condition, Event, Key, StoreError, Timestamp, clock};
use souk_kit::Platform;

use crate::webhook::{WEBHOOK, Webhook, put};

/// How many deliveries may go at once to a webhook that has rested.
pub(crate) const BURST: i64 = 20;
/// How far apart they are after that, in milliseconds.
pub(crate) const INTERVAL_MS: i64 = 100;
/// After how many failures in a row a webhook is switched off, ...
pub(crate) const MAX_FAILURES: u32 = 20;
/// ... if the first of them is so long ago, in seconds.
pub(crate) const MAX_FAILING_SECONDS: i64 = 24 * 3600;
/// How often a write that lost a race is tried anew.
const RACES: usize = 20;

/// What is known of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// When the turn after the last one taken is, if turns were evenly spaced, in milliseconds since 1970.
    #[serde(default)]
    next_at: i64,
    /// How many calls in a row were in vain.
    #[serde(default)]
    pub(crate) failures: u32,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
}

impl Health {
    pub(crate) fn key(webhook: &str) -> Key {
        Key::of("webhook-health", webhook)
    }

    /// Takes the next turn; says how many milliseconds it is away.
    fn take_turn(&mut self, now: i64) -> i64 {
        let turn = self.next_at.max(now);
        self.next_at = turn.saturating_add(INTERVAL_MS);
        turn.saturating_sub(now)
            .saturating_sub((BURST - 1) * INTERVAL_MS)
            .max(0)
    }

    /// Notes a call; says whether it is one too many.
    fn note(&mut self, healthy: bool, now: Timestamp) -> bool {
        if healthy {
            (self.failures, self.failing_since) = (0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.failures >= MAX_FAILURES && clock::after(since, MAX_FAILING_SECONDS) <= now
    }
}

/// Takes the next turn to call a webhook; says how many milliseconds to wait for it.
pub(crate) async fn take_turn(platform: &Platform, webhook: &str) -> Result<i64, StoreError> {
    let now = platform.now().as_millisecond();
    update(platform, webhook, |health| health.take_turn(now)).await
}

/// Notes the outcome of a call, and switches the webhook off if that is due.
pub(crate) async fn note(platform: &Platform, webhook: &str, healthy: bool, cause: &Cause) -> Result<(), StoreError> {
    let now = platform.now();
    let (is_enough, failures) =
        update(platform, webhook, |health| (health.note(healthy, now), health.failures)).await?;
    if is_enough {
        let reason = format!("{failures} attempts in a row have failed, over a day and more");
        switch_off(platform, webhook, reason, cause).await?;
    }
    Ok(())
}

async fn update<T>(
    platform: &Platform,
    webhook: &str,
    mut change: impl FnMut(&mut Health) -> T,
) -> Result<T, StoreError> {
    for _ in 0..RACES {
        let found = get_one(&*platform.documents, Health::key(webhook)).await?;
        let mut health: Health = match &found {
            Some(document) => document.parse()?,
            None => Health::default(),
        };
        let result = change(&mut health);
        let condition = found.map_or(Condition::Absent, |document| Condition::Version(document.version));
        let write = put(Health::key(webhook), &health, condition, None)?;
        match platform.documents.commit(Commit::new(vec![write])).await {
            Err(StoreError::Conflict(_)) => {}
            written => return written.map(|()| result),
        }
    }
    Err(StoreError::Conflict(0))
}

/// Switches a webhook off and says so, in one commit; one that is off already stays as it is.
pub(crate) async fn switch_off(platform: &Platform, id: &str, reason: String, cause: &Cause) -> Result<(), StoreError> {
    for _ in 0..RACES {
        let Some(document) = get_one(&*platform.documents, WEBHOOK.key(id)).await? else {
            return Ok(());
        };
        let mut webhook: Webhook = document.parse()?;
        if !webhook.enabled {
            return Ok(());
        }
        let fact = WebhookFact {
            webhook: webhook.id.clone(),
            owner: webhook.owner.clone(),
            reason: reason.clone(),
        };
        let event = Event::new(WEBHOOK_DISABLED, &fact, cause, &*platform.clock, &*platform.random)?;
        webhook.enabled = false;
        webhook.disabled_reason = Some(reason.clone());
        webhook.updated_at = platform.now();
        let change = put(document.key, &webhook, Condition::Version(document.version), None)?;
        match platform.commit(vec![change], vec![event], Vec::new()).await {
            Err(StoreError::Conflict(_)) => {}
            result => {
                if result.is_ok() {
                    tracing::warn!(webhook = id, reason, "webhook switched off");
                }
                return result;
            }
        }
    }
    Err(StoreError::Conflict(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_a_burst_and_then_evenly() {
        let mut health = Health::default();
        let now = 1_800_000_000_000;
        let waits: Vec<i64> = (0..BURST + 3).map(|_| health.take_turn(now)).collect();
        assert!(waits.iter().take(20).all(|wait| *wait == 0));
        assert_eq!(waits.iter().skip(20).copied().collect::<Vec<_>>(), [100, 200, 300]);
        // A turn that comes back in time does not take another; a rest earns the burst again.
        assert_eq!(health.take_turn(now + 350), 50);
        assert_eq!(health.take_turn(now + 60_000), 0);
        let rested: i64 = (0..BURST - 1).map(|_| health.take_turn(now + 60_000)).sum();
        assert_eq!((rested, health.take_turn(now + 60_000)), (0, 100));
    }

    #[test]
    fn only_what_fails_for_long_and_often_is_switched_off() {
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
