//! Counts requests: in the memory of this instance, or in the cells that all instances share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use souk_core::rate_limit::{Cell, Taken};
use souk_core::{Clock, RateLimit};
use xxhash_rust::xxh3::xxh3_128;

use super::{By, Limit, LimitMode, Reach, Verdict};

/// For how long an instance spends what it has borrowed, in milliseconds; then it gives the rest back.
const LOAN_MS: i64 = 2_000;
/// For how long an instance believes that nothing is left, in milliseconds: others may give something back.
const REFUSED_MS: i64 = 1_000;
/// How many times as much is borrowed as before, if that was spent soon.
const GROWTH: u32 = 8;
/// How many counts of each kind are in memory at most.
const MAX_COUNTS: usize = 20_000;

/// Counts what limits limit. One per instance.
pub struct Limiter {
    cells: Arc<dyn RateLimit>,
    clock: Arc<dyn Clock>,
    mode: LimitMode,
    /// What is counted in this instance, by the digest of its key.
    counts: Mutex<HashMap<u128, Cell>>,
    loans: Mutex<HashMap<u128, Loan>>,
    /// When the first loan with something left ends, in milliseconds; `i64::MAX` without any.
    first_end: AtomicI64,
    /// How many times half of the counts was removed.
    halvings: AtomicU32,
}

/// What this instance has borrowed from a cell.
#[derive(Clone, Debug)]
struct Loan {
    key: String,
    /// The units that are not spent.
    spare: u32,
    /// What the cell had left.
    left: u32,
    /// How many were granted last.
    granted: u32,
    /// The end of the window.
    ends_at: i64,
    /// When what is spare is given back, or the cell is asked again.
    until: i64,
}

impl Limiter {
    /// A limiter over these cells.
    #[must_use]
    pub fn new(cells: Arc<dyn RateLimit>, clock: Arc<dyn Clock>, mode: LimitMode) -> Self {
        Self {
            cells,
            clock,
            mode,
            counts: Mutex::default(),
            loans: Mutex::default(),
            first_end: AtomicI64::new(i64::MAX),
            halvings: AtomicU32::default(),
        }
    }

