//! The routes of old addresses, and the answer to them.

use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use souk_kit::http::{Access, Answer, Json, Param, Problem, QueryParams, Route, Schema, Viewer};
use souk_kit::{Context, Fault};
use souk_model::catalog::PRODUCT;

use crate::address::OldAddress;
use crate::operations;
use crate::permissions::ADDRESSES_WRITE;

/// The maximum body size of an old address, in bytes.
const MAX_BODY: usize = 8 * 1024;

const ADDRESS: Param = Param::text("address", "The old URL, or its path and query.");

pub(super) fn routes() -> Vec<Route> {
    let editor = Access::Permission(&ADDRESSES_WRITE);
    vec![
        Route::new("setOldAddress", Method::PUT, "/v1/old-addresses", editor, set)
            .summary(
                "Redirect an old address",
                "Redirects (301) a URL from a previous shop to a product or category of this market. The host of the URL is \
                 ignored. A path that the API itself uses cannot be redirected. Caches may keep a previous redirect for some \
                 minutes.",
            )
            .body(Schema::of::<OldAddress>(), MAX_BODY)
            .response(StatusCode::OK, "The address", Some(Schema::of::<OldAddress>())),
        Route::new("removeOldAddress", Method::DELETE, "/v1/old-addresses", editor, remove)
            .summary("Delete the redirect of an old address", "Requests for the address are answered with 404 from then on.")
            .params(&[ADDRESS])
            .response(StatusCode::NO_CONTENT, "The redirect was deleted", None)
            .errors(&[StatusCode::NOT_FOUND]),
    ]
}

/// The row for paths that no route has.
pub(crate) fn fallback() -> Route {
    Route::fallback(lead_on).cached(60, 600)
}

async fn set(cx: Context, Json(new): Json<OldAddress>) -> Result<Answer, Problem> {
    Answer::json(&operations::set_old_address(&cx, &new).await?)
}

async fn remove(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let address = params.get(ADDRESS.name);
    let address = address.ok_or_else(|| Problem::bad_parameter(ADDRESS.name, Fault::required()))?;
    operations::remove_old_address(&cx, address).await?;
    Ok(Answer::no_content())
}

async fn lead_on(cx: Context, viewer: Viewer, uri: Uri) -> Result<Answer, Problem> {
    let address = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let found = operations::follow_old_address(&cx, address).await?;
    let (kind, slug) = found.ok_or_else(|| Problem::not_found("path"))?;
    let list = if kind == PRODUCT { "products" } else { "categories" };
    let location = format!("{}/v1/{list}/{slug}", cx.settings.public_url);
    Ok(viewer.answer(Answer::moved(&location)?))
}
