//! Kinds of documents: their keys and ids, and how their fields may be used.
//!
//! The document of kind `name` with id `id` is at `{name}/{id}`. A unique name (a slug, a username) is claimed by a small
//! document `{name}-named/{slug}` that holds the id. An id always has a `_` and a name never does, so a path segment is one
//! or the other. A kind is declared by the function that owns its documents (`Function::kinds`).

use serde::Deserialize;

use crate::documents::Documents;
use crate::{Clock, Consistency, Document, Key, Random, StoreError, id};

/// The longest name, in bytes. Longer names are not looked up.
const MAX_NAME: usize = 200;

/// A kind of document that has ids, and perhaps names.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The partition prefix of its keys.
    pub name: &'static str,
    /// The prefix of its ids.
    pub prefix: &'static str,
    /// The `Cache-Tag` of lists of this kind. Responses that show one document are tagged with its id and with `name`.
    /// `None`: responses are not tagged, since no event announces changes.
    pub list_tag: Option<&'static str>,
    /// The first parts of the names of the indexes that list documents of this kind.
    pub lists: &'static [&'static str],
    /// What becomes of a document's name when it gets another one.
    pub renaming: Renaming,
    /// The fields that anyone may see; empty if the whole body is public.
    pub public_fields: &'static [&'static str],
    /// The fields that are personal data: masked, exported and erased with their account.
    pub personal_fields: &'static [&'static str],
    /// For how many seconds a copy may be served from the key-value store to eventually consistent reads.
    pub cached_seconds: Option<u32>,
    /// The name of the quota of a plan that limits how many there may be.
    pub quota: Option<&'static str>,
}

/// What becomes of the name of a document that gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renaming {
    /// No document gets another name.
    Never,
    /// The former name is reserved for a while: it finds the document, and no other can have it. Then it is free.
    Reserves,
    /// The former name leads on to the document for good.
    LeadsOn,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Kind {}

/// The field of a claim that names its owner.
#[derive(Deserialize)]
struct Claim {
    id: String,
}

impl Kind {
    /// A kind whose bodies are public, and that is neither tagged nor cached.
    #[must_use]
    pub const fn new(name: &'static str, prefix: &'static str) -> Self {
        Self {
            name,
            prefix,
            list_tag: None,
            lists: &[],
            renaming: Renaming::Reserves,
            public_fields: &[],
            personal_fields: &[],
            cached_seconds: None,
            quota: None,
        }
    }

    /// A new id of this kind.
    pub fn new_id(self, clock: &dyn Clock, random: &dyn Random) -> String {
        id::new(self.prefix, clock, random)
    }

    /// Whether `text` is an id of this kind.
    #[must_use]
    pub fn is_id(self, text: &str) -> bool {
        id::is(self.prefix, text)
    }

    /// Whether `text`, by which a document was found that is named `name` now, is a name that it had before.
    #[must_use]
    pub fn is_former_name(self, text: &str, name: &str) -> bool {
        text != name && !self.is_id(text)
    }

    /// The key of the document with this id.
    #[must_use]
    pub fn key(self, id: &str) -> Key {
        Key::of(self.name, id)
    }

    /// The key of the claim on a name.
    #[must_use]
    pub fn name_key(self, name: &str) -> Key {
        Key::of(&format!("{}-named", self.name), name)
    }

    /// The id in the key of a document of this kind.
    #[must_use]
    pub fn id_of(self, key: &Key) -> Option<&str> {
        key.pk.strip_prefix(self.name)?.strip_prefix('/')
    }

    /// The document with this id or name.
    pub async fn find(
        self,
        store: &dyn Documents,
        id_or_name: &str,
        consistency: Consistency,
    ) -> Result<Option<Document>, StoreError> {
        let one = async |key: Key| Ok(store.get(&[key], consistency).await?.pop().flatten());
        if self.is_id(id_or_name) {
            return one(self.key(id_or_name)).await;
        }
        if id_or_name.len() > MAX_NAME {
            return Ok(None);
        }
        match owner_of(one(self.name_key(id_or_name)).await?.as_ref())? {
            Some(id) => one(self.key(&id)).await,
            None => Ok(None),
        }
    }
}

/// The ids that these ids or names stand for, `None` where there is no such document; one batched get for all.
pub async fn resolve(
    store: &dyn Documents,
    wanted: &[(Kind, &str)],
    consistency: Consistency,
) -> Result<Vec<Option<String>>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Key> = wanted.iter().map(|(kind, text)| resolve_key(*kind, text)).collect();
    let found = store.get(&keys, consistency).await?;
    resolved(wanted, found)
}

/// The key to read to resolve an id or a name.
#[must_use]
pub fn resolve_key(kind: Kind, id_or_name: &str) -> Key {
    if kind.is_id(id_or_name) {
        kind.key(id_or_name)
    } else {
        kind.name_key(id_or_name)
    }
}

/// The ids, given what was found at the [keys](resolve_key).
pub fn resolved(wanted: &[(Kind, &str)], found: Vec<Option<Document>>) -> Result<Vec<Option<String>>, StoreError> {
    let pairs = wanted.iter().zip(found);
    pairs
        .map(|((kind, text), document)| match document {
            Some(_) if kind.is_id(text) => Ok(Some((*text).to_owned())),
            document => owner_of(document.as_ref()),
        })
        .collect()
}

/// The id of the document that a claim belongs to.
pub fn owner_of(claim: Option<&Document>) -> Result<Option<String>, StoreError> {
    claim
        .map(|claim| claim.parse::<Claim>().map(|claim| claim.id))
        .transpose()
}
