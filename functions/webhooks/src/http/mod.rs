//! The routes of webhooks and their deliveries.

mod deliveries;
mod webhooks;

use souk_core::Role;
use souk_kit::http::{Access, Route};

const MEMBER: Access = Access::Role(Role::Member);

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = webhooks::routes();
    routes.extend(deliveries::routes());
    routes
}
