//! Operations on webhooks.
//!
//! **Atomicity.** Adding or deleting a webhook is one commit of the webhook, its secret and its entry in the roster.
//! The roster limits the number of webhooks, so concurrent requests cannot exceed the limit.

use souk_core::outbound::target;
use souk_core::{Document, Fault, FieldError, Key};
use souk_kit::{Context, Failure, IfMatch, MergePatch, PageRequest, SortedPage, Stored};
use souk_model::identity::{ACCOUNT, AccountView};
use souk_model::vendors::VENDORS_WRITE;
use souk_model::vendors::{VENDOR, VendorView};

use super::read_or_default;
use super::verification::start_test;
use crate::error::WebhookError;
use crate::health::Health;
use crate::permissions::{WEBHOOKS_MARKET, WEBHOOKS_WRITE};
use crate::secret::{NewSecret, Secrets};
use crate::webhook::{MARKET, MAX_WEBHOOKS, NewWebhook, Roster, Scope, WEBHOOK, Webhook, check_events};

/// Why a test is sent by itself.
const NEW_URL: &str = "the URL is new";
const NOT_FOUND: Failure = Failure::NotFound("webhook");

/// The scope of a list of webhooks.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    /// The webhooks of the principal's account.
    Own,
    /// The webhooks of the vendor with this id or slug.
    Vendor(&'a str),
    /// The webhooks that receive all events.
    Market,
}

/// A page of webhooks, oldest first.
pub async fn list_webhooks(
    cx: &Context,
    listed: Listed<'_>,
    page: &PageRequest,
) -> Result<SortedPage<Document>, Failure> {
    let principal = cx.signed_in()?;
    let audience = match listed {
        Listed::Own => principal.account.clone(),
        Listed::Vendor(vendor) => own_vendor(cx, vendor).await.map_err(|failure| match failure {
            Failure::Invalid(_) | Failure::Forbidden { .. } => {
                Failure::bad_parameter("vendor", Fault::not_found("vendor").because("is not a vendor of yours"))
            }
            failure => failure,
        })?,
        Listed::Market if principal.may(&WEBHOOKS_MARKET) => MARKET.to_owned(),
        Listed::Market => return Err(Failure::lacks(&WEBHOOKS_MARKET)),
    };
    let paging = page.of_list(&format!("webhooks/{audience}"))?;
    let (roster, _): (Roster, _) = read_or_default(cx, Roster::key(&audience)).await?;
    let after = paging.after.as_deref().unwrap_or_default();
    let ids: Vec<&String> = roster.ids.iter().filter(|id| id.as_str() > after).collect();
    let keys: Vec<Key> = ids.iter().take(paging.limit).map(|id| WEBHOOK.key(id)).collect();
    let last = ids.get(paging.limit).and_then(|_| ids.get(paging.limit - 1));
    let items = cx.get_all(&keys).await?.into_iter().flatten().collect();
    Ok(paging.forward(items, last.map(|id| paging.cursor(id))))
}

/// The webhook with this id, if the principal may read and change it; else "not found", which does not reveal whether
/// it exists.
pub async fn find_webhook(cx: &Context, id: &str) -> Result<Stored<Webhook>, Failure> {
    let principal = cx.signed_in()?;
    if !WEBHOOK.is_id(id) {
        return Err(NOT_FOUND);
    }
    let webhook: Stored<Webhook> = cx.read(WEBHOOK.key(id)).await?.ok_or(NOT_FOUND)?;
    let allowed = match (webhook.scope, &webhook.vendor) {
        (Scope::Vendor, Some(vendor)) => {
            let vendor: Option<Stored<VendorView>> = cx.read(VENDOR.key(vendor)).await?;
            vendor.is_some_and(|vendor| principal.may_for(&vendor.owner, &VENDORS_WRITE))
        }
        (Scope::Market, _) => principal.may(&WEBHOOKS_MARKET),
        // The events of an account are its own affair, but somebody must deal with harmful webhooks.
        _ => principal.may_for(&webhook.owner, &WEBHOOKS_WRITE),
    };
    if allowed { Ok(webhook) } else { Err(NOT_FOUND) }
}

