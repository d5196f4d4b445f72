//! What a process has: the ports of its host, keys, settings and the declarations of the market.

mod lane_counts;
mod outbox;
mod settings;

use std::sync::Arc;

use souk_core::{Clock, Documents, EdgeCache, Outbound, Principal, Queue, Random, Search, StoreError, Timestamp};

use crate::auth::{self, Keys, Principals};
use crate::cache::{DocumentCache, MemoryCacheConfig, ResponseCache};
use crate::outbound::{CircuitBreaker, Dependency};
use crate::registry::Registry;
pub(crate) use lane_counts::count;
pub use lane_counts::{COUNTED, recent};
use outbox::Outbox;
pub use settings::{CacheLayers, PasswordCost, Settings};

/// What is behind every operation. A host builds one; operations reach it through their [`Context`](crate::Context).
#[derive(Clone)]
pub struct Platform {
    pub(crate) documents: Arc<dyn Documents>,
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
    /// What signs and seals.
    pub keys: Arc<Keys>,
    /// What the operator set.
    pub settings: Arc<Settings>,
    /// What the functions of the market declare.
    pub registry: Arc<Registry>,
    /// The cache in front of this host, if there is one that can be purged.
    pub edge: Option<Arc<dyn EdgeCache>>,
    principals: Arc<dyn Principals>,
    outbox: Arc<Outbox>,
    pub(crate) responses: Option<Arc<ResponseCache>>,
    /// Whether responses are tagged for caches in front of the host.
    pub(crate) is_tagged: bool,
    pub(crate) document_cache: Option<Arc<DocumentCache>>,
}

/// The ports that a host fills in.
pub struct Ports {
    /// Versioned documents.
    pub documents: Arc<dyn Documents>,
    /// Lanes of messages.
    pub queue: Arc<dyn Queue>,
    /// The search index.
    pub search: Arc<dyn Search>,
    /// Calls to other systems.
    pub outbound: Arc<dyn Outbound>,
    /// Who sessions belong to.
    pub principals: Arc<dyn Principals>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Platform {
    /// The platform over these ports.
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
        Self {
            documents,
            queue,
            index: search,
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
            edge: None,
            principals,
            outbox: Arc::default(),
            responses: None,
            is_tagged: false,
            document_cache: None,
        }
    }

    /// With a cache of documents around the store. To be called before [`with_memory_cache`](Self::with_memory_cache).
    #[must_use]
    pub fn with_document_cache(mut self, cache: Arc<DocumentCache>) -> Self {
        self.documents = cache.clone();
        self.document_cache = Some(cache);
        self
    }

    /// With a cache of responses in memory, unless the operator switched it off.
    #[must_use]
    pub fn with_memory_cache(mut self, config: MemoryCacheConfig) -> Self {
        if self.settings.cache.memory {
            let warm = self.registry.warm.clone();
            let cache = ResponseCache::new(config, self.clock.clone(), &*self.random, warm);
            (self.documents, self.index) = cache.purged_by(self.documents, self.index);
            self.responses = Some(cache);
        }
        self
    }

    /// With tags on the responses that caches in front of the host may keep, unless the operator switched those off.
    #[must_use]
    pub fn with_cache_tags(mut self) -> Self {
        self.is_tagged = self.settings.cache.edge;
        self
    }

    /// The same platform with another clock and other randomness, for made-up data.
    #[must_use]
    pub fn with_time(&self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            clock,
            random,
            ..self.clone()
        }
    }

    /// The document store, for hosts and tests. Operations read through their [`Context`](crate::Context).
    #[must_use]
    pub fn documents(&self) -> &Arc<dyn Documents> {
        &self.documents
    }

    /// The principal that this access token proves.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Option<Principal>, StoreError> {
        let (issuer, now) = (&self.settings.public_url, self.clock.now());
        auth::authenticate(token, &self.keys, issuer, now, &*self.documents, &*self.principals).await
    }

    /// Serves no search result again that this instance keeps, because something changed that they depend on and that is
    /// not in the index.
    pub fn forget_searches(&self) {
        if let Some(responses) = &self.responses {
            responses.forget_searches();
        }
    }

    /// Whether clients reach the market by TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_url.starts_with("https:")
    }

    /// The systems that this instance has called lately, and the state of their circuits.
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
