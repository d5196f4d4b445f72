//! Tenants and plans: the fields that operators set.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use souk_core::{Fault, Tenant, Timestamp, check};
use souk_kit::tenancy::{Quotas, TenantRecord};

/// How many origins a tenant may have.
const MAX_ORIGINS: usize = 20;

/// The fields of a new tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Unique name: the first part of the host name. It never changes.
    #[garde(custom(tenant_name))]
    #[serde(default)]
    #[schema(
        required = true,
        pattern = "^[a-z0-9][a-z0-9-]*[a-z0-9]$",
        min_length = 2,
        max_length = 40,
        example = "lanterns"
    )]
    pub name: String,
    /// Display name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Lantern Market")]
    pub title: String,
    /// The name of a plan, which says how much the tenant may have; without one there are no limits.
    #[garde(skip)]
    #[serde(default)]
    pub plan: Option<String>,
    /// The origins of pages that may call the API of the market, such as `https://lanterns.example`.
    #[garde(custom(are_origins))]
    #[serde(default)]
    #[schema(max_items = 20)]
    pub origins: Vec<String>,
    /// The account with this email address becomes an admin of the market when it signs in; `null` ends that. To set it takes the
    /// permission `tenants:appoint`.
    #[garde(inner(custom(check::email)))]
    #[serde(default)]
    #[schema(format = "email", max_length = 254)]
    pub first_admin: Option<String>,
    /// The database that its documents are in, one of those that the deployment has beside its own (`SOUK_DATABASES`); without one
    /// it is the deployment's. It never changes.
    #[garde(skip)]
    #[serde(default)]
    #[schema(max_length = 40)]
    pub database: Option<String>,
}

impl NewTenant {
    /// The fields of a tenant.
    pub(crate) fn of(tenant: &TenantRecord) -> Self {
        Self {
            name: tenant.name.name().to_owned(),
            title: tenant.title.clone(),
            plan: tenant.plan.clone(),
            origins: tenant.origins.clone(),
            first_admin: tenant.first_admin.clone(),
            database: tenant.database.clone(),
        }
    }
}

fn tenant_name(name: &str, _: &()) -> garde::Result {
    match Tenant::named(name) {
        Some(_) => Ok(()),
        None if name.is_empty() => Err(Fault::required().into()),
        None => {
            let rule = "must be 2 to 40 lower-case letters, digits and hyphens, and not begin or end with a hyphen";
            Err(Fault::format(rule).into())
        }
    }
}

fn are_origins(origins: &[String], _: &()) -> garde::Result {
    if origins.len() > MAX_ORIGINS {
        return Err(Fault::too_many(MAX_ORIGINS).into());
    }
    for origin in origins {
        souk_kit::platform::allowed_origin(origin).map_err(Fault::format)?;
    }
    Ok(())
}

/// The fields of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// Display name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Small")]
    pub title: String,
    /// How much there may be, by the names of quotas: `products`, `members`, and `requests` in a minute. What is not listed has
    /// no limit.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = HashMap<String, u32>, example = json!({ "products": 1000, "members": 100, "requests": 6000 }))]
    pub quotas: Quotas,
}

/// A document of a market, as it is exported.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ExportedDocument {
    /// The partition that it is in.
    pub partition: String,
    /// Its sort key in the partition.
    pub sort: String,
    /// Its version.
    pub version: u64,
    /// Its fields.
    #[schema(value_type = HashMap<String, serde_json::Value>)]
    pub body: Value,
    /// Its counters.
    #[schema(value_type = HashMap<String, i64>)]
    pub counters: Value,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub expires_at: Option<Timestamp>,
}

/// How much of something the plan of a market allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// The name of the quota.
    pub quota: String,
    /// How much is used; `null` for what is of a time, such as requests.
    #[schema(required = true, minimum = 0)]
    pub used: Option<i64>,
    /// How much is allowed; `null` for no limit.
    #[schema(required = true)]
    pub limit: Option<u32>,
}
