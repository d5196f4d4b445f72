//! The handlers: parse, call, answer.

use souk_core::kind::VENDOR;
use souk_core::{Change, Document, Query, StoreError, fact};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Paging, Params, Path, Problem, Selection, State,
    Viewer, check, list as page_of, view,
};

use crate::vendor::{FIELDS, INDEX, NewVendor, Vendor};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;

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

async fn find(platform: &State, id: &str) -> Result<Document, Problem> {
    VENDOR
        .find(&*platform.documents, id)
        .await?
        .ok_or_else(|| Problem::not_found("vendor"))
}

pub(crate) async fn create(
    platform: State,
    Member(principal): Member,
    once: Once,
    Json(new): Json<NewVendor>,
) -> Result<Answer, Problem> {
    let now = platform.now();
    let vendor = Vendor {
        id: VENDOR.new_id(&*platform.clock, &*platform.random),
        slug: new.slug.unwrap_or_else(|| check::slugify(&new.name, "vendor")),
        name: new.name.trim().to_owned(),
        description: new.description,
        owner: principal.account,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let (body, shown) = written(&vendor, 1)?;
    let changes = vec![
        Change::claim(VENDOR.name_key(&vendor.slug), &vendor.id),
        Change::create(VENDOR.key(&vendor.id), body, vendor.entries()),
    ];
    let events = vec![once.event(fact::VENDOR_CREATED, &vendor.fact(1))?];
    match once
        .commit(changes, events, shown.created(format!("/v1/vendors/{}", vendor.id)))
        .await
    {
        Err(CommitError::Conflict(0)) => Err(taken()),
        result => Ok(result?),
    }
}

pub(crate) async fn edit(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let document = find(&platform, &id).await?;
        let old: Vendor = document.parse()?;
        if !principal.may_edit(&old.owner) {
            return Err(Problem::forbidden("only its owner may change a vendor"));
        }
        precondition.check(document.version)?;
        let input = patch.apply(&old.writable())?;
        let new = Vendor {
            slug: input.slug.unwrap_or_else(|| old.slug.clone()),
            name: input.name.trim().to_owned(),
            description: input.description,
            updated_at: platform.now(),
            ..old.clone()
        };
        let (body, shown) = written(&new, document.version + 1)?;
        let key = VENDOR.key(&old.id);
        let mut changes = vec![Change::replace(
            key,
            document.version,
            body,
            &old.entries(),
            new.entries(),
        )];
        changes.extend(souk_kit::rename(VENDOR, &old.slug, &new.slug, &old.id));
        let events = vec![once.event(fact::VENDOR_UPDATED, &new.fact(document.version + 1))?];
        match once.commit(changes, events, shown).await {
            Err(CommitError::Conflict(0)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(0)) => {}
            Err(CommitError::Conflict(_)) => return Err(taken()),
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

fn taken() -> Problem {
    Problem::conflict("slug_taken", "there is a vendor of this slug").field("slug", "is taken")
}

/// The body to store, and the answer that shows it.
fn written(vendor: &Vendor, version: u64) -> Result<(String, Answer), Problem> {
    souk_kit::written(VENDOR.key(&vendor.id), vendor, "{}", version)
}
