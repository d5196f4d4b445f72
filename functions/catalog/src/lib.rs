//! The catalogue (VT-03, VT-04, VT-06, VT-13, VN-27): categories with typed attributes, and products.
//!
//! **Atomicity.** A new product is one commit of the product, its places in every list, the claim on its slug (and on
//! its vendor's SKU), and the condition that its category is still as it was when the product was checked against it.
//! So a product never names a category that is gone, never breaks its category's rules, never shares a slug; and a
//! crash leaves all of it or nothing.
//!
//! **Lists.** A product stands in one index per thing it can be listed by ([`product::Product::entries`]), so a list is
//! one query whatever the size of the market.

pub mod category;
mod category_routes;
pub mod listing;
pub mod lists;
pub mod product;
pub mod rank;
pub mod routes;
pub mod status;

use http::{Method, StatusCode};
use souk_core::Role;
use souk_kit::{Access, Function, Param, Route, Schema};

use category::{Category, NewCategory};
use product::{NewProduct, Product};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 10;

/// The function's rows.
#[must_use]
pub fn function() -> Function {
    let mut routes = categories();
    routes.extend(products());
    routes.extend(lifecycle());
    Function::new("catalog", "Categories and products.", routes)
}

fn categories() -> Vec<Route> {
    const LIST: &[Param] = &[Param::LIMIT, Param::CURSOR, Param::FIELDS];
    const ONE: &[Param] = &[Param::FIELDS];
    const SIZE: usize = 64 * 1024;
    let admin = Access::Role(Role::Admin);
    let category = || Some(Schema::of::<Category>());
    vec![
        Route::new(Method::GET, "/v1/categories", Access::Public, category_routes::list)
            .about("List categories", "By slug.")
            .params(LIST)
            .cached(60, 600)
            .answers(
                StatusCode::OK,
                "A page of categories",
                Some(Schema::list_of::<Category>()),
            )
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::POST, "/v1/categories", admin, category_routes::create)
            .about("Add a category", "")
            .takes(Schema::of::<NewCategory>(), SIZE)
            .answers(StatusCode::CREATED, "The category", category())
            .fails(&[StatusCode::CONFLICT]),
        Route::new(
            Method::GET,
            "/v1/categories/{id}",
            Access::Public,
            category_routes::show,
        )
        .about("Show a category", "By id or slug.")
        .params(ONE)
        .cached(60, 600)
        .answers(StatusCode::OK, "The category", category())
        .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::PATCH, "/v1/categories/{id}", admin, category_routes::edit)
            .about(
                "Change a category",
                "Products are held to its attributes when they are next written.",
            )
            .takes(Schema::patch_of::<NewCategory>(), SIZE)
            .answers(StatusCode::OK, "The category", category()),
        Route::new(Method::DELETE, "/v1/categories/{id}", admin, category_routes::delete)
            .about(
                "Remove a category",
                "One that has no products and no categories below it.",
            )
            .answers(StatusCode::NO_CONTENT, "It is gone", None)
            .fails(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
    ]
}

/// `include` of what shows products.
pub const INCLUDE: Param = Param {
    name: "include",
    about: "Open out these ids, separated by commas: `category`, `author`, `vendor`.",
    schema: r#"{"type":"string","pattern":"^(category|author|vendor)(,(category|author|vendor))*$","example":"category,author"}"#,
};

fn products() -> Vec<Route> {
    const LIST: &[Param] = &[
        Param::LIMIT,
        Param::CURSOR,
        Param::text("category", "Only in this category (id or slug)."),
        Param::text("vendor", "Only of this vendor (id or slug)."),
        Param::text("author", "Only by this account (id or username)."),
        Param::text("tag", "Only with this tag."),
        Param {
            name: "status",
            about: "`published` unless asked otherwise. Drafts and archived products are listed to their author and to \
                    moderators only.",
            schema: r#"{"type":"string","enum":["draft","published","sold","archived"],"default":"published"}"#,
        },
        Param {
            name: "sort",
            about: "Newest, cheapest, dearest, most voted for, or most voted for of late first. The last two are for what \
                    everyone sees, and follow the votes a moment later.",
            schema: r#"{"type":"string","enum":["newest","price","-price","popular","trending"],"default":"newest"}"#,
        },
        Param::text(
            "attr.*",
            "Only with this value of a filterable attribute of `category`, which must be given.",
        ),
        Param::FIELDS,
        INCLUDE,
    ];
    const ONE: &[Param] = &[Param::FIELDS, INCLUDE];
    const SIZE: usize = 64 * 1024;
    let member = Access::Role(Role::Member);
    let product = || Some(Schema::of::<Product>());
    vec![
        Route::new(Method::GET, "/v1/products", Access::Public, listing::list)
            .about(
                "List products",
                "Filters may be combined; a combined list may have pages with fewer items than `limit`, even none, \
                 before its end: go on as long as there is a `next_cursor`.",
            )
            .params(LIST)
            .cached(10, 60)
            .answers(StatusCode::OK, "A page of products", Some(Schema::list_of::<Product>()))
            .fails(&[
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::UNPROCESSABLE_ENTITY,
            ]),
        Route::new(Method::POST, "/v1/products", member, routes::create)
            .about(
                "Add a product",
                "It starts as a draft that its author and moderators see.",
            )
            .takes(Schema::of::<NewProduct>(), SIZE)
            .answers(StatusCode::CREATED, "The product", product())
            .fails(&[StatusCode::FORBIDDEN, StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/products/{id}", Access::Public, routes::show)
            .about(
                "Show a product",
                "By id or slug. Drafts and archived products: to their author and moderators only.",
            )
            .params(ONE)
            .cached(10, 60)
            .answers(StatusCode::OK, "The product", product())
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::PATCH, "/v1/products/{id}", member, routes::edit)
            .about("Change a product", "Its author and moderators may.")
            .takes(Schema::patch_of::<NewProduct>(), SIZE)
            .answers(StatusCode::OK, "The product", product())
            .fails(&[StatusCode::FORBIDDEN]),
        Route::new(Method::DELETE, "/v1/products/{id}", member, routes::delete)
            .about("Remove a product", "Its author and moderators may.")
            .answers(StatusCode::NO_CONTENT, "It is gone", None)
            .fails(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ]),
    ]
}

fn lifecycle() -> Vec<Route> {
    let member = Access::Role(Role::Member);
    [
        Route::new(Method::POST, "/v1/products/{id}/publish", member, routes::publish)
            .about("Publish a product", "From draft or archived."),
        Route::new(Method::POST, "/v1/products/{id}/archive", member, routes::archive)
            .about("Archive a product", "From published or sold."),
        Route::new(Method::POST, "/v1/products/{id}/sold", member, routes::sold)
            .about("Mark a product as sold", "From published."),
        Route::new(Method::POST, "/v1/products/{id}/draft", member, routes::draft)
            .about("Take a product back to draft", "From published or archived."),
    ]
    .map(|route| {
        route
            .answers(StatusCode::OK, "The product", Some(Schema::of::<Product>()))
            .fails(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ])
    })
    .into()
}
