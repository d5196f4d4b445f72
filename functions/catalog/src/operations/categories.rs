//! Operations on categories.
//!
//! **Deletion.** Only an empty category may be deleted, but a commit cannot have a condition on a list. So the category
//! is first *closed*, which changes its version: adding a product or a child category requires the version of the
//! category that was validated, so no more can be added, and the lists that are read after that are final. A crash in
//! between leaves a closed category; deleting it again completes the deletion, and any edit reopens the category.

use souk_core::{Document, Query, check};
use souk_kit::{Context, Failure, Fault, IfMatch, MergePatch, PageRequest, SortedPage, Stored, Transaction};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Category, INDEX, MAX_DEPTH, children};
use souk_model::catalog::events::{CATEGORY_CREATED, CATEGORY_DELETED, CATEGORY_UPDATED, CategoryEvent};
use souk_model::catalog::lists::every_list_of_category;

use super::tree::below;
use crate::CatalogError;
use crate::category::{NewCategory, TREE};

/// A page of all categories, by slug.
pub async fn list_categories(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    cx.list(Query::index(INDEX, page.limit), page, INDEX).await
}

/// The category with this id or slug.
pub async fn find_category(cx: &Context, id: &str) -> Result<Stored<Category>, Failure> {
    let document = cx.find(CATEGORY, id).await?.ok_or(Failure::NotFound("category"))?;
    Ok(Stored::read(document)?)
}

/// The id of the category `parent` of the category `own`, which has `height` levels below it. Adds the condition that the
/// parent and all its ancestors are unchanged, so that two concurrent moves cannot create a cycle.
async fn find_parent(
    tx: &Transaction<CatalogError>,
    own: &str,
    height: usize,
    parent: &str,
) -> Result<String, CatalogError> {
    let fault = |fault: Fault| CatalogError::from(Failure::invalid("parent", fault));
    let first = tx.find(CATEGORY, parent).await?;
    let first = first.ok_or_else(|| fault(Fault::not_found("category")))?;
    let (mut next, mut id, mut depth) = (Some(first), None, 1 + height);
    while let Some(document) = next {
        let category: Category = document.parse().map_err(Failure::from)?;
        if category.id == own {
            return Err(fault(Fault::invalid("would make a circle")));
        }
        if category.closing {
            return Err(CatalogError::CategoryClosing);
        }
        depth += 1;
        if depth > 2 * MAX_DEPTH {
            break;
        }
        tx.require(&document).or_retry();
        next = match category.parent {
            Some(parent) => tx.get(CATEGORY.key(&parent)).await?,
            None => None,
        };
        id.get_or_insert(category.id);
    }
    if depth > MAX_DEPTH {
        return Err(fault(Fault::invalid(format!(
            "would make the tree deeper than {MAX_DEPTH}"
        ))));
    }
    Ok(id.unwrap_or_default())
}

