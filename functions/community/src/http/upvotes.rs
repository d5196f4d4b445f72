//! The routes of upvotes.

use http::{Method, StatusCode};
use souk_kit::Context;
use souk_kit::http::{Answer, Path, Problem, Route, Schema};

use super::{MEMBER, VOTES};
use crate::operations::{self, UpvoteState};

pub(super) fn routes() -> [Route; 3] {
    const PATH: &str = "/v1/products/{id}/upvote";
    let state = || Some(Schema::of::<UpvoteState>());
    [
        Route::new("getUpvote", Method::GET, PATH, MEMBER, show)
            .summary("Check whether I upvoted a product", "By id or slug.")
            .response(StatusCode::OK, "Whether the account has upvoted the product", state()),
        Route::new("upvoteProduct", Method::PUT, PATH, MEMBER, add)
            .limited(&VOTES)
            .summary(
                "Upvote a product",
                "An account has at most one upvote per product; a second request changes nothing.",
            )
            .response(StatusCode::OK, "The product is upvoted", state()),
        Route::new("removeUpvote", Method::DELETE, PATH, MEMBER, remove)
            .limited(&VOTES)
            .summary("Remove my upvote", "If there is no upvote, nothing changes.")
            .response(StatusCode::OK, "The product is not upvoted", state())
            .errors(&[StatusCode::CONFLICT]),
    ]
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::find_upvote(&cx, &id).await?)
}

async fn add(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::add_upvote(&cx, &id).await?)
}

async fn remove(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::remove_upvote(&cx, &id).await?)
}
