//! Operations on tenants.
//!
//! A tenant is one document, and everything that it has is made when it is needed. So a new one answers at once.

use garde::Validate as _;
use souk_core::fault::field_errors;
use souk_core::{Document, Entry, Query, Tenant, check};
use souk_kit::tenancy::{PLAN, Plan, TENANT, TENANTS, TenantRecord, TenantStatus, is_own_host};
use souk_kit::{Context, Failure, Fault, IfMatch, MergePatch, PageRequest, SortedPage, Stored, Transaction};

use crate::error::TenantError;
use crate::permissions::TENANTS_APPOINT;
use crate::tenant::NewTenant;

pub(crate) const NO_TENANT: Failure = Failure::NotFound("market");

/// The index entries of a tenant.
fn entries(tenant: &TenantRecord) -> Vec<Entry> {
    vec![Entry::new(TENANTS, tenant.name.name())]
}

/// A page of all tenants, by name.
pub async fn list_tenants(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    cx.list(Query::index(TENANTS, page.limit), page, TENANTS).await
}

/// The tenant with this name.
pub async fn find_tenant(cx: &Context, name: &str) -> Result<Stored<TenantRecord>, Failure> {
    let tenant = Tenant::named(name).ok_or(NO_TENANT)?;
    cx.read(TENANT.key(tenant.name())).await?.ok_or(NO_TENANT)
}

/// Creates a tenant, which answers at once.
pub async fn create_tenant(cx: &Context, new: NewTenant) -> Result<Stored<TenantRecord>, TenantError> {
    let Some(domain) = &cx.settings.tenant_domain else {
        return Err(TenantError::NoTenants);
    };
    if is_own_host(&format!("{}.{domain}", new.name), &cx.settings.public_url) {
        let fault = Fault::invalid("is the name of the deployment itself");
        return Err(Failure::invalid("name", fault).into());
    }
    if let Some(database) = &new.database
        && !cx.has_database(database).await.map_err(Failure::from)?
    {
        let names: Vec<&str> = cx.databases().collect();
        return Err(Failure::invalid("database", Fault::not_one_of(&names)).into());
    }
    let name = Tenant::named(&new.name).ok_or_else(|| Failure::invalid("name", Fault::invalid("is not a name")))?;
    let (name, new) = (&name, &new);
    cx.commit(|tx| async move {
        require_plan(&tx, new).await?;
        may_appoint(&tx, None, new)?;
        let NewTenant {
            name: _,
            title,
            plan,
            origins,
            first_admin,
            database,
        } = new.clone();
        let tenant = TenantRecord {
            name: name.clone(),
            title,
            plan,
            origins,
            first_admin: first_admin.map(|email| check::kept_email(&email)),
            database,
            status: TenantStatus::Active,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        let entries = entries(&tenant);
        let put = tx.create(TENANT.key(name.name()), tenant).entries(entries);
        Ok(put.or_fail(TenantError::NameTaken))
    })
    .await
}

/// Changes a tenant.
pub async fn change_tenant(
    cx: &Context,
    name: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<TenantRecord>, TenantError> {
    cx.commit(|tx| async move {
        let old = alive(&tx, name).await?;
        if_match.check(old.version())?;
        let before = NewTenant::of(&old);
        let fields: NewTenant = patch.apply(&before)?;
        for (field, is_changed) in [
            ("name", fields.name != before.name),
            ("database", fields.database != before.database),
        ] {
            if is_changed {
                return Err(Failure::invalid(field, Fault::invalid("cannot be changed")).into());
            }
        }
        if let Err(report) = fields.validate() {
            return Err(Failure::Invalid(field_errors(&report).collect()).into());
        }
        if fields == before {
            return Ok(tx.unchanged(old));
        }
        may_appoint(&tx, before.first_admin.as_deref(), &fields)?;
        if fields.plan != old.plan {
            require_plan(&tx, &fields).await?;
        }
        let new = TenantRecord {
            title: fields.title,
            plan: fields.plan,
            origins: fields.origins,
            first_admin: fields.first_admin.map(|email| check::kept_email(&email)),
            updated_at: tx.now(),
            ..old.value.clone()
        };
        Ok(tx.update(&old.document, new).or_precondition(if_match))
    })
    .await
}

/// Suspends a tenant: its requests are refused, everywhere within seconds.
pub async fn suspend_tenant(cx: &Context, name: &str) -> Result<Stored<TenantRecord>, TenantError> {
    set_status(cx, name, TenantStatus::Suspended).await
}

/// Lets a suspended tenant go on.
pub async fn resume_tenant(cx: &Context, name: &str) -> Result<Stored<TenantRecord>, TenantError> {
    set_status(cx, name, TenantStatus::Active).await
}

async fn set_status(cx: &Context, name: &str, status: TenantStatus) -> Result<Stored<TenantRecord>, TenantError> {
    cx.commit(|tx| async move {
        let old = alive(&tx, name).await?;
        if old.status == status {
            return Ok(tx.unchanged(old));
        }
        let new = TenantRecord {
            status,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        Ok(tx.update(&old.document, new).or_retry())
    })
    .await
}

/// The tenant, unless it is erased.
pub(crate) async fn alive(cx: &Context, name: &str) -> Result<Stored<TenantRecord>, TenantError> {
    let tenant = find_tenant(cx, name).await?;
    match tenant.status {
        TenantStatus::Erased => Err(TenantError::Erased),
        TenantStatus::Active | TenantStatus::Suspended => Ok(tenant),
    }
}

/// Fails if the fields name another first admin than before, and the principal may not do that.
fn may_appoint(cx: &Context, before: Option<&str>, fields: &NewTenant) -> Result<(), Failure> {
    match fields.first_admin.as_deref() {
        Some(email) if Some(email) != before && !cx.may(&TENANTS_APPOINT) => {
            let detail = "to say who becomes an admin takes the permission tenants:appoint";
            Err(Failure::forbidden_field(detail, "first_admin", "is more than you may"))
        }
        _ => Ok(()),
    }
}

/// Fails unless the plan of these fields exists.
async fn require_plan(tx: &Transaction<TenantError>, fields: &NewTenant) -> Result<(), Failure> {
    let Some(name) = &fields.plan else {
        return Ok(());
    };
    match tx.read::<Plan>(PLAN.key(name)).await? {
        Some(_) => Ok(()),
        None => Err(Failure::invalid("plan", Fault::not_found("plan"))),
    }
}
