//! The routes of vendors and their staff.

use http::{Method, StatusCode, Uri};
use souk_kit::http::{
    Access, Answer, Json, Moved, Param, Path, Problem, QueryParams, Route, Schema, Selection, Viewer, list, list_whole,
};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};
use souk_model::identity::Recipient;
use souk_model::vendors::VENDOR;

use crate::operations;
use crate::permissions::VENDORS_HAND_OVER;
use crate::staff::StaffMember;
use crate::vendor::{FIELDS, NewVendor, Vendor};

const MAX_BODY: usize = 16 * 1024;

const LIST: &[Param] = &[
    Param::LIMIT,
    Param::CURSOR,
    Param::text(
        "owner",
        "Only vendors that belong to this account (id or username); `me` is the one that is signed in.",
    ),
    Param::FIELDS,
];

pub(crate) fn routes() -> Vec<Route> {
    let member = Access::Member;
    let vendor = || Some(Schema::of::<Vendor>());
    vec![
        Route::new("listVendors", Method::GET, "/v1/vendors", Access::Public, list_vendors)
            .summary("List vendors", "In the order of their slugs.")
            .params(LIST)
            .cached(30, 300)
            .response(StatusCode::OK, "A page of vendors", Some(Schema::list_of::<Vendor>()))
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new("createVendor", Method::POST, "/v1/vendors", member, open)
            .summary("Create a vendor", "The vendor belongs to the account that creates it.")
            .body(Schema::of::<NewVendor>(), MAX_BODY)
            .response(StatusCode::CREATED, "The vendor", vendor())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getVendor", Method::GET, "/v1/vendors/{id}", Access::Public, show)
            .summary(
                "Get a vendor",
                "By id or slug. A former slug of the vendor redirects to it (308).",
            )
            .params(&[Param::FIELDS, Param::AS_OF])
            .cached(30, 300)
            .response(StatusCode::OK, "The vendor", vendor())
            .errors(&[StatusCode::FORBIDDEN])
            .response(
                StatusCode::PERMANENT_REDIRECT,
                "The vendor has another slug now",
                Some(Schema::of::<Moved>()),
            ),
        Route::new("updateVendor", Method::PATCH, "/v1/vendors/{id}", member, edit)
            .summary("Update a vendor", "Only for its owner and accounts with the permission `vendors:write`.")
            .body(Schema::patch_of::<NewVendor>("UpdateVendor"), MAX_BODY)
            .response(StatusCode::OK, "The vendor", vendor())
            .errors(&[StatusCode::FORBIDDEN]),
        Route::new("handOverVendor", Method::PUT, "/v1/vendors/{id}/owner", Access::Permission(&VENDORS_HAND_OVER), hand_over)
            .summary(
                "Hand a vendor over to another account",
                "The account becomes the owner of the vendor. The staff and the authors of the products stay the same. The \
                 webhooks that the former owner has for the vendor are disabled.",
            )
            .body(Schema::of::<Recipient>(), MAX_BODY)
            .response(StatusCode::OK, "The vendor", vendor())
            .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
        Route::new("listVendorStaff", Method::GET, "/v1/vendors/{id}/staff", member, list_staff)
            .summary(
                "List the staff of a vendor",
                "All of them, in the order in which they were added. Only for the owner, the staff and accounts with the permission `vendors:staff`.",
            )
            .response(
                StatusCode::OK,
                "The staff; there is no next page",
                Some(Schema::list_of::<StaffMember>()),
            )
            .errors(&[StatusCode::FORBIDDEN]),
        Route::new("addVendorStaff", Method::PUT, "/v1/vendors/{id}/staff/{username}", member, add_staff)
            .summary(
                "Add an account to the staff of a vendor",
                "Staff can create products for the vendor and update all of its products. A vendor has at most 50. Only the \
                 owner and accounts with the permission `vendors:staff` can add staff.",
            )
            .response(StatusCode::NO_CONTENT, "The account is one of the staff", None)
            .errors(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::UNPROCESSABLE_ENTITY,
            ]),
        Route::new("removeVendorStaff", Method::DELETE, "/v1/vendors/{id}/staff/{username}", member, remove_staff)
            .summary(
                "Remove an account from the staff of a vendor",
                "Only for the owner, accounts with the permission `vendors:staff`, and the account itself. The account stays the author of the products that it created.",
            )
            .response(StatusCode::NO_CONTENT, "The account is not one of the staff", None)
            .errors(&[StatusCode::FORBIDDEN, StatusCode::CONFLICT]),
    ]
}

async fn list_vendors(cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let page = operations::list_vendors(&cx, params.get("owner"), &PageRequest::read(&params)?).await?;
    Ok(viewer.answer(list(&selection.render_all(&page.items)?, &page)))
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
    if let Some(at) = params.as_of()? {
        let vendor = operations::vendor_as_of(&cx, &id, at).await?;
        return Ok(Answer::raw(selection.render_all(&[vendor])?.concat()));
    }
    let mut vendor = operations::find_vendor(&cx, &id).await?;
    if VENDOR.is_former_name(&id, &vendor.slug) {
        // A copy may be older than the name; caches would keep that.
        vendor = operations::find_vendor(&cx.strong(), &id).await?;
    }
    if VENDOR.is_former_name(&id, &vendor.slug) {
        return Ok(viewer.answer(Answer::renamed(&uri, &vendor.slug)?));
    }
    Ok(viewer.answer(selection.answer(&vendor.document)?))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let vendor = operations::edit_vendor(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&vendor.document))
}

async fn hand_over(
    cx: Context,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(to): Json<Recipient>,
) -> Result<Answer, Problem> {
    let vendor = operations::hand_over_vendor(&cx, &id, &if_match, &to.username).await?;
    Ok(Answer::document(&vendor.document))
}

async fn list_staff(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    list_whole(operations::list_staff(&cx, &id).await?)
}

async fn add_staff(cx: Context, Path((id, username)): Path<(String, String)>) -> Result<Answer, Problem> {
    operations::add_staff(&cx, &id, &username).await?;
    Ok(Answer::no_content())
}

async fn remove_staff(cx: Context, Path((id, username)): Path<(String, String)>) -> Result<Answer, Problem> {
    operations::remove_staff(&cx, &id, &username).await?;
    Ok(Answer::no_content())
}