/// Adds a webhook, which belongs to the principal, and has its URL verified. Also returns the secret, which cannot be read
/// again.
pub async fn create_webhook(cx: &Context, new: NewWebhook) -> Result<(Stored<Webhook>, String), WebhookError> {
    let owner = &cx.signed_in()?.account;
    check(cx, &new)?;
    let new = &new;
    cx.commit(|tx| async move {
        let (scope, vendor) = scope_of(&tx, new).await?;
        let now = tx.now();
        let webhook = Webhook {
            id: tx.new_id(WEBHOOK),
            owner: owner.clone(),
            scope,
            vendor,
            url: new.url.clone(),
            events: new.events.clone(),
            description: new.description.clone(),
            snapshot: new.snapshot,
            enabled: new.enabled,
            disabled_reason: None,
            verified: false,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let key = Roster::key(webhook.audience());
        let (mut roster, document): (Roster, _) = read_or_default(&tx, key.clone()).await?;
        if roster.ids.len() >= MAX_WEBHOOKS {
            return Err(WebhookError::TooMany);
        }
        roster.ids.push(webhook.id.clone());
        roster.ids.sort_unstable();
        tx.create_or_update(key, document.as_ref(), roster).or_retry();
        let (secrets, secret) = Secrets::generate(&tx.keys, &*tx.random)?;
        tx.create(Secrets::key(&webhook.id), secrets).or_retry();
        if webhook.enabled {
            start_test(&tx, &webhook, NEW_URL).await?;
        }
        tx.seal_result();
        Ok((tx.create(WEBHOOK.key(&webhook.id), webhook).or_retry(), secret))
    })
    .await
}

/// Changes a webhook. Enabling one that was disabled resets its health; a new URL is verified.
pub async fn edit_webhook(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Webhook>, WebhookError> {
    cx.commit(|tx| async move {
        let old = find_webhook(&tx, id).await?;
        if_match.check(old.version())?;
        let input: NewWebhook = patch.apply(&old.editable())?;
        let changed = [
            ("scope", input.scope != Some(old.scope)),
            ("vendor", input.vendor != old.vendor),
        ];
        let changed = changed.into_iter().filter(|(_, is_changed)| *is_changed);
        let errors: Vec<FieldError> = changed
            .map(|(field, _)| FieldError::new(field, Fault::read_only()))
            .collect();
        if !errors.is_empty() {
            return Err(Failure::Invalid(errors).into());
        }
        check(&tx, &input)?;
        if input.enabled && !old.enabled {
            if old.scope == Scope::Vendor && !is_owned(&tx, &old).await? {
                let detail = "the vendor belongs to another account: its owner can add another webhook";
                return Err(Failure::invalid("enabled", Fault::not_permitted(detail)).into());
            }
            tx.remove(Health::key(&old.id));
        }
        let verified = old.verified && input.url == old.url;
        let new = Webhook {
            url: input.url,
            verified,
            events: input.events,
            description: input.description,
            snapshot: input.snapshot,
            enabled: input.enabled,
            disabled_reason: old.disabled_reason.clone().filter(|_| !input.enabled),
            updated_at: tx.now(),
            ..old.value.clone()
        };
        if old.changed_fields(&new)?.is_empty() {
            return Ok(tx.unchanged(old));
        }
        if new.enabled && !verified && (new.url != old.url || !old.enabled) {
            start_test(&tx, &new, NEW_URL).await?;
        }
        Ok(tx.update(&old.document, new).or_precondition(if_match))
    })
    .await
}

/// Deletes a webhook. Its pending deliveries fail.
pub async fn delete_webhook(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        let webhook = find_webhook(&tx, id).await?;
        if_match.check(webhook.version())?;
        let key = Roster::key(webhook.audience());
        let (mut roster, document): (Roster, _) = read_or_default(&tx, key.clone()).await?;
        roster.ids.retain(|other| *other != webhook.id);
        tx.create_or_update(key, document.as_ref(), roster).or_retry();
        tx.delete(&webhook.document, Vec::new()).or_precondition(if_match);
        tx.remove(Secrets::key(&webhook.id));
        tx.remove(Health::key(&webhook.id));
        Ok(())
    })
    .await
}

