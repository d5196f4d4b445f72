//! [`S3Search`]: the `Search` port over one S3 object. The object is a complete SQLite database, the index of
//! `souk-sql`. It costs nothing while nobody searches or writes.
//!
//! **Reading.** Searches read a copy of the object in a local folder. Before a search, the adapter refreshes the copy
//! with a conditional GET (`If-None-Match`) if the last refresh is older than one second, or than [`SHARE`] times the
//! duration of the last download. While S3 is unreachable, searches read the stale copy for up to [`KEPT`]
//! milliseconds; after that they fail as unavailable.
//!
//! **Writing.** A writer downloads the current object, applies its change to a copy, and uploads the copy with a
//! conditional PUT (`If-Match` with the ETag that it started from). If another writer was faster, the PUT fails and the
//! writer starts again from the new object. So a change is published whole or not at all, no change is lost, and a
//! writer that crashes before its PUT has changed nothing.
//!
//! A writer that finds others at work uploads a note of its change beside the object ([`notes`]). The next writer
//! applies all recent notes. So one or two PUTs of the object serve any number of concurrent writers.
//!
//! **Rebuilding.** See [`rebuild`].
//!
//! **Tenants** have objects and notes of their own ([`Keys`]), and copies in the same folder. Each instance of this adapter
//! keeps one copy of its index, so a process has as many copies as it serves tenants. A tenant's index is deleted with it, so
//! one that is missing is empty.
//!
//! If the main market's object has never existed, the index is empty and its generation is 0. If the object was deleted, searches
//! fail as if S3 were unreachable, until a writer creates it again.

mod copy;
mod notes;
mod rebuild;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{Clock, Random, StoreError, Tenant, Timestamp};

use self::copy::{Copy, Folder};
use self::notes::Note;
use crate::Settings;
use crate::call::{Failure, patiently, pause};
use crate::s3::{Bucket, Got, Only};
use crate::sign::within;

/// How long a refreshed copy counts as current, in milliseconds.
const LOOK: i64 = 1_000;
/// How many times the duration of a download must pass before the next refresh. A large index so costs a Lambda that
/// searches at most a fifth of its time.
const SHARE: i64 = 4;
/// How long a search waits for a refresh when it has a copy.
const LOOKING: Duration = Duration::from_secs(5);
/// After a failed refresh: how long until the next attempt, in milliseconds.
const PAUSE: i64 = 3_000;
/// How long searches may read a copy that cannot be refreshed, in milliseconds.
const KEPT: i64 = 300_000;
/// How many times a writer tries its conditional PUT.
const TRIES: u32 = 8;
/// The error when all of them failed.
const OTHERS: &str = "others kept writing it";

/// The keys of an index.
#[derive(Clone)]
struct Keys {
    /// The key of the index object: `index.db` or `tenant.{tenant}.index.db`. No name of a tenant has a dot.
    object: String,
    /// What the keys of its notes begin with, which a lifecycle rule deletes: `note-` or `note-tenant.{tenant}.`
    notes: String,
}

impl Keys {
    fn of(tenant: &Tenant) -> Self {
        let middle = match tenant.is_main() {
            true => String::new(),
            false => format!("tenant.{}.", tenant.name()),
        };
        Self {
            object: format!("{middle}index.db"),
            notes: format!("note-{middle}"),
        }
    }
}

