//! The platforms of tenants, made when they are asked for and kept while they are used.
//!
//! What is known of a tenant is read again every few seconds, so that a suspension or another plan is felt everywhere within
//! that time. While the store is away the last that was known holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use souk_core::documents::{Scan, get_one};
use souk_core::tenant::TenantDocuments;
use souk_core::{StoreError, Tenant};

use super::{Platform, Settings};
use crate::cache::LongLists;
use crate::tenancy::{DOMAIN, Domain, Named, PLAN, Plan, Quotas, TENANT, TenantRecord, TenantStatus, url_of};

/// For how long what is known of a tenant is not read again, in milliseconds.
const KNOWN_MS: i64 = 3_000;
/// How many tenants are known at once.
const MAX_KNOWN: usize = 2_000;

/// The tenants that this process has heard of lately.
#[derive(Default)]
pub(crate) struct Tenants {
    known: Mutex<HashMap<Named, Known>>,
}

/// A tenant and when it was read.
#[derive(Clone)]
struct Known {
    market: Market,
    read_at: i64,
}

/// A market that is not the main one.
#[derive(Clone)]
pub(crate) struct Market {
    pub(crate) platform: Arc<Platform>,
    pub(crate) status: TenantStatus,
    record: Arc<TenantRecord>,
}

impl Tenants {
    fn known(&self) -> MutexGuard<'_, HashMap<Named, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platform {
    /// The market that is named so; `None` if there is none. Ask the platform of the main market.
    pub(crate) async fn market(self: &Arc<Self>, named: Named) -> Result<Option<Market>, StoreError> {
        let now = self.clock.now().as_millisecond();
        let known = self.tenants.known().get(&named).cloned();
        if let Some(known) = &known
            && (known.read_at..known.read_at.saturating_add(KNOWN_MS)).contains(&now)
        {
            return Ok(Some(known.market.clone()));
        }
        let market = match (self.read_market(&named, known.as_ref()).await, known) {
            (Ok(market), _) => market,
            (Err(error @ StoreError::Unavailable(_)), Some(known)) => {
                tracing::warn!(%error, "a tenant cannot be read: what was known of it holds");
                Some(known.market)
            }
            (Err(error), _) => return Err(error),
        };
        let mut known = self.tenants.known();
        // One that is not there may be made at any time.
        let Some(market) = market else {
            known.remove(&named);
            return Ok(None);
        };
        if known.len() >= MAX_KNOWN {
            known.retain(|_, known| known.read_at.saturating_add(KNOWN_MS) > now);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
        }
        let read = Known {
            market: market.clone(),
            read_at: now,
        };
        known.insert(named, read);
        Ok(Some(market))
    }

    /// The platform of a tenant that a message is for; `None` if there is no such tenant, or nothing is done for it any more.
    pub async fn of_tenant(self: &Arc<Self>, tenant: &Tenant) -> Result<Option<Arc<Self>>, StoreError> {
        if tenant.is_main() {
            return Ok(Some(self.clone()));
        }
        let market = self.market(Named::Name(tenant.clone())).await?;
        let market = market.filter(|market| market.status != TenantStatus::Erased);
        Ok(market.map(|market| market.platform))
    }

    /// Some of the documents of a tenant, as it knows them: for its export. Ask the platform of the main market.
    pub async fn export_tenant(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        let mut scan = self.store_of(tenant).await?.scan(tenant, after).await?;
        for document in &mut scan.documents {
            if let Some(own) = tenant.own(&document.key.pk) {
                document.key.pk = own.to_owned();
            }
        }
        Ok(scan)
    }

    /// Removes some of what a tenant has in the store; returns the `after` of the next call, `None` if nothing is left. Ask the
    /// platform of the main market.
    pub async fn erase_tenant(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.store_of(tenant).await?.erase(tenant, after).await
    }

    async fn read_market(self: &Arc<Self>, named: &Named, known: Option<&Known>) -> Result<Option<Market>, StoreError> {
        let name = match named {
            Named::Name(tenant) => tenant.name().to_owned(),
            Named::Host(host) => {
                let domain = get_one(&*self.documents, DOMAIN.key(host)).await?;
                let domain: Option<Domain> = domain.map(|domain| domain.parse()).transpose()?;
                match domain.filter(|domain| domain.verified) {
                    Some(domain) => domain.tenant.name().to_owned(),
                    None => return Ok(None),
                }
            }
            Named::Main | Named::Nothing => return Ok(None),
        };
        let Some(document) = get_one(&*self.documents, TENANT.key(&name)).await? else {
            return Ok(None);
        };
        let record: TenantRecord = document.parse()?;
        let quotas = match &record.plan {
            Some(plan) => {
                let plan = get_one(&*self.documents, PLAN.key(plan)).await?;
                plan.map(|plan| plan.parse::<Plan>())
                    .transpose()?
                    .map(|plan| plan.quotas)
            }
            None => None,
        };
        let quotas = quotas.unwrap_or_default();
        let status = record.status;
        if let Some(known) = known
            && *known.market.record == record
            && known.market.platform.quotas == quotas
        {
            return Ok(Some(known.market.clone()));
        }
        let platform = Arc::new(self.narrowed(&record, quotas)?);
        let record = Arc::new(record);
        Ok(Some(Market {
            platform,
            status,
            record,
        }))
    }

    /// The platform of a tenant: the same ports, as far as they are its own.
    fn narrowed(&self, record: &TenantRecord, quotas: Quotas) -> Result<Self, StoreError> {
        // Of an erased one nothing is read, and its database may be gone.
        let home = record
            .database
            .as_deref()
            .filter(|_| record.status != TenantStatus::Erased);
        let home = home.map(Arc::from);
        let store = self.store(&home)?.clone();
        let tenant = record.name.clone();
        let domain = self.settings.tenant_domain.as_deref().unwrap_or("localhost");
        let settings = Settings {
            public_url: url_of(&tenant, &self.settings.public_url, domain),
            cors_origins: record.origins.clone(),
            first_admin: record.first_admin.clone(),
            ..(*self.settings).clone()
        };
        Ok(Self {
            documents: Arc::new(TenantDocuments::new(store, tenant.clone())),
            outages: home.as_ref().map_or_else(|| self.outages.clone(), |_| Arc::default()),
            home,
            index: self.index.of(&tenant),
            settings: Arc::new(settings),
            long_lists: Arc::<LongLists>::default(),
            quotas,
            tenant,
            ..self.clone()
        })
    }
}
