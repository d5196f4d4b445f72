//! The document store of one tenant: part of the deployment's.

use std::sync::Arc;

use super::Tenant;
use crate::{Commit, Consistency, Document, Documents, Key, Page, Query, StoreError};
use async_trait::async_trait;

/// A document store that only has what is this tenant's.
pub struct TenantDocuments {
    inner: Arc<dyn Documents>,
    tenant: Tenant,
}

impl TenantDocuments {
    /// What `tenant` has in `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Documents>, tenant: Tenant) -> Self {
        Self { inner, tenant }
    }

    /// Gives a document the key that operations use.
    fn own(&self, document: &mut Document) -> Result<(), StoreError> {
        let Some(pk) = self.tenant.own(&document.key.pk) else {
            let why = "the store returned a document of another tenant".into();
            return Err(StoreError::Corrupt(why));
        };
        document.key.pk = pk.to_owned();
        Ok(())
    }
}

#[async_trait]
impl Documents for TenantDocuments {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        let keys: Vec<Key> = keys.iter().map(|key| self.tenant.key(key)).collect();
        let mut found = self.inner.get(&keys, consistency).await?;
        found.iter_mut().flatten().try_for_each(|document| self.own(document))?;
        Ok(found)
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        let mut page = self.inner.query(&self.tenant.query(query), consistency).await?;
        page.items
            .iter_mut()
            .try_for_each(|item| self.own(&mut item.document))?;
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.inner.commit(self.tenant.commit(commit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
