//! The handlers for one product: parse, call, answer.

use souk_core::access::VendorAccess;
use souk_core::kind::{CATEGORY, PRODUCT, VENDOR};
use souk_core::{Change, Condition, Document, Principal, StoreError, fact, id};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Params, Path, Platform, Problem, State, Viewer,
    check, written,
};

use crate::ATTEMPTS;
use crate::category::Category;
use crate::listing;
use crate::product::{COUNTERS, NewProduct, Origin, Product, Visibility, sku_key, status_of};
use crate::status::Status;

/// The product, if `viewer` may see it. What they may not see is not there.
async fn find(platform: &Platform, id: &str, may_edit: impl Fn(&str) -> bool) -> Result<Document, Problem> {
    let none = || Problem::not_found("product");
    let document = PRODUCT.find(&*platform.documents, id).await?.ok_or_else(none)?;
    if status_of(&document)?.is_public() || may_edit(&document.parse::<Visibility>()?.author) {
        Ok(document)
    } else {
        Err(none())
    }
}

/// The product, if `principal` may change it.
async fn find_own(platform: &Platform, id: &str, principal: &Principal) -> Result<(Document, Product), Problem> {
    let document = find(platform, id, |author| principal.may_edit(author)).await?;
    let product: Product = document.parse()?;
    if principal.may_edit(&product.author) {
        Ok((document, product))
    } else {
        Err(Problem::forbidden("only its author may change a product"))
    }
}

pub(crate) async fn show(
    platform: State,
    viewer: Viewer,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let selection = listing::selection(&params)?;
    let document = find(&platform, &id, |author| viewer.may_edit(author)).await?;
    let version = document.version;
    let shown = listing::show_all(&platform, &[document], &selection)
        .await?
        .pop()
        .unwrap_or_default();
    Ok(viewer.answer(Answer::raw(shown).version(version)))
}

/// What a product stands on: looked up, checked, and required to stay as it is.
struct Ground {
    category: String,
    vendor: Option<String>,
    conditions: Vec<Change>,
}

/// Looks up the category and the vendor of `new`, and holds it to the category's attributes.
async fn ground(platform: &Platform, new: &NewProduct, principal: &Principal) -> Result<Ground, Problem> {
    let store = &*platform.documents;
    let unknown = |field: &str| Problem::invalid().field(field, format!("there is no such {field}"));
    let document = CATEGORY
        .find(store, &new.category)
        .await?
        .ok_or_else(|| unknown("category"))?;
    let category: Category = document.parse()?;
    if category.closing {
        let detail = "this category is being removed; try again in a moment";
        return Err(Problem::conflict("category_closing", detail).field("category", detail));
    }
    let faults = category.faults(&new.attributes);
    if !faults.is_empty() {
        return Err(faults.into_iter().fold(Problem::invalid(), |problem, fault| {
            problem.field(fault.field, fault.detail)
        }));
    }
    let require = |document: &Document| Change::Require {
        key: document.key.clone(),
        condition: Condition::Version(document.version),
    };
    let mut ground = Ground {
        category: category.id,
        vendor: None,
        conditions: vec![require(&document)],
    };
    if let Some(vendor) = &new.vendor {
        let document = VENDOR.find(store, vendor).await?.ok_or_else(|| unknown("vendor"))?;
        let VendorAccess { owner } = document.parse()?;
        if !principal.may_edit(&owner) {
            return Err(
                Problem::forbidden("only its owner may list products for a vendor").field("vendor", "is not yours")
            );
        }
        // The id, and not the text that the client sent.
        ground.vendor = document.key.pk.split_once('/').map(|(_, id)| id.to_owned());
        ground.conditions.push(require(&document));
    }
    Ok(ground)
}

