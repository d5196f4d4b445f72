//! The routes of wishlists.

use http::{Method, StatusCode};
use souk_kit::Context;
use souk_kit::http::{Answer, Path, Problem, Route, Schema};

use super::MEMBER;
use crate::operations::{self, SaveState};

pub(super) fn routes() -> [Route; 3] {
    const PATH: &str = "/v1/products/{id}/save";
    let state = || Some(Schema::of::<SaveState>());
    [
        Route::new("getSave", Method::GET, PATH, MEMBER, show)
            .summary("Check whether a product is on my wishlist", "By id or slug.")
            .response(StatusCode::OK, "Whether the product is on the wishlist", state()),
        Route::new("saveProduct", Method::PUT, PATH, MEMBER, add)
            .summary(
                "Put a product on my wishlist",
                "Nobody else sees a wishlist, nor how many accounts have saved a product. If the product is on it, nothing \
                 changes.",
            )
            .response(StatusCode::OK, "The product is on the wishlist", state()),
        Route::new("removeSave", Method::DELETE, PATH, MEMBER, remove)
            .summary(
                "Take a product off my wishlist",
                "If the product is not on it, nothing changes.",
            )
            .response(StatusCode::OK, "The product is not on the wishlist", state())
            .errors(&[StatusCode::CONFLICT]),
    ]
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::find_save(&cx, &id).await?)
}

async fn add(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::add_save(&cx, &id).await?)
}

async fn remove(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::remove_save(&cx, &id).await?)
}
