//! Why an operation on accounts or sessions failed.

use souk_kit::http::{Problem, problem_type};
use souk_kit::{Failure, Fault};

use crate::role::MAX_ROLES;
use crate::token::MAX_TOKENS;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// The account has been deactivated.
        ACCOUNT_DEACTIVATED: FORBIDDEN "account_deactivated";
        /// The address of the account is verified already.
        EMAIL_VERIFIED: CONFLICT "email_verified";
        /// This market sends no mails: its operator has to say how (`SOUK_MAIL_URL`).
        NO_MAIL: NOT_IMPLEMENTED "no_mail";
        /// The password is right; send the same again with `second_factor`: the six digits of the authenticator, or a recovery code.
        SECOND_FACTOR_REQUIRED: UNAUTHORIZED "second_factor_required";
        /// The account has a second factor already; disable it first.
        SECOND_FACTOR_ENABLED: CONFLICT "second_factor_enabled";
        /// This asks for a sign-in of the last ten minutes: confirm the session with `POST /v1/sessions/current/confirm`, and try again.
        SIGN_IN_REQUIRED: FORBIDDEN "sign_in_required";
        /// The account has as many personal access tokens as it may have.
        TOO_MANY_TOKENS: CONFLICT "too_many_tokens";
        /// There are as many roles as there may be.
        TOO_MANY_ROLES: CONFLICT "too_many_roles";
    }
}

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
    #[error("the account or the password is wrong; an email address can be signed in by once it is verified")]
    WrongCredentials,
    /// The account may not sign in.
    #[error("this account has been deactivated")]
    Deactivated,
    /// The address of the account is verified already.
    #[error("the email address is verified already")]
    AlreadyVerified,
    /// Nobody sends mails.
    #[error("this market sends no mails: its operator has to set SOUK_MAIL_URL")]
    NoMail,
    /// The password is right, and a second factor is needed too.
    #[error("the account has a second factor: send `second_factor` too")]
    SecondFactorRequired,
    /// The second factor is wrong, or was used.
    #[error("the second factor is wrong, or was used before")]
    WrongSecondFactor,
    /// The account has a second factor already.
    #[error("the account has a second factor: disable it first")]
    SecondFactorEnabled,
    /// The last sign-in is too long ago.
    #[error("confirm who you are: the last sign-in is more than ten minutes ago")]
    SignInRequired,
    /// There is no room for another token.
    #[error("there are {MAX_TOKENS} tokens already: revoke one that is not used")]
    TooManyTokens,
    /// There is no room for another role.
    #[error("there are {MAX_ROLES} roles already")]
    TooManyRoles,
    /// The refresh token is not valid.
    #[error("the refresh token is not valid: sign in again")]
    InvalidRefreshToken,
    /// The session of the refresh token has ended.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The refresh token was used before, so it may have been stolen.
    #[error("this refresh token was used before: its session has ended, sign in again")]
    RefreshTokenReused,
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let detail = error.to_string();
        match error {
            IdentityError::Failure(failure) => failure.into(),
            IdentityError::Taken(field) => Problem::taken(field, detail),
            IdentityError::Deactivated => Problem::new(problems::ACCOUNT_DEACTIVATED, detail),
            IdentityError::AlreadyVerified => Problem::new(problems::EMAIL_VERIFIED, detail),
            IdentityError::NoMail => Problem::new(problems::NO_MAIL, detail),
            IdentityError::SecondFactorRequired => Problem::new(problems::SECOND_FACTOR_REQUIRED, detail),
            IdentityError::WrongSecondFactor => Problem::new(problem_type::INVALID_CREDENTIALS, detail)
                .field("second_factor", Fault::invalid("is wrong, or was used before")),
            IdentityError::SecondFactorEnabled => Problem::new(problems::SECOND_FACTOR_ENABLED, detail),
            IdentityError::SignInRequired => Problem::new(problems::SIGN_IN_REQUIRED, detail),
            IdentityError::TooManyTokens => Problem::new(problems::TOO_MANY_TOKENS, detail),
            IdentityError::TooManyRoles => Problem::new(problems::TOO_MANY_ROLES, detail),
            IdentityError::WrongCredentials => Problem::new(problem_type::INVALID_CREDENTIALS, detail),
            IdentityError::InvalidRefreshToken => Problem::new(problem_type::TOKEN_INVALID, detail),
            IdentityError::SessionEnded | IdentityError::RefreshTokenReused => {
                Problem::new(problem_type::SESSION_ENDED, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No client can cause it at will.
    #[test]
    fn what_is_rare_has_its_code() {
        for (error, code) in [
            (IdentityError::Deactivated, "account_deactivated"),
            (IdentityError::TooManyRoles, "too_many_roles"),
            (IdentityError::NoMail, "no_mail"),
            (IdentityError::TooManyTokens, "too_many_tokens"),
        ] {
            assert_eq!(Problem::from(error).kind.code, code);
        }
    }
}
