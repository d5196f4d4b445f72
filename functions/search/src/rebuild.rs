//! Rebuilding the index from the documents, while the old one answers.
//!
//! A generation is begun, filled page by page from the list of published products, and then finished, which makes it the
//! one that answers. What changes meanwhile is applied to both. As a job it is done in parts, each of which sends the
//! next; if one dies it is done again, which fills in the same products again. Whoever begins another rebuild ends this
//! one, and nothing is lost by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_catalog::lists::List;
use souk_catalog::status::Status;
use souk_core::search::{IndexChange, IndexState, Listing, SearchError};
use souk_core::{Lane, Message, Query};
use souk_kit::work::{Effects, JobError, tracked};
use souk_kit::{Answer, Member, Once, Platform, Problem, State};

use crate::index::{self, PAGES, changes_of, failed};

/// The job's name.
pub(crate) const JOB: &str = "search.reindex";

/// How far a rebuild has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Part {
    /// None is begun yet.
    generation: Option<u64>,
    after: Option<String>,
    products: u64,
}

/// What comes after a page.
enum Next {
    Page(Part),
    Finished(Part),
    Superseded,
}

/// How a rebuild has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// So many products are in the index that answers now.
    Done(
        /// How many.
        u64,
    ),
    /// Another rebuild has begun meanwhile.
    Superseded,
}

fn list() -> String {
    List::All.index(Status::Published)
}

/// Begins, does one page, or finishes.
async fn step(platform: &Platform, mut part: Part) -> Result<Next, JobError> {
    let generation = match part.generation {
        Some(generation) => generation,
        None => platform.search.begin().await.map_err(failed)?,
    };
    part.generation = Some(generation);
    let page = platform
        .documents
        .query(&index::page(list(), part.after.take()))
        .await?;
    let documents = page.items.into_iter().map(|item| item.document).collect();
    let changes = changes_of(platform, documents).await?;
    let listings: Vec<Listing> = changes
        .into_iter()
        .filter_map(|change| match change {
            IndexChange::Put(listing) => Some(*listing),
            // No longer published: the new generation has never heard of it, or has been told.
            IndexChange::Remove { .. } => None,
        })
        .collect();
    if !listings.is_empty() {
        match platform.search.fill(generation, &listings).await {
            Err(SearchError::Superseded) => return Ok(Next::Superseded),
            result => result.map_err(failed)?,
        }
        part.products = part.products.saturating_add(u64::try_from(listings.len()).unwrap_or(0));
    }
    part.after = page.next;
    if part.after.is_some() {
        return Ok(Next::Page(part));
    }
    match platform.search.finish(generation).await {
        Ok(()) => Ok(Next::Finished(part)),
        Err(SearchError::Superseded) => {
            // Or an earlier attempt has finished it and died then.
            let state = platform.search.state().await.map_err(failed)?;
            let is_done = state.live == generation;
            Ok(if is_done {
                Next::Finished(part)
            } else {
                Next::Superseded
            })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Some pages, as a job.
pub(crate) async fn run(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let mut part: Part = serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(e.to_string()))?;
    // The first part is short, so that hardly ever one is begun in vain.
    let pages = if part.generation.is_some() { PAGES } else { 1 };
    for _ in 0..pages {
        part = match step(&platform, part).await? {
            Next::Page(part) => part,
            Next::Finished(part) => return Ok(ended(json!({ "products": part.products }))),
            Next::Superseded => return Ok(ended(json!({ "superseded": true }))),
        };
    }
    let next = serde_json::to_value(&part).map_err(|e| JobError::Fatal(e.to_string()))?;
    Ok(Effects {
        messages: vec![tracked::next(&platform, &message, next)],
        result: Some(json!({ "products": part.products })),
        unfinished: true,
        ..Effects::default()
    })
}

fn ended(result: serde_json::Value) -> Effects {
    Effects {
        result: Some(result),
        ..Effects::default()
    }
}

/// Rebuilds the index here and now, for the command line; `progress` hears how many products are done.
pub async fn rebuild(platform: &Platform, progress: impl Fn(u64)) -> Result<Rebuilt, String> {
    let mut part = Part::default();
    loop {
        part = match step(platform, part).await.map_err(|e| e.to_string())? {
            Next::Page(part) => part,
            Next::Finished(part) => return Ok(Rebuilt::Done(part.products)),
            Next::Superseded => return Ok(Rebuilt::Superseded),
        };
        progress(part.products);
    }
}

/// Whether there is nothing in the index although there is in the market: it was lost, and not made anew yet.
pub(crate) async fn is_lost(platform: &Platform) -> Result<bool, Problem> {
    let state = platform.search.state().await.map_err(crate::unavailable)?;
    if state.live > 0 || state.products > 0 {
        return Ok(false);
    }
    let some = platform.documents.query(&Query::index(list(), 1)).await?;
    Ok(!some.items.is_empty())
}

/// Has the index rebuilt if it was never built, or has been lost: it is empty, and the market is not. Says whether it is.
pub async fn ensure(platform: &Platform) -> Result<bool, JobError> {
    let state = platform.search.state().await.map_err(failed)?;
    if state.live > 0 && state.products > 0 {
        return Ok(false);
    }
    let some = platform.documents.query(&Query::index(list(), 1)).await?;
    if some.items.is_empty() && some.next.is_none() {
        return Ok(false);
    }
    request(platform).await?;
    Ok(true)
}

/// Leaves a message for a rebuild.
pub async fn request(platform: &Platform) -> Result<(), JobError> {
    let body = serde_json::to_value(Part::default()).map_err(|e| JobError::Fatal(e.to_string()))?;
    let message = platform.message(JOB, Lane::Default, body, None);
    Ok(platform.commit(Vec::new(), Vec::new(), vec![message]).await?)
}

/// The schedule: [`ensure`], unless somebody is at it.
pub(crate) async fn check(platform: Arc<Platform>) -> Result<String, JobError> {
    if !platform.search.is_needed() {
        return Ok("no index".into());
    }
    let IndexState { building, .. } = platform.search.state().await.map_err(failed)?;
    let begun = building.is_none() && ensure(&platform).await?;
    Ok(if begun { "being rebuilt" } else { "nothing to do" }.into())
}

pub(crate) async fn reindex(platform: State, Member(admin): Member, once: Once) -> Result<Answer, Problem> {
    let body = serde_json::to_value(Part::default()).map_err(|e| Problem::internal(e.to_string()))?;
    let trace = once.cause().trace.clone();
    let (message, change, job) = tracked::start(&platform, JOB, Lane::Default, body, &admin.account, trace)?;
    let answer = Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id));
    Ok(once.commit_all(vec![change], Vec::new(), vec![message], answer).await?)
}

/// How the index is.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct SearchState {
    /// The generation that answers; 0 before the first rebuild.
    generation: u64,
    /// How many products it has.
    products: u64,
    /// The generation that is being built.
    building: Option<u64>,
}

pub(crate) async fn state(platform: State, _: Member) -> Result<Answer, Problem> {
    let state = platform.search.state().await.map_err(crate::unavailable)?;
    Answer::json(&SearchState {
        generation: state.live,
        products: state.products,
        building: state.building,
    })
}
