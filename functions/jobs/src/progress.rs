//! How jobs go that a client asked for, when schedules ran, and how the systems are that we call.

use souk_core::documents::{MAX_LIMIT, get_one};
use souk_core::{Query, Role};
use souk_kit::work::schedule::{self, Runs};
use souk_kit::work::tracked::{self, Tracked};
use souk_kit::{Answer, Member, Path, Problem, State};

pub(crate) async fn show(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
) -> Result<Answer, Problem> {
    let none = || Problem::not_found("job");
    let document = get_one(&*platform.documents, tracked::key(&id)).await?;
    let job: Tracked = document.ok_or_else(none)?.parse()?;
    if job.owner != principal.account && principal.role < Role::Admin {
        return Err(none());
    }
    Answer::json(&job)
}

pub(crate) async fn schedules(platform: State) -> Result<Answer, Problem> {
    let query = Query::partition(schedule::PARTITION, MAX_LIMIT);
    let page = platform.documents.query(&query).await?;
    let items = page.items.iter().map(|item| item.document.parse::<Runs>());
    let items: Vec<Runs> = items.collect::<Result<_, _>>()?;
    Answer::json(&serde_json::json!({ "items": items, "next_cursor": null }))
}

pub(crate) async fn dependencies(platform: State) -> Result<Answer, Problem> {
    Answer::json(&serde_json::json!({ "items": platform.dependencies(), "next_cursor": null }))
}