/// A search index that is one object in S3.
#[derive(Clone)]
pub struct S3Search {
    tenant: Tenant,
    keys: Keys,
    bucket: Arc<Bucket>,
    folder: Folder,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The copy that searches read.
    newest: Arc<Mutex<Option<Arc<Copy>>>>,
    /// Held by the task that refreshes the copy.
    look: Arc<tokio::sync::Mutex<Look>>,
    /// Held by the task that writes.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The result of the last refresh.
#[derive(Default)]
struct Look {
    /// When the next refresh is due, in milliseconds since 1970.
    next: i64,
    /// When the copy was last known to be current, in milliseconds since 1970.
    good: i64,
    /// Why the last refresh failed, if it did.
    error: Option<SearchError>,
}

/// The result of a conditional GET.
enum Found {
    /// The object is unchanged.
    Same,
    /// There is no object. `once`: S3 says that it was deleted.
    Nothing { once: bool },
    /// The object has changed; this is a copy of it.
    Copy(Copy),
}

impl S3Search {
    /// The main market's index in `bucket`. `folder` is for local copies only: its contents are deleted. Sends nothing yet.
    pub fn new(
        settings: &Settings,
        bucket: &str,
        folder: &Path,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            tenant: Tenant::main(),
            keys: Keys::of(&Tenant::main()),
            bucket: Arc::new(Bucket::new(settings, bucket, clock.clone())),
            folder: Folder::new(folder),
            clock,
            random,
            newest: Arc::default(),
            look: Arc::default(),
            turn: Arc::default(),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn newest(&self) -> Option<Arc<Copy>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_newest(&self, copy: Arc<Copy>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
    }

    /// The copy for a search to read, refreshed if that is due.
    async fn copy(&self) -> Result<Arc<Copy>, SearchError> {
        // One task refreshes. The others read the copy that they have, or wait if there is none.
        let mut look = match (self.look.try_lock(), self.newest()) {
            (Ok(look), _) => look,
            (Err(_), Some(copy)) => return Ok(copy),
            (Err(_), None) => self.look.lock().await,
        };
        let began = self.now().as_millisecond();
        if began >= look.next {
            let looked = self.look().await;
            let ended = self.now().as_millisecond();
            match looked {
                Ok(has_changed) => {
                    let took = if has_changed { ended.saturating_sub(began) } else { 0 };
                    look.next = ended.saturating_add(LOOK.max(SHARE.saturating_mul(took)));
                    look.good = ended;
                    look.error = None;
                }
                Err(failure) => {
                    let error = unavailable(failure);
                    tracing::warn!(%error, "the search index cannot be looked after");
                    look.next = ended.saturating_add(PAUSE);
                    look.error = Some(error);
                }
            }
        }
        let is_known = look.error.is_none() || began.saturating_sub(look.good) <= KEPT;
        match (self.newest(), &look.error) {
            (Some(copy), _) if is_known => Ok(copy),
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(SearchError::Unavailable("there is no copy of it".into())),
        }
    }

    /// Refreshes the copy that searches read. Returns whether it was replaced.
    async fn look(&self) -> Result<bool, Failure> {
        let known = self.newest();
        let found = match &known {
            // With a copy to fall back on, retry once (a kept-alive connection may be dead) and do not wait long.
            Some(_) => {
                let tried = within(LOOKING, async {
                    match self.fetch(known.as_deref()).await {
                        Err(Failure::Passing(_)) => self.fetch(known.as_deref()).await,
                        found => found,
                    }
                });
                tried.await.and_then(|found| found)
            }
            None => patiently(&*self.random, || self.fetch(None)).await,
        };
        let is_tenant = !self.tenant.is_main();
        let copy = match (found?, &known) {
            (Found::Same, _) => return Ok(false),
            (Found::Copy(copy), _) => copy,
            (Found::Nothing { once }, Some(copy)) if copy.tag.is_none() && (is_tenant || !once) => return Ok(false),
            (Found::Nothing { once }, known) if is_tenant || (!once && known.is_none()) => {
                self.folder.empty(self.clock.clone()).await?
            }
            (Found::Nothing { .. }, _) => {
                let why = "the object was removed".into();
                return Err(Failure::Lasting(StoreError::Unavailable(why)));
            }
        };
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless this process has published a newer copy meanwhile.
        if newest.as_ref().map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr) {
            *newest = Some(Arc::new(copy));
        }
        Ok(true)
    }

    /// Fetches the object unless it still has the ETag of `known`.
    async fn fetch(&self, known: Option<&Copy>) -> Result<Found, Failure> {
        let tag = known.and_then(|copy| copy.tag.as_deref());
        Ok(match self.bucket.get(&self.keys.object, tag).await? {
            Got::Same => Found::Same,
            Got::Nothing { once } => Found::Nothing { once },
            Got::Object(tag, body) => Found::Copy(self.folder.save(tag, body, self.clock.clone()).await?),
        })
    }

    /// The current object, which a writer starts from.
    async fn base(&self) -> Result<Arc<Copy>, SearchError> {
        let known = self.newest();
        let found = patiently(&*self.random, || self.fetch(known.as_deref())).await;
        let copy = match (found.map_err(unavailable)?, known) {
            (Found::Same, Some(copy)) => return Ok(copy),
            (Found::Nothing { .. }, Some(copy)) if copy.tag.is_none() => return Ok(copy),
            (Found::Copy(copy), _) => copy,
            (Found::Same | Found::Nothing { .. }, _) => {
                self.folder.empty(self.clock.clone()).await.map_err(unavailable)?
            }
        };
        let copy = Arc::new(copy);
        // An index without an ETag is not published, so searches do not read it.
        if copy.tag.is_some() {
            self.set_newest(copy.clone());
        }
        Ok(copy)
    }

