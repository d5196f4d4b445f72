//! The routes of products and categories.

mod categories;
mod products;

use souk_kit::http::Route;

/// The maximum body size of a product or a category, in bytes.
const MAX_BODY: usize = 128 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = categories::routes();
    routes.extend(products::routes());
    routes.extend(products::life_cycle());
    routes
}
