//! Rebuilding the index from the documents, while the old one answers.
//!
//! A generation is begun, filled page by page from the list of published products, and then finished, which lets it answer
//! from then on. What changes meanwhile is applied to both generations. The job works in parts, each of which sends the
//! next; a part that dies is done again, which fills in the same products again. Whoever begins another rebuild ends this
//! one, and nothing is lost by it.

use souk_core::Query;
use souk_core::search::{IndexChange, IndexState, Listing, SearchError as IndexError};
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::{Context, Failure};
use souk_model::catalog::lists::List;
use souk_model::catalog::status::Status;

use crate::error::SearchError;
use crate::jobs::rebuild::Rebuild;
use crate::listing::{changes_of, page};

/// What follows a page.
pub(crate) enum Next {
    /// Another page.
    Page(Rebuild),
    /// Nothing: so many products are in the index that answers now.
    Finished(u64),
    /// Nothing: another rebuild has begun meanwhile.
    Superseded,
}

/// How a rebuild has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// So many products are in the index that answers now.
    Done(
        /// The number of products.
        u64,
    ),
    /// Another rebuild has begun meanwhile.
    Superseded,
}

fn list() -> String {
    List::All.index(Status::Published)
}

/// Does one page: begins before the first, finishes after the last.
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
            // No longer published: the new generation has never had it, or has been told.
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
        // Or an earlier attempt has finished it and died then.
        Err(IndexError::Superseded) if cx.index.state().await?.live != generation => Ok(Next::Superseded),
        Ok(()) | Err(IndexError::Superseded) => Ok(Next::Finished(part.products)),
        Err(error) => Err(error.into()),
    }
}

/// Rebuilds the index now; `progress` gets the number of products that are done.
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

/// Whether the index was lost and not rebuilt yet: it is empty, and the market is not.
pub(crate) async fn is_lost(cx: &Context) -> Result<bool, SearchError> {
    let state = index_state(cx).await?;
    Ok(state.live == 0 && state.listings == 0 && has_products(cx).await?)
}

/// Requests a rebuild if the index was never built or is empty, and the market has products. Says whether it did.
pub async fn ensure(cx: &Context) -> Result<bool, SearchError> {
    let state = index_state(cx).await?;
    if (state.live > 0 && state.listings > 0) || !has_products(cx).await? {
        return Ok(false);
    }
    request_rebuild(cx).await?;
    Ok(true)
}

/// Sends the message that has the index rebuilt.
pub async fn request_rebuild(cx: &Context) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        tx.send(tx.message(&Rebuild::default())?);
        Ok(())
    })
    .await
}

/// Starts a rebuild that the principal can follow.
pub(crate) async fn start_rebuild(cx: &Context) -> Result<Tracked, Failure> {
    let owner = &cx.signed_in()?.account;
    cx.commit(|tx| async move { tracked::start(&tx, &Rebuild::default(), owner) })
        .await
}
