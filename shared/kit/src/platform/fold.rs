//! Folding of repeated work: many events about one thing become few messages.
//!
//! The first message about a thing is sent at once, the next one delayed; what comes while the delayed one cannot have been
//! delivered yet needs no message, since that one will find its effect. So a job that follows a thing runs about once a
//! second and instance, however often the thing changes. If the delayed message could not be sent, its record is still in the
//! outbox, and what the sweeper finds there is not folded: a message that it sends may have been done before.

use std::collections::HashMap;

/// The delay of the second message, in milliseconds.
const DELAY_MS: i64 = 2_000;
/// How much earlier than that it may be processed, in milliseconds.
pub(crate) const EARLY_MS: i64 = 1_000;
/// How many things are remembered.
const MAX_THINGS: usize = 10_000;

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Send,
    /// Send it with this delay in milliseconds.
    Delay(i64),
    Drop,
}

/// When the last message about a thing may be processed, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Folding {
    due: HashMap<String, i64>,
}

impl Folding {
    pub(super) fn next(&mut self, thing: String, now: i64) -> Fold {
        if self.due.len() >= MAX_THINGS {
            self.due.retain(|_, due| due.saturating_add(DELAY_MS) > now);
            if self.due.len() >= MAX_THINGS {
                self.due.clear();
            }
        }
        // A later one is of a clock that ran ahead.
        let last = self.due.get(&thing).filter(|due| **due <= now.saturating_add(DELAY_MS));
        match last {
            Some(due) if *due > now.saturating_add(EARLY_MS) => Fold::Drop,
            Some(due) if due.saturating_add(DELAY_MS) > now => {
                self.due.insert(thing, now.saturating_add(DELAY_MS));
                Fold::Delay(DELAY_MS)
            }
            _ => {
                self.due.insert(thing, now);
                Fold::Send
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the times of the changes, each is followed by a message that is processed after it, and they are few.
    #[test]
    fn every_change_is_followed_by_a_message() {
        for interval in [1, 7, 400, 999, 1_000, 1_001, 1_999, 2_000, 5_000] {
            let (mut folding, start) = (Folding::default(), 1_800_000_000_000);
            let mut earliest = Vec::new();
            let changes: Vec<i64> = (0..1_000).map(|n| start + n * interval).collect();
            for now in &changes {
                match folding.next("a".into(), *now) {
                    Fold::Send => earliest.push(*now),
                    Fold::Delay(delay) => earliest.push(now + delay - EARLY_MS),
                    Fold::Drop => {}
                }
            }
            let last = earliest.iter().max().copied();
            assert!(
                changes.iter().all(|change| earliest.iter().any(|at| at >= change)),
                "{interval}"
            );
            assert!(last >= changes.last().copied(), "{interval}");
            let seconds = usize::try_from(1_000 * interval / 1_000).unwrap();
            assert!(earliest.len() <= seconds + 2, "{interval}: {} messages", earliest.len());
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_folds_nothing_away() {
        let (mut folding, now) = (Folding::default(), 1_800_000_000_000);
        for _ in 0..3 {
            folding.next("a".into(), now + 86_400_000);
        }
        assert_eq!(folding.next("a".into(), now), Fold::Send);
        assert_eq!(folding.next("b".into(), now), Fold::Send);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut folding = Folding::default();
        for n in 0..3 * MAX_THINGS {
            folding.next(n.to_string(), 0);
        }
        assert!(folding.due.len() <= MAX_THINGS);
    }
}
