//! Comments, upvotes and follows, as other functions see them.

use serde::{Deserialize, Serialize};
use souk_core::{EventData, Key, Kind, Timestamp};
use utoipa::ToSchema;

/// Comments; they have no names.
pub const COMMENT: Kind = Kind {
    personal_fields: &["body"],
    ..Kind::new("comment", "cmt")
};

/// The counter of the followers of an account or a vendor.
pub const FOLLOWER_COUNT: &str = "follower_count";

/// The key of an account's upvote for a product.
#[must_use]
pub fn upvote_key(product: &str, account: &str) -> Key {
    Key::new(format!("upvotes/{product}"), account)
}

/// The key of the product on an account's wishlist.
#[must_use]
pub fn save_key(product: &str, account: &str) -> Key {
    Key::new(format!("saves/{product}"), account)
}

/// The key of the follow of an account or a vendor, in the partition of its follower.
#[must_use]
pub fn follow_key(follower: &str, target: &str) -> Key {
    Key::new(format!("follows/{follower}"), target)
}

/// Data of the events about a comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentEvent {
    /// The id of the comment.
    pub comment: String,
    /// The product that the comment is about.
    pub product: String,
    /// The account that wrote the comment.
    pub author: String,
    /// The comment that it replies to.
    #[schema(required = true)]
    pub parent: Option<String>,
    /// When the comment was written, also in events about its edit or deletion.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// `comment.created`
pub const COMMENT_CREATED: &str = "comment.created";
/// `comment.edited`
pub const COMMENT_EDITED: &str = "comment.edited";
/// `comment.deleted`
pub const COMMENT_DELETED: &str = "comment.deleted";

impl EventData for CommentEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (COMMENT_CREATED, "A comment was written."),
        (COMMENT_EDITED, "The text of a comment was changed."),
        (COMMENT_DELETED, "A comment was deleted; its replies stay."),
    ];
}

/// Data of the events about an upvote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpvoteEvent {
    /// The product.
    pub product: String,
    /// The id of the account of the upvote.
    pub account: String,
    /// When the upvote was added, also in the event about its removal.
    // It was stored as `cast_at` before.
    #[serde(alias = "cast_at")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// `upvote.added`
pub const UPVOTE_ADDED: &str = "upvote.added";
/// `upvote.removed`
pub const UPVOTE_REMOVED: &str = "upvote.removed";

impl EventData for UpvoteEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (UPVOTE_ADDED, "An account upvoted a product."),
        (UPVOTE_REMOVED, "An account withdrew its upvote."),
    ];
}

/// Data of the events about a follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowEvent {
    /// The account that follows.
    pub follower: String,
    /// The id of the account or vendor that is followed.
    pub target: String,
}

/// `account.followed`
pub const ACCOUNT_FOLLOWED: &str = "account.followed";
/// `account.unfollowed`
pub const ACCOUNT_UNFOLLOWED: &str = "account.unfollowed";
/// `vendor.followed`
pub const VENDOR_FOLLOWED: &str = "vendor.followed";
/// `vendor.unfollowed`
pub const VENDOR_UNFOLLOWED: &str = "vendor.unfollowed";

impl EventData for FollowEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (ACCOUNT_FOLLOWED, "An account started to follow another account."),
        (ACCOUNT_UNFOLLOWED, "An account stopped following another account."),
        (VENDOR_FOLLOWED, "An account started to follow a vendor."),
        (VENDOR_UNFOLLOWED, "An account stopped following a vendor."),
    ];
}
