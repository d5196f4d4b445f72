//! Export and erasure of a whole tenant.
//!
//! An erasure begins with one commit: the tenant is marked as erased, so that nothing of it is served, and its host names are
//! free. A job then removes all that it has, some seconds later, when no request and no message is at work for it any more. The
//! name stays taken, so that nothing late can reach another market of the same name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use souk_core::{Document, Query, StoreError, Tenant};
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::jobs::{JobError, JobTransaction};
use souk_kit::tenancy::{DOMAIN, Domain, TenantRecord, TenantStatus};
use souk_kit::{Context, Failure, Fault, SortedPage, Transaction};

use super::domains::partition;
use super::tenants::find_tenant;
use crate::error::TenantError;
use crate::jobs::EraseTenant;
use crate::tenant::ExportedDocument;

/// How many host names are removed with the tenant; more than it may have.
const DOMAINS: usize = 25;
/// How many parts of the store one run of the job removes.
const PARTS: usize = 20;

/// A page of all that a tenant has, in no particular order. Everything is in it, also what is secret.
pub async fn export_tenant(
    cx: &Context,
    name: &str,
    after: Option<&str>,
) -> Result<SortedPage<ExportedDocument>, Failure> {
    let tenant = find_tenant(cx, name).await?.name.clone();
    let bad = || Failure::bad_parameter("cursor", Fault::invalid("is not a cursor of this export"));
    let after = after.map(|cursor| String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok());
    let after = after.map(|after| after.ok_or_else(bad)).transpose()?;
    let scan = cx.export_tenant(&tenant, after.as_deref()).await;
    let scan = scan.map_err(|error| match error {
        StoreError::Refused(_) if after.is_some() => bad(),
        error => error.into(),
    })?;
    let exported = |document: Document| {
        Ok(ExportedDocument {
            version: document.version,
            body: serde_json::from_str(&document.body)?,
            counters: serde_json::from_str(&document.counters)?,
            expires_at: document.expires_at,
            partition: document.key.pk,
            sort: document.key.sk,
        })
    };
    Ok(SortedPage {
        items: scan
            .documents
            .into_iter()
            .map(exported)
            .collect::<Result<_, Failure>>()?,
        next_cursor: scan.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        prev_cursor: None,
        total: None,
    })
}

/// Begins to erase a suspended tenant, by a job; once more if it is marked as erased.
pub async fn erase_tenant(cx: &Context, name: &str) -> Result<Tracked, TenantError> {
    let owner = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let order = EraseTenant {
            tenant: mark_erased(&tx, name).await?,
            after: None,
        };
        Ok(tracked::start_after(&tx, &order, owner, EraseTenant::WAIT_MS)?)
    })
    .await
}

/// Marks a suspended tenant as erased. What it has is [removed](erase_all) later.
pub async fn begin_erasure(cx: &Context, name: &str) -> Result<Tenant, TenantError> {
    cx.commit(|tx| async move { mark_erased(&tx, name).await }).await
}

/// Removes all that a tenant has which is marked as erased; for the command line.
pub async fn erase_all(cx: &Context, tenant: &Tenant) -> Result<(), Failure> {
    let index = cx.index.of(tenant).erase().await;
    index.map_err(|error| Failure::Internal(error.to_string()))?;
    let mut after = None;
    loop {
        after = cx.erase_tenant(tenant, after.as_deref()).await?;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn mark_erased(tx: &Transaction<TenantError>, name: &str) -> Result<Tenant, TenantError> {
    let old = find_tenant(tx, name).await?;
    match old.status {
        TenantStatus::Active => return Err(TenantError::NotSuspended),
        TenantStatus::Suspended => {}
        // An erasure that was broken off is begun again.
        TenantStatus::Erased => return Ok(old.name.clone()),
    }
    let domains = tx.query(&Query::partition(partition(name), DOMAINS)).await?;
    for item in domains.items {
        let domain: Domain = item.document.parse().map_err(Failure::from)?;
        if domain.verified {
            tx.remove(DOMAIN.key(&domain.host));
        }
        tx.delete(&item.document, Vec::new()).or_retry();
    }
    let new = TenantRecord {
        title: String::new(),
        plan: None,
        origins: Vec::new(),
        first_admin: None,
        status: TenantStatus::Erased,
        updated_at: tx.now(),
        ..old.value.clone()
    };
    tx.update(&old.document, new).or_retry();
    Ok(old.name.clone())
}

/// Removes a part of what an erased tenant has; returns where the next part begins.
pub(crate) async fn erase_part(
    tx: &JobTransaction,
    tenant: &Tenant,
    mut after: Option<String>,
) -> Result<Option<String>, JobError> {
    let index = tx.index.of(tenant);
    index
        .erase()
        .await
        .map_err(|error| JobError::Retry(error.to_string()))?;
    for _ in 0..PARTS {
        after = tx.erase_tenant(tenant, after.as_deref()).await?;
        if after.is_none() {
            break;
        }
    }
    Ok(after)
}
