//! Why an operation on search failed.

use souk_core::StoreError;
use souk_core::search::SearchError as IndexError;
use souk_kit::http::Problem;
use souk_kit::jobs::JobError;
use souk_kit::{Failure, Fault};

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// The search index does not answer. Everything else works; search again after `Retry-After`.
        SEARCH_UNAVAILABLE: SERVICE_UNAVAILABLE "search_unavailable";
    }
}

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
                SearchError::Failure(Failure::bad_parameter("cursor", Fault::invalid(detail)))
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
                let problem = Problem::new(problems::SEARCH_UNAVAILABLE, detail);
                problem.retry_after(5).caused_by(error)
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
