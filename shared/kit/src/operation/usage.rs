//! How much a tenant has of what plans limit, and the refusal of more.
//!
//! Documents of a kind with a quota are counted in the commits that create and delete them. Of several that are created at once
//! near the end of a quota all may pass, since each sees only what is committed.

use std::collections::BTreeMap;

use souk_core::{Change, Commit, Condition, StoreError};

use super::{Context, Failure};
use crate::tenancy::{USED, usage_key};

impl Context {
    /// The changes that count what these create and delete. Fails if the plan of the tenant does not allow so much.
    pub(super) async fn usage(&self, changes: &[Change]) -> Result<Vec<Change>, Failure> {
        // The main market has no plan, and is not counted.
        if self.tenant.is_main() {
            return Ok(Vec::new());
        }
        let mut deltas: BTreeMap<&'static str, i64> = BTreeMap::new();
        for change in changes {
            let delta = match change {
                Change::Put {
                    condition: Condition::Absent,
                    ..
                } => 1,
                Change::Delete { .. } => -1,
                _ => continue,
            };
            let key = change.key();
            let mut kinds = self.registry.kinds.iter();
            let kind = kinds.find(|kind| key.sk.is_empty() && kind.id_of(key).is_some());
            if let Some(quota) = kind.and_then(|kind| kind.quota) {
                let sum = deltas.entry(quota).or_default();
                *sum = sum.saturating_add(delta);
            }
        }
        let mut counts = Vec::with_capacity(deltas.len());
        for (quota, delta) in deltas {
            let key = usage_key(quota);
            let used = match self.strong().get(key.clone()).await? {
                Some(document) => document.counter(USED),
                None => {
                    self.start_usage(quota).await?;
                    0
                }
            };
            let most = self.quotas.get(quota).map(|most| i64::from(*most));
            if delta > 0 && most.is_some_and(|most| used.saturating_add(delta) > most) {
                return Err(Failure::QuotaUsedUp(quota));
            }
            counts.push(Change::Add {
                key,
                counter: USED.into(),
                delta,
            });
        }
        Ok(counts)
    }

    /// Begins to count; another commit may have begun too.
    async fn start_usage(&self, quota: &str) -> Result<(), Failure> {
        let start = Change::Put {
            key: usage_key(quota),
            body: "{}".into(),
            counters: vec![USED.into()],
            expires_at: None,
            condition: Condition::Absent,
            entries: Vec::new(),
            stale: Vec::new(),
        };
        match self.documents.commit(Commit::new(vec![start])).await {
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
