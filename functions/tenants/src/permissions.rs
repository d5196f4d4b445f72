//! What operators of the deployment may do, and what staff of a market may see of its plan.

use souk_core::Permission;
use souk_core::access::{OPERATOR, SUPPORT};

/// To see tenants.
pub(crate) const TENANTS_READ: Permission = Permission::new(
    "tenants:read",
    "See the markets of the deployment, their plans and host names.",
    &[OPERATOR, SUPPORT],
)
.of_deployment();
/// To change tenants.
pub(crate) const TENANTS_WRITE: Permission = Permission::new(
    "tenants:write",
    "Add and change markets and their host names.",
    &[OPERATOR],
)
.of_deployment();
/// To set `first_admin` of a tenant. That account gets every permission in the market, so only admins may set it.
pub(crate) const TENANTS_APPOINT: Permission = Permission::new(
    "tenants:appoint",
    "Say whose account becomes the first admin of a market.",
    &[],
)
.of_deployment();
/// To suspend tenants.
pub(crate) const TENANTS_SUSPEND: Permission =
    Permission::new("tenants:suspend", "Suspend markets and let them go on.", &[OPERATOR]).of_deployment();
/// To change plans.
pub(crate) const PLANS_WRITE: Permission = Permission::new(
    "plans:write",
    "Add and change plans, which limit what markets have.",
    &[OPERATOR],
)
.of_deployment();
/// To export tenants.
pub(crate) const TENANTS_EXPORT: Permission = Permission::new(
    "tenants:export",
    "Export all that a market has, personal data too.",
    &[],
)
.of_deployment();
/// To erase tenants.
pub(crate) const TENANTS_ERASE: Permission =
    Permission::new("tenants:erase", "Erase markets with all that they have.", &[]).of_deployment();
/// To see what the plan of the own market allows.
pub(crate) const USAGE_READ: Permission = Permission::new(
    "usage:read",
    "See how much the plan of this market allows, and how much of it is used.",
    &[OPERATOR, SUPPORT],
);

pub(crate) const ALL: &[&Permission] = &[
    &TENANTS_READ,
    &TENANTS_WRITE,
    &TENANTS_APPOINT,
    &TENANTS_SUSPEND,
    &PLANS_WRITE,
    &TENANTS_EXPORT,
    &TENANTS_ERASE,
    &USAGE_READ,
];
