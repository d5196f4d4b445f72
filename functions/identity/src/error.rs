//! Why an operation on accounts or sessions failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

/// Why an operation on accounts or sessions failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another account has this email address or username.
    #[error("there is an account of this {0}")]
    Taken(&'static str),
    /// The account or the password is wrong.
    #[error("the account or the password is wrong")]
    WrongCredentials,
    /// The account may not sign in.
    #[error("this account has been deactivated")]
    Deactivated,
    /// The refresh token is not valid.
    #[error("the refresh token is not valid or has expired: sign in again")]
    InvalidRefreshToken,
    /// The refresh token was used before, so it may have been stolen.
    #[error("this refresh token was used before: its session has ended, sign in again")]
    RefreshTokenReused,
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let detail = error.to_string();
        match error {
            IdentityError::Failure(failure) => failure.into(),
            IdentityError::Taken(field) => Problem::conflict("taken", detail).field(field, "is taken"),
            IdentityError::Deactivated => Problem::forbidden(detail),
            IdentityError::WrongCredentials
            | IdentityError::InvalidRefreshToken
            | IdentityError::RefreshTokenReused => Problem::unauthorized(detail),
        }
    }
}
