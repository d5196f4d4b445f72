//! The context of an operation: the ports of the host and the principal.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::compute::Busy;
use souk_core::documents::MAX_LIMIT;
use souk_core::event::Cause;
use souk_core::kind::{owner_of, resolve_key, resolved};
use souk_core::queue::Payload;
use souk_core::search::{SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{
    Consistency, Document, Fault, FieldError, Key, Kind, Message, Page, Permission, Principal, Query, StoreError,
    Timestamp,
};

use super::audit::Origin;
use super::paging::total_of;
use super::{Failure, Idempotency, PageRequest, SortedPage, Stored};
use crate::Platform;
use crate::cache::ReadLog;
use crate::limits::{By, Limit, Reach, Verdict};

/// The maximum length of a name in bytes. Longer names are not looked up.
const MAX_NAME: usize = 200;

/// The context of an operation. Dereferences to the [`Platform`] of one tenant: no operation reaches another's. Read documents through the methods of the context:
/// they apply its consistency and record the reads for the response cache.
#[derive(Clone)]
pub struct Context {
    platform: Arc<Platform>,
    principal: Option<Arc<Principal>>,
    trace: Option<Arc<str>>,
    /// The deadline of the operation.
    pub deadline: Option<Timestamp>,
    consistency: Consistency,
    pub(crate) idempotency: Option<Arc<Idempotency>>,
    pub(crate) reads: Option<Arc<ReadLog>>,
    /// The network of the client, if the host knows it.
    pub(crate) network: Option<Arc<str>>,
    /// What the client says that it is, if the request may change something.
    pub(crate) agent: Option<Arc<str>>,
    /// What the audit log says of this request.
    pub(crate) origin: Option<Arc<Origin>>,
    /// What limits said of this request.
    pub(crate) verdicts: Arc<Mutex<Vec<Verdict>>>,
}

impl Deref for Context {
    type Target = Platform;
    fn deref(&self) -> &Platform {
        &self.platform
    }
}

impl Context {
    /// The context of work without a request: jobs, schedules, the command line.
    #[must_use]
    pub fn system(platform: Arc<Platform>) -> Self {
        Self {
            platform,
            principal: None,
            trace: None,
            deadline: None,
            consistency: Consistency::Strong,
            idempotency: None,
            reads: None,
            network: None,
            agent: None,
            origin: None,
            verdicts: Arc::default(),
        }
    }

    /// Sets the principal.
    #[must_use]
    pub fn acting_as(mut self, principal: Principal) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// The same for commits before that of the request: they do not belong to its idempotency key, nor to the audit log.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            idempotency: None,
            origin: None,
            ..self.clone()
        }
    }

    /// The same with strongly consistent reads, for what cannot be undone when caches have kept it.
    #[must_use]
    pub fn strong(&self) -> Self {
        Self {
            consistency: Consistency::Strong,
            ..self.clone()
        }
    }

    /// Continues the trace of this `traceparent`.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<&str>) -> Self {
        self.trace = traceparent.map(Arc::from);
        self
    }

    /// Removes what is known of the client, for a response that others get too.
    pub(crate) fn without_client(mut self) -> Self {
        self.network = None;
        self.agent = None;
        self
    }

    /// Makes reads eventually consistent, and records them in `reads` if the response may be cached.
    pub(crate) fn eventual(mut self, reads: Option<Arc<ReadLog>>) -> Self {
        self.consistency = Consistency::Eventual;
        self.reads = reads;
        self
    }

    /// The principal; `None` if the request is anonymous.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The principal, for operations that require one.
    pub fn signed_in(&self) -> Result<&Principal, Failure> {
        self.principal()
            .ok_or_else(|| Failure::Unauthenticated("sign in to do this".into()))
    }

    /// Whether the principal may do what the permission allows. What it changes then is in the audit log.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.principal().is_some_and(|principal| principal.may(permission))
    }

    /// The same of something that belongs to the account `owner`, who needs no permission. Others say why.
    #[must_use]
    pub fn may_for(&self, owner: &str, permission: &Permission) -> bool {
        self.principal()
            .is_some_and(|principal| principal.may_for(owner, permission))
    }

    /// The `traceparent` for events, messages and outbound requests of this operation.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// The cause of the events and messages of this operation.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            actor: self.principal().map(|principal| principal.account.clone()),
            trace: self.trace().map(str::to_owned),
        }
    }

    /// The shared platform, for values that outlive the operation.
    #[must_use]
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    /// What the client says that it is (`User-Agent`), in a request that may change something.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// The network of the client: its IPv4 address, or the first half of its IPv6 address. Empty if nobody knows it.
    #[must_use]
    pub fn network(&self) -> &str {
        self.network.as_deref().unwrap_or("")
    }

    /// Counts one unit of a limit for `subject`, which is stored as a keyed digest only. Fails if the quota is used up.
    pub async fn count(&self, limit: &Limit, subject: &str) -> Result<(), Failure> {
        let Some((limit, is_shadow)) = self.platform.known_gate().limit(limit) else {
            return Ok(());
        };
        let subject = self.subject(&limit, subject);
        match self.platform.limiter.take(&limit, &subject).await {
            Some(verdict) => self.note(verdict, is_shadow),
            None => Ok(()),
        }
    }

    /// Ends the window of a limit for `subject`: the whole quota is there again.
    pub async fn uncount(&self, limit: &Limit, subject: &str) {
        self.platform.limiter.clear(limit, &self.subject(limit, subject)).await;
    }

    /// What stands for the subject of a limit: outside this instance a digest.
    fn subject<'s>(&self, limit: &Limit, subject: &'s str) -> Cow<'s, str> {
        let subject = self.tenant.stored(subject);
        match limit.reach {
            Reach::Instance => subject,
            Reach::Everywhere => self.platform.keys.digest(format!("limit\n{subject}").as_bytes()).into(),
        }
    }

    /// Notes what a limit said, and fails if it says no and is not in shadow.
    fn note(&self, verdict: Verdict, is_shadow: bool) -> Result<(), Failure> {
        // How often somebody else has tried something is nobody's business, until it is refused.
        if verdict.is_over || verdict.limit.by != By::Subject {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            verdicts.push(verdict);
        }
        let limit = verdict.limit.name;
        match verdict.is_over {
            true if self.platform.limiter.is_enforced() && !is_shadow => Err(Failure::Limited(verdict)),
            true => {
                tracing::info!(limit, "a limit in shadow would have refused this");
                Ok(())
            }
            false => Ok(()),
        }
    }

    /// The documents at these keys, in the order of the keys.
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

    /// The document at this key, with its deserialized body.
    pub async fn read<T: DeserializeOwned>(&self, key: Key) -> Result<Option<Stored<T>>, Failure> {
        let document = self.get(key).await?;
        Ok(document.map(Stored::read).transpose()?)
    }

    /// One page of a partition or an index.
    pub async fn query(&self, query: &Query) -> Result<Page, Failure> {
        if let Some(reads) = &self.reads {
            reads.source(&query.source, &self.platform.registry);
        }
        let page = self.counted(query).await?;
        if let Some(reads) = &self.reads {
            reads.listed(page.items.iter().map(|item| &item.document));
        }
        Ok(page)
    }

    /// The page, without counting a list again that is known to be long.
    async fn counted(&self, query: &Query) -> Result<Page, StoreError> {
        let Platform {
            documents, long_lists, ..
        } = &*self.platform;
        if query.count == 0 {
            return documents.query(query, self.consistency).await;
        }
        let now = self.platform.clock.now();
        if long_lists.have(query, now) {
            let uncounted = Query {
                count: 0,
                ..query.clone()
            };
            let page = documents.query(&uncounted, self.consistency).await?;
            let total = match page.next {
                Some(_) => query.count,
                None => page.items.len(),
            };
            return Ok(Page {
                total: Some(total),
                ..page
            });
        }
        let page = documents.query(query, self.consistency).await?;
        if page.total.is_some_and(|total| total >= query.count) {
            long_lists.add(query, now);
        }
        Ok(page)
    }

    /// All documents of an index that is known to be small, page by page.
    pub async fn query_all(&self, index: &str) -> Result<Vec<Document>, Failure> {
        let mut query = Query::index(index, MAX_LIMIT);
        let mut documents = Vec::new();
        loop {
            let page = self.query(&query).await?;
            documents.extend(page.items.into_iter().map(|item| item.document));
            query.after = page.next;
            if query.after.is_none() {
                return Ok(documents);
            }
        }
    }

    /// A page of the list that `query` reads. `scope` identifies the list and ties its cursors to it.
    pub async fn list(&self, query: Query, page: &PageRequest, scope: &str) -> Result<SortedPage<Document>, Failure> {
        let paging = page.of_list(scope)?;
        let page = self.query(&paging.query(query)).await?;
        let total = total_of(&page);
        let items = page.items.into_iter().map(|item| (item.sort, item.document)).collect();
        Ok(paging.page(items, page.next, total))
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

    /// Resolves ids or names to ids, with one batched get.
    pub async fn resolve(&self, wanted: &[(Kind, &str)]) -> Result<Vec<Option<String>>, Failure> {
        let keys: Vec<Key> = wanted.iter().map(|(kind, text)| resolve_key(*kind, text)).collect();
        Ok(resolved(wanted, self.get_all(&keys).await?)?)
    }

    /// The ids of the values of parameters, which are ids or names of these kinds, with one batched get. What does not
    /// exist is a fault of its parameter.
    pub async fn resolve_parameters<const N: usize>(
        &self,
        parameters: [(&'static str, Kind, &[String]); N],
    ) -> Result<[Vec<String>; N], Failure> {
        let wanted: Vec<(Kind, &str)> = parameters
            .iter()
            .flat_map(|(_, kind, texts)| texts.iter().map(|text| (*kind, text.as_str())))
            .collect();
        let mut found = self.resolve(&wanted).await?.into_iter();
        let mut faults = Vec::new();
        let resolved = parameters.map(|(name, _, texts)| {
            let mut ids = Vec::with_capacity(texts.len());
            for (text, id) in texts.iter().zip(found.by_ref()) {
                match id {
                    Some(id) => ids.push(id),
                    None => {
                        let fault = Fault::not_found(name).because(format!("there is no {name} {text:?}"));
                        faults.push(FieldError::new(name, fault));
                    }
                }
            }
            ids
        });
        if faults.is_empty() {
            Ok(resolved)
        } else {
            Err(Failure::Invalid(faults))
        }
    }

    /// Searches the index.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        if let Some(reads) = &self.reads {
            reads.searched();
        }
        self.platform.index.search(query).await
    }

    /// Completes a search prefix.
    pub async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        if let Some(reads) = &self.reads {
            reads.suggested();
        }
        self.platform.index.suggest(typed, limit).await
    }

    /// Runs work that takes milliseconds of CPU apart from the event loop.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        let work = move || *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(work());
        let run = self.platform.compute.run(Box::new(work));
        run.await.map_err(|Busy| Failure::Busy)?;
        let result = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(|| Failure::Internal("expensive work panicked".into()))
    }

    /// A new id of this kind.
    #[must_use]
    pub fn new_id(&self, kind: Kind) -> String {
        kind.new_id(&*self.clock, &*self.random)
    }

    /// A message for the job of this payload, with the trace and the account of this context.
    pub fn message<P: Payload>(&self, payload: &P) -> Result<Message, Failure> {
        let trace = self.trace().map(str::to_owned);
        let body = serde_json::to_value(payload)?;
        Ok(Message {
            account: self.cause().actor,
            ..self.platform.message(P::JOB, P::LANE, body, trace)
        })
    }
}

/// Serializes a stored type as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string(value)?)
}
