//! What staff may do to roles.

use souk_core::Permission;
use souk_core::access::{MODERATOR, SUPPORT};

/// To keep accounts out.
pub(crate) const ACCOUNTS_DEACTIVATE: Permission = Permission::new(
    "accounts:deactivate",
    "Deactivate and reactivate accounts that may not do more than one may oneself.",
    &[MODERATOR],
);
/// To see who may do what.
pub(crate) const ROLES_READ: Permission = Permission::new(
    "roles:read",
    "See roles, permissions, and which accounts have which role.",
    &[SUPPORT],
);
/// To change roles.
pub(crate) const ROLES_WRITE: Permission = Permission::new(
    "roles:write",
    "Add, change and delete roles of permissions that one has oneself.",
    &[],
);
/// To give and take roles.
pub(crate) const ROLES_ASSIGN: Permission = Permission::new(
    "roles:assign",
    "Give and take roles of permissions that one has oneself.",
    &[],
);
