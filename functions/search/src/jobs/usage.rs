//! The jobs that process reports of search usage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Lane, Message, clock};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};

use crate::error::SearchError;
use crate::usage::{MAX_KEPT, Tally, key};

/// How long the document of a day is kept, in seconds.
const KEEP_SECONDS: i64 = 90 * 86_400;
/// After how many seconds a message expires.
pub(crate) const WORTH_SECONDS: i64 = 86_400;

/// The counts of an instance since its last report.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsageReport {
    pub(crate) days: BTreeMap<String, Tally>,
}

impl Payload for UsageReport {
    const JOB: &'static str = "search.usage";
    const LANE: Lane = Lane::Low;
}

/// Queries that had results, and how often.
#[derive(Serialize, Deserialize)]
pub(crate) struct Used {
    used: Vec<(String, u32)>,
}

impl Payload for Used {
    const JOB: &'static str = "search.used";
    const LANE: Lane = Lane::Low;
}

/// Adds reports to the documents of their days.
pub(crate) async fn add_reports(tx: JobTransaction, reports: Vec<UsageReport>) -> Result<JobOutput, JobError> {
    let mut days: BTreeMap<String, Tally> = BTreeMap::new();
    for (day, tally) in reports.into_iter().flat_map(|report| report.days) {
        days.entry(day).or_default().add(tally);
    }
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    for (day, more) in days {
        for asked in more.queries.values().filter(|asked| !asked.text.is_empty()) {
            let with_results = asked.searches.saturating_sub(asked.without_results);
            if with_results > 0 {
                let sum = used.entry(asked.text.clone()).or_default();
                *sum = sum.saturating_add(u32::try_from(with_results).unwrap_or(u32::MAX));
            }
        }
        let stored = tx.read::<Tally>(key(&day)).await?;
        let mut tally = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        tally.add(more);
        tally.shrink()?;
        let document = stored.as_ref().map(|stored| &stored.document);
        tx.create_or_update(key(&day), document, tally)
            .expires_at(clock::after(tx.now(), KEEP_SECONDS))
            .or_retry();
    }
    let used: Vec<(String, u32)> = used.into_iter().collect();
    for some in used.chunks(MAX_KEPT) {
        let mut message = tx.message(&Used { used: some.to_vec() })?;
        message.expires_at = Some(clock::after(tx.now(), WORTH_SECONDS));
        tx.send(message);
    }
    Ok(JobOutput::default())
}

/// Adds queries that had results to the completions of the index.
pub(crate) async fn tell_used(tx: JobTransaction, payload: Used, _: Message) -> Result<JobOutput, JobError> {
    tx.index.used(&payload.used).await.map_err(SearchError::from)?;
    Ok(JobOutput::default())
}
