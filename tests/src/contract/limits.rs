//! The contract of the `RateLimit` port.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use souk_core::rate_limit::{Quota, Taken};
use souk_core::{Clock, RateLimit, StoreError};

use super::bench::{TestClock, unique};
use super::remote::TestRoutes;

const fn quota(units: u32, seconds: u32) -> Quota {
    Quota { units, seconds }
}

/// Runs all cases on two instances of an adapter over the same cells, which live by `clock`.
pub async fn agree(stores: [&dyn RateLimit; 2], clock: &TestClock) {
    let [a, b] = stores;
    let prefix = unique();
    let key = |name: &str| format!("{prefix}/{name}");
    let now = || clock.now().as_millisecond();
    let taken = |granted, left, ends_at| Taken { granted, left, ends_at };

    // Units are taken until none is left, by whichever instance; then the window ends, to the millisecond.
    let (one, ends_at) = (key("one"), now() + 60_000);
    for (store, left) in [(a, 2), (b, 1), (a, 0)] {
        assert_eq!(
            store.take(&one, quota(3, 60), 1).await.unwrap(),
            taken(1, left, ends_at)
        );
        clock.advance(10);
    }
    for store in [a, b] {
        assert_eq!(store.take(&one, quota(3, 60), 1).await.unwrap(), taken(0, 0, ends_at));
    }
    clock.advance(60_000 - 30 - 1);
    assert_eq!(b.take(&one, quota(3, 60), 5).await.unwrap().granted, 0);
    clock.advance(1);
    assert_eq!(
        b.take(&one, quota(3, 60), 1).await.unwrap(),
        taken(1, 2, now() + 60_000)
    );

    // Who wants many gets a third of what is left, and near the end one.
    let many = key("many");
    let (mut left, mut all) = (100, Vec::new());
    while left > 0 {
        let taken = a.take(&many, quota(100, 60), 1000).await.unwrap();
        left -= taken.granted;
        assert_eq!(taken.left, left);
        all.push(taken.granted);
    }
    assert_eq!(all, [33, 22, 15, 10, 6, 4, 3, 2, 1, 1, 1, 1, 1]);

    // What is given back can be taken again, but not what belongs to another window.
    let back = key("back");
    let first = a.take(&back, quota(9, 60), 3).await.unwrap();
    b.give_back(&back, 2, first.ends_at).await.unwrap();
    b.give_back(&back, 1, first.ends_at - 1).await.unwrap();
    b.give_back(&key("never"), 1, first.ends_at).await.unwrap();
    assert_eq!(a.take(&back, quota(9, 60), 1).await.unwrap().left, 7);
    clock.advance(60_000);
    assert_eq!(a.take(&back, quota(9, 60), 1).await.unwrap().left, 8);
    b.give_back(&back, 1, first.ends_at).await.unwrap();
    assert_eq!(a.take(&back, quota(9, 60), 1).await.unwrap().left, 7);

    // A window that a wrong clock has begun holds up nobody.
    let ahead = key("ahead");
    clock.advance(86_400_000);
    assert_eq!(a.take(&ahead, quota(1, 60), 1).await.unwrap().granted, 1);
    clock.advance(-86_400_000);
    for granted in [1, 0] {
        assert_eq!(b.take(&ahead, quota(1, 60), 1).await.unwrap().granted, granted);
    }

    // A window can be ended, and a quota can change in it.
    let changed = key("changed");
    a.clear(&changed).await.unwrap();
    for _ in 0..2 {
        assert_eq!(a.take(&changed, quota(5, 60), 1).await.unwrap().granted, 1);
    }
    assert_eq!(b.take(&changed, quota(2, 60), 1).await.unwrap().granted, 0);
    assert_eq!(b.take(&changed, quota(4, 60), 1).await.unwrap().left, 1);
    a.clear(&changed).await.unwrap();
    assert_eq!(b.take(&changed, quota(5, 60), 1).await.unwrap().left, 4);
    assert_eq!(b.take(&changed, quota(0, 60), 1).await.unwrap().granted, 0);

    // Of many at once exactly the quota gets something.
    for (name, count, wanted) in [("crowd ?&#%2F/../ö", 300, 1), ("greedy", 120, 10)] {
        let crowd = key(name);
        let takes = (0..count).map(|n| stores[n % 2].take(&crowd, quota(100, 600), wanted));
        let taken = join_all(takes).await.into_iter();
        let granted: u32 = taken.map(|taken| taken.unwrap().granted).sum();
        assert_eq!(granted, 100, "{name}");
    }
}

/// Cells behind a Worker's test routes: `POST /__test/limits/{take,give-back,clear}` with the arguments as a JSON array.
pub struct RemoteRateLimit(TestRoutes);

impl RemoteRateLimit {
    /// The cells at `base_url`, which shall live by this clock.
    pub fn new(base_url: impl Into<String>, clock: Arc<TestClock>) -> Self {
        Self(TestRoutes::new(base_url, "limits", clock))
    }
}

#[async_trait]
impl RateLimit for RemoteRateLimit {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        self.0.call("take", &(key, quota, wanted)).await
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        self.0.call("give-back", &(key, units, ends_at)).await
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        self.0.call("clear", &key).await
    }
}
