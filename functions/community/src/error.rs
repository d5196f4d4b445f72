//! Why an operation on comments failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

/// Why an operation on comments failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommentError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The comment was deleted.
    #[error("this comment was deleted")]
    Deleted,
}

impl From<CommentError> for Problem {
    fn from(error: CommentError) -> Self {
        match error {
            CommentError::Failure(failure) => failure.into(),
            CommentError::Deleted => Problem::conflict("comment_deleted", error.to_string()),
        }
    }
}
