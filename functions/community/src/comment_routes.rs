//! The handlers of comments: parse, call, answer.
//!
//! A comment is one commit of itself, its event and the condition that what it replies to is still as it was read: so
//! nothing is ever below a comment that is not there, nor new below one that was taken back. The product is looked at and
//! not held: what is written while it is removed goes with it (see [`crate::removal`]).

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};
use souk_core::documents::get_one;
use souk_core::fact::{COMMENT_CREATED, COMMENT_DELETED, COMMENT_EDITED, CommentFact};
use souk_core::kind::{ACCOUNT, COMMENT};
use souk_core::{Change, Condition, Document, Query, StoreError};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Paging, Params, Path, Platform, Problem, Selection,
    State, Viewer, list as page_of, list_documents, profile, view, written,
};

use crate::comment::{Comment, CommentText, FIELDS, MAX_DEPTH, NewComment, index, path};
use crate::{ATTEMPTS, product};

const INCLUDES: &[&str] = &["author"];

fn none() -> Problem {
    Problem::not_found("comment")
}

async fn find(platform: &Platform, id: &str) -> Result<(Document, Comment), Problem> {
    if !COMMENT.is_id(id) {
        return Err(none());
    }
    let document = get_one(&*platform.documents, COMMENT.key(id)).await?.ok_or_else(none)?;
    let comment = document.parse()?;
    Ok((document, comment))
}

pub(crate) async fn list(
    platform: State,
    viewer: Viewer,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let product = product::visible(&platform, &id, &viewer).await?.id;
    let index = index(&product);
    let paging = Paging::read(&params, &index)?;
    let query = Query {
        after: paging.after.clone(),
        ..Query::index(index, paging.limit)
    };
    let page = platform.documents.query(&query).await?;
    let next = page.next.map(|sort| paging.cursor(&sort));
    let documents: Vec<Document> = page.items.into_iter().map(|item| item.document).collect();
    let answer = if selection.is_plain() {
        list_documents(&documents, next.as_deref())
    } else {
        page_of(&show_all(&platform, &documents, &selection).await?, next.as_deref())
    };
    Ok(viewer.answer(answer))
}

pub(crate) async fn show(
    platform: State,
    viewer: Viewer,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let (document, comment) = find(&platform, &id).await?;
    visible(&platform, &comment, &viewer).await?;
    let version = document.version;
    let shown = show_all(&platform, &[document], &selection).await?.pop();
    Ok(viewer.answer(Answer::raw(shown.unwrap_or_default()).version(version)))
}

/// Refuses who may not see the product: they may not see what is said of it either.
async fn visible(platform: &Platform, comment: &Comment, viewer: &Viewer) -> Result<(), Problem> {
    match product::visible(platform, &comment.product, viewer).await {
        Err(problem) if problem.status == http::StatusCode::NOT_FOUND => Err(none()),
        found => found.map(drop),
    }
}

/// What is said to those who may not change a comment: that they may not, or nothing of it if they may not see it.
async fn refusal(platform: &Platform, comment: &Comment, viewer: &Viewer, why: &str) -> Problem {
    match visible(platform, comment, viewer).await {
        Ok(()) => Problem::forbidden(why),
        Err(problem) => problem,
    }
}

/// Comments as clients see them, with their authors if asked for: one batched get for all of them.
async fn show_all(platform: &Platform, documents: &[Document], selection: &Selection) -> Result<Vec<Vec<u8>>, Problem> {
    if selection.is_plain() {
        return Ok(documents.iter().map(view).collect());
    }
    let mut authors: HashMap<String, Map<String, Value>> = HashMap::new();
    if selection.includes("author") {
        let comments = documents.iter().map(Document::parse::<Comment>);
        let comments: Vec<Comment> = comments.collect::<Result<_, _>>()?;
        let ids: BTreeSet<String> = comments.into_iter().filter_map(|comment| comment.author).collect();
        let keys: Vec<_> = ids.iter().map(|id| ACCOUNT.key(id)).collect();
        for (id, account) in ids.into_iter().zip(platform.documents.get(&keys).await?) {
            if let Some(account) = account {
                authors.insert(id, profile(&account)?);
            }
        }
    }
    let show = |document: &Document| {
        selection.apply(&view(document), |comment| {
            let author = comment.get("author").and_then(Value::as_str);
            if let Some(author) = author.and_then(|id| authors.get(id)) {
                comment.insert("author".into(), Value::Object(author.clone()));
            }
        })
    };
    documents.iter().map(show).collect()
}

