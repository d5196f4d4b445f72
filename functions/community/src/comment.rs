//! The comment: its fields, its rules, and where it stands.
//!
//! A comment stands in one index, `comments/{product}`, at its *path*: the ids from the comment that began the thread down
//! to itself. In that order each comment is followed by its replies, oldest first, so a page of a thread is one query.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Entry, Timestamp};
use souk_kit::check;

/// How deep replies go; a comment on the product itself has depth 0.
pub(crate) const MAX_DEPTH: u32 = 8;
/// How many characters a comment has at most.
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

/// A comment, as it is stored and shown (shown with its `version`). One that was taken back has neither author nor body;
/// it stays where it is, for its replies.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Comment {
    /// `cmt_…`
    #[schema(pattern = "^cmt_[0-9a-f]{32}$")]
    pub(crate) id: String,
    /// The id of the product that it is about.
    pub(crate) product: String,
    /// The id of the account that wrote it, or its profile with `include=author`; `null` if it was taken back.
    #[schema(schema_with = souk_catalog::product::id_or_object)]
    pub(crate) author: Option<String>,
    /// The comment that it replies to.
    pub(crate) parent: Option<String>,
    /// How many comments are above it.
    #[schema(maximum = 8)]
    pub(crate) depth: u32,
    /// Its place: in this order each comment is followed by its replies.
    pub(crate) path: String,
    /// What it says: plain text, to be shown as such; `null` if it was taken back.
    pub(crate) body: Option<String>,
    /// Whether it was taken back.
    pub(crate) deleted: bool,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When its text last changed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) edited_at: Option<Timestamp>,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub(crate) version: u64,
}

/// What it takes to comment.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewComment {
    /// What it says: plain text.
    #[garde(custom(check::text(1, MAX_TEXT)), custom(not_blank))]
    #[serde(default)]
    #[schema(
        required = true,
        min_length = 1,
        max_length = 4000,
        example = "Does it ship to Lisbon?"
    )]
    pub(crate) body: String,
    /// The comment of the same product that it replies to.
    #[garde(skip)]
    #[serde(default)]
    pub(crate) parent: Option<String>,
}

/// What can be changed of a comment.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommentText {
    /// What it says: plain text.
    #[garde(custom(check::text(1, MAX_TEXT)), custom(not_blank))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4000)]
    pub(crate) body: String,
}

fn not_blank(text: &str, _: &()) -> garde::Result {
    // What is empty is refused already.
    if !text.is_empty() && text.trim().is_empty() {
        Err(garde::Error::new("must not be blank"))
    } else {
        Ok(())
    }
}

/// The index of a product's comments.
pub(crate) fn index(product: &str) -> String {
    format!("comments/{product}")
}

/// The place of the comment `id` below the one at `above`. All ids are of one length, and `/` sorts before what they are
/// made of, so replies come right behind what they reply to.
pub(crate) fn path(above: Option<&str>, id: &str) -> String {
    let own = id.rsplit('_').next().unwrap_or(id);
    above.map_or_else(|| own.to_owned(), |above| format!("{above}/{own}"))
}

impl Comment {
    /// Where it stands.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(index(&self.product), self.path.clone())]
    }

    /// What is left of it when it is taken back.
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
        // Also as a cursor, which has 8 bytes more.
        assert!(deepest.unwrap().len() + 8 < MAX_KEY);
    }

    #[test]
    fn a_comment_of_an_earlier_version_stays_readable() {
        let old = r#"{"id":"cmt_0","product":"prd_0","author":"acc_0","parent":null,"depth":0,"path":"0","body":"Hi","deleted":false,"created_at":"2026-01-01T00:00:00Z","edited_at":null}"#;
        let comment: Comment = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&comment).unwrap(), old);
        let gone = comment.tombstone();
        assert!(gone.deleted && gone.author.is_none() && gone.body.is_none() && gone.path == comment.path);
    }
}
