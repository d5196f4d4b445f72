//! The routes of comments.

use http::{Method, StatusCode};
use souk_kit::http::{Access, Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, Selection, Viewer, list};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};

use super::MEMBER;
use crate::comment::{Comment, CommentText, FIELDS, INCLUDES, NewComment, REFERENCES};
use crate::operations;

const INCLUDE: Param = Param {
    name: "include",
    summary: "Expand these ids to objects: `author`.",
    schema: r#"{"type":"array","items":{"type":"string","enum":["author"]}}"#,
};
/// The maximum body size: room for 4,000 characters, even if each is escaped as a surrogate pair.
const MAX_BODY: usize = 64 * 1024;

pub(super) fn routes() -> Vec<Route> {
    let comment = || Some(Schema::of::<Comment>());
    vec![
        Route::new(
            "listComments",
            Method::GET,
            "/v1/products/{id}/comments",
            Access::Public,
            list_comments,
        )
        .summary(
            "List the comments on a product",
            "Each comment is followed by its replies, oldest first; `parent` and `depth` give the tree.",
        )
        .params(&[Param::LIMIT, Param::CURSOR, Param::FIELDS, INCLUDE])
        .cached(10, 60)
        .response(StatusCode::OK, "A page of comments", Some(Schema::list_of::<Comment>())),
        Route::new(
            "createComment",
            Method::POST,
            "/v1/products/{id}/comments",
            MEMBER,
            create,
        )
        .summary(
            "Comment on a product",
            "With `parent`, reply to a comment on the product.",
        )
        .body(Schema::of::<NewComment>(), MAX_BODY)
        .response(StatusCode::CREATED, "The comment", comment())
        .errors(&[StatusCode::CONFLICT]),
        Route::new("getComment", Method::GET, "/v1/comments/{id}", Access::Public, show)
            .summary("Get a comment", "A deleted comment has neither author nor body.")
            .params(&[Param::FIELDS, INCLUDE])
            .cached(10, 60)
            .response(StatusCode::OK, "The comment", comment()),
        Route::new("updateComment", Method::PATCH, "/v1/comments/{id}", MEMBER, edit)
            .summary("Update a comment", "Only for its author and accounts with the permission `comments:write`.")
            .body(Schema::patch_of::<CommentText>("UpdateComment"), MAX_BODY)
            .response(StatusCode::OK, "The comment", comment())
            .errors(&[StatusCode::FORBIDDEN]),
        Route::new("deleteComment", Method::DELETE, "/v1/comments/{id}", MEMBER, delete)
            .summary(
                "Delete a comment",
                "Only for its author and accounts with the permission `comments:write`. The comment stays in its thread for its replies, without author \
                 and text.",
            )
            .response(StatusCode::NO_CONTENT, "The comment was deleted", None)
            .errors(&[
                StatusCode::FORBIDDEN,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ]),
    ]
}

async fn list_comments(
    cx: Context,
    viewer: Viewer,
    Path(id): Path<String>,
    params: QueryParams,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let page = operations::list_comments(&cx, &id, &PageRequest::read(&params)?).await?;
    let items = selection.render_with(&cx, &page.items, REFERENCES).await?;
    Ok(viewer.answer(list(&items, &page)))
}

async fn create(cx: Context, Path(id): Path<String>, Json(new): Json<NewComment>) -> Result<Answer, Problem> {
    let comment = operations::create_comment(&cx, &id, new).await?;
    Ok(Answer::document(&comment.document).created(format!("/v1/comments/{}", comment.id)))
}

async fn show(cx: Context, viewer: Viewer, Path(id): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let comment = operations::find_comment(&cx, &id).await?.document;
    let version = comment.version;
    let shown = selection.render_with(&cx, &[comment], REFERENCES).await?;
    Ok(viewer.answer(Answer::raw(shown.concat()).version(version)))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let comment = operations::edit_comment(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&comment.document))
}

async fn delete(cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    operations::delete_comment(&cx, &id, &if_match).await?;
    Ok(Answer::no_content())
}
