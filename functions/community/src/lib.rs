//! The community: comments, upvotes, follows, the feed, views, and the counters and ranks derived from them (VT-07,
//! VT-08, VT-09, VT-10).
//!
//! An upvote, a comment or a follow is one commit of its own documents and an event. Jobs process the events: they
//! update the counters of the product or of what is followed (`jobs::counts`), the rank of the product in `popular` and
//! `trending` (`jobs::rank`), and the entries of feeds (`jobs::feed`). A save has no event: a wishlist is private. Each
//! module documents what one commit contains, and why the result is correct when messages are delivered late, twice or
//! out of order.
//!
//! | key | document |
//! | --- | --- |
//! | `comment/{id}` | a comment; in the indexes `comments/{product}` at its path and `comments-by/{author}` by time |
//! | `upvotes/{product}` + account | an upvote; in the index `upvoted/{account}` by time |
//! | `saves/{product}` + account | a product on a wishlist; in the index `saved/{account}` by time |
//! | `follows/{follower}` + target | a follow; in the index `followed/{follower}` by time |
//! | `followers/{target}` + follower | the same follow; in the index `followed-by/{target}` by time |
//! | `upvotes-withdrawn/{product}` + account | changes that the count may not contain yet, for a day |
//! | `follows-withdrawn/{follower}` + target | the same for a follow |
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
mod own_count;
mod permissions;
mod product;
mod rank;
mod save;
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
        summary: "Comments, upvotes, wishlists, follows, the feed and views.",
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
                Documents("followers/*"),
                Documents("upvotes-withdrawn/*"),
                Documents("follows-withdrawn/*"),
                Documents("inbox/*"),
                Documents("feed/*"),
                Index("comments/*"),
                Index("comments-by/*"),
                Index("upvoted/*"),
                Index("saved/*"),
                Index("followed/*"),
                Index("followed-by/*"),
            ],
            writes: &[
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("upvotes-withdrawn/*"),
                Documents("saves/*"),
                Documents("follows/*"),
                Documents("follows-withdrawn/*"),
                Documents("followers/*"),
                Index("comments/*"),
                Index("comments-by/*"),
                Index("upvoted/*"),
                Index("saved/*"),
                Index("followed/*"),
                Index("followed-by/*"),
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
                Documents("saves/*"),
                Documents("views/*"),
                Documents("followers/*"),
                Index("products/*"),
                Index("comments/*"),
            ],
            writes: &[
                Documents("product/*"),
                Documents("account/*"),
                Documents("vendor/*"),
                Documents("rank/*"),
                Documents("comment/*"),
                Documents("upvotes/*"),
                Documents("saves/*"),
                Documents("views/*"),
                Documents("feed/*"),
                Index("ranked/*"),
                Index("comments/*"),
                Index("comments-by/*"),
                Index("upvoted/*"),
                Index("saved/*"),
            ],
        },
        permissions: &[&permissions::COMMENTS_WRITE],
        ..Function::default()
    }
}
