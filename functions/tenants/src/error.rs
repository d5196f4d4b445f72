//! Why an operation on tenants failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// The deployment has one market: its operator has not set the domain below which others would have their names.
        NO_TENANTS: CONFLICT "no_tenants";
        /// Only a suspended market can be erased.
        NOT_SUSPENDED: CONFLICT "not_suspended";
        /// The market is erased, or about to be.
        TENANT_ERASED: CONFLICT "tenant_erased";
        /// The TXT record that proves whose the host name is was not found. DNS may take a while to show a new one.
        NOT_PROVED: CONFLICT "not_proved";
        /// The name server did not answer. Try again.
        DNS_UNAVAILABLE: SERVICE_UNAVAILABLE "dns_unavailable";
        /// The market has as many host names as it may.
        TOO_MANY_DOMAINS: CONFLICT "too_many_domains";
    }
}

/// Why an operation on tenants failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TenantError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// `SOUK_TENANT_DOMAIN` is not set.
    #[error("this deployment has one market: set SOUK_TENANT_DOMAIN")]
    NoTenants,
    /// Another tenant has the name, or had it.
    #[error("a market has this name, or had it")]
    NameTaken,
    /// The tenant must be suspended first.
    #[error("suspend the market first")]
    NotSuspended,
    /// Nothing is done with it any more.
    #[error("this market is erased")]
    Erased,
    /// There is no such TXT record.
    #[error("there is no TXT record {record} with the value {value}")]
    NotProved {
        /// The name of the record.
        record: String,
        /// Its value.
        value: String,
    },
    /// The name server could not be asked.
    #[error("the name server does not answer; please try again")]
    NoDns,
    /// Another tenant has proved that the host name is its own.
    #[error("another market has this host name")]
    HostTaken,
    /// The tenant has too many host names.
    #[error("a market has at most {0} host names")]
    TooManyDomains(usize),
}

impl From<TenantError> for Problem {
    fn from(error: TenantError) -> Self {
        let detail = error.to_string();
        match error {
            TenantError::Failure(failure) => failure.into(),
            TenantError::NoTenants => Problem::new(problems::NO_TENANTS, detail),
            TenantError::NameTaken => Problem::taken("name", detail),
            TenantError::NotSuspended => Problem::new(problems::NOT_SUSPENDED, detail),
            TenantError::Erased => Problem::new(problems::TENANT_ERASED, detail),
            TenantError::NotProved { .. } => Problem::new(problems::NOT_PROVED, detail),
            TenantError::NoDns => Problem::new(problems::DNS_UNAVAILABLE, detail).retry_after(5),
            TenantError::HostTaken => Problem::taken("host", detail),
            TenantError::TooManyDomains(_) => Problem::new(problems::TOO_MANY_DOMAINS, detail),
        }
    }
}
