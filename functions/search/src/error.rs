//! Why an operation on search failed.

use http::StatusCode;
use souk_core::StoreError;
use souk_core::search::SearchError as IndexError;
use souk_kit::Failure;
use souk_kit::http::Problem;
use souk_kit::jobs::JobError;

/// Why an operation on search failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SearchError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The search index failed.
    #[error(transparent)]
    Index(IndexError),
}

impl From<IndexError> for SearchError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::BadPlace => {
                let detail = "is not one that this list gave: begin again without it";
                SearchError::Failure(Failure::bad_parameter("cursor", detail))
            }
            IndexError::Busy => SearchError::Failure(Failure::Busy),
            error => SearchError::Index(error),
        }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Failure(failure) => failure.into(),
            SearchError::Index(error) => {
                let detail = "search does not answer; please try again in a moment";
                let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "search_unavailable", detail);
                problem.retry_after = Some(5);
                problem.caused_by(error)
            }
        }
    }
}

impl From<SearchError> for JobError {
    /// An unavailable index does not count as an attempt of a job, like an unavailable store.
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Failure(failure) => failure.into(),
            SearchError::Index(IndexError::Unavailable(why)) => JobError::Store(StoreError::Unavailable(why)),
            SearchError::Index(error) => JobError::Retry(error.to_string()),
        }
    }
}