    /// Whether what is over a limit is refused.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.mode == LimitMode::On
    }

    /// Counts one unit of this limit for `subject`; `None` if limits are off.
    pub async fn take(&self, limit: &Limit, subject: &str) -> Option<Verdict> {
        if self.mode == LimitMode::Off {
            return None;
        }
        let now = self.clock.now().as_millisecond();
        let key = format!("{}/{subject}", limit.name);
        let taken = match limit.reach {
            Reach::Instance => self.count(limit, &key, now),
            Reach::Everywhere => self.borrow(limit, &key, now).await,
        };
        let rest = taken.ends_at.saturating_sub(now).saturating_add(999).div_euclid(1000);
        Some(Verdict {
            limit: *limit,
            left: taken.left,
            seconds: u32::try_from(rest.max(0)).unwrap_or(u32::MAX),
            is_over: taken.granted == 0,
        })
    }

    /// Ends the window of this limit for `subject`: the whole quota is there again.
    pub async fn clear(&self, limit: &Limit, subject: &str) {
        if self.mode == LimitMode::Off {
            return;
        }
        let key = format!("{}/{subject}", limit.name);
        self.loans().remove(&digest(&key));
        if let Err(error) = self.cells.clear(&key).await {
            tracing::warn!(%error, limit = limit.name, "the window of a limit goes on");
        }
    }

    /// Whether there is something to [settle](Self::settle).
    pub(crate) fn has_pending(&self) -> bool {
        self.first_end.load(Ordering::Relaxed) <= self.clock.now().as_millisecond()
    }

    /// Gives back what was borrowed and not spent, of loans that have ended.
    pub(crate) async fn settle(&self) {
        self.give_back(self.clock.now().as_millisecond()).await;
    }

    /// Gives back all that was borrowed and not spent: this instance ends.
    pub(crate) async fn close(&self) {
        self.first_end.store(i64::MIN, Ordering::Relaxed);
        self.give_back(i64::MAX).await;
    }

    async fn give_back(&self, now: i64) {
        let ended = self.take_ended(now);
        let returns = ended
            .iter()
            .map(|loan| self.cells.give_back(&loan.key, loan.spare, loan.ends_at));
        for result in join_all(returns).await {
            if let Err(error) = result {
                tracing::warn!(%error, "units of a limit were not given back");
            }
        }
    }

    /// What is left of the loans that have ended by then.
    fn take_ended(&self, now: i64) -> Vec<Loan> {
        if self.first_end.load(Ordering::Relaxed) > now {
            return Vec::new();
        }
        let mut loans = self.loans();
        let mut first = i64::MAX;
        let mut ended = Vec::new();
        for loan in loans.values_mut().filter(|loan| loan.spare > 0) {
            if loan.until <= now {
                ended.push(loan.clone());
                loan.spare = 0;
            } else {
                first = first.min(loan.until);
            }
        }
        self.first_end.store(first, Ordering::Relaxed);
        ended
    }

    /// Counts in this instance.
    fn count(&self, limit: &Limit, key: &str, now: i64) -> Taken {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTS {
            counts.retain(|_, cell| cell.ends_at > now);
            self.halve(&mut counts);
        }
        counts.entry(digest(key)).or_default().take(limit.quota, 1, now)
    }

    /// Spends a unit that this instance has borrowed, or borrows from the cell.
    async fn borrow(&self, limit: &Limit, key: &str, now: i64) -> Taken {
        let id = digest(key);
        let wanted = match self.spend(id, now) {
            Ok(taken) => return taken,
            // Who is counted by what they try would lose what an instance borrows and keeps.
            Err(_) if limit.by == By::Subject => 1,
            Err(before) => before.saturating_mul(GROWTH).clamp(1, limit.quota.units.max(1)),
        };
        let taken = match self.cells.take(key, limit.quota, wanted).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, limit = limit.name, "a limit is counted by this instance alone");
                return self.count(limit, key, now);
            }
        };
        let until = now.saturating_add(if taken.granted == 0 { REFUSED_MS } else { LOAN_MS });
        let spare = taken.granted.saturating_sub(1);
        let mut loans = self.loans();
        if loans.len() >= MAX_COUNTS {
            loans.retain(|_, loan| loan.ends_at > now && loan.spare > 0);
            self.halve(&mut loans);
        }
        let loan = loans.entry(id).or_insert_with(|| Loan {
            key: key.to_owned(),
            spare: 0,
            left: 0,
            granted: 0,
            ends_at: taken.ends_at,
            until,
        });
        if loan.ends_at != taken.ends_at {
            (loan.spare, loan.ends_at) = (0, taken.ends_at);
        }
        // Requests beside this one may have borrowed too.
        loan.spare = loan.spare.saturating_add(spare);
        (loan.left, loan.granted, loan.until) = (taken.left, taken.granted, until);
        if loan.spare > 0 {
            self.first_end.fetch_min(until, Ordering::Relaxed);
        }
        Taken {
            left: loan.left.saturating_add(loan.spare),
            ..taken
        }
    }

    /// A unit of the loan, or that nothing is left; else how many units were borrowed a moment ago.
    fn spend(&self, id: u128, now: i64) -> Result<Taken, u32> {
        let mut loans = self.loans();
        let Some(loan) = loans.get_mut(&id).filter(|loan| loan.ends_at > now) else {
            return Err(0);
        };
        let granted = match loan.spare {
            // It is this instance's until it gives it back.
            1.. => 1,
            // (A time further off was one of a wrong clock.)
            0 if !(now.saturating_add(1)..=now.saturating_add(LOAN_MS)).contains(&loan.until) => return Err(0),
            // Nothing is left.
            0 if loan.granted == 0 => 0,
            0 => return Err(loan.granted),
        };
        loan.spare = loan.spare.saturating_sub(granted);
        Ok(Taken {
            granted,
            left: loan.left.saturating_add(loan.spare),
            ends_at: loan.ends_at,
        })
    }

    /// Removes half of the counts if there are many, chosen by another bit of their digests each time. The counts of
    /// their clients start again at zero. The other half stays, so that a flood of new clients does not reset the limits of all.
    fn halve<T>(&self, counts: &mut HashMap<u128, T>) {
        if counts.len() > MAX_COUNTS / 2 {
            let bit = self.halvings.fetch_add(1, Ordering::Relaxed) % 128;
            counts.retain(|id, _| id >> bit & 1 == 0);
        }
    }

    fn loans(&self) -> MutexGuard<'_, HashMap<u128, Loan>> {
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(key: &str) -> u128 {
    xxh3_128(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use souk_core::rate_limit::{InMemory, Quota};
    use souk_core::{StoreError, Timestamp};

    use super::*;

    #[derive(Default)]
    struct At(AtomicI64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    impl At {
        fn pass(&self, ms: i64) {
            self.0.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Cells that count how often they are asked, and may be out of reach.
    struct Watched {
        cells: InMemory,
        calls: AtomicUsize,
        is_away: bool,
    }

    impl Watched {
        fn new(clock: &Arc<At>, is_away: bool) -> Arc<Self> {
            Arc::new(Self {
                cells: InMemory::new(clock.clone()),
                calls: AtomicUsize::new(0),
                is_away,
            })
        }
    }

    #[async_trait]
    impl RateLimit for Watched {
        async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            if self.is_away {
                return Err(StoreError::Unavailable("away".into()));
            }
            self.cells.take(key, quota, wanted).await
        }
        async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
            self.cells.give_back(key, units, ends_at).await
        }
        async fn clear(&self, key: &str) -> Result<(), StoreError> {
            self.cells.clear(key).await
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing here waits")
    }

    const LIMIT: Limit = Limit::strict("test", 1000, 60, By::Address);

    /// However requests are spread over instances and time, a window has its quota and no more.
    #[test]
    fn instances_together_grant_the_quota() {
        for seed in 0..50_u64 {
            let clock = Arc::new(At::default());
            let cells = Watched::new(&clock, false);
            let limiters = [0; 3].map(|_| Limiter::new(cells.clone(), clock.clone(), LimitMode::On));
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let (mut passed, mut refused) = (0, 0);
            for _ in 0..4000 {
                // 4,000 steps of 2.5 ms by mean, in a window of 60 s; at times a pause in which loans end.
                clock.pass(i64::try_from(random(6)).unwrap());
                if random(500) == 0 {
                    clock.pass(2_500);
                }
                let limiter = &limiters[usize::try_from(random(3)).unwrap()];
                if limiter.has_pending() {
                    now(limiter.settle());
                }
                let verdict = now(limiter.take(&LIMIT, "a")).unwrap();
                (passed, refused) = match verdict.is_over {
                    true => (passed, refused + 1),
                    false => (passed + 1, refused),
                };
                assert!(passed <= 1000, "seed {seed}");
            }
            assert_eq!(passed + refused, 4000);
            assert_eq!(passed, 1000, "seed {seed}: nothing of the quota may be lost");
            clock.pass(60_000);
            assert!(!now(limiters[0].take(&LIMIT, "a")).unwrap().is_over);
        }
    }

    #[test]
    fn a_busy_instance_asks_seldom() {
        let clock = Arc::new(At::default());
        let cells = Watched::new(&clock, false);
        let limiter = Limiter::new(cells.clone(), clock.clone(), LimitMode::On);
        let mut verdicts = (0..500).map(|_| now(limiter.take(&LIMIT, "a")).unwrap());
        assert!(verdicts.all(|verdict| !verdict.is_over));
        let calls = cells.calls.load(Ordering::Relaxed);
        assert!(calls <= 25, "95 % of the decisions make no call: {calls} calls");
        // When nothing is left, it is not asked either.
        for _ in 0..600 {
            now(limiter.take(&LIMIT, "a"));
        }
        let calls = cells.calls.load(Ordering::Relaxed);
        for _ in 0..1000 {
            assert!(now(limiter.take(&LIMIT, "a")).unwrap().is_over);
        }
        assert_eq!(cells.calls.load(Ordering::Relaxed), calls);
    }

    #[test]
    fn an_idle_instance_holds_nothing_back() {
        let clock = Arc::new(At::default());
        let cells = Watched::new(&clock, false);
        let [a, b] = [0; 2].map(|_| Limiter::new(cells.clone(), clock.clone(), LimitMode::On));
        for _ in 0..20 {
            now(a.take(&LIMIT, "a"));
        }
        assert!(!a.has_pending());
        clock.pass(LOAN_MS);
        assert!(a.has_pending());
        now(a.settle());
        assert!(!a.has_pending());
        for _ in 0..20 {
            now(a.take(&LIMIT, "a"));
        }
        now(a.close());
        let rest = (0..2000).filter(|_| !now(b.take(&LIMIT, "a")).unwrap().is_over);
        assert_eq!(rest.count(), 960);
    }

    #[test]
    fn others_and_other_limits_are_counted_apart() {
        let clock = Arc::new(At::default());
        let limiter = Limiter::new(Watched::new(&clock, false), clock.clone(), LimitMode::On);
        for limit in [
            Limit::strict("one", 1, 60, By::Address),
            Limit::cheap("two", 1, 60, By::Address),
        ] {
            for subject in ["a", "b"] {
                let is_over = [0; 2].map(|_| now(limiter.take(&limit, subject)).unwrap().is_over);
                assert_eq!(is_over, [false, true]);
            }
        }
        let limit = Limit::strict("one", 1, 60, By::Address);
        now(limiter.clear(&limit, "a"));
        let is_over = ["a", "b"].map(|subject| now(limiter.take(&limit, subject)).unwrap().is_over);
        assert_eq!(is_over, [false, true]);
    }

    #[test]
    fn counts_are_bounded() {
        let clock = Arc::new(At::default());
        let limiter = Limiter::new(Watched::new(&clock, false), clock, LimitMode::On);
        let limit = Limit::cheap("one", 1, 60, By::Address);
        let mut kept = 0;
        for n in 0..100_000 {
            let subject = n.to_string();
            now(limiter.take(&limit, &subject));
            kept += u32::from(now(limiter.take(&limit, &subject)).unwrap().is_over);
            assert!(limiter.counts.lock().unwrap().len() <= MAX_COUNTS);
        }
        assert!(kept > 99_000, "{kept}");
    }

    #[test]
    fn without_the_cells_each_instance_counts() {
        let clock = Arc::new(At::default());
        let limiter = Limiter::new(Watched::new(&clock, true), clock.clone(), LimitMode::On);
        let limit = Limit::strict("one", 3, 60, By::Address);
        let passed = (0..10).filter(|_| !now(limiter.take(&limit, "a")).unwrap().is_over);
        assert_eq!(passed.count(), 3);
        let off = Limiter::new(Watched::new(&clock, true), clock, LimitMode::Off);
        assert_eq!(now(off.take(&limit, "a")), None);
    }
}
