//! The community (VT-07, VT-08, VT-09, VT-10): comments, upvotes, follows, the feed, views, and the counts and ranks that
//! follow from them.
//!
//! **What people do is the truth, counts and lists follow.** A vote, a comment, a follow is a commit of its own documents
//! and an event. Jobs make of the events what lists read: counts beside the product (`counts`), its place in `popular`
//! and `trending` (`rank`), entries in feeds (`feed`). Each module says what is one commit, and how it ends right when
//! messages come late, twice and out of order.
//!
//! | key | what |
//! | --- | --- |
//! | `comment/{id}` | a comment; stands in `comments/{product}` at the path of its thread |
//! | `upvotes/{product}` + account | a vote |
//! | `follows/{follower}` + target, `followers/{target}` + follower | a follow, from both sides |
//! | `feed/{account}` + time/product/source | a publication in somebody's feed, for 60 days |
//! | `views/{product}` + digest | who has seen it, for 30 days |
//! | `rank/{product}` | where it stands; in `ranked/{status}` and the like |

mod comment;
mod comment_routes;
mod counts;
mod feed;
mod follows;
mod product;
mod rank;
mod removal;
mod task;
mod upvotes;
mod views;

use http::{Method, StatusCode};
use souk_catalog::product::Product;
use souk_core::{Kind, Lane, Role, fact, kind};
use souk_kit::work::{Job, Subscription};
use souk_kit::{Access, Function, Param, Route, Schema};

use comment::{Comment, CommentText, NewComment};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;

const fn on(event: &'static str, job: &'static str) -> Subscription {
    Subscription {
        event,
        job,
        lane: Lane::Default,
    }
}

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[
    on("upvote.*", counts::UPVOTES),
    on(fact::COMMENT_CREATED, counts::COMMENTS),
    on(fact::COMMENT_DELETED, counts::COMMENTS),
    on(fact::PRODUCT_PUBLISHED, feed::JOB),
    on(fact::PRODUCT_PUBLISHED, rank::JOB),
    on(fact::PRODUCT_UPDATED, rank::JOB),
    on(fact::PRODUCT_SOLD, rank::JOB),
    on(fact::PRODUCT_ARCHIVED, rank::JOB),
    on(fact::PRODUCT_DRAFTED, rank::JOB),
    on(fact::PRODUCT_DELETED, rank::JOB),
    on(fact::PRODUCT_DELETED, removal::JOB),
];

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let mut routes = comments();
    routes.extend(upvotes());
    routes.extend(follows(kind::ACCOUNT, "/v1/accounts/{id}/follow"));
    routes.extend(follows(kind::VENDOR, "/v1/vendors/{id}/follow"));
    routes.extend(reading());
    Function {
        jobs: jobs(),
        subscriptions: SUBSCRIPTIONS,
        ..Function::new("community", "Comments, upvotes, follows, the feed and views.", routes)
    }
}

fn jobs() -> Vec<Job> {
    vec![
        Job::fold(
            counts::UPVOTES,
            "Adds votes to the counts of products, many in one write.",
            counts::BATCH,
            counts::upvotes,
        ),
        Job::fold(
            counts::COMMENTS,
            "Adds comments to the counts of products, many in one write.",
            counts::BATCH,
            counts::comments,
        ),
        Job::fold(
            views::JOB,
            "Counts those who see a product for the first time, many in one write.",
            views::BATCH,
            views::fold,
        ),
        Job::fold(
            rank::JOB,
            "Puts products where they belong in what is popular and what is trending.",
            rank::BATCH,
            rank::fold,
        ),
        Job::each(
            feed::JOB,
            "Puts a publication into the feeds of those who follow its author or vendor.",
            feed::fan_out,
        ),
        Job::each(
            removal::JOB,
            "Removes the comments, votes and views of a product that was removed.",
            removal::remove,
        ),
    ]
}

const MEMBER: Access = Access::Role(Role::Member);

