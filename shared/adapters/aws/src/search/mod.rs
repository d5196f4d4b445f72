//! [`S3Search`]: the `Search` port over one object in S3, which is a whole SQLite database: the index of `souk-sql`. It costs
//! nothing while nobody searches or writes.
//!
//! **Reading.** A copy of the object is kept in a local folder and read there. Before a search, if the last look is older than
//! a second, or than [`SHARE`] times what it took to fetch the object, the object is asked for unless it is the one we have.
//! While S3 does not answer the copy serves for another [`KEPT`]; then search is unavailable.
//!
//! **Writing.** The newest object is copied, the change is made to the copy, and the copy takes the object's place under the
//! condition that this is still the one it was made from (`If-Match`). Else somebody else was first, and it is done again from
//! what they wrote. So a change is there whole or not at all, none is lost, and whoever dies before the end has done nothing.
//!
//! Whoever meets others leaves a note of its change beside the object ([`notes`]), and whoever writes next does all that is
//! noted. So however many write at once, one or two writes of the object serve all.
//!
//! **Rebuilding.** See [`rebuild`].
//!
//! An object that was never there is an index of nothing, of generation 0. If it was removed, searches fail as if S3 did not
//! answer, until somebody writes one.

mod copy;
mod notes;
mod rebuild;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery};
use souk_core::{Clock, Random, StoreError, Timestamp};

use self::copy::{Copy, Folder};
use self::notes::Note;
use crate::Settings;
use crate::call::{Failure, patiently, pause};
use crate::s3::{Bucket, Got, Only};
use crate::sign::within;

/// The object.
const OBJECT: &str = "index.db";
/// How old a look may be, in milliseconds.
const LOOK: i64 = 1_000;
/// How much longer what was fetched serves than it took to fetch, so that a large index costs a searching Lambda at most a
/// fifth of its time.
const SHARE: i64 = 4;
/// How long a search waits for a newer one.
const LOOKING: Duration = Duration::from_secs(5);
/// How long nobody looks again, in milliseconds, after one has looked in vain.
const PAUSE: i64 = 3_000;
/// How long a copy serves that cannot be compared to the object, in milliseconds.
const KEPT: i64 = 300_000;
/// How often a change is made anew because others were first.
const TRIES: u32 = 8;
/// Why it was not made in the end.
const OTHERS: &str = "others kept writing it";

/// An index in S3.
pub struct S3Search {
    bucket: Bucket,
    folder: Folder,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// What searches read.
    newest: Mutex<Option<Arc<Copy>>>,
    /// Held by the one who looks.
    look: tokio::sync::Mutex<Look>,
    /// Held by the one who writes.
    turn: tokio::sync::Mutex<()>,
}

/// What was learnt from looking.
#[derive(Default)]
struct Look {
    /// Nobody looks again before, in milliseconds since 1970.
    next: i64,
    /// When the copy was the object.
    good: i64,
    /// Why it is not known any more whether it is.
    error: Option<SearchError>,
}

/// What asking for the object has brought.
enum Found {
    /// It is the one we have.
    Same,
    /// There is none; `once` there was.
    Nothing { once: bool },
    /// It is this.
    Copy(Copy),
}

impl S3Search {
    /// The index in `bucket`. `folder` is for copies of it, and for nothing else: what is in it is removed. Nothing is sent yet.
    pub fn new(
        settings: &Settings,
        bucket: &str,
        folder: &Path,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            bucket: Bucket::new(settings, bucket, clock.clone()),
            folder: Folder::new(folder),
            clock,
            random,
            newest: Mutex::default(),
            look: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
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

    /// What a search reads.
    async fn copy(&self) -> Result<Arc<Copy>, SearchError> {
        // Only one looks; the others go by what is there, if there is anything.
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

    /// Sees to it that searches read the object as it is. Says whether it was another.
    async fn look(&self) -> Result<bool, Failure> {
        let known = self.newest();
        let found = match &known {
            // With something to go by it is tried twice, as a connection that was kept may be dead, and not for long.
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
        let copy = match (found?, &known) {
            (Found::Same, _) => return Ok(false),
            (Found::Copy(copy), _) => copy,
            (Found::Nothing { once: false }, None) => self.folder.empty(self.clock.clone()).await?,
            (Found::Nothing { once: false }, Some(copy)) if copy.tag.is_none() => return Ok(false),
            (Found::Nothing { .. }, _) => {
                let why = "the object was removed".into();
                return Err(Failure::Lasting(StoreError::Unavailable(why)));
            }
        };
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless this process has written one meanwhile.
        if newest.as_ref().map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr) {
            *newest = Some(Arc::new(copy));
        }
        Ok(true)
    }

    /// The object, unless `known` is a copy of it.
    async fn fetch(&self, known: Option<&Copy>) -> Result<Found, Failure> {
        let tag = known.and_then(|copy| copy.tag.as_deref());
        Ok(match self.bucket.get(OBJECT, tag).await? {
            Got::Same => Found::Same,
            Got::Nothing { once } => Found::Nothing { once },
            Got::Object(tag, body) => Found::Copy(self.folder.save(tag, body, self.clock.clone()).await?),
        })
    }

    /// What a change is made from: the object as it is now.
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
        // What was removed by others than us is not searched.
        if copy.tag.is_some() {
            self.set_newest(copy.clone());
        }
        Ok(copy)
    }

    /// Makes a change until nobody else was first, or somebody else has made it.
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
            // Whoever finishes a rebuild asks the notes what has changed meanwhile.
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

    /// A copy to work on.
    async fn work_on(&self, base: &Copy) -> Result<Copy, SearchError> {
        let copy = self.folder.copy(base, self.clock.clone()).await;
        copy.map_err(unavailable)
    }

    /// Puts `work`, which was made from `base`, in its place; gives it back if something else stands there by now.
    async fn publish(&self, base: &Copy, work: Copy) -> Result<Option<Copy>, SearchError> {
        let bytes = Bytes::from(work.bytes().map_err(unavailable)?);
        let put = patiently(&*self.random, || {
            let only = base.tag.as_deref().map_or(Only::New, Only::After);
            self.bucket.put(OBJECT, bytes.clone(), only)
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

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
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
}

pub(crate) fn unavailable(failure: Failure) -> SearchError {
    SearchError::Unavailable(match failure {
        Failure::Lasting(StoreError::Unavailable(why) | StoreError::Refused(why)) | Failure::Passing(why) => why,
        Failure::Lasting(other) => other.to_string(),
        Failure::Conditions(_) => "a condition failed where there is none".into(),
    })
}
