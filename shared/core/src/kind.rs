//! What kinds of named things there are, where they live and how a path segment finds one.
//!
//! A thing's document is at `{name}/{id}`; its unique name (slug or username) is claimed by a small document
//! `{name}-named/{slug}` that holds the id. An id always has a `_`, a slug never, so a segment is one or the other.

use serde::Deserialize;

use crate::documents::{Documents, get_one};
use crate::{Clock, Document, Key, Random, StoreError, id};

/// How long a name may be, in bytes; nothing longer is looked for.
const MAX_NAME: usize = 200;

/// A kind of thing that has ids and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// In keys and messages.
    pub name: &'static str,
    /// In ids.
    pub prefix: &'static str,
}

/// Accounts, by username.
pub const ACCOUNT: Kind = Kind {
    name: "account",
    prefix: "acc",
};
/// Categories, by slug.
pub const CATEGORY: Kind = Kind {
    name: "category",
    prefix: "cat",
};
/// Comments; they have no names.
pub const COMMENT: Kind = Kind {
    name: "comment",
    prefix: "cmt",
};
/// Products, by slug.
pub const PRODUCT: Kind = Kind {
    name: "product",
    prefix: "prd",
};
/// Vendors, by slug.
pub const VENDOR: Kind = Kind {
    name: "vendor",
    prefix: "vnd",
};

/// The one field of a claim that matters.
#[derive(Deserialize)]
struct Claim {
    id: String,
}

impl Kind {
    /// A new id of this kind.
    pub fn new_id(self, clock: &dyn Clock, random: &dyn Random) -> String {
        id::new(self.prefix, clock, random)
    }

    /// Whether `text` is an id of this kind.
    #[must_use]
    pub fn is_id(self, text: &str) -> bool {
        id::is(self.prefix, text)
    }

    /// Where the thing with this id is.
    #[must_use]
    pub fn key(self, id: &str) -> Key {
        Key::of(self.name, id)
    }

    /// Where a name is claimed.
    #[must_use]
    pub fn name_key(self, name: &str) -> Key {
        Key::of(&format!("{}-named", self.name), name)
    }

    /// The thing with this id or name.
    pub async fn find(self, store: &dyn Documents, id_or_name: &str) -> Result<Option<Document>, StoreError> {
        if self.is_id(id_or_name) {
            return get_one(store, self.key(id_or_name)).await;
        }
        if id_or_name.len() > MAX_NAME {
            return Ok(None);
        }
        match claimed(get_one(store, self.name_key(id_or_name)).await?.as_ref())? {
            Some(id) => get_one(store, self.key(&id)).await,
            None => Ok(None),
        }
    }
}

/// The ids that these ids or names stand for, `None` where there is no such thing; one batched get for all.
pub async fn resolve(store: &dyn Documents, wanted: &[(Kind, &str)]) -> Result<Vec<Option<String>>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let key = |&(kind, text): &(Kind, &str)| {
        if kind.is_id(text) {
            kind.key(text)
        } else {
            kind.name_key(text)
        }
    };
    let found = store.get(&wanted.iter().map(key).collect::<Vec<_>>()).await?;
    wanted
        .iter()
        .zip(found)
        .map(|((kind, text), document)| match document {
            Some(_) if kind.is_id(text) => Ok(Some((*text).to_owned())),
            document => claimed(document.as_ref()),
        })
        .collect()
}

fn claimed(document: Option<&Document>) -> Result<Option<String>, StoreError> {
    document
        .map(|document| document.parse::<Claim>().map(|claim| claim.id))
        .transpose()
}
