//! The settings of the operator. They have the same names on every host.

use std::fmt;
use std::net::IpAddr;

use crate::limits::LimitMode;

/// The cost of a password hash (argon2id). Existing hashes keep the cost that they were created with.
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Iterations.
    pub passes: u32,
}

impl PasswordCost {
    /// OWASP's first recommendation, for servers and Lambda.
    pub const SERVER: Self = Self {
        memory: 19_456,
        passes: 2,
    };
    /// OWASP's recommendation for little memory: a Worker has 128 MB for all its requests, and Wasm memory never
    /// shrinks.
    pub const WORKER: Self = Self {
        memory: 7_168,
        passes: 5,
    };
}

/// How mails are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// `SOUK_MAIL_URL`: `smtp://user:password@host:587` or `smtps://…` (local host), the `https://` address of an API that takes
    /// mails as Resend does (every host), `ses` (Lambda), or `binding` (Worker).
    pub url: String,
    /// `SOUK_MAIL_KEY`: the key of the API.
    pub key: Option<String>,
    /// `SOUK_MAIL_FROM`: the address that mails are from.
    pub from: String,
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the key are secret.
        f.debug_struct("MailSettings")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl MailSettings {
    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let Some(url) = get("SOUK_MAIL_URL") else {
            return Ok(None);
        };
        let is_known = ["smtp://", "smtps://", "https://", "http://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !is_known && !["ses", "binding"].contains(&&*url) {
            return Err("SOUK_MAIL_URL: must begin with smtp://, smtps:// or https://, or be ses or binding".into());
        }
        let from = get("SOUK_MAIL_FROM").unwrap_or_default();
        souk_core::check::email(&from, &()).map_err(|why| format!("SOUK_MAIL_FROM: {why}"))?;
        let key = get("SOUK_MAIL_KEY");
        Ok(Some(Self { url, key, from }))
    }
}

/// Which caches are enabled: all, unless `SOUK_CACHE` is a comma-separated list of some or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLayers {
    /// `memory`: responses in the memory of this process.
    pub memory: bool,
    /// `edge`: shared caches in front of the host, such as a CDN, by `Cache-Control`.
    pub edge: bool,
    /// `values`: documents in the key-value store of the host.
    pub values: bool,
}

impl CacheLayers {
    fn read(names: &[String]) -> Result<Self, String> {
        let names: Vec<&str> = match names {
            [] => vec!["memory", "edge", "values"],
            [off] if off == "off" => Vec::new(),
            names => names.iter().map(String::as_str).collect(),
        };
        if !names.iter().all(|name| ["memory", "edge", "values"].contains(name)) {
            return Err("SOUK_CACHE: must be some of memory, edge and values, separated by commas, or off".into());
        }
        let [memory, edge, values] = ["memory", "edge", "values"].map(|name| names.contains(&name));
        Ok(Self { memory, edge, values })
    }
}

/// The settings of the operator, validated at start-up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SOUK_PUBLIC_URL`: the base URL for clients, without a slash at the end; also the issuer of access tokens.
    pub public_url: String,
    /// `SOUK_CORS_ORIGINS`: the origins that CORS allows, separated by commas; `http://localhost:*` has any port.
    pub cors_origins: Vec<String>,
    /// `SOUK_FIRST_ADMIN`: the account with this email address becomes an admin when it has verified it.
    pub first_admin: Option<String>,
    /// `SOUK_BACKLOG`: how many messages may wait before messages of the lane `low` are dropped; the default is
    /// 100,000.
    pub backlog: u64,
    /// `SOUK_OUTBOUND_ALLOW`: a comma-separated list of `host:port`s that outbound requests may use although they are
    /// private or use plain HTTP. For development and for receivers in the operator's own network.
    pub outbound_allow: Vec<String>,
    /// `SOUK_CACHE`: which caches are enabled.
    pub cache: CacheLayers,
    /// `SOUK_LIMITS`: `on`, `shadow` (limits are counted and shown, and nothing is refused) or `off`.
    pub limits: LimitMode,
    /// `SOUK_TENANT_DOMAIN`: the domain below which each market has its name, such as `souk.example` for
    /// `{name}.souk.example`. Without it there is one market.
    pub tenant_domain: Option<String>,
    /// `SOUK_DNS_URL`: where TXT records are looked up, by DNS over HTTPS with answers in JSON; Cloudflare's by default.
    pub dns_url: String,
    /// `SOUK_GATE_ONLY`: `on` if clients reach this host through a gate only, another host that forwards to it. It refuses what a
    /// gate has not signed, but for health checks.
    pub gate_only: bool,
    /// How mails are sent, if they are.
    pub mail: Option<MailSettings>,
    /// Whether mails are kept where `/dev/mail` shows them, as nobody sends them: in development, on the machine itself.
    pub keeps_mail: bool,
    /// The cost of a password hash. The host sets it, not the operator.
    pub password_cost: PasswordCost,
}

