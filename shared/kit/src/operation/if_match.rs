//! The version that a client requires a document to have.

use super::Failure;

/// The versions that the client is willing to change, or none if it does not care.
#[derive(Clone, Debug, Default)]
pub struct IfMatch(Option<Vec<u64>>);

impl IfMatch {
    /// One of these versions.
    #[must_use]
    pub fn versions(versions: Vec<u64>) -> Self {
        Self(Some(versions))
    }

    /// Whether the client named a version: then a lost race fails, and is no reason to try again.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Fails unless `version` is one of those that the client named.
    pub fn check(&self, version: u64) -> Result<(), Failure> {
        match &self.0 {
            Some(versions) if !versions.contains(&version) => Err(Failure::VersionMismatch),
            _ => Ok(()),
        }
    }
}
