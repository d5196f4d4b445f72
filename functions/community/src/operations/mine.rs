//! What an account has done: its upvotes, wishlist, follows, followers and comments, newest first.
//!
//! Each list is one query of an index by time, and one batched get of the documents that it names. What is not public any
//! more, or gone, is left out.

use std::collections::HashMap;

use souk_core::{Document, Key, Kind, Query, Timestamp};
use souk_kit::{Context, Failure, PageRequest, SortedPage};
use souk_model::catalog::PRODUCT;
use souk_model::identity::AccountView;
use souk_model::vendors::VENDOR;

use crate::follow::{Follow, target_kind};
use crate::product::ProductView;
use crate::{comment, follow, save, upvote};

/// A page of an index, newest first.
async fn newest(cx: &Context, index: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let query = Query {
        descending: true,
        ..Query::index(index, page.limit)
    };
    cx.list(query, page, index).await
}

/// The products that the principal has upvoted, the latest upvote first.
pub async fn list_upvoted(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    products(cx, &upvote::index(&cx.signed_in()?.account), page).await
}

/// The products on the principal's wishlist, the latest first.
pub async fn list_saved(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    products(cx, &save::index(&cx.signed_in()?.account), page).await
}

/// The public products that the documents of an index, upvotes or saves, are about.
async fn products(cx: &Context, index: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let marks = newest(cx, index, page).await?;
    let product = |mark: &Document| Some(PRODUCT.key(mark.key.pk.split_once('/')?.1));
    let keys: Vec<Key> = marks.items.iter().filter_map(product).collect();
    let mut items = Vec::with_capacity(keys.len());
    for document in cx.get_all(&keys).await?.into_iter().flatten() {
        if document.parse::<ProductView>()?.status.is_public() {
            items.push(document);
        }
    }
    Ok(SortedPage {
        items,
        next_cursor: marks.next_cursor,
        prev_cursor: marks.prev_cursor,
        total: marks.total,
    })
}

/// The principal's comments that were not deleted, the latest first.
pub async fn list_own_comments(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    newest(cx, &comment::author_index(&cx.signed_in()?.account), page).await
}

/// A follow, with the account or vendor at its other end.
#[derive(Debug)]
pub struct Followed {
    /// The kind of `document`.
    pub kind: Kind,
    /// Since when.
    pub since: Timestamp,
    /// The account or vendor.
    pub document: Document,
}

/// The accounts and vendors that the principal follows, the latest first.
pub async fn list_followed(cx: &Context, page: &PageRequest) -> Result<SortedPage<Followed>, Failure> {
    follows(cx, &follow::index(&cx.signed_in()?.account), page).await
}

/// The accounts that follow the principal, the latest first.
pub async fn list_followers(cx: &Context, page: &PageRequest) -> Result<SortedPage<Followed>, Failure> {
    follows(cx, &follow::follower_index(&cx.signed_in()?.account), page).await
}

/// The active accounts and the vendors that the follows of an index name.
async fn follows(cx: &Context, index: &str, page: &PageRequest) -> Result<SortedPage<Followed>, Failure> {
    let follows = newest(cx, index, page).await?;
    let key = |follow: &Document| target_kind(&follow.key.sk).key(&follow.key.sk);
    let keys: Vec<Key> = follows.items.iter().map(key).collect();
    let found = cx.get_all(&keys).await?.into_iter().flatten();
    let mut found: HashMap<Key, Document> = found.map(|document| (document.key.clone(), document)).collect();
    let mut items = Vec::with_capacity(keys.len());
    for follow in &follows.items {
        let kind = target_kind(&follow.key.sk);
        let Some(document) = found.remove(&key(follow)) else {
            continue;
        };
        if kind == VENDOR || document.parse::<AccountView>()?.active {
            let since = follow.parse::<Follow>()?.since;
            items.push(Followed { kind, since, document });
        }
    }
    Ok(SortedPage {
        items,
        next_cursor: follows.next_cursor,
        prev_cursor: follows.prev_cursor,
        total: follows.total,
    })
}
