//! The route of views.

use http::{HeaderMap, Method, StatusCode, header};
use souk_kit::http::{Access, Answer, ClientAddress, Path, Problem, Route};
use souk_kit::{By, Context, Limit};

use crate::operations;

/// Views from a network.
const VIEWS: Limit = Limit::strict("views", 3_000, 3_600, By::Address);

pub(super) fn route() -> Route {
    Route::new(
        "recordProductView",
        Method::POST,
        "/v1/products/{id}/views",
        Access::Public,
        record,
    )
    .limited(&VIEWS)
    .summary(
        "Record a view of a product",
        "Each viewer counts once in 30 days, so an `Idempotency-Key` is ignored. Views are counted asynchronously; under \
         high load some are dropped.",
    )
    .response(StatusCode::NO_CONTENT, "The view was recorded", None)
}

/// The viewer is the account, or for anonymous requests the network address and the `User-Agent`.
async fn record(
    cx: Context,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Answer, Problem> {
    let browser = headers
        .get(header::USER_AGENT)
        .map_or(&[][..], |value| value.as_bytes());
    let viewer = match cx.principal() {
        Some(principal) => principal.account.clone().into_bytes(),
        None => [address.as_bytes(), b"\n", browser].concat(),
    };
    operations::record_view(&cx, &id, &viewer).await?;
    Ok(Answer::no_content())
}
