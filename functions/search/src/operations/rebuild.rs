//! Rebuilds the index from the documents, while the active generation serves queries.
//!
//! A rebuild begins a generation, fills it page by page from the list of published products, and finishes it, which
//! makes it the active one. Meanwhile changes are applied to both generations. The job works in parts, each of which
//! sends a message for the next part; after a crash a part runs again and indexes the same products again. Starting
//! another rebuild cancels this one, without loss of data.

use serde::Deserialize;
use souk_core::search::{FORMAT, IndexChange, IndexState, Listing, SearchError as IndexError};
use souk_core::{Query, Timestamp, clock};
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::{Context, Failure};
use souk_model::catalog::lists::{List, Sort};
use souk_model::catalog::status::Status;

use crate::error::SearchError;
use crate::jobs::rebuild::Rebuild;
use crate::listing::{changes_of, page};

/// How long a change may take to be indexed, in seconds.
const INDEXING_SECONDS: i64 = 60;

/// The result of one page.
pub(crate) enum Next {
    /// There are more pages.
    Page(Rebuild),
    /// The new generation is active; it has this many products.
    Finished(u64),
    /// Another rebuild has started and cancelled this one.
    Superseded,
}

/// The result of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The new generation is active.
    Done(
        /// The number of products in the new generation.
        u64,
    ),
    /// Another rebuild has started and cancelled this one.
    Superseded,
}

fn list() -> String {
    List::All.index(Status::Published)
}

/// Indexes one page; begins the generation before the first page, and finishes it after the last.
pub(crate) async fn step(cx: &Context, mut part: Rebuild) -> Result<Next, SearchError> {
    let generation = match part.generation {
        Some(generation) => generation,
        None => cx.index.begin().await?,
    };
    part.generation = Some(generation);
    let page = cx.query(&page(list(), part.after.take())).await?;
    let documents = page.items.into_iter().map(|item| item.document).collect();
    let changes = changes_of(cx, documents).await?;
    let listings: Vec<Listing> = changes
        .into_iter()
        .filter_map(|change| match change {
            IndexChange::Put(listing) => Some(*listing),
            // The product is no longer published: the new generation never had it, or has received the change.
            IndexChange::Remove { .. } => None,
        })
        .collect();
    if !listings.is_empty() {
        match cx.index.fill(generation, &listings).await {
            Err(IndexError::Superseded) => return Ok(Next::Superseded),
            result => result?,
        }
        part.products = part.products.saturating_add(u64::try_from(listings.len()).unwrap_or(0));
    }
    part.after = page.next;
    if part.after.is_some() {
        return Ok(Next::Page(part));
    }
    match cx.index.finish(generation).await {
        // An earlier attempt may have finished the generation and then crashed.
        Err(IndexError::Superseded) if cx.index.state().await?.live != generation => Ok(Next::Superseded),
        Ok(()) | Err(IndexError::Superseded) => Ok(Next::Finished(part.products)),
        Err(error) => Err(error.into()),
    }
}

/// Rebuilds the index now; `progress` gets the number of indexed products.
pub async fn rebuild(cx: &Context, progress: impl Fn(u64)) -> Result<Rebuilt, SearchError> {
    let mut part = Rebuild::default();
    loop {
        part = match step(cx, part).await? {
            Next::Page(part) => part,
            Next::Finished(products) => return Ok(Rebuilt::Done(products)),
            Next::Superseded => return Ok(Rebuilt::Superseded),
        };
        progress(part.products);
    }
}

/// The state of the index.
pub(crate) async fn index_state(cx: &Context) -> Result<IndexState, SearchError> {
    Ok(cx.index.state().await?)
}

async fn has_products(cx: &Context) -> Result<bool, Failure> {
    let page = cx.query(&Query::index(list(), 1)).await?;
    Ok(!page.items.is_empty() || page.next.is_some())
}

/// The field that says when a product was published.
#[derive(Deserialize)]
struct Publication {
    published_at: Option<Timestamp>,
}

/// Whether the index was lost and has not been rebuilt: it is empty, but the oldest published product should be in it by now.
pub(crate) async fn is_lost(cx: &Context) -> Result<bool, SearchError> {
    let state = index_state(cx).await?;
    if state.live > 0 || state.listings > 0 {
        return Ok(false);
    }
    let oldest = Query {
        prefix: Sort::Newest.prefix().to_owned(),
        ..Query::index(list(), 1)
    };
    let Some(oldest) = cx.query(&oldest).await?.items.into_iter().next() else {
        return Ok(false);
    };
    let oldest: Publication = oldest.document.parse().map_err(Failure::from)?;
    let latest = clock::after(cx.now(), -INDEXING_SECONDS);
    Ok(oldest.published_at.is_some_and(|at| at < latest))
}

/// Requests a rebuild if the index was never built, is empty or of an earlier version, and there are products. Returns whether it did.
pub async fn ensure(cx: &Context) -> Result<bool, SearchError> {
    let state = index_state(cx).await?;
    if (state.live > 0 && state.listings > 0 && state.format >= FORMAT) || !has_products(cx).await? {
        return Ok(false);
    }
    request_rebuild(cx).await?;
    Ok(true)
}

/// Sends the message that starts a rebuild.
pub async fn request_rebuild(cx: &Context) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        tx.send(tx.message(&Rebuild::default())?);
        Ok(())
    })
    .await
}

/// Starts a rebuild as a job that the principal can poll.
pub(crate) async fn start_rebuild(cx: &Context) -> Result<Tracked, Failure> {
    let owner = &cx.signed_in()?.account;
    cx.commit(|tx| async move { tracked::start(&tx, &Rebuild::default(), owner) })
        .await
}
