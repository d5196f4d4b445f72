//! What `include` adds to the public form of a document.

use crate::{Document, Key, Kind, Principal, StoreError};

/// What a name that `include` accepts stands for.
#[derive(Clone, Copy, Debug)]
pub enum Include {
    /// The field of this name holds the id of a document of this kind; the document takes the place of the id.
    Reference(Kind),
    /// A field of this name says what the document is to the principal; it is `null` for anonymous requests. What it depends on are
    /// these fields of the document.
    ForPrincipal(&'static [&'static str], LookUp),
}

/// Says what to read, given the fields of a document in their order: each as JSON, `None` if it is absent.
pub type LookUp = fn(&Principal, &[Option<&str>]) -> Result<Lookup, StoreError>;

/// A value that is made from other documents. Those of a whole page are read together.
pub struct Lookup {
    /// The keys of the documents.
    pub keys: Vec<Key>,
    /// Makes the value from the documents at the keys, in their order.
    pub make: Make,
}

/// Makes a value from documents, as JSON.
pub type Make = Box<dyn FnOnce(&[Option<&Document>]) -> Result<Vec<u8>, StoreError> + Send>;