/// What it takes to stand below the comment `id`: its depth and path, and the condition that it stays as it is.
async fn above(platform: &Platform, product: &str, id: &str) -> Result<(u32, String, Change), Problem> {
    let refuse = |why: &str| Problem::invalid().field("parent", why);
    let found = match find(platform, id).await {
        Err(problem) if problem.status == http::StatusCode::NOT_FOUND => None,
        found => Some(found?),
    };
    let found = found.filter(|(_, parent)| parent.product == product);
    let (document, parent) = found.ok_or_else(|| refuse("this product has no such comment"))?;
    if parent.deleted {
        return Err(refuse("was taken back"));
    }
    if parent.depth >= MAX_DEPTH {
        return Err(refuse("is as deep as replies go"));
    }
    let condition = Change::Require {
        key: document.key,
        condition: Condition::Version(document.version),
    };
    Ok((parent.depth + 1, parent.path, condition))
}

pub(crate) async fn create(
    platform: State,
    viewer: Viewer,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
    Json(new): Json<NewComment>,
) -> Result<Answer, Problem> {
    let product = product::visible(&platform, &id, &viewer).await?.id;
    let id = COMMENT.new_id(&*platform.clock, &*platform.random);
    for _ in 0..ATTEMPTS {
        let above = match &new.parent {
            Some(parent) => Some(above(&platform, &product, parent).await?),
            None => None,
        };
        let (depth, over, condition) = above.map_or((0, None, None), |(depth, path, condition)| {
            (depth, Some(path), Some(condition))
        });
        let comment = Comment {
            id: id.clone(),
            product: product.clone(),
            author: Some(principal.account.clone()),
            parent: new.parent.clone(),
            depth,
            path: path(over.as_deref(), &id),
            body: Some(new.body.clone()),
            deleted: false,
            created_at: platform.now(),
            edited_at: None,
            version: 1,
        };
        let key = COMMENT.key(&id);
        let (body, shown) = written(key.clone(), &comment, "{}", 1)?;
        let mut changes = vec![Change::create(key, body, comment.entries())];
        changes.extend(condition);
        let events = vec![once.event(COMMENT_CREATED, &fact(&comment, &principal.account))?];
        let shown = shown.created(format!("/v1/comments/{id}"));
        match once.commit(changes, events, shown).await {
            // What it replies to has changed: look again.
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

fn fact(comment: &Comment, author: &str) -> CommentFact {
    CommentFact {
        comment: comment.id.clone(),
        product: comment.product.clone(),
        author: author.to_owned(),
        parent: comment.parent.clone(),
        created_at: comment.created_at,
    }
}

pub(crate) async fn edit(
    platform: State,
    viewer: Viewer,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, old) = find(&platform, &id).await?;
        let (Some(author), Some(text)) = (&old.author, &old.body) else {
            return Err(Problem::conflict("comment_deleted", "this comment was taken back"));
        };
        if !principal.may_edit(author) {
            return Err(refusal(&platform, &old, &viewer, "only its author may change a comment").await);
        }
        precondition.check(document.version)?;
        let CommentText { body } = patch.apply(&CommentText { body: text.clone() })?;
        let new = Comment {
            body: Some(body),
            edited_at: Some(platform.now()),
            ..old.clone()
        };
        let version = document.version + 1;
        let (body, shown) = written(document.key.clone(), &new, "{}", version)?;
        let change = Change::replace(document.key, document.version, body, &old.entries(), new.entries());
        let events = vec![once.event(COMMENT_EDITED, &fact(&new, author))?];
        match once.commit(vec![change], events, shown).await {
            Err(CommitError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn delete(
    platform: State,
    viewer: Viewer,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, old) = find(&platform, &id).await?;
        let Some(author) = &old.author else {
            // It was taken back already, by this very request perhaps.
            return Ok(Answer::no_content());
        };
        if !principal.may_edit(author) {
            return Err(refusal(&platform, &old, &viewer, "only its author may take a comment back").await);
        }
        precondition.check(document.version)?;
        let new = old.tombstone();
        let body = serde_json::to_string(&new).map_err(|e| Problem::internal(e.to_string()))?;
        let change = Change::replace(document.key, document.version, body, &old.entries(), new.entries());
        let events = vec![once.event(COMMENT_DELETED, &fact(&old, author))?];
        match once.commit(vec![change], events, Answer::no_content()).await {
            Err(CommitError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}
