//! The nouns that several functions read: kinds of documents, events, and views of what is stored.
//!
//! One module per owner. The owner (`functions/{module}`) writes these documents and emits these events; other functions
//! only read them. What a single function knows of its own nouns stays in that function.
//!
//! **Events.** Stored events outlive the code that wrote them. Add fields as `Option` or with a default. For any other change
//! raise `VERSION`, keep the old shape readable in `upgrade`, and pin it by a test.

pub mod catalog;
pub mod community;
pub mod identity;
pub mod search;
pub mod vendors;
