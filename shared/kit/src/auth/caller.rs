//! Who a request is from, as a gate tells the host behind it.
//!
//! A gate is a host that forwards the requests that it does not serve. It finds out the market and the principal once, and signs
//! them for this one request in the header `Souk-Identity`. The host behind it takes them from there and reads no token, but looks
//! the account up again for a request that may change something; with `SOUK_GATE_ONLY` it answers nobody else. The header is a JWT
//! under the key that signs access tokens. It is valid for half a minute, and for its method and target only.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use souk_core::{Principal, Tenant};

/// The header that says who a request is from.
pub(crate) const IDENTITY: &str = "souk-identity";

/// Who a request is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Caller {
    /// The network address of the client.
    pub(crate) address: String,
    /// The host name that the client asked.
    pub(crate) host: Option<String>,
    /// The name of the market that it is for; `None` if the gate has not found that out, and the host name tells.
    pub(crate) tenant: Option<String>,
    /// Who is signed in; `None` for nobody, or if the gate has left the token on the request.
    pub(crate) account: Option<Account>,
}

/// The principal of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) session: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<String>,
}

impl Account {
    pub(crate) fn principal(&self, tenant: &Tenant) -> Principal {
        Principal {
            account: self.id.clone(),
            session: self.session.clone(),
            roles: self.roles.clone(),
            grants: self.grants.clone(),
            is_of_tenant: !tenant.is_main(),
            ..Principal::default()
        }
    }
}

impl From<Principal> for Account {
    fn from(principal: Principal) -> Self {
        Self {
            id: principal.account,
            session: principal.session,
            roles: principal.roles,
            grants: principal.grants,
        }
    }
}

/// What names a request in its header. Hosts differ in what they percent-encode, so it is of the decoded parts of the target.
pub(super) fn request_digest(method: &http::Method, uri: &http::Uri) -> [u8; 32] {
    let mut digest = Sha256::new();
    update(&mut digest, method.as_str());
    // The number of parts tells where the path ends.
    digest.update((uri.path().split('/').count() as u64).to_le_bytes());
    for part in uri.path().split('/') {
        update(&mut digest, part);
    }
    for pair in uri.query().into_iter().flat_map(|query| query.split('&')) {
        update(&mut digest, pair);
    }
    digest.finalize().into()
}

fn update(digest: &mut Sha256, part: &str) {
    let decoded: Vec<u8> = percent_decode_str(part).collect();
    digest.update((decoded.len() as u64).to_le_bytes());
    digest.update(decoded);
}
