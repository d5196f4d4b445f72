//! The webhook: its fields and its validation rules.
//!
//! A webhook also has the documents `webhook-secret/{id}` and `webhook-health/{id}`. `webhooks-of/{account | vendor |
//! market}` is the *roster* of an audience: the ids of all its webhooks. Routing an event reads the rosters of all
//! audiences that the event concerns, with one batched get.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{EventType, Fault, FieldError, Key, Kind, Timestamp, check};
use souk_kit::{Failure, Keys};

/// Webhooks; they have no names.
pub(crate) const WEBHOOK: Kind = Kind {
    // It may have a token in it.
    personal_fields: &["url"],
    ..Kind::new("webhook", "whk")
};
/// The maximum number of webhooks of an account, of a vendor and of the market.
pub(crate) const MAX_WEBHOOKS: usize = 10;
/// The audience of webhooks with [`Scope::Market`].
pub(crate) const MARKET: &str = "market";

/// The scope of a webhook: which events it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookScope)]
pub enum Scope {
    /// Events caused by the owner of the webhook, or about resources of the owner.
    Account,
    /// Events about the products and followers of a vendor.
    Vendor,
    /// All events; takes the permission `webhooks:market`.
    Market,
}

/// A subscription of an external system to events.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Webhook {
    /// The id, `whk_…`.
    #[schema(pattern = "^whk_[0-9a-f]{32}$")]
    pub id: String,
    /// The id of the account that added the webhook.
    pub owner: String,
    /// Whose events the webhook receives.
    pub scope: Scope,
    /// The id of the vendor, for the scope `vendor`.
    #[schema(required = true)]
    pub vendor: Option<String>,
    /// URL that events are sent to, by POST.
    pub url: String,
    /// Event types that the webhook receives: `product.published`, `product.*` for all with this prefix, `*` for all.
    pub events: Vec<String>,
    /// Description, plain text.
    pub description: String,
    /// Whether payloads have a `snapshot` of what the event is about.
    #[serde(default)]
    #[schema(required = false)]
    pub snapshot: bool,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why the webhook was disabled automatically; `null` if it was not.
    #[schema(required = true)]
    pub disabled_reason: Option<String>,
    /// Whether the receiver at this URL has shown that it wants events; until then they wait. Webhooks from before there was
    /// this check do not have the field, and need none.
    #[serde(default = "yes")]
    #[schema(required = false)]
    pub verified: bool,
    /// When the webhook was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The fields of a webhook that its owner may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// URL that events are sent to: `https`, a public host, ASCII only, without user name and fragment.
    #[garde(custom(check::line(1, 2000)))]
    #[serde(default)]
    #[schema(
        required = true,
        min_length = 1,
        max_length = 2000,
        example = "https://example.com/souk"
    )]
    pub url: String,
    /// Event types from `/v1/events/catalog`; `product.*` for all with this prefix, `*` for all.
    // The operations check that the types exist (`check_events`), because this needs the registry.
    #[garde(custom(check::entries(1, 50)))]
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 50, example = json!(["product.*", "comment.created"]))]
    pub events: Vec<String>,
    /// Description, plain text.
    #[garde(custom(check::text(0, 500)))]
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
    /// Whether payloads have a `snapshot` of what the event is about: the product, vendor, category or comment.
    #[garde(skip)]
    #[serde(default)]
    #[schema(default = false)]
    pub snapshot: bool,
    /// Whether events are sent.
    #[garde(skip)]
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    /// The scope: which events the webhook receives. The default is `vendor` if a vendor is given, else `account`.
    /// Cannot be changed.
    #[garde(skip)]
    #[serde(default)]
    pub scope: Option<Scope>,
    /// The vendor whose events the webhook receives, by id or slug; you must be allowed to edit it. Cannot be changed.
    #[garde(inner(custom(check::characters(1, 200))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub vendor: Option<String>,
}

/// The proof that a webhook's receiver wants its events.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookVerification)]
pub struct Verification {
    /// The header `webhook-challenge` of the test that arrived at the URL.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100)]
    pub challenge: String,
}

fn yes() -> bool {
    true
}

/// Fails unless each filter is an event type, a prefix of event types followed by `.*`, or `*`.
pub(crate) fn check_events(filters: &[String], types: &[EventType]) -> Result<(), Failure> {
    let is_known = |filter: &str| {
        let is_wildcard = filter == "*" || filter.ends_with(".*");
        types
            .iter()
            .any(|known| known.name == filter || (is_wildcard && matches(filter, known.name)))
    };
    let unknown = filters.iter().enumerate().filter(|(_, filter)| !is_known(filter));
    let errors: Vec<FieldError> = unknown
        .map(|(n, _)| {
            let fault = Fault::not_found("event").because("is not a type of event: see /v1/events/catalog");
            FieldError::new(format!("events[{n}]"), fault)
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::Invalid(errors))
    }
}

fn matches(filter: &str, name: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => filter == name,
    }
}

impl Webhook {
    /// The fields that a patch is applied to.
    pub(crate) fn editable(&self) -> NewWebhook {
        NewWebhook {
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            snapshot: self.snapshot,
            enabled: self.enabled,
            scope: Some(self.scope),
            vendor: self.vendor.clone(),
        }
    }

    /// Whether the webhook receives events of this type.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        self.enabled && self.events.iter().any(|filter| matches(filter, name))
    }

    /// The account, vendor or market whose roster has the webhook.
    pub(crate) fn audience(&self) -> &str {
        match (self.scope, &self.vendor) {
            (Scope::Vendor, Some(vendor)) => vendor,
            (Scope::Market, _) => MARKET,
            _ => &self.owner,
        }
    }
}

/// The value of the header `webhook-challenge`, by which the receiver at the webhook's URL is verified. It is never stored or
/// shown.
pub(crate) fn challenge(keys: &Keys, webhook: &Webhook) -> String {
    keys.digest(format!("webhook-challenge {} {}", webhook.id, webhook.url).as_bytes())
}

/// The ids of the webhooks of one audience, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Roster {
    pub(crate) ids: Vec<String>,
}

impl Roster {
    pub(crate) fn key(audience: &str) -> Key {
        Key::of("webhooks-of", audience)
    }
}

#[cfg(test)]
mod tests {
    use souk_kit::Registry;
    use souk_model::catalog::events::ProductEvent;

    use super::*;
    use crate::event::WebhookEvent;

    #[test]
    fn filters_name_types_that_exist() {
        let registry = Registry {
            events: EventType::of::<ProductEvent>()
                .chain(EventType::of::<WebhookEvent>())
                .collect(),
            ..Registry::default()
        };
        let check = |filters: &[&str]| {
            let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
            check_events(&filters, &registry.events)
        };
        assert!(check(&["*", "product.*", "product.published", "webhook.disabled"]).is_ok());
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
            let Err(Failure::Invalid(errors)) = check(&["*", bad, "product.sold", bad]) else {
                unreachable!("{bad}")
            };
            let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, ["events[1]", "events[3]"], "{bad}");
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
        assert_eq!((webhook.audience(), webhook.accepts("product.sold")), ("vnd_1", true));
        // It was in use before URLs were verified.
        assert!(webhook.verified);
        assert_eq!(
            serde_json::from_str::<Roster>(r#"{"ids":["whk_1"]}"#).unwrap().ids,
            ["whk_1"]
        );
    }
}