/// Replaces the secret of a webhook.
pub async fn rotate_secret(cx: &Context, id: &str) -> Result<NewSecret, Failure> {
    cx.commit(|tx| async move {
        let webhook = find_webhook(&tx, id).await?;
        let old: Stored<Secrets> = tx.read(Secrets::key(&webhook.id)).await?.ok_or(NOT_FOUND)?;
        let (next, secret) = Secrets::generate(&tx.keys, &*tx.random)?;
        let (rotated, previous_until) = old.value.rotate(next, tx.now());
        tx.update(&old.document, rotated).or_retry();
        tx.seal_result();
        Ok(NewSecret { secret, previous_until })
    })
    .await
}

/// Whether the account that added a webhook of a vendor still has the vendor, or may edit it as staff of the market.
async fn is_owned(cx: &Context, webhook: &Webhook) -> Result<bool, Failure> {
    let vendor = webhook.vendor.as_deref().unwrap_or_default();
    let mut found = cx.get_all(&[VENDOR.key(vendor), ACCOUNT.key(&webhook.owner)]).await?;
    let (Some(account), Some(vendor)) = (found.pop().flatten(), found.pop().flatten()) else {
        return Ok(false);
    };
    let account: AccountView = account.parse()?;
    let keys: Vec<Key> = account.role_keys().collect();
    let roles: Vec<Document> = cx.get_all(&keys).await?.into_iter().flatten().collect();
    let principal = account.principal(&webhook.owner, &roles)?;
    Ok(principal.may_for(&vendor.parse::<VendorView>()?.owner, &VENDORS_WRITE))
}

/// The rules that need the registry and the settings.
fn check(cx: &Context, input: &NewWebhook) -> Result<(), Failure> {
    check_events(&input.events, &cx.registry.events)?;
    match target(&input.url, &cx.settings.outbound_allow) {
        Ok(_) => Ok(()),
        Err(why) => Err(Failure::invalid("url", Fault::format(why.to_string()))),
    }
}

/// The scope of a new webhook and the id of its vendor, if the principal may have such a webhook.
async fn scope_of(cx: &Context, new: &NewWebhook) -> Result<(Scope, Option<String>), Failure> {
    match (new.scope, new.vendor.as_deref()) {
        (None | Some(Scope::Account), None) => Ok((Scope::Account, None)),
        (None | Some(Scope::Vendor), Some(vendor)) => Ok((Scope::Vendor, Some(own_vendor(cx, vendor).await?))),
        (Some(Scope::Market), None) if cx.may(&WEBHOOKS_MARKET) => Ok((Scope::Market, None)),
        (Some(Scope::Market), None) => Err(Failure::forbidden_field(
            "this takes the permission webhooks:market",
            "scope",
            "takes the permission webhooks:market",
        )),
        _ => Err(Failure::invalid(
            "scope",
            Fault::inconsistent("vendor", "does not fit the vendor"),
        )),
    }
}

/// The id of the vendor with this id or slug, if the principal may edit the vendor.
async fn own_vendor(cx: &Context, vendor: &str) -> Result<String, Failure> {
    let found = cx.find(VENDOR, vendor).await?;
    let document = found.ok_or_else(|| Failure::invalid("vendor", Fault::not_found("vendor")))?;
    let vendor: VendorView = document.parse()?;
    if !cx.may_for(&vendor.owner, &VENDORS_WRITE) {
        let detail = "only its owner may listen in a vendor's name";
        return Err(Failure::forbidden_field(detail, "vendor", "is not yours"));
    }
    Ok(VENDOR.id_of(&document.key).unwrap_or_default().to_owned())
}
