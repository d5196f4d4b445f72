//! Operations on vendors.
//!
//! **Atomicity.** Creating a vendor is one commit of the vendor and the claim on its slug. A commit that changes the
//! slug claims the new one and releases the old one. So no two vendors share a slug, and no claim is left behind.

use souk_core::{Document, Query, Timestamp, check};
use souk_kit::{Context, Failure, Fault, IfMatch, MergePatch, PageRequest, SortedPage, Stored};
use souk_model::community::FOLLOWER_COUNT;
use souk_model::identity::{ACCOUNT, AUDIT_READ, active_account, no_recipient};
use souk_model::vendors::VENDORS_WRITE;
use souk_model::vendors::{VENDOR, VENDOR_CREATED, VENDOR_UPDATED};

use super::staff::remove;
use crate::error::VendorError;
use crate::permissions::VENDORS_HAND_OVER;
use crate::vendor::{INDEX, NewVendor, Vendor, owner_index};

/// A page of all vendors, or of those of an account, by slug. `owner` is its id or username, or `me` for the principal.
pub async fn list_vendors(
    cx: &Context,
    owner: Option<&str>,
    page: &PageRequest,
) -> Result<SortedPage<Document>, Failure> {
    let index = match owner {
        None => INDEX.to_owned(),
        Some("me") => owner_index(&cx.signed_in()?.account),
        Some(owner) => {
            let account = cx.resolve(&[(ACCOUNT, owner)]).await?.pop().flatten();
            owner_index(&account.ok_or_else(|| Failure::invalid("owner", Fault::not_found("account")))?)
        }
    };
    cx.list(Query::index(&*index, page.limit), page, &index).await
}

/// The vendor with this id or slug.
pub async fn find_vendor(cx: &Context, id: &str) -> Result<Stored<Vendor>, Failure> {
    let document = cx.find(VENDOR, id).await?.ok_or(Failure::NotFound("vendor"))?;
    Ok(Stored::read(document)?)
}

/// The vendor with this id or slug as it was at a moment, for those who may see what was.
pub async fn vendor_as_of(cx: &Context, id: &str, at: Timestamp) -> Result<Document, Failure> {
    const NOT_FOUND: Failure = Failure::NotFound("vendor");
    cx.signed_in()?;
    if !cx.may(&AUDIT_READ) {
        return Err(Failure::lacks(&AUDIT_READ));
    }
    let key = match VENDOR.is_id(id) {
        true => VENDOR.key(id),
        false => cx.find(VENDOR, id).await?.ok_or(NOT_FOUND)?.key,
    };
    cx.as_of(key, at, Some("created_at")).await?.ok_or(NOT_FOUND)
}

/// Creates a vendor, which belongs to the principal.
pub async fn open_vendor(cx: &Context, new: NewVendor) -> Result<Stored<Vendor>, VendorError> {
    let owner = &cx.signed_in()?.account;
    let new = &new;
    cx.commit(|tx| async move {
        let (id, now) = (tx.new_id(VENDOR), tx.now());
        let slug = match &new.slug {
            Some(slug) => slug.clone(),
            None if tx.is_retry() => check::unique_slug(&new.name, "vendor", &id),
            None => check::slugify(&new.name, "vendor"),
        };
        let vendor = Vendor {
            id,
            slug,
            name: new.name.trim().to_owned(),
            description: new.description.clone(),
            owner: owner.clone(),
            created_at: now,
            updated_at: now,
            follower_count: 0,
            version: 1,
        };
        let claim = tx.claim(VENDOR.name_key(&vendor.slug), &vendor.id);
        match new.slug {
            Some(_) => claim.or_fail(VendorError::SlugTaken),
            None => claim.or_retry(),
        }
        tx.emit(VENDOR_CREATED, &vendor.event(1, Vec::new()));
        let entries = vendor.entries();
        Ok(tx
            .create(VENDOR.key(&vendor.id), vendor)
            .entries(entries)
            .counters(&[FOLLOWER_COUNT])
            .or_retry())
    })
    .await
}

/// Changes a vendor; its owner and accounts with the permission `vendors:write` may.
pub async fn edit_vendor(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Vendor>, VendorError> {
    cx.commit(|tx| async move {
        let old = find_vendor(&tx, id).await?;
        if !tx.may_for(&old.owner, &VENDORS_WRITE) {
            return Err(Failure::forbidden("only its owner may change a vendor").into());
        }
        if_match.check(old.version())?;
        let input: NewVendor = patch.apply(&old.editable())?;
        let new = Vendor {
            slug: input.slug.unwrap_or_else(|| old.slug.clone()),
            name: input.name.trim().to_owned(),
            description: input.description,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        let changed = old.changed_fields(&new)?;
        if changed.is_empty() {
            return Ok(tx.unchanged(old));
        }
        let taken = VendorError::SlugTaken;
        tx.rename(VENDOR, &old.slug, &new.slug, &old.id, taken).await?;
        tx.emit(VENDOR_UPDATED, &new.event(old.version() + 1, changed));
        let entries = new.entries();
        Ok(tx
            .update(&old.document, new)
            .moved(&old.entries(), entries)
            .or_precondition(if_match))
    })
    .await
}

/// Makes a vendor another account's, by username or id. The new owner is no longer one of the staff, and the
/// former one does not become one.
pub async fn hand_over_vendor(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    username: &str,
) -> Result<Stored<Vendor>, VendorError> {
    cx.commit(|tx| async move {
        let old = find_vendor(&tx, id).await?;
        if !tx.may_for(&old.owner, &VENDORS_HAND_OVER) {
            return Err(Failure::lacks(&VENDORS_HAND_OVER).into());
        }
        if_match.check(old.version())?;
        let found = tx.find(ACCOUNT, username).await?;
        let owner = active_account(found.as_ref()).map_err(Failure::from)?;
        let owner = owner.ok_or_else(|| Failure::invalid("username", no_recipient()))?;
        if owner == old.owner {
            return Ok(old);
        }
        remove(&tx, &old.id, &[&owner, &old.owner]).await?;
        let new = Vendor {
            owner,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        let changed = vec!["owner".to_owned()];
        tx.emit(VENDOR_UPDATED, &new.event(old.version() + 1, changed));
        let entries = new.entries();
        Ok(tx
            .update(&old.document, new)
            .moved(&old.entries(), entries)
            .or_precondition(if_match))
    })
    .await
}
