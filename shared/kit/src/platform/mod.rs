//! The shared state of a process: the ports of its host, keys, settings and the declarations of all functions.

mod fold;
mod format;
mod gate;
mod homes;
mod lane_counts;
mod outage;
mod outbox;
mod settings;
mod tenants;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use souk_core::assets::Embedded;
use souk_core::compute::Inline;
use souk_core::rate_limit::InMemory;
use souk_core::{
    Assets, Clock, Compute, Documents, EdgeCache, Mail, Outbound, Permission, Principal, Queue, Random, RateLimit,
    Search, Tenant, Timestamp,
};

use crate::auth::{AccessToken, Keys, Principals, TOKEN_PREFIX, TokenError, TokenUse};
use crate::cache::{CountedSearch, DocumentCache, LongLists, MemoryCacheConfig, ResponseCache};
use crate::limits::{LimitMode, Limiter};
use crate::outbound::{CircuitBreaker, Dependency};
use crate::registry::Registry;
use crate::tenancy::Quotas;
pub(crate) use fold::EARLY_MS;
pub use format::FormatError;
use gate::GateState;
use homes::Home;
pub(crate) use lane_counts::count;
pub use lane_counts::{COUNTED, recent};
use outage::Outages;
use outbox::Outbox;
pub(crate) use outbox::message_id;
pub use settings::{CacheLayers, MailSettings, PasswordCost, Settings, allowed_origin, is_loopback};
pub(crate) use tenants::Market;
use tenants::Tenants;

/// The shared state of all operations. A host builds one; operations use it through their [`Context`](crate::Context).
#[derive(Clone)]
pub struct Platform {
    /// Whose ports these are.
    pub tenant: Tenant,
    /// How much the tenant may have.
    pub(crate) quotas: Quotas,
    pub(crate) documents: Arc<dyn Documents>,
    /// The documents of the deployment: the store of the main market.
    pub(crate) whole: Arc<dyn Documents>,
    /// Where the documents of this market are, with its part of the outbox.
    pub(crate) home: Home,
    /// The databases beside the deployment's own, by name.
    apart: Arc<BTreeMap<Arc<str>, Arc<dyn Documents>>>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) gate: Arc<GateState>,
    /// Lanes of messages.
    pub queue: Arc<dyn Queue>,
    /// The search index. Searches go through [`Context::search`](crate::Context::search).
    pub index: Arc<dyn Search>,
    /// Calls to other systems, behind circuit breakers.
    pub outbound: Arc<CircuitBreaker>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The keys that sign access tokens and encrypt secrets.
    pub keys: Arc<Keys>,
    /// The settings of the operator.
    pub settings: Arc<Settings>,
    /// The declarations of all functions.
    pub registry: Arc<Registry>,
    pub(crate) compute: Arc<dyn Compute>,
    /// Sends mails, if somebody does.
    pub(crate) mail: Option<Arc<dyn Mail>>,
    /// The static files of pages.
    pub assets: Arc<dyn Assets>,
    /// The cache in front of this host, if it can be purged.
    pub edge: Option<Arc<dyn EdgeCache>>,
    /// Counts what limits limit.
    pub limiter: Arc<Limiter>,
    principals: Arc<dyn Principals>,
    outbox: Arc<Outbox>,
    knows_format: Arc<AtomicBool>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) responses: Option<Arc<ResponseCache>>,
    /// Whether responses have a `Cache-Tag`, for caches in front of the host.
    pub(crate) is_tagged: bool,
    pub(crate) document_cache: Option<Arc<DocumentCache>>,
    pub(crate) long_lists: Arc<LongLists>,
}