    /// Publishes a change. Retries until the conditional PUT succeeds or another writer has included the change.
    async fn change(&self, change: Note) -> Result<(), SearchError> {
        let (_turn, mut noted) = match self.turn.try_lock() {
            Ok(turn) => (turn, None),
            Err(_) => {
                let noted = self.leave(&change).await?;
                (self.turn.lock().await, Some(noted))
            }
        };
        for attempt in 1..=TRIES {
            let base = self.base().await?;
            if let Some(name) = &noted
                && base.included().await.map_err(unavailable)?.contains(name)
            {
                return Ok(());
            }
            if let Note::Apply(changes) = &change
                && !base.index.is_news(changes).await?
            {
                return Ok(());
            }
            // The task that finishes the rebuild reads the notes to learn what has changed meanwhile.
            let is_building = base.index.state().await?.building.is_some();
            if noted.is_none() && (attempt > 1 || is_building) {
                noted = Some(self.leave(&change).await?);
            }
            let work = self.work_on(&base).await?;
            self.make_noted(&work, noted.as_deref()).await?;
            if noted.is_none() {
                change.make(&work).await?;
            }
            if self.publish(&base, work).await?.is_none() {
                return Ok(());
            }
            pause(&*self.random, attempt).await;
        }
        Err(SearchError::Unavailable(OTHERS.into()))
    }

    /// Deletes the notes and then the object, so that a writer who begins meanwhile brings none of them back. The main market's
    /// object is replaced by an empty one, because one that was deleted is an error.
    async fn erase_all(&self) -> Result<(), SearchError> {
        let _turn = self.turn.lock().await;
        for prefix in [self.changes(), self.all_parts()] {
            for name in self.names(&prefix, "").await? {
                let deleted = patiently(&*self.random, || self.bucket.delete(&name));
                deleted.await.map_err(unavailable)?;
            }
        }
        let mut empty = self.folder.empty(self.clock.clone()).await.map_err(unavailable)?;
        if self.tenant.is_main() {
            let bytes = Bytes::from(empty.bytes().map_err(unavailable)?);
            let put = || self.bucket.put(&self.keys.object, bytes.clone(), Only::Always);
            let tag = patiently(&*self.random, put).await.map_err(unavailable)?;
            empty = empty.published(tag.unwrap_or_default()).map_err(unavailable)?;
        } else {
            let deleted = patiently(&*self.random, || self.bucket.delete(&self.keys.object));
            deleted.await.map_err(unavailable)?;
        }
        self.set_newest(Arc::new(empty));
        Ok(())
    }

    /// A writable copy of `base`.
    async fn work_on(&self, base: &Copy) -> Result<Copy, SearchError> {
        let copy = self.folder.copy(base, self.clock.clone()).await;
        copy.map_err(unavailable)
    }

    /// Publishes `work`, which was made from `base`. Returns `work` if another writer has replaced `base` meanwhile.
    async fn publish(&self, base: &Copy, work: Copy) -> Result<Option<Copy>, SearchError> {
        let bytes = Bytes::from(work.bytes().map_err(unavailable)?);
        let put = patiently(&*self.random, || {
            let only = base.tag.as_deref().map_or(Only::New, Only::After);
            self.bucket.put(&self.keys.object, bytes.clone(), only)
        });
        let Some(tag) = put.await.map_err(unavailable)? else {
            return Ok(Some(work));
        };
        self.set_newest(Arc::new(work.published(tag).map_err(unavailable)?));
        Ok(None)
    }
}

#[async_trait]
impl Search for S3Search {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.copy().await?.index.search(query).await
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        self.copy().await?.index.suggest(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.change(Note::Used(texts.to_vec())).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.change(Note::Apply(changes.to_vec())).await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.begin_generation().await
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.fill_generation(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.finish_generation(generation).await
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        self.base().await?.index.state().await
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        if *tenant == self.tenant {
            return Arc::new(self.clone());
        }
        Arc::new(Self {
            tenant: tenant.clone(),
            keys: Keys::of(tenant),
            newest: Arc::default(),
            look: Arc::default(),
            turn: Arc::default(),
            ..self.clone()
        })
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.erase_all().await
    }
}

pub(crate) fn unavailable(failure: Failure) -> SearchError {
    SearchError::Unavailable(match failure {
        Failure::Lasting(StoreError::Unavailable(why) | StoreError::Refused(why)) | Failure::Passing(why) => why,
        Failure::Lasting(other) => other.to_string(),
        Failure::Conditions(_) => "a condition failed where there is none".into(),
    })
}
