//! The routes of vendors.

use http::{Method, StatusCode, Uri};
use souk_core::Role;
use souk_kit::http::{
    Access, Answer, Json, Moved, Param, Path, Problem, QueryParams, Route, Schema, Selection, Viewer, list,
};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};
use souk_model::vendors::VENDOR;

use crate::operations;
use crate::vendor::{FIELDS, NewVendor, Vendor};

const MAX_BODY: usize = 16 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    let member = Access::Role(Role::Member);
    let vendor = || Some(Schema::of::<Vendor>());
    vec![
        Route::new(Method::GET, "/v1/vendors", Access::Public, list_vendors)
            .summary("List vendors", "By slug.")
            .params(&[Param::LIMIT, Param::CURSOR, Param::FIELDS])
            .cached(30, 300)
            .response(StatusCode::OK, "A page of vendors", Some(Schema::list_of::<Vendor>())),
        Route::new(Method::POST, "/v1/vendors", member, open)
            .summary("Create a vendor", "The vendor belongs to the account that creates it.")
            .body(Schema::of::<NewVendor>(), MAX_BODY)
            .response(StatusCode::CREATED, "The vendor", vendor())
            .errors(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/vendors/{id}", Access::Public, show)
            .summary(
                "Show a vendor",
                "By id or slug. A slug that it had before leads on to it by 308.",
            )
            .params(&[Param::FIELDS])
            .cached(30, 300)
            .response(StatusCode::OK, "The vendor", vendor())
            .response(
                StatusCode::PERMANENT_REDIRECT,
                "The vendor has another slug now",
                Some(Schema::of::<Moved>()),
            ),
        Route::new(Method::PATCH, "/v1/vendors/{id}", member, edit)
            .summary("Change a vendor", "Only for its owner and moderators.")
            .body(Schema::patch_of::<NewVendor>(), MAX_BODY)
            .response(StatusCode::OK, "The vendor", vendor())
            .errors(&[StatusCode::FORBIDDEN]),
    ]
}

async fn list_vendors(cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let page = operations::list_vendors(&cx, &PageRequest::read(&params)?).await?;
    Ok(viewer.answer(list(&selection.render_all(&page.items)?, page.next_cursor.as_deref())))
}

async fn open(cx: Context, Json(new): Json<NewVendor>) -> Result<Answer, Problem> {
    let vendor = operations::open_vendor(&cx, new).await?;
    Ok(Answer::document(&vendor.document).created(format!("/v1/vendors/{}", vendor.id)))
}

async fn show(
    cx: Context,
    viewer: Viewer,
    Path(id): Path<String>,
    params: QueryParams,
    uri: Uri,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let vendor = operations::find_vendor(&cx, &id).await?;
    if VENDOR.is_former_name(&id, &vendor.slug) {
        return Ok(viewer.answer(Answer::renamed(&uri, &vendor.slug)?));
    }
    Ok(viewer.answer(selection.answer(&vendor.document)?))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let vendor = operations::edit_vendor(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&vendor.document))
}