/// The ports that a host implements.
pub struct Ports {
    /// Versioned documents.
    pub documents: Arc<dyn Documents>,
    /// Lanes of messages.
    pub queue: Arc<dyn Queue>,
    /// The search index.
    pub search: Arc<dyn Search>,
    /// Calls to other systems.
    pub outbound: Arc<dyn Outbound>,
    /// Resolves sessions to principals.
    pub principals: Arc<dyn Principals>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Platform {
    /// Builds a platform with these ports.
    #[must_use]
    pub fn new(ports: Ports, keys: Keys, settings: Settings, registry: Registry) -> Self {
        let Ports {
            documents,
            queue,
            search,
            outbound,
            principals,
            clock,
            random,
        } = ports;
        if settings.limits != LimitMode::On {
            tracing::warn!("SOUK_LIMITS is not \"on\": clients may do everything as often as they like");
        }
        let cells = Arc::new(InMemory::new(clock.clone()));
        Self {
            tenant: Tenant::main(),
            limiter: Arc::new(Limiter::new(cells, clock.clone(), settings.limits)),
            quotas: Quotas::new(),
            whole: documents.clone(),
            home: Home::default(),
            apart: Arc::default(),
            documents,
            tenants: Arc::default(),
            gate: Arc::default(),
            queue,
            index: Arc::new(CountedSearch::new(search, clock.clone())),
            outbound: Arc::new(CircuitBreaker::new(
                outbound,
                clock.clone(),
                settings.outbound_allow.clone(),
            )),
            clock,
            random,
            keys: keys.into(),
            settings: settings.into(),
            registry: registry.into(),
            compute: Arc::new(Inline),
            mail: None,
            assets: Arc::new(Embedded::default()),
            edge: None,
            principals,
            outbox: Arc::default(),
            knows_format: Arc::default(),
            outages: Arc::default(),
            responses: None,
            is_tagged: false,
            document_cache: None,
            long_lists: Arc::default(),
        }
    }

    /// Sets the static files of pages.
    #[must_use]
    pub fn with_assets(mut self, assets: impl Assets + 'static) -> Self {
        self.assets = Arc::new(assets);
        self
    }

    /// Sets where limits are counted that hold everywhere. Without it they are counted in this process.
    #[must_use]
    pub fn with_rate_limit(mut self, cells: impl RateLimit + 'static) -> Self {
        self.limiter = Arc::new(Limiter::new(Arc::new(cells), self.clock.clone(), self.settings.limits));
        self
    }

    /// Sets where expensive work runs.
    #[must_use]
    pub fn with_compute(mut self, compute: impl Compute + 'static) -> Self {
        self.compute = Arc::new(compute);
        self
    }

    /// Sets who sends mails. Only where jobs run.
    #[must_use]
    pub fn with_mail(mut self, mail: Option<Arc<dyn Mail>>) -> Self {
        self.mail = mail;
        self
    }

    /// Adds a database that the documents of some markets are in. Call it before [`with_memory_cache`](Self::with_memory_cache).
    #[must_use]
    pub fn with_database(mut self, name: &str, documents: Arc<dyn Documents>) -> Self {
        Arc::make_mut(&mut self.apart).insert(name.into(), documents);
        self
    }

    /// Wraps the document store in a cache. Call it before [`with_memory_cache`](Self::with_memory_cache).
    #[must_use]
    pub fn with_document_cache(mut self, cache: Arc<DocumentCache>) -> Self {
        self.documents = cache.clone();
        self.whole = cache.clone();
        self.document_cache = Some(cache);
        self
    }

    /// Adds a response cache in memory, unless the operator has disabled it.
    #[must_use]
    pub fn with_memory_cache(mut self, config: MemoryCacheConfig) -> Self {
        if self.settings.cache.memory {
            let warm = self.registry.warm.clone();
            let cache = ResponseCache::new(config, self.clock.clone(), &*self.random, warm);
            for documents in Arc::make_mut(&mut self.apart).values_mut() {
                *documents = cache.purging(documents.clone());
            }
            (self.documents, self.index) = cache.purged_by(self.documents, self.index);
            self.whole = self.documents.clone();
            self.responses = Some(cache);
        }
        self
    }

    /// Adds a `Cache-Tag` to public responses, unless the operator has disabled caches in front of the host.
    #[must_use]
    pub fn with_cache_tags(mut self) -> Self {
        self.is_tagged = self.settings.cache.edge;
        self
    }

    /// The same platform with another clock and random source, for demo data.
    #[must_use]
    pub fn with_time(&self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            clock,
            random,
            ..self.clone()
        }
    }

