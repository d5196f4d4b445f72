//! The handlers for webhooks themselves: parse, call, answer.

use serde::Serialize;
use souk_core::access::VendorAccess;
use souk_core::documents::get_one;
use souk_core::kind::VENDOR;
use souk_core::outbound::target;
use souk_core::{Change, Commit, Condition, Document, Key, Principal, StoreError, Timestamp};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Paging, Params, Path, Platform, Problem, State,
    list_documents, view,
};

use crate::health::Health;
use crate::secret::Secrets;
use crate::webhook::{MARKET, MAX_WEBHOOKS, NewWebhook, Roster, Scope, WEBHOOK, Webhook, put};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;

/// A webhook with its secret: the only time that it is shown.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// What its deliveries are signed with. Keep it: it is not shown again.
    #[schema(pattern = "^whsec_")]
    secret: String,
}

/// A new secret.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct NewSecret {
    /// What deliveries are signed with from now on. Keep it: it is not shown again.
    #[schema(pattern = "^whsec_")]
    secret: String,
    /// Until when deliveries are signed with the old secret as well.
    #[schema(value_type = String, format = DateTime)]
    previous_until: Timestamp,
}

/// The webhook, if they may see and change it; whoever may not learns nothing of it.
pub(crate) async fn find(platform: &Platform, principal: &Principal, id: &str) -> Result<(Document, Webhook), Problem> {
    let none = || Problem::not_found("webhook");
    if !WEBHOOK.is_id(id) {
        return Err(none());
    }
    let document = get_one(&*platform.documents, WEBHOOK.key(id)).await?.ok_or_else(none)?;
    let webhook: Webhook = document.parse()?;
    let allowed = match (webhook.scope, &webhook.vendor) {
        (Scope::Vendor, Some(vendor)) => {
            let vendor = get_one(&*platform.documents, VENDOR.key(vendor)).await?;
            let vendor: Option<VendorAccess> = vendor.map(|vendor| vendor.parse()).transpose()?;
            vendor.is_some_and(|vendor| principal.may_edit(&vendor.owner))
        }
        (Scope::Market, _) => principal.is_admin(),
        // What happens to an account is its own affair; an admin may look after webhooks that do harm.
        _ => principal.account == webhook.owner || principal.is_admin(),
    };
    if allowed { Ok((document, webhook)) } else { Err(none()) }
}

