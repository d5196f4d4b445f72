//! Why an operation on comments failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// The comment was deleted.
        COMMENT_DELETED: CONFLICT "comment_deleted";
    }
}

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
            CommentError::Deleted => Problem::new(problems::COMMENT_DELETED, error.to_string()),
        }
    }
}
