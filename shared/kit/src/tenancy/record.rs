//! What is stored of a tenant, in the main market: `tenant/{name}`, `tenant-domain/{host}`, `plan/{name}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::{Key, Kind, Tenant, Timestamp};

/// Tenants. Their ids are their names.
pub const TENANT: Kind = Kind {
    personal_fields: &["first_admin"],
    ..Kind::new("tenant", "tenant")
};
/// Host names that tenants own.
pub const DOMAIN: Kind = Kind::new("tenant-domain", "tenant-domain");
/// Plans. Their ids are their names.
pub const PLAN: Kind = Kind::new("plan", "plan");

/// The index of all tenants, by name.
pub const TENANTS: &str = "tenants";

/// How much of something there may be, by the names of quotas: those that kinds declare ([`Kind::quota`]), and `requests`, which
/// is of a minute. What is not listed has no limit.
pub type Quotas = BTreeMap<String, u32>;

/// A tenant: a market of this deployment beside the main one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Tenant)]
pub struct TenantRecord {
    /// Unique name: the first part of the host name. It never changes, and no other tenant gets it later.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]*[a-z0-9]$", min_length = 2, max_length = 40, example = "lanterns")]
    pub name: Tenant,
    /// Display name.
    pub title: String,
    /// The name of the plan, which says how much the tenant may have; `null` for no limits.
    #[schema(required = true)]
    pub plan: Option<String>,
    /// The origins of pages that may call the API of the market.
    #[serde(default)]
    pub origins: Vec<String>,
    /// The account with this email address becomes an admin of the market when it signs in.
    #[schema(required = true)]
    pub first_admin: Option<String>,
    /// The database that its documents are in; `null` for the one of the deployment. It never changes.
    #[serde(default)]
    #[schema(required = true)]
    pub database: Option<String>,
    /// Whether the market answers.
    pub status: TenantStatus,
    /// When the tenant was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// Whether a market answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// It does.
    #[default]
    Active,
    /// Every request is refused with 403. What is queued is still done.
    Suspended,
    /// All that it had is gone or about to go.
    Erased,
}

/// A host name of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TenantDomain)]
pub struct Domain {
    /// The host name.
    pub host: String,
    /// The name of the tenant.
    #[schema(value_type = String)]
    pub tenant: Tenant,
    /// Whether the tenant has proved that the host name is its own. Only then it leads to the market.
    pub verified: bool,
    /// The value of the TXT record that proves it, at `_souk.` and the host name.
    pub proof: String,
    /// When the host name was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A plan: how much a tenant may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Unique name.
    pub name: String,
    /// Display name.
    pub title: String,
    /// How much there may be, by the names of quotas; `requests` is of a minute. What is not listed has no limit.
    #[schema(value_type = HashMap<String, u32>)]
    pub quotas: Quotas,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The document of a tenant that counts what it has of what this quota limits.
#[must_use]
pub fn usage_key(quota: &str) -> Key {
    Key::of("usage", quota)
}

/// The counter of that document.
pub const USED: &str = "used";

/// The quota of requests in a minute.
pub const REQUESTS: &str = "requests";
