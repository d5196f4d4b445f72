//! The routes of categories.

use http::{Method, StatusCode, Uri};
use souk_kit::http::{
    Access, Answer, Json, Moved, Param, Path, Problem, QueryParams, Route, Schema, Selection, Viewer, list,
};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};
use souk_model::catalog::CATEGORIES_WRITE;
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Category, FIELDS};

use crate::category::NewCategory;
use crate::operations::{self, CategoryTree};

/// The maximum body size of a category, in bytes.
const MAX_BODY: usize = 64 * 1024;

const LIST: &[Param] = &[
    Param::LIMIT,
    Param::CURSOR,
    Param::text("parent", "Only the children of this category (id or slug)."),
    Param::FIELDS,
];

pub(super) fn routes() -> Vec<Route> {
    let editor = Access::Permission(&CATEGORIES_WRITE);
    let category = || Some(Schema::of::<Category>());
    vec![
        Route::new(
            "listCategories",
            Method::GET,
            "/v1/categories",
            Access::Public,
            list_categories,
        )
        .summary("List categories", "In the order of their slugs.")
        .params(LIST)
        .cached(60, 600)
        .response(
            StatusCode::OK,
            "A page of categories",
            Some(Schema::list_of::<Category>()),
        )
        .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(
            "getCategoryTree",
            Method::GET,
            "/v1/categories/tree",
            Access::Public,
            show_tree,
        )
        .summary(
            "Get the category tree",
            "All categories. Each level is in the order of the slugs.",
        )
        .cached(60, 600)
        .response(StatusCode::OK, "The tree", Some(Schema::of::<CategoryTree>())),
        Route::new("createCategory", Method::POST, "/v1/categories", editor, create)
            .summary(
                "Create a category",
                "With `parent` it becomes a child of that category.",
            )
            .body(Schema::of::<NewCategory>(), MAX_BODY)
            .response(StatusCode::CREATED, "The category", category())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getCategory", Method::GET, "/v1/categories/{id}", Access::Public, show)
            .summary(
                "Get a category",
                "By id or slug. A former slug of the category redirects to it (308).",
            )
            .params(&[Param::FIELDS])
            .cached(60, 600)
            .response(StatusCode::OK, "The category", category())
            .response(
                StatusCode::PERMANENT_REDIRECT,
                "The category has another slug now",
                Some(Schema::of::<Moved>()),
            ),
        Route::new("updateCategory", Method::PATCH, "/v1/categories/{id}", editor, edit)
            .summary(
                "Update a category",
                "Existing products are checked against the new attributes the next time they change.",
            )
            .body(Schema::patch_of::<NewCategory>("UpdateCategory"), MAX_BODY)
            .response(StatusCode::OK, "The category", category()),
        Route::new("deleteCategory", Method::DELETE, "/v1/categories/{id}", editor, delete)
            .summary(
                "Delete a category",
                "Only a category without products and without child categories can be deleted.",
            )
            .response(StatusCode::NO_CONTENT, "The category was deleted", None)
            .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
    ]
}

async fn list_categories(cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let page = PageRequest::read(&params)?;
    let page = match params.get("parent") {
        Some(parent) => operations::list_children(&cx, parent, &page).await?,
        None => operations::list_categories(&cx, &page).await?,
    };
    Ok(viewer.answer(list(&selection.render_all(&page.items)?, &page)))
}

async fn show_tree(cx: Context, viewer: Viewer) -> Result<Answer, Problem> {
    Ok(viewer.answer(Answer::json(&operations::category_tree(&cx).await?)?))
}

async fn create(cx: Context, Json(new): Json<NewCategory>) -> Result<Answer, Problem> {
    let category = operations::create_category(&cx, new).await?;
    Ok(Answer::document(&category.document).created(format!("/v1/categories/{}", category.id)))
}

async fn show(
    cx: Context,
    viewer: Viewer,
    Path(id): Path<String>,
    params: QueryParams,
    uri: Uri,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let mut category = operations::find_category(&cx, &id).await?;
    if CATEGORY.is_former_name(&id, &category.slug) {
        // A copy may be older than the name; caches would keep that.
        category = operations::find_category(&cx.strong(), &id).await?;
    }
    if CATEGORY.is_former_name(&id, &category.slug) {
        return Ok(viewer.answer(Answer::renamed(&uri, &category.slug)?));
    }
    Ok(viewer.answer(selection.answer(&category.document)?))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let category = operations::edit_category(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&category.document))
}

async fn delete(cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    operations::delete_category(&cx, &id, &if_match).await?;
    Ok(Answer::no_content())
}
