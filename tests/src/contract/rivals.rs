//! [`two_tenants`]: an adapter as one tenant sees it, while another one uses the same names for other things.

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::tenant::TenantDocuments;
use souk_core::{Change, Commit, Condition, Consistency, Document, Documents, Key, Page, Query, StoreError, Tenant};

use super::Made;

/// The store of one tenant. Whatever is written there, a rival has written to the same keys and indexes before; and the main
/// market too. So a case fails if anything of theirs is seen.
struct Rivals {
    own: TenantDocuments,
    others: [TenantDocuments; 2],
}

/// The adapter as one of two tenants sees it.
#[must_use]
pub fn two_tenants(made: Made) -> Made {
    let of = |store: &Arc<dyn Documents>, name| TenantDocuments::new(store.clone(), Tenant::named(name).unwrap());
    match made {
        Made::Ready(store, keep) => {
            let rivals = Rivals {
                own: of(&store, "one-two"),
                others: [of(&store, "one"), TenantDocuments::new(store, Tenant::main())],
            };
            Made::Ready(Arc::new(rivals), keep)
        }
        missing @ Made::Missing(_) => missing,
    }
}

/// What others write where this is written.
fn foreign(commit: &Commit) -> Commit {
    let put = |change: &Change| Change::Put {
        key: change.key().clone(),
        body: r#"{"whose":"another tenant's"}"#.into(),
        counters: vec!["n".into()],
        expires_at: None,
        condition: Condition::Any,
        entries: match change {
            Change::Put { entries, .. } => entries.clone(),
            _ => Vec::new(),
        },
        stale: Vec::new(),
    };
    Commit::new(commit.changes.iter().map(put).collect())
}

#[async_trait]
impl Documents for Rivals {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.own.get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.own.query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        for other in &self.others {
            // What is refused, or lost in a race, is theirs to bear.
            let _ = other.commit(foreign(&commit)).await;
        }
        self.own.commit(commit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.own.ping().await
    }
}
