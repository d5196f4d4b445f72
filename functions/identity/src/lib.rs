//! Accounts and sessions: sign-up, sign-in and profiles (VT-01, VT-02).

mod account;
mod error;
mod http;
mod limits;
pub mod operations;
mod password;
mod session;

use souk_kit::Partitions::Documents;
use souk_kit::{Function, StoreUse};
use souk_model::identity::ACCOUNT;

pub use account::{Account, Me, NewAccount, Profile};
pub use error::IdentityError;
pub use session::{Credentials, SIGN_IN, Sessions, Tokens, session_key};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "identity",
        summary: "Accounts and sessions.",
        problems: error::problems::ALL,
        routes: http::routes(),
        kinds: &[ACCOUNT],
        limits: limits::OF_OPERATIONS,
        store: StoreUse {
            reads: &[
                Documents("account-named/*"),
                Documents("account-former/*"),
                Documents("account-email/*"),
                Documents("password/*"),
            ],
            writes: &[
                Documents("account/*"),
                Documents("sessions/*"),
                Documents("account-named/*"),
                Documents("account-former/*"),
                Documents("account-email/*"),
                Documents("password/*"),
            ],
        },
        ..Function::default()
    }
}
