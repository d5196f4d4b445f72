//! The routes of the community.

mod comments;
mod feed;
mod follows;
mod mine;
mod products;
mod saves;
mod upvotes;
mod views;

use souk_core::Role;
use souk_kit::http::{Access, Route};

const MEMBER: Access = Access::Role(Role::Member);

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = comments::routes();
    routes.extend(upvotes::routes());
    routes.extend(saves::routes());
    routes.extend(follows::routes());
    routes.extend(mine::routes());
    routes.push(feed::route());
    routes.push(views::route());
    routes
}
