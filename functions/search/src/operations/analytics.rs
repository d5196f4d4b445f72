//! Search analytics and clicks.

use souk_kit::{Context, Failure, Fault, Transaction};

use crate::Memory;
use crate::analytics::{NewClick, SearchAnalytics};
use crate::usage::{self, Tally};

/// The analytics of a day, such as `2026-01-31`.
pub(crate) async fn read_analytics(cx: &Context, memory: &Memory, day: String) -> Result<SearchAnalytics, Failure> {
    // Send the counts of this instance now: an admin who reads the analytics expects recent searches in them.
    memory.usage.report(cx);
    let tally = cx.read::<Tally>(usage::key(&day)).await?;
    Ok(SearchAnalytics::of(
        day,
        &tally.map(|tally| tally.value).unwrap_or_default(),
    ))
}

/// Counts a click on a search result.
pub(crate) async fn record_click(cx: &Context, memory: &Memory, click: &NewClick) -> Result<(), Failure> {
    let Some(day) = usage::day_of(&click.query_id, cx.now()) else {
        let detail = "is not one that a search gave today or yesterday";
        return Err(Failure::invalid("query_id", Fault::invalid(detail)));
    };
    // The commit writes only the idempotency record.
    cx.commit(|_: Transaction<Failure>| async { Ok(()) }).await?;
    if !cx.was_replayed() {
        memory.usage.clicked(cx, day, &click.query_id);
    }
    Ok(())
}
