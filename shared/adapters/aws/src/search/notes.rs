//! Notes: objects beside the index. Each describes a pending change to the index, or a part of a rebuild.
//!
//! A writer uploads a note *before* it applies the change, if other writers are at work or a generation is being built.
//! The index records the names of the notes that it includes, for an hour. So a writer that lost the race learns
//! whether another writer has already applied its change, and the task that finishes a rebuild learns which changes
//! were made meanwhile.
//!
//! **Atomicity.** A note exists whole or not at all. The note of a writer that crashed describes a change that its
//! caller retries; applying a change twice has no effect. A lifecycle rule of the bucket deletes old notes
//! (`template.yaml`).

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use souk_core::random;
use souk_core::search::{IndexChange, Listing, Search as _, SearchError};

use super::copy::Copy;
use super::{S3Search, unavailable};
use crate::answer;
use crate::call::{Failure, patiently};
use crate::s3::{Got, Only};

/// The age up to which writers apply the notes of others, in milliseconds.
const RECENT: i64 = 60_000;
/// How many notes of others one write applies.
const MOST: usize = 50;
/// How long the index remembers which notes it includes, in milliseconds. No writer retries for that long.
const KNOWN: i64 = 3_600_000;
/// How many notes are downloaded concurrently.
const AT_ONCE: usize = 8;

/// The content of a note.
#[derive(Serialize, Deserialize)]
pub(super) enum Note {
    /// Changes to listings.
    Apply(Vec<IndexChange>),
    /// Query texts with the number of their uses.
    Used(Vec<(String, u32)>),
    /// Listings for the generation that is being built.
    Fill(Vec<Listing>),
}

impl Note {
    /// Applies the note to `copy`. Parts of a rebuild are not applied here.
    pub(super) async fn make(&self, copy: &Copy) -> Result<(), SearchError> {
        match self {
            Note::Apply(changes) => copy.index.apply(changes).await,
            Note::Used(texts) => copy.index.used(texts).await,
            Note::Fill(_) => Ok(()),
        }
    }
}

impl S3Search {
    /// The key prefix of change notes.
    pub(super) fn changes(&self) -> String {
        format!("{}change-", self.keys.notes)
    }

    /// A note's key. It contains the time in milliseconds since 1970, so keys sort by time.
    fn name(prefix: &str, milliseconds: i64, rest: &str) -> String {
        format!("{prefix}{milliseconds:014}-{rest}")
    }

    /// Uploads a note of a change and returns its key.
    pub(super) async fn leave(&self, note: &Note) -> Result<String, SearchError> {
        self.leave_at(&self.changes(), note).await
    }

    /// Uploads a note under a key that starts with `prefix`.
    pub(super) async fn leave_at(&self, prefix: &str, note: &Note) -> Result<String, SearchError> {
        let chance = u64::from_le_bytes(random::bytes(&*self.random));
        let name = Self::name(prefix, self.now().as_millisecond(), &format!("{chance:016x}"));
        let body = serde_json::to_vec(note).map_err(|e| SearchError::Unavailable(e.to_string()))?;
        let body = Bytes::from(body);
        let put = patiently(&*self.random, || self.bucket.put(&name, body.clone(), Only::Always));
        put.await.map_err(unavailable)?;
        Ok(name)
    }

    /// The keys that start with `prefix` and sort after `after`, in order.
    pub(super) async fn names(&self, prefix: &str, after: &str) -> Result<Vec<String>, SearchError> {
        let names = patiently(&*self.random, || self.bucket.names(prefix, after));
        names.await.map_err(unavailable)
    }

    /// The notes with these keys, in order. `None`: another version of the program wrote the note and this one cannot
    /// parse it.
    pub(super) async fn notes(&self, names: &[String]) -> Result<Vec<Option<Note>>, SearchError> {
        let notes =
            stream::iter(names.to_vec()).map(|name| async move { patiently(&*self.random, || self.note(&name)).await });
        notes.buffered(AT_ONCE).try_collect().await.map_err(unavailable)
    }

    async fn note(&self, name: &str) -> Result<Option<Note>, Failure> {
        let Got::Object(_, body) = self.bucket.get(name, None).await? else {
            return Err(Failure::Passing(format!("{name} is gone")));
        };
        let mut bytes = Vec::new();
        answer::read(body, |more| {
            bytes.extend_from_slice(more);
            Ok(())
        })
        .await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Applies the recent notes of other writers, and then `own`. Every writer does this, even without a conflict. So a
    /// writer that has uploaded a note waits for two writes at most.
    pub(super) async fn make_noted(&self, work: &Copy, own: Option<&str>) -> Result<(), SearchError> {
        let recent = self.now().as_millisecond().saturating_sub(RECENT);
        let changes = self.changes();
        let mut names = self.names(&changes, &Self::name(&changes, recent, "")).await?;
        if names.is_empty() && own.is_none() {
            return Ok(());
        }
        let included = work.included().await.map_err(unavailable)?;
        names.retain(|name| Some(&**name) != own && !included.contains(name));
        names.truncate(MOST);
        names.extend(own.map(str::to_owned));
        // Apply them in the order of time: of two changes with the same version, the later one wins.
        names.sort_unstable();
        self.make_all(work, &names, |name| Some(name) == own).await
    }

    /// Applies these notes and records them as included. A note that cannot be parsed is an error only if `is_needed`.
    pub(super) async fn make_all(
        &self,
        work: &Copy,
        names: &[String],
        is_needed: impl Fn(&str) -> bool,
    ) -> Result<(), SearchError> {
        for (name, note) in names.iter().zip(self.notes(names).await?) {
            match note {
                Some(note) => {
                    note.make(work).await?;
                    self.include(work, name).await?;
                }
                None if is_needed(name) => return Err(SearchError::Unavailable(format!("{name} cannot be read"))),
                None => tracing::warn!(name, "a note that cannot be read"),
            }
        }
        Ok(())
    }

    async fn include(&self, work: &Copy, name: &str) -> Result<(), SearchError> {
        let known = self.now().as_millisecond().saturating_sub(KNOWN);
        work.include(name, Self::name(&self.changes(), known, ""))
            .await
            .map_err(unavailable)
    }
}
