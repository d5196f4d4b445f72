//! The route of the feed.

use http::{Method, StatusCode};
use souk_kit::http::{Answer, Problem, QueryParams, Route, Schema};
use souk_kit::{Context, PageRequest};
use souk_model::catalog::product::Product;

use super::MEMBER;
use super::products::{PARAMS, selection, shown};
use crate::operations;

pub(super) fn route() -> Route {
    Route::new("listFeed", Method::GET, "/v1/feed", MEMBER, show)
        .summary(
            "List my feed",
            "The products that the accounts and vendors you follow have published in the last 60 days, newest first, without \
             `variants` unless `fields` names them. A page may have fewer items than `limit`, even none, before the end: continue as long as there is a \
             `next_cursor`.",
        )
        .params(PARAMS)
        .response(StatusCode::OK, "A page of products", Some(Schema::list_of::<Product>()))
}

async fn show(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = selection(&params)?;
    let page = operations::list_feed(&cx, &PageRequest::read(&params)?).await?;
    shown(&cx, &selection, page).await
}
