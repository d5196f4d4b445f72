//! The `EdgeCache` port: shared caches in front of a host, such as a CDN, that support purging by tag.
//!
//! Cacheable responses carry `Cache-Tag`s that name the documents that they were made of. A purge names tags, and the
//! cache then fetches every response with one of them from the host again at its next request. A kind of document
//! declares its tags ([`Kind::list_tag`](crate::Kind)).
//!
//! **Consistency.** A purge takes effect within seconds, not before it is acknowledged. If one fails, responses stay
//! stale for at most as long as `Cache-Control` allows anyway.

use std::borrow::Cow;

use async_trait::async_trait;

use crate::Tenant;

/// The maximum number of tags of a response (CloudFront keeps 50).
pub const MAX_TAGS: usize = 50;

/// A tag as caches know it: with the name of the tenant before it, unless it is the main market.
#[must_use]
pub fn tag_of<'t>(tenant: &Tenant, tag: &'t str) -> Cow<'t, str> {
    match tenant.is_main() {
        true => Cow::Borrowed(tag),
        false => Cow::Owned(format!("{}.{tag}", tenant.name())),
    }
}

/// The purge was not accepted: the cache is out of reach, busy, or denies access. A retry may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edge cache does not purge: {0}")]
pub struct EdgeError(pub String);

/// The edge cache port.
#[async_trait]
pub trait EdgeCache: Send + Sync {
    /// Purges every response that has one of these tags. Idempotent: repeating a call with the same `reference` and
    /// tags is the same purge. Other purges must have other references.
    async fn purge(&self, reference: &str, tags: &[String]) -> Result<(), EdgeError>;
}
