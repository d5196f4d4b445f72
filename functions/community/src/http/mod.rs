//! The routes of the community.

mod comments;
mod feed;
mod follows;
mod mine;
mod products;
mod saves;
mod upvotes;
mod views;

use souk_kit::http::{Access, Route};
use souk_kit::{By, Limit};

const MEMBER: Access = Access::Member;

/// Votes and follows from a network, whatever accounts they are of.
const VOTES: Limit = Limit::strict("votes", 600, 3_600, By::Address);

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
