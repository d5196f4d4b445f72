//! How much a client may do in a time.
//!
//! A route or an operation declares a [`Limit`]. Windows are fixed: one begins with the first request and ends after the time
//! of the limit, which answers say in `RateLimit` and `RateLimit-Policy`. Cheap limits are counted by each instance
//! ([`Reach::Instance`]); those that must hold are counted once for all instances ([`Reach::Everywhere`]), by the
//! `RateLimit` port. [`Limiter`] asks it seldom: an instance that is asked often borrows several units at once.

mod limiter;

use std::net::{IpAddr, SocketAddr};

use souk_core::rate_limit::Quota;

pub use limiter::Limiter;

/// The name of the limit of a market's requests, which its plan sets.
pub const PLAN_REQUESTS: &str = "plan-requests";

/// How much may be done in a time, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name, such as `sign-in`. Clients see it.
    pub name: &'static str,
    /// How many times in how many seconds.
    pub quota: Quota,
    /// Who is counted.
    pub by: By,
    /// Where it holds.
    pub reach: Reach,
}

/// Who is counted by a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The network address; checked before the access token.
    Address,
    /// The account, or the network address of anonymous requests.
    Client,
    /// What the operation names, such as an account that somebody wants to sign in to.
    Subject,
}

/// Where a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In each instance: against floods.
    Instance,
    /// In all instances together: never more than the quota, wherever the requests arrive.
    Everywhere,
}

impl Limit {
    /// A limit that holds everywhere: `units` in `seconds`.
    #[must_use]
    pub const fn strict(name: &'static str, units: u32, seconds: u32, by: By) -> Self {
        Self {
            name,
            quota: Quota { units, seconds },
            by,
            reach: Reach::Everywhere,
        }
    }

    /// A limit of each instance: `units` in `seconds`.
    #[must_use]
    pub const fn cheap(name: &'static str, units: u32, seconds: u32, by: By) -> Self {
        Self {
            reach: Reach::Instance,
            ..Self::strict(name, units, seconds, by)
        }
    }
}

/// What is done with limits (`SOUK_LIMITS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitMode {
    /// They are enforced.
    #[default]
    On,
    /// They are counted and shown, and nothing is refused.
    Shadow,
    /// They are not counted.
    Off,
}

impl std::str::FromStr for LimitMode {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "shadow" => Ok(Self::Shadow),
            "off" => Ok(Self::Off),
            _ => Err("must be on, shadow or off"),
        }
    }
}

/// What a limit says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The limit.
    pub limit: Limit,
    /// How much is left; some of it may be used up elsewhere.
    pub left: u32,
    /// In how many seconds the whole quota is there again.
    pub seconds: u32,
    /// Whether the quota is used up.
    pub is_over: bool,
}

/// The value of `RateLimit-Policy` for these limits (draft-ietf-httpapi-ratelimit-headers-11).
#[must_use]
pub fn policies(verdicts: &[Verdict]) -> String {
    let policy = |verdict: &Verdict| {
        let Quota { units, seconds } = verdict.limit.quota;
        format!("\"{}\";q={units};w={seconds}", verdict.limit.name)
    };
    verdicts.iter().map(policy).collect::<Vec<_>>().join(", ")
}

/// The value of `RateLimit` for these limits.
#[must_use]
pub fn states(verdicts: &[Verdict]) -> String {
    let state = |verdict: &Verdict| format!("\"{}\";r={};t={}", verdict.limit.name, verdict.left, verdict.seconds);
    verdicts.iter().map(state).collect::<Vec<_>>().join(", ")
}

/// The network of an address: of IPv6, a client has 64 bits to itself. Empty for what is no address.
#[must_use]
pub fn network(address: &str) -> String {
    let with_port = address.parse().map(|address: SocketAddr| address.ip());
    let plain = address.trim_matches(['[', ']']).parse::<IpAddr>();
    match plain.or(with_port).map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_client_has() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:0db8:0001:0002::9", "2001:db8:1:2::/64"),
            ("", ""),
            ("192.0.2.7:5678", "192.0.2.7"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
            ("unknown", ""),
        ] {
            assert_eq!(network(address), expected);
        }
    }

    #[test]
    fn headers_are_lists_of_all_limits() {
        let verdict = |name, left| Verdict {
            limit: Limit::strict(name, 10, 900, By::Address),
            left,
            seconds: 12,
            is_over: false,
        };
        let both = [verdict("a", 3), verdict("b", 0)];
        assert_eq!(policies(&both), r#""a";q=10;w=900, "b";q=10;w=900"#);
        assert_eq!(states(&both), r#""a";r=3;t=12, "b";r=0;t=12"#);
    }
}
