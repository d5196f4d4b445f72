//! The handlers for categories: parse, call, answer.
//!
//! **Removal.** A category may go only when nothing is in it, and two commits cannot look at a list and write at once.
//! So it is first *closed*, which changes its version: products and subcategories require the version that they were
//! checked against, so none can come after that, and one list read then tells the truth. A crash in between leaves a
//! closed category, which can be removed again or reopened by any edit.

use souk_core::documents::get_one;
use souk_core::kind::CATEGORY;
use souk_core::{Change, Commit, Condition, Document, Query, StoreError, fact};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Paging, Params, Path, Platform, Problem, Selection,
    State, Viewer, check, list as page_of, rename, view, written,
};

use crate::ATTEMPTS;
use crate::category::{Category, FIELDS, INDEX, NewCategory, children};
use crate::lists;

/// How deep the tree may be.
const MAX_DEPTH: usize = 8;

fn show_one(document: &Document, selection: &Selection) -> Result<Vec<u8>, Problem> {
    let viewed = view(document);
    if selection.is_plain() {
        Ok(viewed)
    } else {
        selection.apply(&viewed, |_| ())
    }
}

pub(crate) async fn list(platform: State, viewer: Viewer, params: Params) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let paging = Paging::read(&params, INDEX)?;
    let query = Query {
        after: paging.after.clone(),
        ..Query::index(INDEX, paging.limit)
    };
    let page = platform.documents.query(&query).await?;
    let items = page
        .items
        .iter()
        .map(|item| show_one(&item.document, &selection))
        .collect::<Result<Vec<_>, _>>()?;
    let next = page.next.map(|sort| paging.cursor(&sort));
    Ok(viewer.answer(page_of(&items, next.as_deref())))
}

pub(crate) async fn show(
    platform: State,
    viewer: Viewer,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, FIELDS, &[])?;
    let document = find(&platform, &id).await?;
    Ok(viewer.answer(Answer::raw(show_one(&document, &selection)?).version(document.version)))
}

async fn find(platform: &Platform, id: &str) -> Result<Document, Problem> {
    CATEGORY
        .find(&*platform.documents, id)
        .await?
        .ok_or_else(|| Problem::not_found("category"))
}

fn taken() -> Problem {
    Problem::conflict("slug_taken", "there is a category of this slug").field("slug", "is taken")
}

/// The category that `parent` names, and the conditions that it and all above it stay as they are: so that two moves at
/// once cannot make a circle of them.
async fn above(platform: &Platform, own: &str, parent: &str) -> Result<(String, Vec<Change>), Problem> {
    let fault = |detail: &str| Problem::invalid().field("parent", detail);
    let first = CATEGORY
        .find(&*platform.documents, parent)
        .await?
        .ok_or_else(|| fault("there is no such category"))?;
    let id = first.parse::<Category>()?.id;
    let mut conditions = Vec::new();
    let mut next = Some(first);
    while let Some(document) = next {
        let category: Category = document.parse()?;
        if category.id == own {
            return Err(fault("would make a circle"));
        }
        if conditions.len() + 1 >= MAX_DEPTH {
            return Err(fault("would make the tree deeper than 8"));
        }
        conditions.push(Change::Require {
            key: document.key,
            condition: Condition::Version(document.version),
        });
        next = match category.parent {
            Some(parent) => get_one(&*platform.documents, CATEGORY.key(&parent)).await?,
            None => None,
        };
    }
    Ok((id, conditions))
}

