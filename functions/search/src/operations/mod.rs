//! Operations of search.

pub(crate) mod analytics;
pub(crate) mod facets;
pub(crate) mod rebuild;
pub(crate) mod search;
pub(crate) mod settings;
pub(crate) mod suggest;
