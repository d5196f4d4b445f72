//! Tenants: which market a request is for, and what is kept of it.
//!
//! A deployment has one market unless `SOUK_TENANT_DOMAIN` is set. Then a host name decides before anything else is read:
//! `{name}.{domain}` is the market with this name, a host name that a market has proved to own is its own, and any other is the
//! main market. Tools may send the name in the header `Souk-Tenant` instead. The [`Platform`](crate::Platform) of a market is
//! the deployment's with narrowed ports, so neither operations nor functions know of tenants.

mod record;

use http::{HeaderMap, Uri, header};
use souk_core::Tenant;

pub use record::{
    DOMAIN, Domain, PLAN, Plan, Quotas, REQUESTS, TENANT, TENANTS, TenantRecord, TenantStatus, USED, usage_key,
};

/// The header by which tools name a market.
pub(crate) const TENANT_HEADER: &str = "souk-tenant";
/// The header in which a cache in front passes the host name on, if it cannot keep `Host`.
pub(crate) const HOST_HEADER: &str = "souk-host";

/// How a request names its market.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    /// The main market.
    Main,
    /// By its name, in a host name or the header.
    Name(Tenant),
    /// By a host name of its own.
    Host(String),
    /// By something that is no name.
    Nothing,
}

/// How a request names its market, given the `domain` below which each has its name. The host of the deployment's own URL is the
/// main market, also below that domain.
pub(crate) fn named(uri: &Uri, headers: &HeaderMap, domain: Option<&str>, public_url: &str) -> Named {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("@"));
    let of_name = |name: &str| Tenant::named(name).map_or(Named::Nothing, Named::Name);
    if let Some(name) = text(TENANT_HEADER) {
        return of_name(name.trim());
    }
    let Some(domain) = domain else {
        return Named::Main;
    };
    let host = text(HOST_HEADER)
        .or_else(|| uri.host())
        .or_else(|| text(header::HOST.as_str()));
    let host = without_port(host.unwrap_or_default())
        .trim_end_matches('.')
        .to_ascii_lowercase();
    match host.strip_suffix(domain) {
        _ if is_own_host(&host, public_url) => Named::Main,
        Some("") => Named::Main,
        Some(rest) if rest.ends_with('.') => of_name(rest.trim_end_matches('.')),
        _ if host.is_empty() || is_address(&host) => Named::Main,
        _ => Named::Host(host),
    }
}

/// Whether this is the host of the deployment's own URL, which leads to the main market.
#[must_use]
pub fn is_own_host(host: &str, public_url: &str) -> bool {
    let own = public_url.split_once("://").map_or(public_url, |(_, host)| host);
    host.eq_ignore_ascii_case(without_port(own))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a host is an IP address, or the machine itself: nobody owns these.
fn is_address(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

/// The base URL of a tenant: its name before the domain, with the scheme and port of the deployment's URL.
pub(crate) fn url_of(tenant: &Tenant, public_url: &str, domain: &str) -> String {
    let (scheme, host) = public_url.split_once("://").unwrap_or(("https", public_url));
    let port = host.strip_prefix(without_port(host)).unwrap_or_default();
    format!("{scheme}://{}.{domain}{port}", tenant.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_or_a_header_names_the_market() {
        let tenant = |name: &str| Named::Name(Tenant::named(name).unwrap());
        for (host, header, domain, expected) in [
            ("souk.example", None, None, Named::Main),
            ("a1.souk.example", None, None, Named::Main),
            ("souk.example", None, Some("souk.example"), Named::Main),
            ("a1.souk.example", None, Some("souk.example"), tenant("a1")),
            ("A1.Souk.Example.:8443", None, Some("souk.example"), tenant("a1")),
            ("a1.b2.souk.example", None, Some("souk.example"), Named::Nothing),
            ("-.souk.example", None, Some("souk.example"), Named::Nothing),
            (
                "a1souk.example",
                None,
                Some("souk.example"),
                Named::Host("a1souk.example".into()),
            ),
            (
                "shop.example:443",
                None,
                Some("souk.example"),
                Named::Host("shop.example".into()),
            ),
            ("127.0.0.1:8787", None, Some("souk.example"), Named::Main),
            ("[::1]:8787", None, Some("souk.example"), Named::Main),
            ("localhost", None, Some("souk.example"), Named::Main),
            ("", None, Some("souk.example"), Named::Main),
            ("a1.souk.example", Some("b2"), Some("souk.example"), tenant("b2")),
            ("souk.example", Some(" b2 "), None, tenant("b2")),
            ("souk.example", Some(""), Some("souk.example"), Named::Nothing),
            ("souk.example", Some("../b2"), Some("souk.example"), Named::Nothing),
            ("api.souk.example", None, Some("souk.example"), Named::Main),
            ("api.souk.example:443", Some("b2"), Some("souk.example"), tenant("b2")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(name) = header {
                headers.insert(TENANT_HEADER, name.parse().unwrap());
            }
            let found = named(
                &Uri::from_static("/v1/things"),
                &headers,
                domain,
                "https://api.souk.example:8443",
            );
            assert_eq!(found, expected, "{host} {header:?} {domain:?}");
        }
    }

    #[test]
    fn a_cache_in_front_passes_the_host_on() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "abc.execute-api.example".parse().unwrap());
        headers.insert(HOST_HEADER, "a1.souk.example".parse().unwrap());
        let found = named(
            &Uri::from_static("/"),
            &headers,
            Some("souk.example"),
            "https://souk.example",
        );
        assert_eq!(found, Named::Name(Tenant::named("a1").unwrap()));
    }

    #[test]
    fn a_market_has_a_url() {
        let tenant = Tenant::named("a1").unwrap();
        for (public, domain, expected) in [
            ("https://souk.example", "souk.example", "https://a1.souk.example"),
            ("http://127.0.0.1:8787", "localhost", "http://a1.localhost:8787"),
            ("http://[::1]", "localhost", "http://a1.localhost"),
        ] {
            assert_eq!(url_of(&tenant, public, domain), expected);
        }
    }
}
