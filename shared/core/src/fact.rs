//! Every fact that the market's events tell, in one place: changing one breaks the build of whoever reads it.
//!
//! Stored events outlive the code that wrote them. Add fields as `Option` or with a default; for any other change raise
//! `VERSION`, keep the old shape readable in `upgrade`, and pin it by a test.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::Timestamp;
use crate::event::Fact;

/// A type of event, as the catalogue shows it.
pub struct EventType {
    /// Such as `product.published`.
    pub name: &'static str,
    /// The present version.
    pub version: u32,
    /// What has happened.
    pub about: &'static str,
    /// The schema of its `data`.
    pub schema: RefOr<Schema>,
}

/// Every type of event there is.
#[must_use]
pub fn catalogue() -> Vec<EventType> {
    fn types<F: Fact>() -> impl Iterator<Item = EventType> {
        F::TYPES.iter().map(|(name, about)| EventType {
            name,
            version: F::VERSION,
            about,
            schema: F::schema(),
        })
    }
    types::<ProductFact>()
        .chain(types::<CategoryFact>())
        .chain(types::<VendorFact>())
        .chain(types::<CommentFact>())
        .chain(types::<UpvoteFact>())
        .chain(types::<FollowFact>())
        .chain(types::<WebhookFact>())
        .collect()
}

/// A product was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductFact {
    /// Its id.
    pub product: String,
    /// Its version from then on; the last one for a product that was removed.
    pub version: u64,
    /// Its status from then on.
    pub status: String,
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The id of its category.
    pub category: String,
    /// The account that added it.
    pub author: String,
    /// The vendor that sells it.
    pub vendor: Option<String>,
}

/// `product.created`
pub const PRODUCT_CREATED: &str = "product.created";
/// `product.updated`
pub const PRODUCT_UPDATED: &str = "product.updated";
/// `product.published`
pub const PRODUCT_PUBLISHED: &str = "product.published";
/// `product.archived`
pub const PRODUCT_ARCHIVED: &str = "product.archived";
/// `product.sold`
pub const PRODUCT_SOLD: &str = "product.sold";
/// `product.drafted`
pub const PRODUCT_DRAFTED: &str = "product.drafted";
/// `product.deleted`
pub const PRODUCT_DELETED: &str = "product.deleted";

impl Fact for ProductFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (PRODUCT_CREATED, "A product was added."),
        (PRODUCT_UPDATED, "Fields of a product were changed."),
        (PRODUCT_PUBLISHED, "A product can be seen by everyone."),
        (PRODUCT_ARCHIVED, "A product was archived."),
        (PRODUCT_SOLD, "A product was sold."),
        (PRODUCT_DRAFTED, "A product was taken back to draft."),
        (PRODUCT_DELETED, "A product was removed."),
    ];
}

/// A category was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CategoryFact {
    /// Its id.
    pub category: String,
    /// Its version from then on; the last one for a category that was removed.
    pub version: u64,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// `category.created`
pub const CATEGORY_CREATED: &str = "category.created";
/// `category.updated`
pub const CATEGORY_UPDATED: &str = "category.updated";
/// `category.deleted`
pub const CATEGORY_DELETED: &str = "category.deleted";

impl Fact for CategoryFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (CATEGORY_CREATED, "A category was added."),
        (CATEGORY_UPDATED, "Fields of a category were changed."),
        (CATEGORY_DELETED, "A category was removed."),
    ];
}

/// A vendor was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VendorFact {
    /// Its id.
    pub vendor: String,
    /// Its version from then on.
    pub version: u64,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The account that opened it.
    pub owner: String,
}

/// `vendor.created`
pub const VENDOR_CREATED: &str = "vendor.created";
/// `vendor.updated`
pub const VENDOR_UPDATED: &str = "vendor.updated";

impl Fact for VendorFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (VENDOR_CREATED, "A vendor was opened."),
        (VENDOR_UPDATED, "Fields of a vendor were changed."),
    ];
}

/// A comment was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentFact {
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

impl Fact for CommentFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (COMMENT_CREATED, "A comment was written."),
        (COMMENT_EDITED, "The text of a comment was changed."),
        (COMMENT_DELETED, "A comment was taken back; its replies stay."),
    ];
}

/// A vote was cast or taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpvoteFact {
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

impl Fact for UpvoteFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (UPVOTE_ADDED, "An account voted for a product."),
        (UPVOTE_REMOVED, "An account took its vote back."),
    ];
}

/// Someone began or ceased to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowFact {
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

impl Fact for FollowFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (ACCOUNT_FOLLOWED, "An account follows another."),
        (ACCOUNT_UNFOLLOWED, "An account no longer follows another."),
        (VENDOR_FOLLOWED, "An account follows a vendor."),
        (VENDOR_UNFOLLOWED, "An account no longer follows a vendor."),
    ];
}

/// The state of a webhook changed without its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookFact {
    /// Its id.
    pub webhook: String,
    /// The account that it belongs to.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// `webhook.disabled`
pub const WEBHOOK_DISABLED: &str = "webhook.disabled";
/// `webhook.test`
pub const WEBHOOK_TEST: &str = "webhook.test";

impl Fact for WebhookFact {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (WEBHOOK_DISABLED, "A webhook that failed for too long was switched off."),
        (WEBHOOK_TEST, "Someone tries a webhook; goes to that webhook alone."),
    ];
}
