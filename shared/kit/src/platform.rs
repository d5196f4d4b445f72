//! What a host hands to every function: the ports, the keys and the settings.

use std::sync::Arc;

use souk_core::{Clock, Documents, EdgeCache, KeyValue, Outbound, Queue, Random, Search, Timestamp};

use crate::Keys;
use crate::cache::{Cached, Caching, LabelledDocuments};
use crate::copies::Copies;
use crate::outbound::{Dependency, Guarded};
use crate::work::{Outbox, Subscription};

/// The ports behind every handler. Hosts build one; functions only ever see this.
pub struct Platform {
    /// Versioned documents.
    pub documents: Arc<dyn Documents>,
    /// Lanes of messages.
    pub queue: Arc<dyn Queue>,
    /// The index that searches go to.
    pub search: Arc<dyn Search>,
    /// Calls to others, behind circuit breakers.
    pub outbound: Guarded,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What signs and seals.
    pub keys: Keys,
    /// What the operator set.
    pub settings: Settings,
    /// Which jobs get which events; the same on every instance, whatever functions it serves.
    pub subscriptions: Vec<Subscription>,
    pub(crate) outbox: Outbox,
    /// The cache in front of this host, if there is one that can be told what has changed.
    pub edge: Option<Arc<dyn EdgeCache>>,
    pub(crate) cache: Option<Arc<Cached>>,
    /// Whether answers are tagged for it.
    pub(crate) is_tagged: bool,
    pub(crate) copies: Option<Arc<Copies>>,
}

/// The ports that a host fills in.
pub struct Ports {
    /// Versioned documents.
    pub documents: Arc<dyn Documents>,
    /// Where copies of some of them are, for all instances; `None` if there are none.
    pub values: Option<Arc<dyn KeyValue>>,
    /// Lanes of messages.
    pub queue: Arc<dyn Queue>,
    /// The index that searches go to.
    pub search: Arc<dyn Search>,
    /// Calls to others.
    pub outbound: Arc<dyn Outbound>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Platform {
    /// The platform over these ports.
    #[must_use]
    pub fn new(ports: Ports, keys: Keys, settings: Settings, subscriptions: Vec<Subscription>) -> Self {
        let Ports {
            documents,
            values,
            queue,
            search,
            outbound,
            clock,
            random,
        } = ports;
        let reads = settings.cache.values;
        let copies = values.map(|values| Arc::new(Copies::new(documents.clone(), values, clock.clone(), reads)));
        let documents = match &copies {
            Some(copies) => copies.clone(),
            None => documents,
        };
        Self {
            documents,
            queue,
            search,
            outbound: Guarded::new(outbound, clock.clone(), settings.outbound_allow.clone()),
            clock,
            random,
            keys,
            settings,
            subscriptions,
            outbox: Outbox::default(),
            edge: None,
            cache: None,
            is_tagged: false,
            copies,
        }
    }

    /// With a cache in front of the router, and copies of documents, in the memory of this process, unless the operator wants none.
    #[must_use]
    pub fn cached(mut self, caching: Caching) -> Self {
        if self.settings.cache.memory {
            if let Some(copies) = &self.copies {
                copies.remember();
            }
            let cache = Arc::new(Cached::new(caching, self.clock.clone(), &*self.random));
            (self.documents, self.search) = cache.watch(self.documents, self.search);
            self.cache = Some(cache);
        }
        self
    }

    /// With tags on what caches in front of us may keep, unless the operator wants none there. What is read below this is
    /// not seen.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        if self.settings.cache.edge {
            self.documents = Arc::new(LabelledDocuments(self.documents));
            self.is_tagged = true;
        }
        self
    }

    /// Has searches made anew that this instance keeps the answers of, because something changed that they go by and that is
    /// not in the index.
    pub fn forget_searches(&self) {
        if let Some(cache) = &self.cache {
            cache.forget_searches();
        }
    }

    /// Whether clients reach the market by TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_url.starts_with("https:")
    }

    /// The systems that this instance has called lately, and how their circuits stand.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        self.outbound.dependencies()
    }

    /// The present moment to the millisecond, as documents keep it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

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

/// Who may keep what everyone sees alike: all of them unless `SOUK_CACHE` names those that may, separated by commas, or is
/// `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// `memory`: this process, if its host can ([`Platform::cached`]).
    pub memory: bool,
    /// `edge`: shared caches in front, such as a CDN, which are told by `Cache-Control`.
    pub edge: bool,
    /// `values`: the [`KeyValue`] of the host, copies of documents that answers are made of.
    pub values: bool,
}

impl Layers {
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
    /// `SOUK_OUTBOUND_ALLOW`: the `host:port`s, separated by commas, that calls to others may go to although they are
    /// private or speak plain HTTP. For development and for receivers in one's own network.
    pub outbound_allow: Vec<String>,
    /// `SOUK_CACHE`: who may keep what everyone sees alike.
    pub cache: Layers,
    /// The host's choice, not the operator's.
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
        let cache = Layers::read(&list("SOUK_CACHE"))?;
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
            let layers = Layers { memory, edge, values };
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
