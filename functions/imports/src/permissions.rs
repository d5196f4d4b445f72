//! What staff may import.

use souk_core::Permission;

/// To import beyond one's own.
pub(crate) const IMPORTS_MARKET: Permission = Permission::new(
    "imports:market",
    "Import for other accounts and into vendors that exist, with categories and old addresses.",
    &[],
);
