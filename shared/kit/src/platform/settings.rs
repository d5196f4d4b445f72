//! What the operator sets, under the same names on every host.

/// How much work a password hash takes (argon2id). Old hashes keep the cost they were made with.
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

impl PasswordCost {
    /// OWASP's first choice, for machines of our own and Lambda.
    pub const SERVER: Self = Self {
        memory: 19_456,
        passes: 2,
    };
    /// OWASP's choice for little memory: a Worker has 128 MB for all its requests and never gives memory back.
    pub const WORKER: Self = Self {
        memory: 7_168,
        passes: 5,
    };
}

/// Which caches may keep public responses: all of them unless `SOUK_CACHE` names some, separated by commas, or is `off`.
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

/// What the operator set, checked before anything is served. The same names on every host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SOUK_PUBLIC_URL`: where clients reach the market, without a slash at the end; the issuer of its tokens.
    pub public_url: String,
    /// `SOUK_CORS_ORIGINS`: the origins whose pages may call the API, separated by commas.
    pub cors_origins: Vec<String>,
    /// `SOUK_FIRST_ADMIN`: the account with this email address becomes admin when it signs in.
    pub first_admin: Option<String>,
    /// `SOUK_BACKLOG`: how many messages may wait before the lane `low` is shed; 100,000 unless set.
    pub backlog: u64,
    /// `SOUK_OUTBOUND_ALLOW`: the `host:port`s, separated by commas, that outbound calls may go to although they are private
    /// or speak plain HTTP. For development and for receivers in the operator's own network.
    pub outbound_allow: Vec<String>,
    /// `SOUK_CACHE`: which caches may keep public responses.
    pub cache: CacheLayers,
    /// The cost of a password hash: the host's choice, not the operator's.
    pub password_cost: PasswordCost,
}

impl Settings {
    /// Reads the settings by name, and says which one is wrong.
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
        for entry in &outbound_allow {
            let has_port = entry
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !has_port {
                return Err(format!("SOUK_OUTBOUND_ALLOW: {entry}: must be host:port"));
            }
        }
        for entry in &cors_origins {
            origin(entry).map_err(|why| format!("SOUK_CORS_ORIGINS: {entry}: {why}"))?;
        }
        let first_admin = get("SOUK_FIRST_ADMIN").map(|email| email.to_lowercase());
        let backlog = match get("SOUK_BACKLOG") {
            None => 100_000,
            Some(text) => text.parse().map_err(|_| "SOUK_BACKLOG: must be a whole number")?,
        };
        let cache = CacheLayers::read(&list("SOUK_CACHE"))?;
        Ok(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            cors_origins,
            first_admin,
            backlog,
            outbound_allow,
            cache,
            password_cost,
        })
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
            ("SOUK_CACHE", "no"),
            ("SOUK_CACHE", "memory,off"),
        ] {
            assert!(read(name, value).unwrap_err().starts_with(name), "{name}={value}");
        }
    }
}
