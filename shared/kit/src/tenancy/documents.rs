//! The document store of one tenant: part of the deployment's.

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::{Commit, Consistency, Document, Documents, Key, Page, Query, StoreError, Tenant};

/// A document store that only has what is this tenant's.
pub(crate) struct TenantDocuments {
    inner: Arc<dyn Documents>,
    tenant: Tenant,
}

impl TenantDocuments {
    pub(crate) fn new(inner: Arc<dyn Documents>, tenant: Tenant) -> Self {
        Self { inner, tenant }
    }

    /// The document with the key that operations use.
    fn own(&self, mut document: Document) -> Result<Document, StoreError> {
        let Some(pk) = self.tenant.own(&document.key.pk) else {
            let why = "the store returned a document of another tenant".into();
            return Err(StoreError::Corrupt(why));
        };
        document.key.pk = pk.to_owned();
        Ok(document)
    }
}

#[async_trait]
impl Documents for TenantDocuments {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        let keys: Vec<Key> = keys.iter().map(|key| self.tenant.key(key)).collect();
        let found = self.inner.get(&keys, consistency).await?;
        found
            .into_iter()
            .map(|found| found.map(|found| self.own(found)).transpose())
            .collect()
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        let mut page = self.inner.query(&self.tenant.query(query), consistency).await?;
        for item in &mut page.items {
            let Document { key, .. } = &mut item.document;
            let Some(pk) = self.tenant.own(&key.pk) else {
                let why = "the store returned a document of another tenant".into();
                return Err(StoreError::Corrupt(why));
            };
            key.pk = pk.to_owned();
        }
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.inner.commit(self.tenant.commit(commit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