pub(crate) async fn create(
    platform: State,
    Member(principal): Member,
    once: Once,
    Json(new): Json<NewProduct>,
) -> Result<Answer, Problem> {
    let id = PRODUCT.new_id(&*platform.clock, &*platform.random);
    let mut slug = check::slugify(&new.title, "product");
    for _ in 0..ATTEMPTS {
        let Ground {
            category,
            vendor,
            conditions,
        } = ground(&platform, &new, &principal).await?;
        let now = platform.now();
        let origin = Origin {
            id: id.clone(),
            slug: slug.clone(),
            author: principal.account.clone(),
            now,
        };
        let product = Product::draft(new.clone(), category, vendor, origin);
        let (changes, shown) = creation(&product)?;
        let claims = changes.len();
        let changes = [changes, conditions].concat();
        let events = vec![once.event(fact::PRODUCT_CREATED, &product.fact(1))?];
        match once
            .commit(changes, events, shown.created(format!("/v1/products/{id}")))
            .await
        {
            // Another one has this slug: add what no other is likely to have.
            Err(CommitError::Conflict(SLUG_CLAIM)) => slug = unique_slug(&platform, &new.title),
            Err(CommitError::Conflict(SKU_CLAIM)) if product.sku.is_some() => return Err(sku_taken()),
            // The category or the vendor has changed: look again.
            Err(CommitError::Conflict(step)) if step >= claims => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

/// Which change of [`creation`] claims what.
const SLUG_CLAIM: usize = 1;
const SKU_CLAIM: usize = 2;

/// The changes that make a product, beside the conditions on what it stands on, and the answer that shows it.
pub fn creation(product: &Product) -> Result<(Vec<Change>, Answer), Problem> {
    let key = PRODUCT.key(&product.id);
    let zeros = serde_json::json!({ "comment_count": 0, "upvote_count": 0, "view_count": 0 }).to_string();
    let (body, shown) = written(key.clone(), product, &zeros, 1)?;
    let put = Change::Put {
        key,
        body,
        counters: COUNTERS.map(str::to_owned).into(),
        expires_at: None,
        condition: Condition::Absent,
        entries: product.entries(),
        stale: Vec::new(),
    };
    let mut changes = vec![put, Change::claim(PRODUCT.name_key(&product.slug), &product.id)];
    changes.extend(sku_claim(product));
    Ok((changes, shown))
}

fn sku_claim(product: &Product) -> Option<Change> {
    let (vendor, sku) = product.vendor.as_ref().zip(product.sku.as_ref())?;
    Some(Change::claim(sku_key(vendor, sku), &product.id))
}

fn sku_give_back(product: &Product) -> Option<Change> {
    let (vendor, sku) = product.vendor.as_ref().zip(product.sku.as_ref())?;
    Some(Change::Delete {
        key: sku_key(vendor, sku),
        condition: Condition::Exists,
        stale: Vec::new(),
    })
}

fn sku_taken() -> Problem {
    Problem::conflict("sku_taken", "this vendor has a product of this SKU").field("sku", "is taken")
}

/// A slug with the random end of a fresh id: no other request comes up with it.
pub fn unique_slug(platform: &Platform, title: &str) -> String {
    let id = id::new("x", &*platform.clock, &*platform.random);
    let end: String = id.chars().rev().take(8).collect();
    format!("{}-{end}", check::slugify(title, "product"))
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
        let (document, old) = find_own(&platform, &id, &principal).await?;
        precondition.check(document.version)?;
        let input = patch.apply(&old.writable())?;
        let Ground {
            category,
            vendor,
            conditions,
        } = ground(&platform, &input, &principal).await?;
        let new = old.rewritten(input, category, vendor, platform.now());
        let (mut changes, shown) = rewrite(&document, &old, &new)?;
        if (&old.vendor, &old.sku) != (&new.vendor, &new.sku) {
            // The claim first, right behind the product.
            changes.extend(sku_claim(&new));
            changes.extend(sku_give_back(&old));
        }
        let own = changes.len();
        changes.extend(conditions);
        let events = vec![once.event(fact::PRODUCT_UPDATED, &new.fact(document.version + 1))?];
        match once.commit(changes, events, shown).await {
            Err(CommitError::Conflict(0)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(1)) if own > 1 && new.sku.is_some() => return Err(sku_taken()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

/// The change from `old` to `new`, and the answer that shows it with the counts of when it was read.
fn rewrite(document: &Document, old: &Product, new: &Product) -> Result<(Vec<Change>, Answer), Problem> {
    let key = document.key.clone();
    let (body, shown) = written(key.clone(), new, &document.counters, document.version + 1)?;
    Ok((
        vec![Change::replace(
            key,
            document.version,
            body,
            &old.entries(),
            new.entries(),
        )],
        shown,
    ))
}

pub(crate) async fn delete(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    once: Once,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, product) = find_own(&platform, &id, &principal).await?;
        precondition.check(document.version)?;
        let condition = Condition::Version(document.version);
        let give_back = Change::Delete {
            key: PRODUCT.name_key(&product.slug),
            condition: Condition::Exists,
            stale: Vec::new(),
        };
        let mut changes = vec![
            Change::Delete {
                key: document.key,
                condition,
                stale: product.entries(),
            },
            give_back,
        ];
        changes.extend(sku_give_back(&product));
        let events = vec![once.event(fact::PRODUCT_DELETED, &product.fact(document.version))?];
        match once.commit(changes, events, Answer::no_content()).await {
            Err(CommitError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

/// Moves a product to `next`, if its life allows it.
async fn advance(
    platform: State,
    principal: &Principal,
    id: &str,
    precondition: &IfMatch,
    once: &Once,
    next: Status,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, old) = find_own(&platform, id, principal).await?;
        precondition.check(document.version)?;
        if !old.status.may_become(next) {
            let detail = format!("a product that is {} cannot become {}", old.status.name(), next.name());
            return Err(Problem::conflict("illegal_transition", detail));
        }
        let new = old.moved(next, platform.now());
        let (changes, shown) = rewrite(&document, &old, &new)?;
        let events = vec![once.event(next.event(), &new.fact(document.version + 1))?];
        match once.commit(changes, events, shown).await {
            Err(CommitError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

/// One handler per transition.
macro_rules! transitions {
    ($($name:ident => $status:ident),*) => {$(
        pub(crate) async fn $name(
            platform: State,
            Member(principal): Member,
            Path(id): Path<String>,
            precondition: IfMatch,
            once: Once,
        ) -> Result<Answer, Problem> {
            advance(platform, &principal, &id, &precondition, &once, Status::$status).await
        }
    )*};
}
transitions!(publish => Published, archive => Archived, sold => Sold, draft => Draft);
