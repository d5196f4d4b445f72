//! What staff may do to search.

use souk_core::Permission;
use souk_core::access::OPERATOR;

/// To see how search is used and set.
pub(crate) const SEARCH_READ: Permission = Permission::new(
    "search:read",
    "See the analytics, the settings and the state of search.",
    &[OPERATOR],
);
/// To change the settings.
pub(crate) const SEARCH_WRITE: Permission =
    Permission::new("search:write", "Change the weights and synonyms of search.", &[]);
/// To rebuild the index.
pub(crate) const SEARCH_REBUILD: Permission =
    Permission::new("search:rebuild", "Rebuild the search index.", &[OPERATOR]);
