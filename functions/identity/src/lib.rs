//! Accounts, sessions and roles: sign-up, sign-in, profiles, permissions (VT-01, VT-02, CB-03).

mod account;
mod challenge;
mod error;
mod http;
mod jobs;
mod limits;
mod mails;
pub mod operations;
mod password;
mod permissions;
mod principals;
mod role;
mod second_factor;
mod session;
mod token;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};
use souk_model::identity::{ACCOUNT, ROLE};

pub use account::{Account, Me, NewAccount, NewEmail, Profile};
pub use challenge::ShownChallenge;
pub use error::IdentityError;
pub use principals::{SIGN_IN, SIGN_IN_WRITES, Sessions};
pub use role::{AccountRoles, NewRole, Role, ShownRole};
pub use session::{CookieSession, Credentials, ShownCookieSession, Tokens, session_key};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "identity",
        summary: "Accounts, sessions and roles.",
        problems: error::problems::ALL,
        routes: http::routes(),
        jobs: jobs::jobs(),
        kinds: &[ACCOUNT, ROLE, token::TOKEN],
        permissions: &[
            &permissions::ACCOUNTS_DEACTIVATE,
            &permissions::ROLES_READ,
            &permissions::ROLES_WRITE,
            &permissions::ROLES_ASSIGN,
        ],
        limits: limits::OF_OPERATIONS,
        store: StoreUse {
            reads: &[
                Documents("account-named/*"),
                Documents("account-former/*"),
                Documents("account-email/*"),
                Documents("password/*"),
                Documents("sessions/*"),
                Documents("challenge/*"),
                Documents("second-factor/*"),
                Index("roles"),
                Index("role-members/*"),
            ],
            writes: &[
                Documents("account/*"),
                Documents("sessions/*"),
                Documents("account-named/*"),
                Documents("account-former/*"),
                Documents("account-email/*"),
                Documents("password/*"),
                Documents("challenge/*"),
                Documents("access-tokens/*"),
                Documents("access-token-use/*"),
                Documents("second-factor/*"),
                Documents("role/*"),
                Index("roles"),
                Index("role-members/*"),
            ],
        },
        job_store: StoreUse {
            reads: &[
                Documents("challenge/*"),
                Documents("account/*"),
                Documents("account-email/*"),
            ],
            writes: &[
                Documents("challenge/*"),
                Documents("dev-mail"),
                Documents("dev-mail-to/*"),
            ],
        },
        ..Function::default()
    }
}