impl Settings {
    /// Whether the public URL leads to the machine that it is used on, as in development.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_url(&self.public_url)
    }

    /// Whether CORS allows the origin.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.cors_origins.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(host) => origin
                .strip_prefix(host)
                .is_some_and(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port)),
            None => allowed == origin,
        })
    }

    /// Reads the settings by name; the error names the invalid one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>, password_cost: PasswordCost) -> Result<Self, String> {
        let get = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let public_url = get("SOUK_PUBLIC_URL").unwrap_or_else(|| "http://127.0.0.1:8787".into());
        origin(public_url.trim_end_matches('/')).map_err(|why| format!("SOUK_PUBLIC_URL: {why}"))?;
        let list = |name: &str| -> Vec<String> {
            let listed = get(name).unwrap_or_default();
            let parts = listed.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        let cors_origins = list("SOUK_CORS_ORIGINS");
        let outbound_allow = list("SOUK_OUTBOUND_ALLOW");
        // Errors are shown to clients: they say which entry it is, and not what it is.
        for (n, entry) in (1..).zip(&outbound_allow) {
            let has_port = entry
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !has_port {
                return Err(format!("SOUK_OUTBOUND_ALLOW: entry {n} must be host:port"));
            }
        }
        for (n, entry) in (1..).zip(&cors_origins) {
            allowed_origin(entry).map_err(|why| format!("SOUK_CORS_ORIGINS: entry {n}: {why}"))?;
        }
        let first_admin = get("SOUK_FIRST_ADMIN").map(|email| email.to_lowercase());
        let backlog = match get("SOUK_BACKLOG") {
            None => 100_000,
            Some(text) => text.parse().map_err(|_| "SOUK_BACKLOG: must be a whole number")?,
        };
        let cache = CacheLayers::read(&list("SOUK_CACHE"))?;
        let limits = match get("SOUK_LIMITS") {
            None => LimitMode::On,
            Some(text) => text.parse().map_err(|why| format!("SOUK_LIMITS: {why}"))?,
        };
        let gate_only = match get("SOUK_GATE_ONLY").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(_) => return Err("SOUK_GATE_ONLY: must be on or off".into()),
        };
        let tenant_domain = get("SOUK_TENANT_DOMAIN");
        if let Some(domain) = &tenant_domain
            && (!domain.split('.').all(is_label) || domain.parse::<IpAddr>().is_ok())
        {
            return Err("SOUK_TENANT_DOMAIN: must be a domain in lower case, such as souk.example".into());
        }
        let dns_url = get("SOUK_DNS_URL").unwrap_or_else(|| "https://cloudflare-dns.com/dns-query".into());
        souk_core::check::url(&dns_url, &()).map_err(|why| format!("SOUK_DNS_URL: {why}"))?;
        let mail = MailSettings::read(get)?;
        let keeps_mail = mail.is_none() && is_loopback_url(&public_url);
        Ok(Self {
            mail,
            keeps_mail,
            public_url: public_url.trim_end_matches('/').to_owned(),
            cors_origins,
            first_admin,
            backlog,
            outbound_allow,
            cache,
            limits,
            tenant_domain,
            dns_url,
            gate_only,
            password_cost,
        })
    }
}

/// Whether it is a part of a host name, in lower case.
fn is_label(label: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_loopback_url(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    uri.is_some_and(|uri| uri.host().is_some_and(is_loopback))
}

/// Whether a host name or address is that of the machine itself.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|address| address.is_loopback())
}

/// An origin that CORS allows: any port, as development servers have, only of the machine itself.
pub fn allowed_origin(text: &str) -> Result<(), &'static str> {
    let Some(start) = text.strip_suffix(":*") else {
        return origin(text);
    };
    origin(start)?;
    let uri: http::Uri = start.parse().map_err(|_| "is not a URL")?;
    match uri.host() {
        Some(host) if uri.port().is_none() && is_loopback(host) => Ok(()),
        _ => Err("may have any port (*) only at localhost"),
    }
}

