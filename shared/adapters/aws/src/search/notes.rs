//! Notes: objects beside the index, each of which tells of a change that is being made to it or of a part of a rebuild.
//!
//! A note is left *before* what it tells of is done, by whoever meets others or writes while a generation is being built. The
//! index holds the names of the notes that it includes, for an hour. So who was not first finds out whether somebody else has
//! made its change, and who finishes a rebuild which changes have been made meanwhile.
//!
//! **Atomicity.** A note is whole or not there. One of somebody who died says what is about to be tried again, and to do it
//! once more changes nothing. Notes are removed by a rule of the bucket (`template.yaml`).

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

/// What the names of changes begin with, and how old those may be that are made for others, in milliseconds.
pub(super) const CHANGES: &str = "note-change-";
const RECENT: i64 = 60_000;
/// How many of them are made in one write.
const MOST: usize = 50;
/// How long the index knows which it includes, in milliseconds: longer than anybody tries to make a change.
const KNOWN: i64 = 3_600_000;
/// How many notes are on their way at once.
const AT_ONCE: usize = 8;

/// What a note tells of.
#[derive(Serialize, Deserialize)]
pub(super) enum Note {
    /// Changes.
    Apply(Vec<IndexChange>),
    /// What was searched for.
    Used(Vec<(String, u32)>),
    /// A part of a generation that is being built.
    Fill(Vec<Listing>),
}

impl Note {
    /// Does what it tells of, if it is a change.
    pub(super) async fn make(&self, copy: &Copy) -> Result<(), SearchError> {
        match self {
            Note::Apply(changes) => copy.index.apply(changes).await,
            Note::Used(texts) => copy.index.used(texts).await,
            Note::Fill(_) => Ok(()),
        }
    }
}

impl S3Search {
    /// The name of a note of `milliseconds` since 1970: names are in the order of time.
    fn name(prefix: &str, milliseconds: i64, rest: &str) -> String {
        format!("{prefix}{milliseconds:014}-{rest}")
    }

    /// Leaves a note of a change.
    pub(super) async fn leave(&self, note: &Note) -> Result<String, SearchError> {
        self.leave_at(CHANGES, note).await
    }

    /// Leaves a note whose name begins with `prefix`.
    pub(super) async fn leave_at(&self, prefix: &str, note: &Note) -> Result<String, SearchError> {
        let chance = u64::from_le_bytes(random::bytes(&*self.random));
        let name = Self::name(prefix, self.now().as_millisecond(), &format!("{chance:016x}"));
        let body = serde_json::to_vec(note).map_err(|e| SearchError::Unavailable(e.to_string()))?;
        let body = Bytes::from(body);
        let put = patiently(&*self.random, || self.bucket.put(&name, body.clone(), Only::Always));
        put.await.map_err(unavailable)?;
        Ok(name)
    }

    /// The names of the notes that begin with `prefix` and come after `after`, in order.
    pub(super) async fn names(&self, prefix: &str, after: &str) -> Result<Vec<String>, SearchError> {
        let names = patiently(&*self.random, || self.bucket.names(prefix, after));
        names.await.map_err(unavailable)
    }

    /// The notes of these names, in order; `None` for what another version of the market has written and this cannot read.
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

    /// Makes the changes that others have noted lately, and `own`. Whoever writes does so, also if nobody was in its way: so
    /// who leaves a note waits for the second write from then on at most.
    pub(super) async fn make_noted(&self, work: &Copy, own: Option<&str>) -> Result<(), SearchError> {
        let recent = self.now().as_millisecond().saturating_sub(RECENT);
        let mut names = self.names(CHANGES, &Self::name(CHANGES, recent, "")).await?;
        if names.is_empty() && own.is_none() {
            return Ok(());
        }
        let included = work.included().await.map_err(unavailable)?;
        names.retain(|name| Some(&**name) != own && !included.contains(name));
        names.truncate(MOST);
        names.extend(own.map(str::to_owned));
        // Of two changes of one version the later one counts.
        names.sort_unstable();
        self.make_all(work, &names, |name| Some(name) == own).await
    }

    /// Makes changes of which there are notes, of some only if they can be read.
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
        work.include(name, Self::name(CHANGES, known, ""))
            .await
            .map_err(unavailable)
    }
}
