//! What staff may do to webhooks.

use souk_core::Permission;

/// To listen to all of the market.
pub(crate) const WEBHOOKS_MARKET: Permission = Permission::new(
    "webhooks:market",
    "Add, see and change webhooks that get the events of the whole market, also of what is not public.",
    &[],
);
/// To deal with the webhooks of accounts.
pub(crate) const WEBHOOKS_WRITE: Permission =
    Permission::new("webhooks:write", "See and change webhooks of others.", &[]);
