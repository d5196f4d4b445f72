//! The webhook: its fields, its rules, and where it stands.
//!
//! Beside its document there are `webhook-secret/{id}`, `webhook-health/{id}`, and the *roster* of whoever it belongs to,
//! `webhooks-of/{account | vendor | market}`: the ids of all their webhooks. An event finds its webhooks by reading the
//! rosters of those whom it concerns, in one batched get.

use std::sync::LazyLock;

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::{Change, Condition, Documents, Key, Kind, StoreError, Timestamp, fact};

/// Webhooks; they have no names.
pub(crate) const WEBHOOK: Kind = Kind {
    name: "webhook",
    prefix: "whk",
};
/// How many webhooks an account, a vendor and the market may have each.
pub(crate) const MAX_WEBHOOKS: usize = 10;
/// The roster of those that get everything.
pub(crate) const MARKET: &str = "market";

/// Whose events a webhook gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Its owner's: what they did, and what happened to what is theirs.
    Account,
    /// A vendor's: what happened to its products, and who follows it.
    Vendor,
    /// All of the market; for admins.
    Market,
}

/// A webhook, as it is stored and shown (shown with its `version`).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Webhook {
    /// `whk_…`
    #[schema(pattern = "^whk_[0-9a-f]{32}$")]
    pub id: String,
    /// The account that made it.
    pub owner: String,
    /// Whose events it gets.
    pub scope: Scope,
    /// The vendor, if its scope is one.
    pub vendor: Option<String>,
    /// Where events are sent, by POST.
    pub url: String,
    /// The types of events that it gets: `product.published`, `product.*` for all of a kind, `*` for all.
    pub events: Vec<String>,
    /// What it is for.
    pub description: String,
    /// Whether it is in use.
    pub enabled: bool,
    /// Why it was switched off without its owner.
    pub disabled_reason: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// What its owner may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where events shall be sent: an `https` URL of a public host, in plain ASCII, without user name and fragment.
    #[garde(custom(souk_kit::check::line(1, 2000)))]
    #[serde(default)]
    #[schema(
        required = true,
        min_length = 1,
        max_length = 2000,
        example = "https://example.com/souk"
    )]
    pub url: String,
    /// Types of events as in `/v1/events/catalogue`; `product.*` for all of a kind, `*` for all.
    #[garde(length(min = 1, max = 50), inner(custom(pattern)))]
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 50, example = json!(["product.*", "comment.created"]))]
    pub events: Vec<String>,
    /// What it is for.
    #[garde(custom(souk_kit::check::text(0, 500)))]
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
    /// Whether it is in use.
    #[garde(skip)]
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    /// Whose events it gets; follows from `vendor` unless it is the market's. Cannot be changed.
    #[garde(skip)]
    #[serde(default)]
    pub scope: Option<Scope>,
    /// The vendor whose events it gets, by id or slug: one that you may edit. Cannot be changed.
    #[garde(inner(length(min = 1, max = 200)))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub vendor: Option<String>,
}

fn yes() -> bool {
    true
}

/// A type of event, or the beginning of some with a `*`.
fn pattern(pattern: &String, _: &()) -> garde::Result {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| fact::catalogue().iter().map(|known| known.name).collect());
    let is_kind = pattern == "*" || pattern.ends_with(".*");
    if NAMES
        .iter()
        .any(|name| name == pattern || (is_kind && matches(pattern, name)))
    {
        Ok(())
    } else {
        Err(garde::Error::new("is not a type of event: see /v1/events/catalogue"))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

impl Webhook {
    /// What a patch is applied to.
    pub(crate) fn writable(&self) -> NewWebhook {
        NewWebhook {
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            enabled: self.enabled,
            scope: Some(self.scope),
            vendor: self.vendor.clone(),
        }
    }

    /// Whether it wants events of this type.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.enabled && self.events.iter().any(|pattern| matches(pattern, name))
    }

    /// Whose roster it is on.
    pub(crate) fn audience(&self) -> &str {
        match (self.scope, &self.vendor) {
            (Scope::Vendor, Some(vendor)) => vendor,
            (Scope::Market, _) => MARKET,
            _ => &self.owner,
        }
    }
}

/// The ids of the webhooks of one account or vendor or of the market, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Roster {
    pub(crate) ids: Vec<String>,
}

impl Roster {
    pub(crate) fn key(audience: &str) -> Key {
        Key::of("webhooks-of", audience)
    }

    /// The roster, and its version if it was ever written.
    pub(crate) async fn read(store: &dyn Documents, audience: &str) -> Result<(Self, Option<u64>), StoreError> {
        match get_one(store, Self::key(audience)).await? {
            Some(document) => Ok((document.parse()?, Some(document.version))),
            None => Ok((Self::default(), None)),
        }
    }

    /// The change that writes it, if it is still what was read.
    pub(crate) fn put(&self, audience: &str, version: Option<u64>) -> Result<Change, StoreError> {
        put(
            Self::key(audience),
            self,
            version.map_or(Condition::Absent, Condition::Version),
            None,
        )
    }
}

/// The change that writes a document without entries.
pub(crate) fn put(
    key: Key,
    body: &impl Serialize,
    condition: Condition,
    expires_at: Option<Timestamp>,
) -> Result<Change, StoreError> {
    Ok(Change::Put {
        key,
        body: serde_json::to_string(body).map_err(|e| StoreError::Refused(e.to_string()))?,
        counters: Vec::new(),
        expires_at,
        condition,
        entries: Vec::new(),
        stale: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_types_that_exist() {
        for good in ["*", "product.*", "product.published", "webhook.disabled"] {
            assert!(pattern(&good.to_owned(), &()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "**",
            "product",
            "product*",
            "prod*",
            "product.",
            "product.pub*",
            "orders.*",
            "*.created",
            "Product.*",
        ] {
            assert!(pattern(&bad.to_owned(), &()).is_err(), "{bad}");
        }
        assert!(matches("product.*", "product.sold") && !matches("product.*", "products.sold"));
        assert!(matches("*", "x.y") && matches("a.b", "a.b") && !matches("a.b", "a.bc"));
    }

    /// A body that an earlier version wrote stays readable.
    #[test]
    fn stored_forms_are_pinned() {
        let stored = r#"{"id":"whk_1","owner":"acc_1","scope":"vendor","vendor":"vnd_1","url":"https://a.example/",
            "events":["*"],"description":"","enabled":true,"disabled_reason":null,
            "created_at":"2026-11-21T12:00:00Z","updated_at":"2026-11-21T12:00:00Z"}"#;
        let webhook: Webhook = serde_json::from_str(stored).unwrap();
        assert_eq!((webhook.audience(), webhook.wants("product.sold")), ("vnd_1", true));
        assert_eq!(
            serde_json::from_str::<Roster>(r#"{"ids":["whk_1"]}"#).unwrap().ids,
            ["whk_1"]
        );
    }
}
