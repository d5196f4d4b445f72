//! The routes of products.

use std::sync::LazyLock;

use http::{Method, StatusCode, Uri};
use souk_core::{Document, FieldError};
use souk_kit::http::{
    Access, Answer, Json, Moved, Param, Path, Problem, QueryParams, Route, Schema, Selection, Viewer, list,
    list_documents,
};
use souk_kit::{Context, Failure, Fault, IfMatch, MergePatch, PageRequest};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::filter::{self, PARAMETERS};
use souk_model::catalog::lists::Sort;
use souk_model::catalog::product::{FIELDS, INCLUDES, Product, REFERENCES, add_distance, leave_out_variants};
use souk_model::catalog::status::Status;
use souk_model::identity::Recipient;

use crate::operations::{self, ProductFilter, ProductQuery};
use crate::permissions::PRODUCTS_HAND_OVER;
use crate::product::NewProduct;

/// The `include` parameter of routes that return products.
const INCLUDE: Param = Param {
    name: filter::INCLUDE.0,
    summary: filter::INCLUDE.1,
    schema: filter::INCLUDE.2,
};

/// The maximum body size of a product, in bytes.
const MAX_BODY: usize = 128 * 1024;

const EDITORS: &str =
    "Only for its author, the owner and staff of its vendor, and accounts with the permission `products:write`.";

static LIST: LazyLock<Vec<Param>> = LazyLock::new(|| {
    let filters = PARAMETERS
        .iter()
        .map(|&(name, summary, schema)| Param { name, summary, schema });
    let all = [
        Param::LIMIT,
        Param::CURSOR,
        Param {
            name: "sort",
            summary: "Order: newest, oldest, lowest price, highest price, most upvotes, or highest trending score first. The \
                      last two are only for published and sold products, and reflect upvotes shortly after they are \
                      added. Prices of several currencies are not converted: give `currency`.",
            schema: r#"{"type":"string","enum":["newest","oldest","price","-price","popular","trending"],"default":"newest"}"#,
        },
        Param::FIELDS,
        INCLUDE,
    ];
    filters.chain(all).collect()
});

