//! Vendors (VN-08): the shops of the market. An account opens one, and lists products in its name.
//!
//! **Atomicity.** Opening a vendor is one commit of the vendor and the claim on its slug; a new slug is claimed and the
//! old one given back in the commit that writes it. So no two vendors ever share a slug, and no slug is ever lost.

mod routes;
mod vendor;

use http::{Method, StatusCode};
use souk_core::Role;
use souk_kit::{Access, Function, Param, Route, Schema};

pub use vendor::{NewVendor, Vendor};

/// The function's rows.
#[must_use]
pub fn function() -> Function {
    const LIST: &[Param] = &[Param::LIMIT, Param::CURSOR, Param::FIELDS];
    const ONE: &[Param] = &[Param::FIELDS];
    let routes = vec![
        Route::new(Method::GET, "/v1/vendors", Access::Public, routes::list)
            .about("List vendors", "By slug.")
            .params(LIST)
            .cached(30, 300)
            .answers(StatusCode::OK, "A page of vendors", Some(Schema::list_of::<Vendor>()))
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::POST, "/v1/vendors", Access::Role(Role::Member), routes::create)
            .about("Open a vendor", "Its owner is whoever opens it.")
            .takes(Schema::of::<NewVendor>(), 16 * 1024)
            .answers(StatusCode::CREATED, "The vendor", Some(Schema::of::<Vendor>()))
            .fails(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/vendors/{id}", Access::Public, routes::show)
            .about("Show a vendor", "By id or slug.")
            .params(ONE)
            .cached(30, 300)
            .answers(StatusCode::OK, "The vendor", Some(Schema::of::<Vendor>()))
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(
            Method::PATCH,
            "/v1/vendors/{id}",
            Access::Role(Role::Member),
            routes::edit,
        )
        .about("Change a vendor", "Its owner and moderators may.")
        .takes(Schema::patch_of::<NewVendor>(), 16 * 1024)
        .answers(StatusCode::OK, "The vendor", Some(Schema::of::<Vendor>()))
        .fails(&[StatusCode::FORBIDDEN]),
    ];
    Function::new("vendors", "The shops of the market.", routes)
}
