//! What can be done with tenants, plans and host names.

mod domains;
mod erasure;
mod plans;
mod tenants;

pub use domains::{add_domain, list_domains, remove_domain, verify_domain};
pub(crate) use erasure::erase_part;
pub use erasure::{begin_erasure, erase_all, erase_tenant, export_tenant};
pub use plans::{find_plan, list_plans, replace_plan, usage, usage_of};
pub use tenants::{change_tenant, create_tenant, find_tenant, list_tenants, resume_tenant, suspend_tenant};
