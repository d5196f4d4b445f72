//! Rebuilding the index without writing all of it for each of its parts.
//!
//! `begin` notes in the object that a generation is being built; `fill` leaves what it is given as a [note](super::notes);
//! `finish` makes the generation of all these and puts it in the place of the object. If others have written the object
//! meanwhile, their changes are in notes, and these are all that has to be done again.
//!
//! **Atomicity.** Only the last write lets the new generation answer; whoever dies before it has done nothing.

use std::sync::Arc;

use souk_core::search::{Listing, Search as _, SearchError};

use super::copy::Copy;
use super::notes::Note;
use super::{OTHERS, S3Search, TRIES, unavailable};
use crate::call::pause;

/// How many parts are held at once.
const PARTS: usize = 20;
/// How many generations `begin` passes over.
const PASSED: usize = 500;

/// What the names of a generation's parts begin with.
fn parts(generation: u64) -> String {
    format!("note-part-{generation:010}-")
}

impl S3Search {
    pub(super) async fn begin_generation(&self) -> Result<u64, SearchError> {
        let _turn = self.turn.lock().await;
        for attempt in 1..=TRIES {
            let base = self.base().await?;
            let work = self.work_on(&base).await?;
            let generation = self.begin_in(&work).await?;
            if self.publish(&base, work).await?.is_none() {
                return Ok(generation);
            }
            pause(&*self.random, attempt).await;
        }
        Err(SearchError::Unavailable(OTHERS.into()))
    }

    async fn begin_in(&self, work: &Copy) -> Result<u64, SearchError> {
        for _ in 0..PASSED {
            let generation = work.index.begin().await?;
            // If the object was lost once, generations of before may have left parts.
            if self.names(&parts(generation), "").await?.is_empty() {
                return Ok(generation);
            }
        }
        Err(SearchError::Unavailable(
            "parts of earlier rebuilds are in the way".into(),
        ))
    }

    /// The object as it is now, if this generation is being built.
    async fn building(&self, generation: u64) -> Result<Arc<Copy>, SearchError> {
        let base = self.base().await?;
        if base.index.state().await?.building == Some(generation) {
            Ok(base)
        } else {
            Err(SearchError::Superseded)
        }
    }

    pub(super) async fn fill_generation(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.building(generation).await?;
        if listings.is_empty() {
            return Ok(());
        }
        let part = Note::Fill(listings.to_vec());
        self.leave_at(&parts(generation), &part).await.map(drop)
    }

    pub(super) async fn finish_generation(&self, generation: u64) -> Result<(), SearchError> {
        let _turn = self.turn.lock().await;
        let mut base = self.building(generation).await?;
        let mut work = self.work_on(&base).await?;
        let names = self.names(&parts(generation), "").await?;
        for names in names.chunks(PARTS) {
            for note in self.notes(names).await? {
                let Some(Note::Fill(listings)) = note else {
                    return Err(SearchError::Unavailable("a part of the rebuild cannot be read".into()));
                };
                work.index.fill(generation, &listings).await?;
            }
        }
        work.index.finish(generation).await?;
        work.compact().map_err(unavailable)?;
        for attempt in 1..=TRIES {
            match self.publish(&base, work).await? {
                None => return Ok(()),
                Some(again) => work = again,
            }
            pause(&*self.random, attempt).await;
            base = self.building(generation).await?;
            let done = work.included().await.map_err(unavailable)?;
            let made = base.included().await.map_err(unavailable)?;
            let mut more: Vec<String> = made.into_iter().filter(|name| !done.contains(name)).collect();
            more.sort_unstable();
            self.make_all(&work, &more, |_| true).await?;
        }
        Err(SearchError::Unavailable(OTHERS.into()))
    }
}
