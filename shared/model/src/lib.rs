//! The data model that several functions share: kinds of documents, events, and partial views of documents.
//!
//! One module per owner. The owner (`functions/{module}`) writes these documents and emits these events; other
//! functions only read them. Types that only one function uses stay in that function.
//!
//! **Events.** Stored events outlive the code that wrote them. Add fields as `Option` or with a default. For any other
//! change increase `VERSION`, convert the old format in `upgrade`, and pin the old format with a test.

pub mod catalog;
pub mod community;
pub mod identity;
pub mod reference;
pub mod search;
pub mod vendors;
