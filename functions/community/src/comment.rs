//! The comment: its fields, its validation rules, and its index entries.
//!
//! The index `comments/{product}` is sorted by *path*: the ids from the top-level comment of the thread down to the
//! comment itself. In this order each comment is followed by its replies, oldest first, so a page of a thread is one
//! query.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Entry, Include, Timestamp, check};
use souk_model::community::CommentEvent;
use souk_model::identity::ACCOUNT;
use souk_model::reference::AccountReference;

use crate::upvote::sort;

/// The maximum depth of a reply; a top-level comment has depth 0.
pub(crate) const MAX_DEPTH: u32 = 8;
/// The maximum length of a comment in characters.
const MAX_TEXT: usize = 4000;
/// The fields that `fields=` may name.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "product",
    "author",
    "parent",
    "depth",
    "path",
    "body",
    "deleted",
    "created_at",
    "edited_at",
    "version",
];
/// The fields that `include=` may expand.
pub(crate) const INCLUDES: &[&str] = &["author"];
/// What these names stand for.
pub(crate) const REFERENCES: &[(&str, Include)] = &[("author", Include::Reference(ACCOUNT))];

/// A comment on a product. A deleted comment stays in its thread without author and body, because it may have replies.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comment {
    /// The id, `cmt_…`.
    #[schema(pattern = "^cmt_[0-9a-f]{32}$")]
    pub id: String,
    /// The id of the product that the comment is about.
    pub product: String,
    /// The id of the account that wrote the comment, or its profile with `include=author`; `null` if the comment was
    /// deleted.
    #[schema(required = true, value_type = Option<AccountReference>)]
    pub author: Option<String>,
    /// The id of the comment that this one replies to, if any.
    #[schema(required = true)]
    pub parent: Option<String>,
    /// Number of comments above this one in its thread; 0 for a top-level comment.
    #[schema(maximum = 8)]
    pub depth: u32,
    /// Sort key within the comments of the product: in this order each comment is followed by its replies.
    pub path: String,
    /// Text of the comment, plain text; `null` if the comment was deleted.
    #[schema(required = true)]
    pub body: Option<String>,
    /// Whether the comment was deleted.
    pub deleted: bool,
    /// When the comment was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the text last changed.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<Timestamp>,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The fields of a new comment.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewComment {
    /// Text of the comment, plain text.
    #[garde(custom(check::text(1, MAX_TEXT)))]
    #[serde(default)]
    #[schema(
        required = true,
        min_length = 1,
        max_length = 4000,
        example = "Does it ship to Lisbon?"
    )]
    pub body: String,
    /// The id of the comment on the same product to reply to.
    #[garde(skip)]
    #[serde(default)]
    pub parent: Option<String>,
}

/// The fields of a comment that its author may change.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentText {
    /// Text of the comment, plain text.
    #[garde(custom(check::text(1, MAX_TEXT)))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4000)]
    pub body: String,
}

/// The index of a product's comments.
pub(crate) fn index(product: &str) -> String {
    format!("comments/{product}")
}

/// The index of an account's comments, by time.
pub(crate) fn author_index(account: &str) -> String {
    format!("comments-by/{account}")
}

/// The path of the comment `id` below the comment at the path `parent`. All ids have the same length, and `/` sorts
/// before their characters, so replies directly follow their parent.
pub(crate) fn path(parent: Option<&str>, id: &str) -> String {
    let own = id.rsplit('_').next().unwrap_or(id);
    parent.map_or_else(|| own.to_owned(), |parent| format!("{parent}/{own}"))
}

impl Comment {
    /// The data of an event about this comment by `author`.
    pub(crate) fn event(&self, author: &str) -> CommentEvent {
        CommentEvent {
            comment: self.id.clone(),
            product: self.product.clone(),
            author: author.to_owned(),
            parent: self.parent.clone(),
            created_at: self.created_at,
        }
    }

    /// The index entries: in its thread, and among the comments of its author.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let own = |author: &String| Entry::new(author_index(author), sort(self.created_at, &self.id));
        let thread = Entry::new(index(&self.product), self.path.clone());
        std::iter::once(thread).chain(self.author.iter().map(own)).collect()
    }

    /// The comment after it was deleted.
    pub(crate) fn tombstone(&self) -> Self {
        Self {
            author: None,
            body: None,
            deleted: true,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use souk_core::documents::MAX_KEY;

    use super::*;

    #[test]
    fn paths_are_in_the_order_of_threads() {
        let id = |n: u32| format!("cmt_{n:032x}");
        let first = path(None, &id(1));
        let reply = path(Some(&first), &id(3));
        let deeper = path(Some(&reply), &id(4));
        let second_reply = path(Some(&first), &id(5));
        let second = path(None, &id(2));
        let paths = [first, reply, deeper, second_reply, second];
        assert!(paths.is_sorted(), "{paths:?}");
        let deepest = (0..=MAX_DEPTH).fold(None, |above: Option<String>, n| Some(path(above.as_deref(), &id(n))));
        // A cursor has 8 more bytes.
        assert!(deepest.unwrap().len() + 8 < MAX_KEY);
    }

    #[test]
    fn a_comment_of_an_earlier_version_stays_readable() {
        let old = r#"{"id":"cmt_0","product":"prd_0","author":"acc_0","parent":null,"depth":0,"path":"0","body":"Hi","deleted":false,"created_at":"2026-01-01T00:00:00Z","edited_at":null}"#;
        let comment: Comment = serde_json::from_str(old).unwrap();
        let new = old.replace("00Z", "00.000Z");
        assert_eq!(serde_json::to_string(&comment).unwrap(), new);
        let gone = comment.tombstone();
        assert!(gone.deleted && gone.author.is_none() && gone.body.is_none() && gone.path == comment.path);
    }
}
