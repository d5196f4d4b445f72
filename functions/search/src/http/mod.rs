//! The routes of search.

mod admin;
mod params;
mod search;

use std::sync::Arc;

use souk_kit::http::Route;

use crate::Memory;

pub(crate) fn routes(memory: &Arc<Memory>) -> Vec<Route> {
    let mut routes = search::routes(memory);
    routes.extend(admin::routes(memory));
    routes
}