/// Adds a category.
pub async fn create_category(cx: &Context, new: NewCategory) -> Result<Stored<Category>, CatalogError> {
    let new = &new;
    cx.commit(|tx| async move {
        let (id, now) = (tx.new_id(CATEGORY), tx.now());
        let parent = match &new.parent {
            Some(parent) => Some(find_parent(&tx, &id, 0, parent).await?),
            None => None,
        };
        let slug = match &new.slug {
            Some(slug) => slug.clone(),
            None => match check::slugify(&new.name, "category") {
                slug if slug != TREE && !tx.is_retry() => slug,
                _ => check::unique_slug(&new.name, "category", &id),
            },
        };
        let category = Category {
            id,
            slug,
            name: new.name.trim().to_owned(),
            description: new.description.clone(),
            icon: new.icon.clone(),
            color: new.color.clone(),
            parent,
            attributes: new.attributes.clone(),
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        let claim = tx.claim(CATEGORY.name_key(&category.slug), &category.id);
        match new.slug {
            Some(_) => claim.or_fail(CatalogError::SlugTaken),
            None => claim.or_retry(),
        }
        tx.emit(CATEGORY_CREATED, &category.event(1));
        let entries = category.entries();
        Ok(tx
            .create(CATEGORY.key(&category.id), category)
            .entries(entries)
            .or_retry())
    })
    .await
}

/// Changes a category. Existing products are validated against the new attributes when they next change.
pub async fn edit_category(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Category>, CatalogError> {
    cx.commit(|tx| async move {
        let old = find_category(&tx, id).await?;
        if_match.check(old.version())?;
        let input: NewCategory = patch.apply(&NewCategory::of(&old))?;
        let parent = match &input.parent {
            Some(parent) if old.parent.as_ref() == Some(parent) => old.parent.clone(),
            Some(parent) => {
                let height = below(&tx, &old.id).await?.len();
                Some(find_parent(&tx, &old.id, height, parent).await?)
            }
            None => None,
        };
        let new = Category {
            slug: input.slug.unwrap_or_else(|| old.slug.clone()),
            name: input.name.trim().to_owned(),
            description: input.description,
            icon: input.icon,
            color: input.color,
            parent,
            attributes: input.attributes,
            updated_at: tx.now(),
            closing: false,
            ..old.value.clone()
        };
        let mut changed = old.changed_fields(&new)?;
        if changed.is_empty() {
            return Ok(tx.unchanged(old));
        }
        // Nobody sees that it reopens.
        changed.retain(|field| field != "closing");
        let taken = CatalogError::SlugTaken;
        tx.rename(CATEGORY, &old.slug, &new.slug, &old.id, taken).await?;
        let event = new.event(old.version() + 1);
        tx.emit(CATEGORY_UPDATED, &CategoryEvent { changed, ..event });
        let entries = new.entries();
        Ok(tx
            .update(&old.document, new)
            .moved(&old.entries(), entries)
            .or_precondition(if_match))
    })
    .await
}

/// How often a deletion begins again because the category was edited meanwhile.
const DELETION_ATTEMPTS: usize = 10;

/// Deletes a category that has no products and no children.
pub async fn delete_category(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), CatalogError> {
    for _ in 1..DELETION_ATTEMPTS {
        match try_delete(cx, id, if_match).await {
            Err(CatalogError::Failure(Failure::Contention)) => {}
            result => return result,
        }
    }
    try_delete(cx, id, if_match).await
}

/// Closes the category, makes sure that it is empty, and deletes it, unless somebody edits it in between.
async fn try_delete(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), CatalogError> {
    let open = find_category(cx, id).await?;
    if_match.check(open.version())?;
    // Closing changes the version, so a category that is in use is refused before.
    if !is_empty(cx, &open.id).await? {
        return Err(CatalogError::CategoryNotEmpty);
    }
    let closed = &set_closing(cx, &open, true).await?;
    if !is_empty(cx, &closed.id).await? {
        set_closing(cx, closed, false).await?;
        return Err(CatalogError::CategoryNotEmpty);
    }
    cx.commit(|tx| async move {
        tx.release_former_names(CATEGORY, &closed.id).await?;
        tx.release(CATEGORY.name_key(&closed.slug))
            .or_fail(Failure::Contention.into());
        tx.emit(CATEGORY_DELETED, &closed.event(closed.version()));
        tx.delete(&closed.document, closed.entries())
            .or_fail(Failure::Contention.into());
        Ok(())
    })
    .await
}

/// Whether a category has neither products nor children.
async fn is_empty(cx: &Context, id: &str) -> Result<bool, Failure> {
    for list in std::iter::once(children(id)).chain(every_list_of_category(id)) {
        if !cx.query(&Query::index(list, 1)).await?.items.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Closes or reopens a category that is still at the version that was read.
async fn set_closing(cx: &Context, old: &Stored<Category>, closing: bool) -> Result<Stored<Category>, CatalogError> {
    cx.commit(|tx| async move {
        let new = Category {
            closing,
            ..old.value.clone()
        };
        Ok(tx.update(&old.document, new).or_fail(Failure::Contention.into()))
    })
    .await
}
