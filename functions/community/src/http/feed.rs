//! The route of the feed.

use http::{Method, StatusCode};
use souk_kit::http::{Answer, Param, Problem, QueryParams, Route, Schema, Selection, list};
use souk_kit::{Context, Failure, PageRequest};
use souk_model::catalog::product::{FIELDS, INCLUDES, Product, REFERENCES, without_variants};

use super::MEMBER;
use crate::operations;

const INCLUDE: Param = Param {
    name: "include",
    summary: "Expand these ids to objects, separated by commas: `category`, `author`, `vendor`. `viewer` adds what each \
              product is to you: `null` unless you are signed in.",
    schema: r#"{"type":"array","items":{"type":"string","enum":["category","author","vendor","viewer"]},"example":["category","viewer"]}"#,
};

pub(super) fn route() -> Route {
    Route::new("listFeed", Method::GET, "/v1/feed", MEMBER, show)
        .summary(
            "List my feed",
            "The products that the accounts and vendors you follow have published in the last 60 days, newest first, without \
             `variants` unless `fields` names them. A page may have fewer items than `limit`, even none, before the end: continue as long as there is a \
             `next_cursor`.",
        )
        .params(&[Param::LIMIT, Param::CURSOR, Param::FIELDS, INCLUDE])
        .response(StatusCode::OK, "A page of products", Some(Schema::list_of::<Product>()))
}

async fn show(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let mut page = operations::list_feed(&cx, &PageRequest::read(&params)?).await?;
    if !selection.names("variants") {
        let items = page.items.into_iter().map(without_variants);
        page.items = items.collect::<Result<_, _>>().map_err(Failure::from)?;
    }
    let items = selection.render_with(&cx, &page.items, &REFERENCES).await?;
    Ok(list(&items, &page))
}
