//! The routes of what an account has done.

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use souk_core::Timestamp;
use souk_kit::http::{Answer, Param, Problem, QueryParams, Route, Schema, Selection, list, public_fields};
use souk_kit::{Context, Failure, PageRequest, SortedPage};
use souk_model::catalog::product::Product;
use souk_model::vendors::VENDOR;
use utoipa::openapi::Ref;

use super::MEMBER;
use super::products::{PARAMS, selection, shown};
use crate::comment::{self, Comment};
use crate::operations::{self, Followed};

/// A follow, with the account or vendor at its other end.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Follow {
    /// A follow of or by an account.
    Account {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// The profile of the account.
        #[schema(schema_with = profile)]
        account: Map<String, Value>,
    },
    /// A follow of a vendor.
    Vendor {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// The vendor.
        #[schema(schema_with = vendor)]
        vendor: Map<String, Value>,
    },
}

fn profile() -> Ref {
    Ref::from_schema_name("Profile")
}

fn vendor() -> Ref {
    Ref::from_schema_name("Vendor")
}

/// What is said of lists that may leave something out.
macro_rules! continues {
    ($about:literal) => {
        concat!(
            $about,
            " A page may have fewer items than `limit`, even none, before the end: continue as long as there is a `next_cursor`."
        )
    };
}

pub(super) fn routes() -> [Route; 5] {
    let products = || Some(Schema::list_of::<Product>());
    let follows = || Some(Schema::list_of::<Follow>());
    [
        Route::new("listMyUpvotes", Method::GET, "/v1/me/upvotes", MEMBER, upvotes)
            .summary(
                "List the products I upvoted",
                continues!(
                    "The latest upvote first, without `variants` unless `fields` names them. Products that are not public any \
                     more are left out, but counted in `total`."
                ),
            )
            .params(PARAMS)
            .response(StatusCode::OK, "A page of products", products()),
        Route::new("listMySaves", Method::GET, "/v1/me/saves", MEMBER, saves)
            .summary(
                "List my wishlist",
                continues!(
                    "The latest saved product first, without `variants` unless `fields` names them. Products that are not \
                     public any more are left out, but counted in `total`. Nobody else sees it."
                ),
            )
            .params(PARAMS)
            .response(StatusCode::OK, "A page of products", products()),
        Route::new("listMyFollows", Method::GET, "/v1/me/follows", MEMBER, follows_of_mine)
            .summary(
                "List the accounts and vendors I follow",
                continues!("The latest follow first. Accounts that are not active are left out, but counted in `total`."),
            )
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of follows", follows()),
        Route::new("listMyFollowers", Method::GET, "/v1/me/followers", MEMBER, followers)
            .summary(
                "List my followers",
                continues!("The latest follow first. Accounts that are not active are left out, but counted in `total`."),
            )
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of follows", follows()),
        Route::new("listMyComments", Method::GET, "/v1/me/comments", MEMBER, comments)
            .summary("List my comments", "The latest comment first, without those that were deleted.")
            .params(&[Param::LIMIT, Param::CURSOR, Param::FIELDS])
            .response(StatusCode::OK, "A page of comments", Some(Schema::list_of::<Comment>())),
    ]
}

async fn upvotes(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = selection(&params)?;
    let page = operations::list_upvoted(&cx, &PageRequest::read(&params)?).await?;
    shown(&cx, &selection, page).await
}

async fn saves(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = selection(&params)?;
    let page = operations::list_saved(&cx, &PageRequest::read(&params)?).await?;
    shown(&cx, &selection, page).await
}

async fn follows_of_mine(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    follows(&operations::list_followed(&cx, &PageRequest::read(&params)?).await?)
}

async fn followers(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    follows(&operations::list_followers(&cx, &PageRequest::read(&params)?).await?)
}

fn follows(page: &SortedPage<Followed>) -> Result<Answer, Problem> {
    let follow = |Followed { kind, since, document }: &Followed| -> Result<Vec<u8>, Problem> {
        let (since, shown) = (*since, public_fields(*kind, document).map_err(Failure::from)?);
        let follow = if *kind == VENDOR {
            Follow::Vendor { since, vendor: shown }
        } else {
            Follow::Account { since, account: shown }
        };
        Ok(serde_json::to_vec(&follow)?)
    };
    let items: Vec<Vec<u8>> = page.items.iter().map(follow).collect::<Result<_, _>>()?;
    Ok(list(&items, page))
}

async fn comments(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, comment::FIELDS, &[])?;
    let page = operations::list_own_comments(&cx, &PageRequest::read(&params)?).await?;
    Ok(list(&selection.render_all(&page.items)?, &page))
}
