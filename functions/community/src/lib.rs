//! The community (VT-07, VT-08, VT-09, VT-10): comments, upvotes, follows, the feed, and the counts that follow from them.
//!
//! **Votes are the truth, counts follow.** An upvote is one document; its event reaches the job that adds to the
//! product's counter, many votes in one write.

mod counts;
mod upvotes;

use http::{Method, StatusCode};
use souk_core::{Lane, Role};
use souk_http::work::{Job, Subscription};
use souk_http::{Access, Function, Route};

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    event: "upvote.*",
    job: counts::JOB,
    lane: Lane::Default,
}];

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let member = Access::Role(Role::Member);
    let routes = vec![
        Route::new(Method::PUT, "/v1/products/{id}/upvote", member, upvotes::add)
            .about(
                "Vote for a product",
                "An account has one vote; to vote again changes nothing.",
            )
            .answers(StatusCode::NO_CONTENT, "The vote stands", None),
        Route::new(Method::DELETE, "/v1/products/{id}/upvote", member, upvotes::remove)
            .about("Take a vote back", "To take back none changes nothing.")
            .answers(StatusCode::NO_CONTENT, "There is no vote", None),
    ];
    Function {
        jobs: vec![Job::fold(
            counts::JOB,
            "Adds votes to the counts of products, many in one write.",
            40,
            counts::fold,
        )],
        subscriptions: SUBSCRIPTIONS,
        ..Function::new("community", "Comments, upvotes, follows and the feed.", routes)
    }
}