pub(crate) async fn create(
    platform: State,
    _: Member,
    once: Once,
    Json(new): Json<NewCategory>,
) -> Result<Answer, Problem> {
    let now = platform.now();
    let id = CATEGORY.new_id(&*platform.clock, &*platform.random);
    for _ in 0..ATTEMPTS {
        let (parent, conditions) = match &new.parent {
            Some(parent) => above(&platform, &id, parent)
                .await
                .map(|(id, conditions)| (Some(id), conditions))?,
            None => (None, Vec::new()),
        };
        let category = Category {
            id: id.clone(),
            slug: new
                .slug
                .clone()
                .unwrap_or_else(|| check::slugify(&new.name, "category")),
            name: new.name.trim().to_owned(),
            description: new.description.clone(),
            icon: new.icon.clone(),
            colour: new.colour.clone(),
            parent,
            attributes: new.attributes.clone(),
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        let key = CATEGORY.key(&id);
        let (body, shown) = written(key.clone(), &category, "{}", 1)?;
        let mut changes = vec![
            Change::claim(CATEGORY.name_key(&category.slug), &id),
            Change::create(key, body, category.entries()),
        ];
        changes.extend(conditions);
        let events = vec![once.event(fact::CATEGORY_CREATED, &category.fact(1))?];
        match once
            .commit(changes, events, shown.created(format!("/v1/categories/{id}")))
            .await
        {
            Err(CommitError::Conflict(0)) => return Err(taken()),
            // The parent has changed: look again.
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn edit(
    platform: State,
    _: Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let document = find(&platform, &id).await?;
        let old: Category = document.parse()?;
        precondition.check(document.version)?;
        let input = patch.apply(&old.writable())?;
        let (parent, conditions) = match &input.parent {
            Some(parent) if old.parent.as_ref() == Some(parent) => (old.parent.clone(), Vec::new()),
            Some(parent) => above(&platform, &old.id, parent)
                .await
                .map(|(id, conditions)| (Some(id), conditions))?,
            None => (None, Vec::new()),
        };
        let new = Category {
            slug: input.slug.unwrap_or_else(|| old.slug.clone()),
            name: input.name.trim().to_owned(),
            description: input.description,
            icon: input.icon,
            colour: input.colour,
            parent,
            attributes: input.attributes,
            updated_at: platform.now(),
            closing: false,
            ..old.clone()
        };
        let (body, shown) = written(document.key.clone(), &new, &document.counters, document.version + 1)?;
        let mut changes = vec![Change::replace(
            document.key,
            document.version,
            body,
            &old.entries(),
            new.entries(),
        )];
        let renamed = rename(CATEGORY, &old.slug, &new.slug, &old.id);
        let claims = changes.len()..changes.len() + renamed.len();
        changes.extend(renamed);
        changes.extend(conditions);
        let events = vec![once.event(fact::CATEGORY_UPDATED, &new.fact(document.version + 1))?];
        match once.commit(changes, events, shown).await {
            Err(CommitError::Conflict(0)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(step)) if claims.contains(&step) => return Err(taken()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn delete(
    platform: State,
    _: Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
) -> Result<Answer, Problem> {
    let store = &*platform.documents;
    let document = find(&platform, &id).await?;
    precondition.check(document.version)?;
    let category: Category = document.parse()?;
    let key = document.key;

    let set = |closing: bool, version: u64| -> Result<Change, Problem> {
        let category = Category {
            closing,
            ..category.clone()
        };
        let (body, _) = written(key.clone(), &category, "{}", version)?;
        let entries = category.entries();
        Ok(Change::replace(key.clone(), version, body, &entries, entries.clone()))
    };
    store.commit(Commit::new(vec![set(true, document.version)?])).await?;
    let closed = document.version + 1;

    let mut lists = vec![children(&category.id)];
    lists.extend(lists::every_list_of_category(&category.id));
    for list in lists {
        if !store.query(&Query::index(list, 1)).await?.items.is_empty() {
            store.commit(Commit::new(vec![set(false, closed)?])).await?;
            let detail = "there are products in it or categories below it";
            return Err(Problem::conflict("not_empty", detail));
        }
    }
    let name = Change::Delete {
        key: CATEGORY.name_key(&category.slug),
        condition: Condition::Exists,
        stale: Vec::new(),
    };
    let condition = Condition::Version(closed);
    let gone = Change::Delete {
        key: key.clone(),
        condition,
        stale: category.entries(),
    };
    let events = vec![once.event(fact::CATEGORY_DELETED, &category.fact(closed))?];
    Ok(once.commit(vec![gone, name], events, Answer::no_content()).await?)
}
