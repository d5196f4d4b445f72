//! Why an operation on imports failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// You have as many imports as you may. Delete one, or wait until one expires.
        TOO_MANY_IMPORTS: CONFLICT "too_many_imports";
        /// This cannot be done at this stage of the import.
        NOT_NOW: CONFLICT "not_now";
    }
}

/// Why an operation on imports failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The account has too many imports.
    #[error("there are {0} imports: delete one, or wait until one expires")]
    TooMany(usize),
    /// This cannot be done at this stage of the import.
    #[error("{0}")]
    NotNow(&'static str),
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        match error {
            ImportError::Failure(failure) => failure.into(),
            ImportError::TooMany(_) => Problem::new(problems::TOO_MANY_IMPORTS, detail),
            ImportError::NotNow(_) => Problem::new(problems::NOT_NOW, detail),
        }
    }
}
