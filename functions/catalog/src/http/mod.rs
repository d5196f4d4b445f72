//! The routes of products, categories and old addresses.

mod addresses;
mod categories;
mod products;

use souk_kit::http::Route;

pub(crate) use addresses::fallback;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = categories::routes();
    routes.extend(products::routes());
    routes.extend(products::life_cycle());
    routes.extend(addresses::routes());
    routes
}
