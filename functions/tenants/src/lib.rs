//! Tenants (CB-02): the markets that share a deployment, with plans, host names of their own, export and erasure. All of it is
//! done in the main market, but for [`operations::usage`].

mod error;
mod http;
mod jobs;
pub mod operations;
mod permissions;
mod tenant;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::tenancy::{DOMAIN, PLAN, TENANT};
use souk_kit::{Function, StoreUse};

pub use error::TenantError;
pub use tenant::{NewPlan, NewTenant, Usage};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "tenants",
        summary: "The markets that share this deployment.",
        routes: http::routes(),
        jobs: jobs::jobs(),
        kinds: &[TENANT, DOMAIN, PLAN],
        problems: error::problems::ALL,
        permissions: permissions::ALL,
        audited: &["tenant-domains"],
        calls: true,
        scans: true,
        store: StoreUse {
            reads: &[
                Documents("tenant/*"),
                Documents("tenant-domain/*"),
                Documents("tenant-domains/*"),
                Documents("plan/*"),
                Documents("usage/*"),
                Index("tenants"),
                Index("plans"),
            ],
            writes: &[
                Documents("tenant/*"),
                Documents("tenant-domain/*"),
                Documents("tenant-domains/*"),
                Documents("plan/*"),
                Documents("job/*"),
                Index("tenants"),
                Index("plans"),
            ],
        },
        ..Function::default()
    }
}
