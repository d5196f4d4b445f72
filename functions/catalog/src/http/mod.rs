//! The routes of products and categories.

mod categories;
mod products;

use souk_kit::http::Route;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = categories::routes();
    routes.extend(products::routes());
    routes.extend(products::life_cycle());
    routes
}
