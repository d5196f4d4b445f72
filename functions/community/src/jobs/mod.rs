//! The jobs of the community.

mod counts;
mod feed;
mod rank;
mod removal;
mod views;

use souk_core::Lane;
use souk_core::queue::Payload;
use souk_kit::Subscription;
use souk_kit::jobs::Job;
use souk_model::catalog::events::{
    PRODUCT_ARCHIVED, PRODUCT_DELETED, PRODUCT_DRAFTED, PRODUCT_PUBLISHED, PRODUCT_SOLD, PRODUCT_UPDATED,
};
use souk_model::community::{
    ACCOUNT_FOLLOWED, ACCOUNT_UNFOLLOWED, COMMENT_CREATED, COMMENT_DELETED, VENDOR_FOLLOWED, VENDOR_UNFOLLOWED,
};

use counts::CommentCount;
pub(crate) use counts::{FollowCount, UpvoteCount};
use feed::FeedPayload;
use rank::RankPayload;
use removal::RemovalPayload;

const fn on<P: Payload>(event: &'static str) -> Subscription {
    Subscription {
        event,
        job: P::JOB,
        lane: Lane::Default,
        fold: None,
    }
}

/// A job that only needs to know which product has changed.
const fn on_product<P: Payload>(event: &'static str) -> Subscription {
    Subscription {
        fold: Some("product"),
        ..on::<P>(event)
    }
}

/// The events that the jobs subscribe to.
pub(crate) const SUBSCRIPTIONS: &[Subscription] = &[
    on::<UpvoteCount>("upvote.*"),
    on::<CommentCount>(COMMENT_CREATED),
    on::<CommentCount>(COMMENT_DELETED),
    on::<FollowCount>(ACCOUNT_FOLLOWED),
    on::<FollowCount>(ACCOUNT_UNFOLLOWED),
    on::<FollowCount>(VENDOR_FOLLOWED),
    on::<FollowCount>(VENDOR_UNFOLLOWED),
    on::<FeedPayload>(PRODUCT_PUBLISHED),
    on_product::<RankPayload>(PRODUCT_PUBLISHED),
    on_product::<RankPayload>(PRODUCT_UPDATED),
    on_product::<RankPayload>(PRODUCT_SOLD),
    on_product::<RankPayload>(PRODUCT_ARCHIVED),
    on_product::<RankPayload>(PRODUCT_DRAFTED),
    on_product::<RankPayload>(PRODUCT_DELETED),
    on::<RemovalPayload>(PRODUCT_DELETED),
];

pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job::batch(
            "Adds upvotes to the counters of products, many in one commit.",
            counts::BATCH,
            counts::count_upvotes,
        ),
        Job::batch(
            "Adds comments to the counters of products, many in one commit.",
            counts::BATCH,
            counts::count_comments,
        ),
        Job::batch(
            "Adds follows to the counters of accounts and vendors, many in one commit.",
            counts::BATCH,
            counts::count_followers,
        ),
        Job::batch(
            "Counts the new viewers of products, many in one commit.",
            views::BATCH,
            views::count_views,
        ),
        Job::batch(
            "Updates the ranks of products in `popular` and `trending`.",
            rank::BATCH,
            rank::update_ranks,
        ),
        Job::single(
            "Adds a published product to the feeds of the followers of its author and vendor.",
            feed::fan_out,
        ),
        Job::single(
            "Deletes the comments, upvotes, saves and views of a deleted product.",
            removal::remove,
        ),
    ]
}
