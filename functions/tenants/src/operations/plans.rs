//! Operations on plans, and what markets use of them. A plan is changed for all its markets at once, and never removed.

use souk_core::{Document, Entry, FieldError, Query, Tenant, check};
use souk_kit::tenancy::{PLAN, Plan, REQUESTS, USED, usage_key};
use souk_kit::{Context, Failure, Fault, IfMatch, PageRequest, SortedPage, Stored};

use super::tenants::find_tenant;
use crate::error::TenantError;
use crate::tenant::{NewPlan, Usage};

const PLANS: &str = "plans";
const NO_PLAN: Failure = Failure::NotFound("plan");

/// A page of all plans, by name.
pub async fn list_plans(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    cx.list(Query::index(PLANS, page.limit), page, PLANS).await
}

/// The plan with this name.
pub async fn find_plan(cx: &Context, name: &str) -> Result<Stored<Plan>, Failure> {
    if check::slug(&name, &()).is_err() {
        return Err(NO_PLAN);
    }
    cx.read(PLAN.key(name)).await?.ok_or(NO_PLAN)
}

/// Creates the plan with this name, or changes it: what its markets may have follows within seconds. They keep what they have.
pub async fn replace_plan(
    cx: &Context,
    name: &str,
    if_match: &IfMatch,
    new: NewPlan,
) -> Result<Stored<Plan>, TenantError> {
    if check::slug(&name, &()).is_err() {
        return Err(NO_PLAN.into());
    }
    let known = quotas(cx);
    let unknown = new.quotas.keys().filter(|quota| !known.contains(&quota.as_str()));
    let mut errors: Vec<FieldError> = unknown
        .map(|quota| FieldError::new(format!("quotas.{quota}"), Fault::not_one_of(&known)))
        .collect();
    if new.quotas.get(REQUESTS) == Some(&0) {
        errors.push(FieldError::new(
            format!("quotas.{REQUESTS}"),
            Fault::out_of_range(1, u32::MAX),
        ));
    }
    if !errors.is_empty() {
        return Err(Failure::Invalid(errors).into());
    }
    let new = &new;
    cx.commit(|tx| async move {
        let found: Option<Stored<Plan>> = tx.read(PLAN.key(name)).await?;
        if_match.check(found.as_ref().map_or(0, Stored::version))?;
        let NewPlan { title, quotas } = new.clone();
        let plan = Plan {
            name: name.to_owned(),
            title,
            quotas,
            version: 1,
        };
        let entries = vec![Entry::new(PLANS, name)];
        Ok(match found {
            Some(old) if (&old.title, &old.quotas) == (&plan.title, &plan.quotas) => tx.unchanged(old),
            Some(old) => tx.update(&old.document, plan).or_precondition(if_match),
            None => tx.create(PLAN.key(name), plan).entries(entries).or_retry(),
        })
    })
    .await
}

/// The names of all quotas.
fn quotas(cx: &Context) -> Vec<&'static str> {
    let mut all: Vec<_> = cx.registry.kinds.iter().filter_map(|kind| kind.quota).collect();
    all.push(REQUESTS);
    all.sort_unstable();
    all
}

/// What this market uses of its plan. Nothing for the main market, which has none.
pub async fn usage(cx: &Context) -> Result<Vec<Usage>, Failure> {
    if cx.tenant.is_main() {
        return Ok(Vec::new());
    }
    let known = quotas(cx);
    let keys: Vec<_> = known.iter().map(|quota| usage_key(quota)).collect();
    let found = cx.get_all(&keys).await?;
    let used = known.iter().zip(found).map(|(quota, document)| Usage {
        quota: (*quota).to_owned(),
        used: (*quota != REQUESTS).then(|| document.map_or(0, |document| document.counter(USED))),
        limit: cx.quota(quota),
    });
    Ok(used.collect())
}

/// What a tenant uses of its plan.
pub async fn usage_of(cx: &Context, name: &str) -> Result<Vec<Usage>, Failure> {
    let tenant: Tenant = find_tenant(cx, name).await?.name.clone();
    match cx.platform().of_tenant(&tenant).await? {
        Some(market) => usage(&Context::system(market)).await,
        None => Ok(Vec::new()),
    }
}