    /// The permissions that somebody in this market can have.
    pub fn permissions(&self) -> impl Iterator<Item = &'static Permission> {
        let is_main = self.tenant.is_main();
        let all = self.registry.permissions.iter().copied();
        all.filter(move |permission| is_main || !permission.is_of_deployment)
    }

    /// How much of this the plan of the market allows; `None` for no limit.
    #[must_use]
    pub fn quota(&self, name: &str) -> Option<u32> {
        self.quotas.get(name).copied()
    }

    /// The document store, for hosts and tests. Operations read through their [`Context`](crate::Context).
    #[must_use]
    pub fn documents(&self) -> &Arc<dyn Documents> {
        &self.documents
    }

    /// The principal of this access token. First the token is verified (signature, algorithm, key, issuer, audience, time), then its
    /// session is read from the store. A personal access token is looked up there.
    pub(crate) async fn authenticate(&self, token: &str, address: &str) -> Result<Principal, TokenError> {
        if token.starts_with(TOKEN_PREFIX) {
            let now = self.clock.now();
            let used = self.principals.of_token(&*self.documents, token, address, now).await;
            return match used.map_err(TokenError::Store)? {
                TokenUse::Of(principal, permissions) => Ok(self.narrowed_to(self.here(principal), &permissions)),
                TokenUse::Invalid => Err(TokenError::Revoked),
                TokenUse::Elsewhere => Err(TokenError::Elsewhere),
            };
        }
        let (issuer, now) = (&self.settings.public_url, self.clock.now());
        let AccessToken { account, session } = self.keys.verify(token, issuer, now)?;
        self.principal(&account, &session).await
    }

    /// The principal of the session with this cookie.
    pub(crate) async fn of_cookie(&self, cookie: &str) -> Result<Principal, TokenError> {
        let found = self.principals.of_cookie(&*self.documents, cookie, self.clock.now());
        let principal = found.await.map_err(TokenError::Store)?;
        Ok(self.here(principal.ok_or(TokenError::Ended)?))
    }

    /// The principal of this account and session, as they are now.
    pub(crate) async fn principal(&self, account: &str, session: &str) -> Result<Principal, TokenError> {
        let principal = self.principals.principal(&*self.documents, account, session).await;
        Ok(self.here(principal.map_err(TokenError::Store)?.ok_or(TokenError::Ended)?))
    }

    /// The principal with none of its permissions beside these.
    fn narrowed_to(&self, principal: Principal, permissions: &[String]) -> Principal {
        let has = |permission: &&Permission| permissions.iter().any(|name| name == permission.name);
        let granted = self
            .permissions()
            .filter(has)
            .filter(|permission| principal.has(permission));
        let grants = granted.map(|permission| permission.name.to_owned()).collect();
        Principal {
            roles: Vec::new(),
            grants,
            ..principal
        }
    }

    /// The principal in this market.
    fn here(&self, principal: Principal) -> Principal {
        Principal {
            is_of_tenant: !self.tenant.is_main(),
            ..principal
        }
    }

    /// Purges all cached search results of this instance, after a change that they depend on outside of the index.
    pub fn forget_searches(&self) {
        if let Some(responses) = &self.responses {
            responses.forget_searches(&self.tenant);
        }
    }

    /// Whether the public URL uses HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_url.starts_with("https:")
    }

    /// The external systems that this instance has called recently, with the state of their circuit breakers.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        self.outbound.dependencies()
    }

    /// The current time in the precision of documents, milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}
