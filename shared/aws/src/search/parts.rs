//! Rebuilding the index without writing all of it for each of its parts.
//!
//! `begin` notes in the object that a generation is being built. From then on `fill` writes what it is given as an object of
//! its own, a *part*; and so does whoever changes the index, before the change itself. `finish` makes the generation of all
//! parts, in the order of time, and puts it in the place of the object. If others have written the object meanwhile, what they
//! changed is in parts that came since: these are all that has to be done again.
//!
//! **Atomicity.** A part is whole or not there. It may be there though what it tells of was never done: then that is about to
//! be tried again. Only the last write lets the new generation answer. Whoever dies before it has done nothing; parts of
//! generations that never answer are removed by a rule of the bucket (`template.yaml`).

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use souk_core::random;
use souk_core::search::{IndexChange, Listing, Search as _, SearchError};

use super::copy::Copy;
use super::{Change, S3Search, TRIES, unavailable};
use crate::call::{Failure, patiently, pause};
use crate::s3::{self, Got, Only};

/// How many parts are on their way at once.
const AT_ONCE: usize = 8;
/// How many generations `begin` passes over.
const PASSED: usize = 500;

/// What is done to a generation that is being built.
#[derive(Serialize, Deserialize)]
pub(super) enum Part {
    Fill(Vec<Listing>),
    Apply(Vec<IndexChange>),
    Used(Vec<(String, u32)>),
}

impl Change<'_> {
    /// What of it concerns a generation that is being built.
    pub(super) fn part(self) -> Option<Part> {
        match self {
            Change::Apply(changes) => Some(Part::Apply(changes.to_vec())),
            Change::Used(texts) => Some(Part::Used(texts.to_vec())),
            Change::Begin => None,
        }
    }
}

/// What the names of a generation's parts begin with.
fn prefix(generation: u64) -> String {
    format!("part-{generation:010}-")
}

impl S3Search {
    /// Begins a generation in a copy.
    pub(super) async fn begin_in(&self, work: &Copy) -> Result<u64, SearchError> {
        for _ in 0..PASSED {
            let generation = work.index.begin().await?;
            // If the object was lost once, generations of before may have left parts.
            if self.names(generation).await?.is_empty() {
                return Ok(generation);
            }
        }
        Err(SearchError::Unavailable(
            "parts of earlier rebuilds are in the way".into(),
        ))
    }

    async fn names(&self, generation: u64) -> Result<Vec<String>, SearchError> {
        let prefix = prefix(generation);
        let names = patiently(&*self.random, || self.bucket.names(&prefix));
        names.await.map_err(unavailable)
    }

    /// Writes a part.
    pub(super) async fn note(&self, generation: u64, part: &Part) -> Result<(), SearchError> {
        let chance = u64::from_le_bytes(random::bytes(&*self.random));
        let name = format!(
            "{}{:014}-{chance:016x}",
            prefix(generation),
            self.now().as_millisecond()
        );
        let body = serde_json::to_vec(part).map_err(|e| SearchError::Unavailable(e.to_string()))?;
        let body = Bytes::from(body);
        let put = patiently(&*self.random, || self.bucket.put(&name, body.clone(), Only::Always));
        put.await.map(drop).map_err(unavailable)
    }

    async fn read_part(&self, name: &str) -> Result<Part, Failure> {
        let Got::Object(_, body) = self.bucket.get(name, None).await? else {
            return Err(Failure::Passing(format!("{name} is gone")));
        };
        let mut bytes = Vec::new();
        s3::read(body, |more| {
            bytes.extend_from_slice(more);
            Ok(())
        })
        .await?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::Passing(format!("{name}: {e}")))
    }

    /// Does to a copy what the parts tell that are not among `done`, before or after the generation answers in it.
    async fn replay(
        &self,
        generation: u64,
        work: &Copy,
        done: &mut HashSet<String>,
        is_finished: bool,
    ) -> Result<(), SearchError> {
        let mut names = self.names(generation).await?;
        names.retain(|name| done.insert(name.clone()));
        let parts =
            stream::iter(names).map(|name| async move { patiently(&*self.random, || self.read_part(&name)).await });
        let mut parts = parts.buffered(AT_ONCE);
        while let Some(part) = parts.next().await {
            match part.map_err(unavailable)? {
                Part::Fill(listings) => match work.index.fill(generation, &listings).await {
                    // It has come after all was there: it was sent twice.
                    Err(SearchError::Superseded) => {}
                    result => result?,
                },
                Part::Apply(changes) => work.index.apply(&changes).await?,
                // Whoever counted it before is in the copy, whoever has not been able to yet will count it in the next.
                Part::Used(texts) if is_finished => work.index.used(&texts).await?,
                Part::Used(_) => {}
            }
        }
        Ok(())
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

    pub(super) async fn fill_part(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.building(generation).await?;
        if listings.is_empty() {
            return Ok(());
        }
        self.note(generation, &Part::Fill(listings.to_vec())).await
    }

    pub(super) async fn finish_parts(&self, generation: u64) -> Result<(), SearchError> {
        let _turn = self.turn.lock().await;
        let mut base = self.building(generation).await?;
        let mut work = self.folder.copy(&base, self.clock.clone()).map_err(unavailable)?;
        let mut done = HashSet::new();
        self.replay(generation, &work, &mut done, false).await?;
        work.index.finish(generation).await?;
        work.compact().map_err(unavailable)?;
        for attempt in 1..=TRIES {
            match self.publish(&base, work).await? {
                None => return Ok(()),
                Some(again) => work = again,
            }
            pause(&*self.random, attempt).await;
            base = self.building(generation).await?;
            self.replay(generation, &work, &mut done, true).await?;
        }
        Err(SearchError::Unavailable("others kept writing it".into()))
    }
}
