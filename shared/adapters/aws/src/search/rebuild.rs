//! Rebuilding the index without uploading all of it for each part.
//!
//! `begin` records in the object that a generation is being built. `fill` uploads its listings as a
//! [note](super::notes). `finish` builds the generation locally from these notes and from the changes made meanwhile,
//! in the order of time, and publishes the result. If other writers have published since, their changes are in notes
//! too, and only those are applied again before the next attempt.
//!
//! **Atomicity.** The new generation becomes live with the last PUT. A process that crashes before that has changed
//! nothing that searches see.

use std::sync::Arc;

use souk_core::search::{Listing, Search as _, SearchError};

use super::copy::Copy;
use super::notes::Note;
use super::{OTHERS, S3Search, TRIES, unavailable};
use crate::call::pause;

/// How many parts are held in memory at once.
const PARTS: usize = 20;
/// How many generation numbers `begin` skips at most.
const PASSED: usize = 500;

impl S3Search {
    /// The key prefix of the parts of all generations.
    pub(super) fn all_parts(&self) -> String {
        format!("{}part-", self.keys.notes)
    }

    /// The key prefix of the parts of a generation.
    fn parts(&self, generation: u64) -> String {
        format!("{}{generation:010}-", self.all_parts())
    }

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
            // If the object was lost, numbering starts again, and earlier rebuilds may have left parts under this
            // number.
            if self.names(&self.parts(generation), "").await?.is_empty() {
                return Ok(generation);
            }
        }
        Err(SearchError::Unavailable(
            "parts of earlier rebuilds are in the way".into(),
        ))
    }

    /// The current object. Fails if `generation` is no longer being built.
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
        self.leave_at(&self.parts(generation), &part).await.map(drop)
    }

    pub(super) async fn finish_generation(&self, generation: u64) -> Result<(), SearchError> {
        let _turn = self.turn.lock().await;
        let mut base = self.building(generation).await?;
        let mut work = self.work_on(&base).await?;
        self.put_together(generation, &work).await?;
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

    /// Fills a generation with its parts. It already has the changes made meanwhile, but applies them again between the
    /// parts, because the later one of two listings with the same version wins.
    async fn put_together(&self, generation: u64, work: &Copy) -> Result<(), SearchError> {
        let (prefix, changes) = (self.parts(generation), self.changes());
        let parts = self.names(&prefix, "").await?;
        let made = work.included().await.map_err(unavailable)?;
        let since = |name: &str, prefix: &str| name.strip_prefix(prefix).map(str::to_owned);
        let Some(first) = parts.first().and_then(|name| since(name, &prefix)) else {
            return Ok(());
        };
        let changes = made
            .into_iter()
            .filter_map(|name| Some((since(&name, &changes)?, name)));
        let changes = changes.filter(|(time, _)| *time >= first);
        let parts = parts
            .into_iter()
            .filter_map(|name| Some((since(&name, &prefix)?, name)));
        let mut all: Vec<(String, String)> = parts.chain(changes).collect();
        all.sort_unstable();
        let names: Vec<String> = all.into_iter().map(|(_, name)| name).collect();
        for names in names.chunks(PARTS) {
            for note in self.notes(names).await? {
                match note {
                    Some(Note::Fill(listings)) => work.index.fill(generation, &listings).await?,
                    Some(Note::Apply(changes)) => work.index.apply(&changes).await?,
                    Some(Note::Used(_)) => {}
                    None => return Err(SearchError::Unavailable("a part of the rebuild cannot be read".into())),
                }
            }
        }
        Ok(())
    }
}
