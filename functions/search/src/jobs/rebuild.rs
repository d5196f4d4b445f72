//! The job that rebuilds the index in parts.

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::Message;
use souk_core::queue::Payload;
use souk_kit::Context;
use souk_kit::jobs::{JobError, JobOutput, JobTransaction, tracked};

use super::PAGES;
use crate::error::SearchError;
use crate::operations::rebuild::{Next, ensure, step};

/// The position of a rebuild.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rebuild {
    /// The generation that is being built; `None` before the first page.
    pub(crate) generation: Option<u64>,
    /// The position in the list of products after which the next page starts.
    pub(crate) after: Option<String>,
    /// The number of indexed products.
    pub(crate) products: u64,
}

impl Payload for Rebuild {
    const JOB: &'static str = "search.reindex";
}

/// Indexes some pages of products.
pub(crate) async fn run(tx: JobTransaction, mut part: Rebuild, message: Message) -> Result<JobOutput, JobError> {
    // The first part is short: if it crashes, the generation that it began is abandoned.
    let pages = if part.generation.is_some() { PAGES } else { 1 };
    for _ in 0..pages {
        part = match step(&tx, part).await? {
            Next::Page(part) => part,
            Next::Finished(products) => return Ok(ended(json!({ "products": products }))),
            Next::Superseded => return Ok(ended(json!({ "superseded": true }))),
        };
    }
    tracked::next(&tx, &message, &part)?;
    Ok(JobOutput {
        result: Some(json!({ "products": part.products })),
        unfinished: true,
    })
}

fn ended(result: serde_json::Value) -> JobOutput {
    JobOutput {
        result: Some(result),
        unfinished: false,
    }
}

/// Starts a rebuild of a missing index, unless a rebuild is in progress.
pub(crate) async fn check(cx: Context) -> Result<String, JobError> {
    if !cx.index.is_needed() {
        return Ok("no index".into());
    }
    let state = cx.index.state().await.map_err(SearchError::from)?;
    let begun = state.building.is_none() && ensure(&cx).await?;
    Ok(if begun { "being rebuilt" } else { "nothing to do" }.into())
}