fn origin(text: &str) -> Result<(), &'static str> {
    let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
    match (uri.scheme_str(), uri.host(), uri.path()) {
        (Some(scheme @ ("http" | "https")), Some(host), "/")
            if !host.is_empty()
                && uri
                    .authority()
                    .is_some_and(|authority| text == format!("{scheme}://{authority}").to_lowercase())
                && !text.contains(['@', '*'])
                && (uri.port_u16().is_some()
                    || uri.authority().is_some_and(|authority| authority.as_str() == host)) =>
        {
            Ok(())
        }
        _ => Err("must be http(s)://host[:port] in lower case and no more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_setting_is_named() {
        let read = |name: &'static str, value: &'static str| {
            Settings::from_lookup(|n| (n == name).then(|| value.to_owned()), PasswordCost::WORKER)
        };
        assert_eq!(read("", "").unwrap().public_url, "http://127.0.0.1:8787");
        assert_eq!(
            read("SOUK_PUBLIC_URL", "https://souk.example/").unwrap().public_url,
            "https://souk.example"
        );
        assert_eq!(
            read("SOUK_CORS_ORIGINS", "https://a.example, http://b.example:8080")
                .unwrap()
                .cors_origins
                .len(),
            2
        );
        for (value, memory, edge, values) in [
            ("", true, true, true),
            ("off", false, false, false),
            ("edge", false, true, false),
            ("edge, memory", true, true, false),
            ("values,edge,memory", true, true, true),
        ] {
            let layers = CacheLayers { memory, edge, values };
            assert_eq!(read("SOUK_CACHE", value).unwrap().cache, layers, "{value}");
        }
        for (name, value) in [
            ("SOUK_PUBLIC_URL", "souk.example"),
            ("SOUK_PUBLIC_URL", "https://souk.example/base"),
            ("SOUK_PUBLIC_URL", "http://a?x"),
            ("SOUK_PUBLIC_URL", "http://a:99999"),
            ("SOUK_PUBLIC_URL", "http://user:pw@h"),
            ("SOUK_CORS_ORIGINS", "https://a.example,*"),
            ("SOUK_CORS_ORIGINS", "https://A.example"),
            ("SOUK_CORS_ORIGINS", "https://a.example:*"),
            ("SOUK_CORS_ORIGINS", "http://localhost:80:*"),
            ("SOUK_CORS_ORIGINS", "http://localhost*"),
            ("SOUK_CACHE", "no"),
            ("SOUK_CACHE", "memory,off"),
            ("SOUK_LIMITS", "no"),
            ("SOUK_GATE_ONLY", "yes"),
            ("SOUK_TENANT_DOMAIN", "https://souk.example"),
            ("SOUK_TENANT_DOMAIN", "Souk.example"),
            ("SOUK_TENANT_DOMAIN", "souk.example:80"),
            ("SOUK_TENANT_DOMAIN", ".souk.example"),
            ("SOUK_DNS_URL", "souk.example"),
            ("SOUK_MAIL_URL", "mail.example:25"),
        ] {
            assert!(read(name, value).unwrap_err().starts_with(name), "{name}={value}");
        }
    }

    #[test]
    fn an_origin_is_allowed_as_it_is_listed() {
        let listed = "https://shop.example, http://localhost:*, http://[::1]:*";
        let settings = Settings::from_lookup(
            |name| (name == "SOUK_CORS_ORIGINS").then(|| listed.into()),
            PasswordCost::WORKER,
        )
        .unwrap();
        for allowed in ["https://shop.example", "http://localhost:5173", "http://[::1]:80"] {
            assert!(settings.allows_origin(allowed), "{allowed}");
        }
        for refused in [
            "https://shop.example:443",
            "http://localhost",
            "http://localhost:",
            "http://localhost:*",
            "http://localhost:+80",
            "http://localhost:080",
            "http://localhost:80.evil.example",
            "http://localhost:99999",
            "https://localhost:80",
            "http://127.0.0.1:80",
            "http://localhost.evil.example:80",
            "null",
        ] {
            assert!(!settings.allows_origin(refused), "{refused}");
        }
    }
}
