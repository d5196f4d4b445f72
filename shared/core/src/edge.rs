//! The `EdgeCache` port: shared caches in front of a host, such as a CDN, that can be told what has changed.
//!
//! Responses that they may keep carry `Cache-Tag`s, which name the documents that they were made of. A purge names tags; every
//! response with one of them is fetched from the host again when it is next requested. The tags of a kind of document are
//! declared with the kind ([`Kind::list_tag`](crate::Kind)).
//!
//! **Consistency.** A purge takes effect within seconds, not before it is acknowledged. One that fails costs freshness for
//! as long as `Cache-Control` allows anyhow, and nothing else.

use async_trait::async_trait;

/// How many tags an answer may have (CloudFront keeps 50).
pub const MAX_TAGS: usize = 50;

/// The purge was not taken on: the cache is out of reach, busy, or does not let us. Worth another attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edge cache does not purge: {0}")]
pub struct EdgeError(pub String);

/// The port.
#[async_trait]
pub trait EdgeCache: Send + Sync {
    /// Lets go of every answer that has one of these tags. To ask again with the same `reference` and the same tags is
    /// the same purge; no other may have that reference.
    async fn purge(&self, reference: &str, tags: &[String]) -> Result<(), EdgeError>;
}
