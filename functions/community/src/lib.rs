//! The community: comments, upvotes, follows, the feed, views, and the counters and ranks derived from them (VT-07,
//! VT-08, VT-09, VT-10).
//!
//! An upvote, a comment or a follow is one commit of its own documents and an event. Jobs process the events: they
//! update the counters of the product (`jobs::counts`), its rank in `popular` and `trending` (`jobs::rank`), and the
//! entries of feeds (`jobs::feed`). Each module documents what one commit contains, and why the result is correct when
//! messages are delivered late, twice or out of order.
//!
//! | key | document |
//! | --- | --- |
//! | `comment/{id}` | a comment; in the index `comments/{product}` at its path |
//! | `upvotes/{product}` + account | an upvote |
//! | `follows/{follower}` + target, `followers/{target}` + follower | a follow, from both sides |
//! | `feed/{account}` + time/product/source | a published product in the feed of an account, for 60 days |
//! | `views/{product}` + digest | a viewer of a product, for 30 days |
//! | `rank/{product}` | the rank of a product; in the indexes `ranked/{status}` and the like |

mod comment;
mod error;
mod feed;
mod follow;
mod http;
mod jobs;
pub mod operations;
mod product;
mod rank;
mod upvote;
mod view;

use souk_core::EventType;
use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};
use souk_model::community::{COMMENT, CommentEvent, FollowEvent, UpvoteEvent};

pub use comment::{Comment, CommentText, NewComment};
pub use error::CommentError;

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "community",
        summary: "Comments, upvotes, follows, the feed and views.",
        problems: error::problems::ALL,
        routes: http::routes(),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        kinds: &[COMMENT],
        events: EventType::of::<CommentEvent>()
            .chain(EventType::of::<UpvoteEvent>())
            .chain(EventType::of::<FollowEvent>())
            .collect(),
        store: StoreUse {
            reads: &[
                Documents("product/*"),
                Documents("product-named/*"),
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("vendor-staff/*"),
                Documents("account-named/*"),
                Documents("category/*"),
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("saves/*"),
                Documents("follows/*"),
                Documents("feed/*"),
                Index("comments/*"),
            ],
            writes: &[
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("follows/*"),
                Documents("followers/*"),
                Index("comments/*"),
            ],
        },
        job_store: StoreUse {
            reads: &[
                Documents("account/*"),
                Documents("category/*"),
                Documents("vendor/*"),
                Documents("product/*"),
                Documents("rank/*"),
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("views/*"),
                Documents("followers/*"),
                Index("products/*"),
                Index("comments/*"),
            ],
            writes: &[
                Documents("product/*"),
                Documents("rank/*"),
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("views/*"),
                Documents("feed/*"),
                Index("ranked/*"),
                Index("comments/*"),
            ],
        },
        ..Function::default()
    }
}
