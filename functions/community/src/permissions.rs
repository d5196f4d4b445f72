//! What staff may do to what the community writes.

use souk_core::Permission;
use souk_core::access::MODERATOR;

/// To change comments of others.
pub(crate) const COMMENTS_WRITE: Permission =
    Permission::new("comments:write", "Change and delete comments of others.", &[MODERATOR]);
