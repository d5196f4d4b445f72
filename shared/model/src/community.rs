//! Comments, upvotes and follows, as other functions see them.

use serde::{Deserialize, Serialize};
use souk_core::{EventData, Kind, Timestamp};
use utoipa::ToSchema;

/// Comments; they have no names.
pub const COMMENT: Kind = Kind::new("comment", "cmt");

/// A comment was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentEvent {
    /// Its id.
    pub comment: String,
    /// The product that it is about.
    pub product: String,
    /// The account that wrote it.
    pub author: String,
    /// The comment that it replies to.
    pub parent: Option<String>,
    /// When it was written, also for one that is edited or taken back.
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
        (COMMENT_DELETED, "A comment was taken back; its replies stay."),
    ];
}

/// A vote was cast or taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpvoteEvent {
    /// The product.
    pub product: String,
    /// The account that votes.
    pub account: String,
    /// When the vote was cast, also for one that is taken back.
    #[schema(value_type = String, format = DateTime)]
    pub cast_at: Timestamp,
}

/// `upvote.added`
pub const UPVOTE_ADDED: &str = "upvote.added";
/// `upvote.removed`
pub const UPVOTE_REMOVED: &str = "upvote.removed";

impl EventData for UpvoteEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (UPVOTE_ADDED, "An account voted for a product."),
        (UPVOTE_REMOVED, "An account took its vote back."),
    ];
}

/// Someone began or ceased to follow.
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
        (ACCOUNT_FOLLOWED, "An account follows another."),
        (ACCOUNT_UNFOLLOWED, "An account no longer follows another."),
        (VENDOR_FOLLOWED, "An account follows a vendor."),
        (VENDOR_UNFOLLOWED, "An account no longer follows a vendor."),
    ];
}
