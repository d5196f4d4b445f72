//! The routes of follows.

use http::{Method, StatusCode};
use souk_core::Kind;
use souk_kit::Context;
use souk_kit::http::{Answer, Path, Problem, Route, Schema};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use super::{MEMBER, VOTES};
use crate::operations::{self, FollowState};

pub(super) fn routes() -> Vec<Route> {
    let accounts = [
        ("getAccountFollow", "Check whether I follow an account"),
        ("followAccount", "Follow an account"),
        ("unfollowAccount", "Unfollow an account"),
    ];
    let vendors = [
        ("getVendorFollow", "Check whether I follow a vendor"),
        ("followVendor", "Follow a vendor"),
        ("unfollowVendor", "Unfollow a vendor"),
    ];
    let mut routes = Vec::from(routes_of(ACCOUNT, "/v1/accounts/{id}/follow", accounts));
    routes.extend(routes_of(VENDOR, "/v1/vendors/{id}/follow", vendors));
    routes
}

/// The rows that get, set and remove a follow, each with its operation id and summary.
type Names = [(&'static str, &'static str); 3];

fn routes_of(kind: Kind, path: &'static str, [show_it, add_it, remove_it]: Names) -> [Route; 3] {
    [
        Route::new(show_it.0, Method::GET, path, MEMBER, move |cx, id| show(kind, cx, id))
            .summary(show_it.1, "While you follow it, its products appear in your feed.")
            .response(
                StatusCode::OK,
                "Whether the account follows it",
                Some(Schema::of::<FollowState>()),
            ),
        Route::new(add_it.0, Method::PUT, path, MEMBER, move |cx, id| follow(kind, cx, id))
            .limited(&VOTES)
            .summary(
                add_it.1,
                "Products that are published from then on appear in your feed.",
            )
            .response(
                StatusCode::OK,
                "The account follows it",
                Some(Schema::of::<FollowState>()),
            )
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(remove_it.0, Method::DELETE, path, MEMBER, move |cx, id| {
            unfollow(kind, cx, id)
        })
        .limited(&VOTES)
        .summary(remove_it.1, "The products no longer appear in your feed.")
        .response(
            StatusCode::OK,
            "The account does not follow it",
            Some(Schema::of::<FollowState>()),
        )
        .errors(&[StatusCode::CONFLICT]),
    ]
}

async fn show(kind: Kind, cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::find_follow(&cx, kind, &id).await?)
}

async fn follow(kind: Kind, cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::follow(&cx, kind, &id).await?)
}

async fn unfollow(kind: Kind, cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::unfollow(&cx, kind, &id).await?)
}