fn comments() -> Vec<Route> {
    const INCLUDE: Param = Param {
        name: "include",
        about: "Open out these ids: `author`.",
        schema: r#"{"type":"string","enum":["author"]}"#,
    };
    const LIST: &[Param] = &[Param::LIMIT, Param::CURSOR, Param::FIELDS, INCLUDE];
    const ONE: &[Param] = &[Param::FIELDS, INCLUDE];
    // 4,000 characters, even if each is escaped as a pair of surrogates.
    const SIZE: usize = 64 * 1024;
    let comment = || Some(Schema::of::<Comment>());
    vec![
        Route::new(
            Method::GET,
            "/v1/products/{id}/comments",
            Access::Public,
            comment_routes::list,
        )
        .about(
            "List the comments on a product",
            "Each is followed by its replies, oldest first; `parent` and `depth` tell the tree.",
        )
        .params(LIST)
        .cached(10, 60)
        .answers(StatusCode::OK, "A page of comments", Some(Schema::list_of::<Comment>()))
        .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(
            Method::POST,
            "/v1/products/{id}/comments",
            MEMBER,
            comment_routes::create,
        )
        .about("Comment on a product", "Or, with `parent`, reply to a comment.")
        .takes(Schema::of::<NewComment>(), SIZE)
        .answers(StatusCode::CREATED, "The comment", comment())
        .fails(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/comments/{id}", Access::Public, comment_routes::show)
            .about("Show a comment", "")
            .params(ONE)
            .cached(10, 60)
            .answers(StatusCode::OK, "The comment", comment())
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::PATCH, "/v1/comments/{id}", MEMBER, comment_routes::edit)
            .about("Change a comment", "Its author and moderators may.")
            .takes(Schema::patch_of::<CommentText>(), SIZE)
            .answers(StatusCode::OK, "The comment", comment())
            .fails(&[StatusCode::FORBIDDEN]),
        Route::new(Method::DELETE, "/v1/comments/{id}", MEMBER, comment_routes::delete)
            .about(
                "Take a comment back",
                "Its author and moderators may. Its place stays, for its replies.",
            )
            .answers(StatusCode::NO_CONTENT, "It says nothing any more", None)
            .fails(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ]),
    ]
}

fn upvotes() -> Vec<Route> {
    const PATH: &str = "/v1/products/{id}/upvote";
    vec![
        Route::new(Method::GET, PATH, MEMBER, upvotes::show)
            .about("Have I voted for a product?", "")
            .answers(StatusCode::OK, "Whether I have", Some(Schema::of::<upvotes::Upvoted>())),
        Route::new(Method::PUT, PATH, MEMBER, upvotes::add)
            .about(
                "Vote for a product",
                "An account has one vote; to vote again changes nothing.",
            )
            .answers(StatusCode::NO_CONTENT, "The vote stands", None),
        Route::new(Method::DELETE, PATH, MEMBER, upvotes::remove)
            .about("Take a vote back", "To take back none changes nothing.")
            .answers(StatusCode::NO_CONTENT, "There is no vote", None)
            .fails(&[StatusCode::CONFLICT]),
    ]
}

fn follows(kind: Kind, path: &'static str) -> [Route; 3] {
    let is_account = kind == kind::ACCOUNT;
    [
        Route::new(Method::GET, path, MEMBER, move |state, member, id| {
            follows::show(kind, state, member, id)
        })
        .about(
            if is_account {
                "Do I follow an account?"
            } else {
                "Do I follow a vendor?"
            },
            "",
        )
        .answers(StatusCode::OK, "Whether I do", Some(Schema::of::<follows::Following>())),
        Route::new(Method::PUT, path, MEMBER, move |state, member, id, once| {
            follows::add(kind, state, member, id, once)
        })
        .about(
            if is_account {
                "Follow an account"
            } else {
                "Follow a vendor"
            },
            "What it publishes from now on is in my feed.",
        )
        .answers(StatusCode::NO_CONTENT, "I follow", None)
        .fails(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(Method::DELETE, path, MEMBER, move |state, member, id, once| {
            follows::remove(kind, state, member, id, once)
        })
        .about(
            if is_account {
                "Unfollow an account"
            } else {
                "Unfollow a vendor"
            },
            "Nothing of it is in my feed any more.",
        )
        .answers(StatusCode::NO_CONTENT, "I do not follow", None)
        .fails(&[StatusCode::CONFLICT]),
    ]
}

fn reading() -> [Route; 2] {
    const FEED: &[Param] = &[Param::LIMIT, Param::CURSOR, Param::FIELDS, souk_catalog::INCLUDE];
    [
        Route::new(Method::GET, "/v1/feed", MEMBER, feed::show)
            .about(
                "What those whom I follow have published",
                "Newest first, for 60 days. A page may have fewer items than `limit`, even none, before the end: go on as \
                 long as there is a `next_cursor`.",
            )
            .params(FEED)
            .answers(StatusCode::OK, "A page of products", Some(Schema::list_of::<Product>())),
        Route::new(Method::POST, "/v1/products/{id}/views", Access::Public, views::add)
            .about(
                "Say that I have seen a product",
                "Each viewer counts once in 30 days, in a moment; when there is too much to do, perhaps not at all.",
            )
            .answers(StatusCode::NO_CONTENT, "Noted", None)
            .fails(&[StatusCode::UNAUTHORIZED]),
    ]
}