pub(super) fn routes() -> Vec<Route> {
    let member = Access::Member;
    let product = || Some(Schema::of::<Product>());
    vec![
        Route::new("listProducts", Method::GET, "/v1/products", Access::Public, list_products)
            .summary(
                "List products",
                "Without `variants`, unless `fields` names them. Filters may be combined. A combined list may have pages with fewer items than `limit`, even none, \
                 before its end: continue as long as there is a `next_cursor`.",
            )
            .params(&LIST)
            .checked(|params| read(params).map(drop))
            .cached(10, 60)
            .response(StatusCode::OK, "A page of products", Some(Schema::list_of::<Product>()))
            .errors(&[StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new("createProduct", Method::POST, "/v1/products", member, create)
            .summary(
                "Create a product",
                "The product starts as a draft. Only the accounts that may change it can see a draft.",
            )
            .body(Schema::of::<NewProduct>(), MAX_BODY)
            .response(StatusCode::CREATED, "The product", product())
            .errors(&[StatusCode::FORBIDDEN, StatusCode::CONFLICT]),
        Route::new("getProduct", Method::GET, "/v1/products/{id}", Access::Public, show)
            .summary(
                "Get a product",
                "By id or slug. A former slug of the product redirects to it (308). Only the accounts that may change a product \
                 can see it as a draft or archived.",
            )
            .params(&[Param::FIELDS, INCLUDE, Param::AS_OF])
            .cached(10, 60)
            .response(StatusCode::OK, "The product", product())
            .errors(&[StatusCode::FORBIDDEN])
            .response(
                StatusCode::PERMANENT_REDIRECT,
                "The product has another slug now",
                Some(Schema::of::<Moved>()),
            ),
        Route::new("updateProduct", Method::PATCH, "/v1/products/{id}", member, edit)
            .summary("Update a product", EDITORS)
            .body(Schema::patch_of::<NewProduct>("UpdateProduct"), MAX_BODY)
            .response(StatusCode::OK, "The product", product())
            .errors(&[StatusCode::FORBIDDEN]),
        Route::new("deleteProduct", Method::DELETE, "/v1/products/{id}", member, delete)
            .summary("Delete a product", EDITORS)
            .response(StatusCode::NO_CONTENT, "The product was deleted", None)
            .errors(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ]),
        Route::new("handOverProduct",
            Method::PUT,
            "/v1/products/{id}/author",
            Access::Permission(&PRODUCTS_HAND_OVER),
            hand_over,
        )
        .summary(
            "Hand a product over to another account",
            "The account becomes the author of the product. The vendor stays the same.",
        )
        .body(Schema::of::<Recipient>(), 4 * 1024)
        .response(StatusCode::OK, "The product", product())
        .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
    ]
}

/// One row per transition of the life cycle.
pub(super) fn life_cycle() -> Vec<Route> {
    let member = Access::Member;
    let row = |id, path, status| {
        Route::new(id, Method::POST, path, member, move |cx, id, if_match| {
            advance(status, cx, id, if_match)
        })
        .response(StatusCode::OK, "The product", Some(Schema::of::<Product>()))
        .errors(&[
            StatusCode::FORBIDDEN,
            StatusCode::CONFLICT,
            StatusCode::PRECONDITION_FAILED,
        ])
    };
    vec![
        row("publishProduct", "/v1/products/{id}/publish", Status::Published)
            .summary("Publish a product", "Puts a draft or an archived product on sale."),
        row("archiveProduct", "/v1/products/{id}/archive", Status::Archived)
            .summary("Archive a product", "Hides a published or sold product."),
        row("markProductSold", "/v1/products/{id}/sold", Status::Sold)
            .summary("Mark a product as sold", "A published product only."),
        row("returnProductToDraft", "/v1/products/{id}/draft", Status::Draft).summary(
            "Return a product to draft",
            "Takes a published or archived product off sale, so that only its editors see it.",
        ),
    ]
}

async fn list_products(cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let (selection, query, page) = read(&params)?;
    let mut page = operations::list_products(&cx, &query, &page).await?;
    if !selection.names("variants") {
        let mut items = page.items.iter_mut();
        items.try_for_each(leave_out_variants).map_err(Failure::from)?;
    }
    if let Some(near) = &query.filter.near {
        let mut items = page.items.iter_mut();
        items
            .try_for_each(|document| add_distance(document, near))
            .map_err(Failure::from)?;
    }
    if selection.is_plain() {
        return Ok(viewer.answer(list_documents(&page)));
    }
    let items = selection.render_with(&cx, &page.items, &REFERENCES).await?;
    Ok(viewer.answer(list(&items, &page)))
}

fn read(params: &QueryParams) -> Result<(Selection, ProductQuery, PageRequest), Problem> {
    let selection = Selection::read(params, FIELDS, INCLUDES);
    Problem::all_of(selection, query(params), PageRequest::read(params))
}

fn query(params: &QueryParams) -> Result<ProductQuery, Problem> {
    let mut faults = Vec::new();
    let filter = ProductFilter::read(params.with_prefix(""), &mut faults);
    let mut bad = |name: &str, fault: Fault| faults.push(FieldError::new(name, fault));
    let status = match params.get("status").unwrap_or("published") {
        "any" => None,
        name => Status::parse(name).or_else(|| {
            bad(
                "status",
                Fault::not_one_of(&["draft", "published", "sold", "archived", "any"]),
            );
            None
        }),
    };
    let sort = match params.get("sort") {
        None | Some("newest") => Sort::Newest,
        Some("oldest") => Sort::Oldest,
        Some("price") => Sort::Cheapest,
        Some("-price") => Sort::Dearest,
        Some("popular") => Sort::Popular,
        Some("trending") => Sort::Trending,
        Some(_) => {
            bad(
                "sort",
                Fault::not_one_of(&["newest", "oldest", "price", "-price", "popular", "trending"]),
            );
            Sort::Newest
        }
    };
    if sort.is_ranked() && !status.is_some_and(Status::is_public) {
        let detail = "popular and trending are for published and sold products";
        bad("sort", Fault::inconsistent("status", detail));
    }
    if faults.is_empty() {
        return Ok(ProductQuery { status, sort, filter });
    }
    Err(Failure::BadParameter(faults).into())
}

async fn create(cx: Context, Json(new): Json<NewProduct>) -> Result<Answer, Problem> {
    let product = operations::create_product(&cx, new).await?;
    Ok(Answer::document(&product.document).created(format!("/v1/products/{}", product.id)))
}

async fn show(
    cx: Context,
    viewer: Viewer,
    Path(id): Path<String>,
    params: QueryParams,
    uri: Uri,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    if let Some(at) = params.as_of()? {
        let product = operations::product_as_of(&cx, &id, at).await?;
        let shown = selection.render_with(&cx, &[product], &REFERENCES).await?;
        return Ok(Answer::raw(shown.concat()));
    }
    let mut product = operations::find_product(&cx, &id).await?;
    let is_former = |product: &Document| -> Result<bool, Failure> {
        Ok(!PRODUCT.is_id(&id) && PRODUCT.is_former_name(&id, &product.field::<String>("slug")?))
    };
    if is_former(&product)? {
        // A copy may be older than the name; caches would keep that.
        product = operations::find_product(&cx.strong(), &id).await?;
    }
    if is_former(&product)? {
        let slug: String = product.field("slug").map_err(Failure::from)?;
        return Ok(viewer.answer(Answer::renamed(&uri, &slug)?));
    }
    let version = product.version;
    let shown = selection.render_with(&cx, &[product], &REFERENCES).await?;
    Ok(viewer.answer(Answer::raw(shown.concat()).version(version)))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let product = operations::edit_product(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&product.document))
}

async fn delete(cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    operations::delete_product(&cx, &id, &if_match).await?;
    Ok(Answer::no_content())
}

async fn hand_over(
    cx: Context,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(to): Json<Recipient>,
) -> Result<Answer, Problem> {
    let product = operations::hand_over_product(&cx, &id, &if_match, &to.username).await?;
    Ok(Answer::document(&product.document))
}

async fn advance(status: Status, cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    let product = operations::advance_product(&cx, &id, &if_match, status).await?;
    Ok(Answer::document(&product.document))
}
