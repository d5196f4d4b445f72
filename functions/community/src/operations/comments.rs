//! Operations on comments.
//!
//! **Atomicity.** A reply is one commit of the comment, its event and the condition that its parent is still at the
//! version that was read. So there is never a reply to a comment that does not exist, nor a new reply to a deleted
//! comment. The commit has no condition on the product: the job `removal` also deletes a comment that is written while
//! the product is being deleted.

use souk_core::{Document, Fault, Query};
use souk_kit::{Context, Failure, IfMatch, MergePatch, PageRequest, SortedPage, Stored};
use souk_model::community::{COMMENT, COMMENT_CREATED, COMMENT_DELETED, COMMENT_EDITED};

use super::visible_product;
use crate::comment::{Comment, CommentText, MAX_DEPTH, NewComment, index, path};
use crate::error::CommentError;
use crate::permissions::COMMENTS_WRITE;

/// A page of the comments on a product, in the order of their threads.
pub async fn list_comments(cx: &Context, product: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let index = index(&visible_product(cx, product).await?.id);
    cx.list(Query::index(&*index, page.limit), page, &index).await
}

/// The comment with this id, if the principal may see its product.
pub async fn find_comment(cx: &Context, id: &str) -> Result<Stored<Comment>, Failure> {
    let comment = read(cx, id).await?.ok_or(NO_COMMENT)?;
    require_visible(cx, &comment).await?;
    Ok(comment)
}

const NO_COMMENT: Failure = Failure::NotFound("comment");

async fn read(cx: &Context, id: &str) -> Result<Option<Stored<Comment>>, Failure> {
    if !COMMENT.is_id(id) {
        return Ok(None);
    }
    cx.read(COMMENT.key(id)).await
}

/// Fails unless the principal may see the product of the comment.
async fn require_visible(cx: &Context, comment: &Comment) -> Result<(), Failure> {
    match visible_product(cx, &comment.product).await {
        Err(Failure::NotFound(_)) => Err(NO_COMMENT),
        found => found.map(drop),
    }
}

/// Fails unless the principal is the author or may change comments of others: with "forbidden" if the principal may see the comment, else
/// with "not found".
async fn require_editor(cx: &Context, comment: &Comment, author: &str, refusal: &str) -> Result<(), Failure> {
    if cx.may_for(author, &COMMENTS_WRITE) {
        return Ok(());
    }
    require_visible(cx, comment).await?;
    Err(Failure::forbidden(refusal))
}

/// The comment on `product` to reply to.
async fn parent(cx: &Context, product: &str, id: &str) -> Result<Stored<Comment>, Failure> {
    let refuse = |fault: Fault| Failure::invalid("parent", fault);
    let found = read(cx, id).await?.filter(|parent| parent.product == product);
    let parent =
        found.ok_or_else(|| refuse(Fault::not_found("comment").because("this product has no such comment")))?;
    if parent.deleted {
        return Err(refuse(Fault::not_found("comment").because("was deleted")));
    }
    if parent.depth >= MAX_DEPTH {
        return Err(refuse(Fault::invalid("is at the greatest depth of replies")));
    }
    Ok(parent)
}

/// Comments on a product, or replies to a comment on it.
pub async fn create_comment(cx: &Context, product: &str, new: NewComment) -> Result<Stored<Comment>, Failure> {
    let author = &cx.signed_in()?.account;
    let new = &new;
    cx.commit(|tx| async move {
        let product = visible_product(&tx, product).await?.id;
        let parent = match &new.parent {
            Some(id) => Some(parent(&tx, &product, id).await?),
            None => None,
        };
        if let Some(parent) = &parent {
            tx.require(&parent.document).or_retry();
        }
        let id = tx.new_id(COMMENT);
        let comment = Comment {
            product,
            author: Some(author.clone()),
            parent: new.parent.clone(),
            depth: parent.as_ref().map_or(0, |parent| parent.depth + 1),
            path: path(parent.as_ref().map(|parent| &*parent.path), &id),
            body: Some(new.body.clone()),
            deleted: false,
            created_at: tx.now(),
            edited_at: None,
            version: 1,
            id,
        };
        tx.emit(COMMENT_CREATED, &comment.event(author));
        let entries = comment.entries();
        Ok(tx.create(COMMENT.key(&comment.id), comment).entries(entries).or_retry())
    })
    .await
}

/// Changes the text of a comment; its author and accounts with the permission `comments:write` may.
pub async fn edit_comment(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Comment>, CommentError> {
    cx.commit(|tx| async move {
        let old = read(&tx, id).await?.ok_or(NO_COMMENT)?;
        let (Some(author), Some(body)) = (&old.author, &old.body) else {
            require_visible(&tx, &old).await?;
            return Err(CommentError::Deleted);
        };
        require_editor(&tx, &old, author, "only its author may change a comment").await?;
        if_match.check(old.version())?;
        let text = patch.apply(&CommentText { body: body.clone() })?;
        let new = Comment {
            body: Some(text.body),
            edited_at: Some(tx.now()),
            ..old.value.clone()
        };
        if old.changed_fields(&new)?.is_empty() {
            return Ok(tx.unchanged(old));
        }
        tx.emit(COMMENT_EDITED, &new.event(author));
        // All of them, because comments of earlier versions lack one.
        let entries = new.entries();
        Ok(tx.update(&old.document, new).entries(entries).or_precondition(if_match))
    })
    .await
}

/// Deletes a comment, unless it is deleted already; its author and accounts with the permission `comments:write` may. Its replies stay.
pub async fn delete_comment(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        let old = read(&tx, id).await?.ok_or(NO_COMMENT)?;
        let Some(author) = &old.author else {
            return require_visible(&tx, &old).await;
        };
        require_editor(&tx, &old, author, "only its author may delete a comment").await?;
        if_match.check(old.version())?;
        let new = old.tombstone();
        tx.emit(COMMENT_DELETED, &old.event(author));
        let entries = new.entries();
        tx.update(&old.document, new)
            .moved(&old.entries(), entries)
            .or_precondition(if_match);
        Ok(())
    })
    .await
}
