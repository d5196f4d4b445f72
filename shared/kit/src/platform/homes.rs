//! The databases that documents are in: the deployment's, and those of markets that live apart.
//!
//! A market's database is named when the market is made ([`TenantRecord::database`]) and has all of its documents, and its part of
//! the outbox, because a change and its events are one commit. What is the deployment's own stays in the deployment's database.

use std::sync::Arc;

use souk_core::documents::get_one;
use souk_core::{Documents, StoreError, Tenant};

use super::Platform;
use crate::tenancy::{TENANT, TenantRecord};

/// The name of a database; `None` for the deployment's.
pub(crate) type Home = Option<Arc<str>>;

impl Platform {
    /// The names of the databases beside the deployment's own.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.apart.keys().map(|name| &**name)
    }

    /// Whether the deployment has a database with this name beside its own; fails if that does not answer.
    pub async fn has_database(&self, name: &str) -> Result<bool, StoreError> {
        match self.apart.get(name) {
            Some(documents) => documents.ping().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The database with this name.
    pub(crate) fn store(&self, home: &Home) -> Result<&Arc<dyn Documents>, StoreError> {
        match home {
            None => Ok(&self.whole),
            Some(name) => self.apart.get(name).ok_or_else(|| {
                StoreError::Unavailable(format!(
                    "the database {name:?}, which a market is in, is not in SOUK_DATABASES"
                ))
            }),
        }
    }

    /// All of them, the deployment's first.
    pub(crate) fn homes(&self) -> impl Iterator<Item = Home> {
        let apart = self.apart.keys().cloned().map(Some);
        std::iter::once(None).chain(apart)
    }

    /// The database of a tenant. Ask the platform of the main market.
    pub(crate) async fn store_of(&self, tenant: &Tenant) -> Result<&Arc<dyn Documents>, StoreError> {
        let record = get_one(&*self.documents, TENANT.key(tenant.name())).await?;
        let record = record.map(|record| record.parse::<TenantRecord>()).transpose()?;
        self.store(&record.and_then(|record| record.database).map(Arc::from))
    }
}