/// The vendor of this id or slug, if they may act for it.
async fn own_vendor(platform: &Platform, principal: &Principal, vendor: &str) -> Result<String, Problem> {
    let found = VENDOR.find(&*platform.documents, vendor).await?;
    let document = found.ok_or_else(|| Problem::invalid().field("vendor", "there is no such vendor"))?;
    let access: VendorAccess = document.parse()?;
    if !principal.may_edit(&access.owner) {
        return Err(Problem::forbidden("only its owner may listen in a vendor's name").field("vendor", "is not yours"));
    }
    // `vendor/{id}`
    Ok(document.key.pk.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Whose roster a request is about, if they may.
async fn audience(
    platform: &Platform,
    principal: &Principal,
    scope: Option<Scope>,
    vendor: Option<&str>,
) -> Result<(Scope, Option<String>), Problem> {
    match (scope, vendor) {
        (None | Some(Scope::Account), None) => Ok((Scope::Account, None)),
        (None | Some(Scope::Vendor), Some(vendor)) => {
            let vendor = own_vendor(platform, principal, vendor).await?;
            Ok((Scope::Vendor, Some(vendor)))
        }
        (Some(Scope::Market), None) if principal.is_admin() => Ok((Scope::Market, None)),
        (Some(Scope::Market), None) => {
            Err(Problem::forbidden("only admins listen to all of the market").field("scope", "is for admins"))
        }
        _ => Err(Problem::invalid().field("scope", "does not fit the vendor")),
    }
}

fn check_url(platform: &Platform, url: &str) -> Result<(), Problem> {
    match target(url, &platform.settings.outbound_allow) {
        Ok(_) => Ok(()),
        Err(why) => Err(Problem::invalid().field("url", why.to_string())),
    }
}

pub(crate) async fn list(platform: State, Member(principal): Member, params: Params) -> Result<Answer, Problem> {
    let audience = match (params.get("scope"), params.get("vendor")) {
        (None, None) => principal.account.clone(),
        (None, Some(vendor)) => match own_vendor(&platform, &principal, vendor).await {
            Err(problem) if !problem.status.is_server_error() => {
                return Err(Problem::bad_parameter("vendor", "is not a vendor of yours"));
            }
            found => found?,
        },
        (Some("market"), None) if principal.is_admin() => MARKET.to_owned(),
        (Some("market"), None) => return Err(Problem::forbidden("only admins listen to all of the market")),
        _ => return Err(Problem::bad_parameter("scope", "must be market, and without a vendor")),
    };
    let paging = Paging::read(&params, &format!("webhooks/{audience}"))?;
    let (roster, _) = Roster::read(&*platform.documents, &audience).await?;
    let after = paging.after.as_deref().unwrap_or_default();
    let ids: Vec<&String> = roster.ids.iter().filter(|id| id.as_str() > after).collect();
    let page: Vec<Key> = ids.iter().take(paging.limit).map(|id| WEBHOOK.key(id)).collect();
    let next = ids.get(paging.limit).and_then(|_| ids.get(paging.limit - 1));
    let cursor = next.map(|id| paging.cursor(id));
    let found = if page.is_empty() {
        Vec::new()
    } else {
        platform.documents.get(&page).await?
    };
    let webhooks: Vec<Document> = found.into_iter().flatten().collect();
    Ok(list_documents(&webhooks, cursor.as_deref()))
}

pub(crate) async fn show(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
) -> Result<Answer, Problem> {
    let (document, _) = find(&platform, &principal, &id).await?;
    Ok(Answer::raw(view(&document)).version(document.version))
}

pub(crate) async fn create(
    platform: State,
    Member(principal): Member,
    once: Once,
    Json(new): Json<NewWebhook>,
) -> Result<Answer, Problem> {
    check_url(&platform, &new.url)?;
    let (scope, vendor) = audience(&platform, &principal, new.scope, new.vendor.as_deref()).await?;
    let now = platform.now();
    let webhook = Webhook {
        id: WEBHOOK.new_id(&*platform.clock, &*platform.random),
        owner: principal.account,
        scope,
        vendor,
        url: new.url,
        events: new.events,
        description: new.description,
        enabled: new.enabled,
        disabled_reason: None,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let (secrets, secret) = Secrets::generate(&platform.keys, &*platform.random)?;
    let (body, _) = souk_kit::written(WEBHOOK.key(&webhook.id), &webhook, "{}", 1)?;
    let key = WEBHOOK.key(&webhook.id);
    let mut shown = serde_json::to_value(CreatedWebhook {
        webhook: webhook.clone(),
        secret,
    })
    .map_err(|e| Problem::internal(e.to_string()))?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("version".into(), 1.into());
    }
    for _ in 0..ATTEMPTS {
        let (mut roster, version) = Roster::read(&*platform.documents, webhook.audience()).await?;
        if roster.ids.len() >= MAX_WEBHOOKS {
            let detail = format!("there are {MAX_WEBHOOKS} webhooks already");
            return Err(Problem::conflict("too_many_webhooks", detail));
        }
        roster.ids.push(webhook.id.clone());
        roster.ids.sort_unstable();
        let changes = vec![
            roster.put(webhook.audience(), version)?,
            Change::create(key.clone(), body.clone(), Vec::new()),
            put(Secrets::key(&webhook.id), &secrets, Condition::Absent, None)?,
        ];
        let answer = Answer::json(&shown)?.version(1).secret();
        let answer = answer.created(format!("/v1/webhooks/{}", webhook.id));
        match once.commit(changes, Vec::new(), answer).await {
            Err(CommitError::Conflict(0)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn edit(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, old) = find(&platform, &principal, &id).await?;
        precondition.check(document.version)?;
        let input = patch.apply(&old.writable())?;
        let mut fixed = Problem::invalid();
        if input.scope != Some(old.scope) {
            fixed = fixed.field("scope", "cannot be changed");
        }
        if input.vendor != old.vendor {
            fixed = fixed.field("vendor", "cannot be changed");
        }
        if !fixed.errors.is_empty() {
            return Err(fixed);
        }
        check_url(&platform, &input.url)?;
        let again = input.enabled && !old.enabled;
        let new = Webhook {
            url: input.url,
            events: input.events,
            description: input.description,
            enabled: input.enabled,
            disabled_reason: old.disabled_reason.clone().filter(|_| !input.enabled),
            updated_at: platform.now(),
            ..old
        };
        let (body, shown) = souk_kit::written(document.key.clone(), &new, "{}", document.version + 1)?;
        let mut changes = vec![Change::replace(document.key, document.version, body, &[], Vec::new())];
        if again {
            // What it did before it was switched off is forgiven.
            changes.push(forget(Health::key(&new.id)));
        }
        match platform.documents.commit(Commit::new(changes)).await {
            Ok(()) => return Ok(shown),
            Err(StoreError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict(0).into())
}

fn forget(key: Key) -> Change {
    Change::Delete {
        key,
        condition: Condition::Any,
        stale: Vec::new(),
    }
}

pub(crate) async fn remove(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    precondition: IfMatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, webhook) = find(&platform, &principal, &id).await?;
        precondition.check(document.version)?;
        let (mut roster, version) = Roster::read(&*platform.documents, webhook.audience()).await?;
        roster.ids.retain(|other| *other != webhook.id);
        let changes = vec![
            roster.put(webhook.audience(), version)?,
            Change::Delete {
                key: document.key,
                condition: Condition::Version(document.version),
                stale: Vec::new(),
            },
            forget(Secrets::key(&webhook.id)),
            forget(Health::key(&webhook.id)),
        ];
        match platform.documents.commit(Commit::new(changes)).await {
            Ok(()) => return Ok(Answer::no_content()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn rotate(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    let (next, secret) = Secrets::generate(&platform.keys, &*platform.random)?;
    for _ in 0..ATTEMPTS {
        let key = Secrets::key(&webhook.id);
        let document = get_one(&*platform.documents, key.clone()).await?;
        let document = document.ok_or_else(|| Problem::not_found("webhook"))?;
        let old: Secrets = document.parse()?;
        let (rotated, previous_until) = old.rotate(next.clone(), platform.now());
        let change = put(key, &rotated, Condition::Version(document.version), None)?;
        let shown = NewSecret {
            secret: secret.clone(),
            previous_until,
        };
        match once
            .commit(vec![change], Vec::new(), Answer::json(&shown)?.secret())
            .await
        {
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}
