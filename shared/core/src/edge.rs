//! The `EdgeCache` port: shared caches in front of a host, such as a CDN, that can be told what has changed.
//!
//! Answers that they may keep carry tags (`Cache-Tag`), which name what they were made of; a purge names tags, and all
//! that bears one of them is made anew when it is next asked for. What a tag is called is said here, for those who put
//! them on answers and those who purge. Only what events tell of is tagged.
//!
//! **Consistency.** A purge takes effect within seconds, not before it is acknowledged. One that fails costs freshness for
//! as long as `Cache-Control` allows anyhow, and nothing else.

use async_trait::async_trait;

use crate::Kind;
use crate::kind::{CATEGORY, PRODUCT, VENDOR};

/// How many tags an answer may have (CloudFront keeps 50).
pub const MAX_TAGS: usize = 50;

/// The kinds of things that answers are tagged with, and the tag of lists of them. An answer that shows a thing has the
/// thing's id as a tag, and the name of its kind.
pub const TAGGED: [(Kind, &str); 3] = [(PRODUCT, "products"), (CATEGORY, "categories"), (VENDOR, "vendors")];

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
