//! `Retry-After` of a store that stays unavailable: the longer it has failed, the later clients come again.

use std::sync::atomic::{AtomicI64, Ordering};

/// The bounds of `Retry-After`, in seconds.
const SOONEST: i64 = 1;
const LATEST: i64 = 30;

/// Since when reads and writes have failed, in milliseconds since 1970; 0 if the last one did not.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    reads: AtomicI64,
    writes: AtomicI64,
}

impl Outages {
    fn since(&self, is_read: bool) -> &AtomicI64 {
        if is_read { &self.reads } else { &self.writes }
    }

    /// A request did not find the store unavailable.
    pub(crate) fn end(&self, is_read: bool) {
        self.since(is_read).store(0, Ordering::Relaxed);
    }

    /// A request did; returns after how many seconds its client should come again: half of the time that it has lasted.
    pub(crate) fn note(&self, is_read: bool, now: i64) -> i64 {
        let since = self.since(is_read);
        let began = match since.load(Ordering::Relaxed) {
            began if (1..=now).contains(&began) => began,
            // None, or one that a clock that ran ahead has noted.
            _ => {
                since.store(now, Ordering::Relaxed);
                now
            }
        };
        (now.saturating_sub(began) / 2_000).clamp(SOONEST, LATEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_it_lasts_the_later_clients_come_again() {
        let (outages, now) = (Outages::default(), 1_800_000_000_000);
        let after = |is_read, seconds: i64| outages.note(is_read, now + 1_000 * seconds);
        assert_eq!(
            [0, 1, 4, 20, 59, 60, 3_600].map(|seconds| after(false, seconds)),
            [1, 1, 2, 10, 29, 30, 30]
        );
        // Reads are another matter, as on a full disk.
        assert_eq!(after(true, 3_600), 1);
        outages.end(true);
        assert_eq!(after(false, 3_600), 30);
        outages.end(false);
        assert_eq!(after(false, 3_601), 1);
        // A clock that ran ahead.
        assert_eq!((after(false, 86_400), after(false, 3_602)), (30, 1));
    }
}
