//! The context of an operation: the ports of the host, and on whose behalf it runs.

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::event::Cause;
use souk_core::kind::{owner_of, resolve_key, resolved};
use souk_core::queue::Payload;
use souk_core::search::{SearchError, SearchPage, SearchQuery};
use souk_core::{Consistency, Document, Key, Kind, Message, Page, Principal, Query, Timestamp};

use super::{Failure, Idempotency, PageRequest, SortedPage, Stored};
use crate::Platform;
use crate::cache::ReadLog;

/// How long a name may be, in bytes; nothing longer is looked up.
const MAX_NAME: usize = 200;

/// Whose market it is. There is one for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tenant(());

/// What an operation runs in. Dereferences to the [`Platform`]; documents are read through the methods here, which pass the
/// consistency on and tell the response cache what was read.
#[derive(Clone)]
pub struct Context {
    platform: Arc<Platform>,
    /// Whose market it is.
    pub tenant: Tenant,
    principal: Option<Arc<Principal>>,
    trace: Option<Arc<str>>,
    /// When nobody waits for the result any more.
    pub deadline: Option<Timestamp>,
    consistency: Consistency,
    pub(crate) idempotency: Option<Arc<Idempotency>>,
    pub(crate) reads: Option<Arc<ReadLog>>,
}

impl Deref for Context {
    type Target = Platform;
    fn deref(&self) -> &Platform {
        &self.platform
    }
}

impl Context {
    /// The context of what the market does by itself: jobs, schedules, the command line.
    #[must_use]
    pub fn system(platform: Arc<Platform>) -> Self {
        Self {
            platform,
            tenant: Tenant::default(),
            principal: None,
            trace: None,
            deadline: None,
            consistency: Consistency::Strong,
            idempotency: None,
            reads: None,
        }
    }

    /// On behalf of this principal.
    #[must_use]
    pub fn acting_as(mut self, principal: Principal) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// As part of the trace of this `traceparent`.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<&str>) -> Self {
        self.trace = traceparent.map(Arc::from);
        self
    }

    /// With eventually consistent reads, which are noted for the response cache if it keeps the response.
    pub(crate) fn eventual(mut self, reads: Option<Arc<ReadLog>>) -> Self {
        self.consistency = Consistency::Eventual;
        self.reads = reads;
        self
    }

    /// The principal, if there is one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The principal of an operation that needs one.
    pub fn signed_in(&self) -> Result<&Principal, Failure> {
        self.principal()
            .ok_or_else(|| Failure::Unauthenticated("sign in to do this".into()))
    }

    /// Whether the principal may see and change what belongs to the account `owner`.
    #[must_use]
    pub fn may_edit(&self, owner: &str) -> bool {
        self.principal().is_some_and(|principal| principal.may_edit(owner))
    }

    /// The `traceparent` that work which follows belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// What events and messages of this operation are due to.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            actor: self.principal().map(|principal| principal.account.clone()),
            trace: self.trace().map(str::to_owned),
        }
    }

    /// The platform, for what outlives the operation.
    #[must_use]
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    /// The documents at these keys, in their order.
    pub async fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Document>>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(reads) = &self.reads {
            reads.keys(keys, &self.platform.registry);
        }
        let found = self.platform.documents.get(keys, self.consistency).await?;
        if let Some(reads) = &self.reads {
            reads.found(found.iter().flatten());
        }
        Ok(found)
    }

    /// The document at this key.
    pub async fn get(&self, key: Key) -> Result<Option<Document>, Failure> {
        Ok(self.get_all(&[key]).await?.pop().flatten())
    }

    /// The document at this key, with its body read.
    pub async fn read<T: DeserializeOwned>(&self, key: Key) -> Result<Option<Stored<T>>, Failure> {
        let document = self.get(key).await?;
        Ok(document.map(Stored::read).transpose()?)
    }

    /// One page of a partition or an index.
    pub async fn query(&self, query: &Query) -> Result<Page, Failure> {
        if let Some(reads) = &self.reads {
            reads.source(&query.source, &self.platform.registry);
        }
        let page = self.platform.documents.query(query, self.consistency).await?;
        if let Some(reads) = &self.reads {
            reads.listed(page.items.iter().map(|item| &item.document));
        }
        Ok(page)
    }

    /// A page of the list that `query` reads; `scope` is what the list is of, for its cursors.
    pub async fn list(&self, query: Query, page: &PageRequest, scope: &str) -> Result<SortedPage<Document>, Failure> {
        let paging = page.of_list(scope)?;
        let query = Query {
            limit: paging.limit,
            after: paging.after.clone(),
            ..query
        };
        let page = self.query(&query).await?;
        Ok(SortedPage {
            items: page.items.into_iter().map(|item| item.document).collect(),
            next_cursor: page.next.map(|sort| paging.cursor(&sort)),
        })
    }

    /// The document of this kind with this id or name.
    pub async fn find(&self, kind: Kind, id_or_name: &str) -> Result<Option<Document>, Failure> {
        if kind.is_id(id_or_name) {
            return self.get(kind.key(id_or_name)).await;
        }
        if id_or_name.len() > MAX_NAME {
            return Ok(None);
        }
        match owner_of(self.get(kind.name_key(id_or_name)).await?.as_ref())? {
            Some(id) => self.get(kind.key(&id)).await,
            None => Ok(None),
        }
    }

    /// The ids that these ids or names stand for; one batched get for all.
    pub async fn resolve(&self, wanted: &[(Kind, &str)]) -> Result<Vec<Option<String>>, Failure> {
        let keys: Vec<Key> = wanted.iter().map(|(kind, text)| resolve_key(*kind, text)).collect();
        Ok(resolved(wanted, self.get_all(&keys).await?)?)
    }

    /// Searches the index.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        if let Some(reads) = &self.reads {
            reads.searched();
        }
        self.platform.index.search(query).await
    }

    /// Completes what was typed.
    pub async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        if let Some(reads) = &self.reads {
            reads.suggested();
        }
        self.platform.index.suggest(typed, limit).await
    }

    /// A new id of this kind.
    #[must_use]
    pub fn new_id(&self, kind: Kind) -> String {
        kind.new_id(&*self.clock, &*self.random)
    }

    /// A message for the job of this payload, as part of this trace.
    pub fn message<P: Payload>(&self, payload: &P) -> Result<Message, Failure> {
        let trace = self.trace().map(str::to_owned);
        Ok(self
            .platform
            .message(P::JOB, P::LANE, serde_json::to_value(payload)?, trace))
    }
}

/// JSON text of what we write ourselves.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string(value)?)
}
