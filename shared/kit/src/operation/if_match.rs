//! The `If-Match` precondition.

use super::Failure;

/// The versions that a document may have for a change.
#[derive(Clone, Debug, Default)]
pub struct IfMatch(Option<Vec<u64>>);

impl IfMatch {
    /// The document must have one of these versions.
    #[must_use]
    pub fn versions(versions: Vec<u64>) -> Self {
        Self(Some(versions))
    }

    /// Whether the client sent versions. Then a conflicting write fails the precondition, and the operation does not
    /// retry.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Fails unless `version` satisfies the precondition.
    pub fn check(&self, version: u64) -> Result<(), Failure> {
        match &self.0 {
            Some(versions) if !versions.contains(&version) => Err(Failure::VersionMismatch),
            _ => Ok(()),
        }
    }
}
