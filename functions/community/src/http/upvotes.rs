//! The routes of upvotes.

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::Context;
use souk_kit::http::{Answer, Path, Problem, Route, Schema};

use super::MEMBER;
use crate::operations;

/// Whether the account has upvoted a product.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UpvoteState)]
struct Upvoted {
    /// Whether the account has upvoted the product.
    upvoted: bool,
}

pub(super) fn routes() -> [Route; 3] {
    const PATH: &str = "/v1/products/{id}/upvote";
    [
        Route::new("getUpvote", Method::GET, PATH, MEMBER, show)
            .summary("Check whether I upvoted a product", "By id or slug.")
            .response(
                StatusCode::OK,
                "Whether the account has upvoted the product",
                Some(Schema::of::<Upvoted>()),
            ),
        Route::new("upvoteProduct", Method::PUT, PATH, MEMBER, add)
            .summary(
                "Upvote a product",
                "An account has at most one upvote per product; a second request changes nothing.",
            )
            .response(StatusCode::NO_CONTENT, "The product is upvoted", None),
        Route::new("removeUpvote", Method::DELETE, PATH, MEMBER, remove)
            .summary("Remove my upvote", "If there is no upvote, nothing changes.")
            .response(StatusCode::NO_CONTENT, "The product is not upvoted", None)
            .errors(&[StatusCode::CONFLICT]),
    ]
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let upvoted = operations::has_upvoted(&cx, &id).await?;
    Answer::json(&Upvoted { upvoted })
}

async fn add(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::add_upvote(&cx, &id).await?;
    Ok(Answer::no_content())
}

async fn remove(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::remove_upvote(&cx, &id).await?;
    Ok(Answer::no_content())
}
