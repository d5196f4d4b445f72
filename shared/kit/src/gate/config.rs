//! The settings of the gate, as operators write them.

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Fault, Timestamp};

/// How many settings of a sort there may be.
const MAX_SETTINGS: usize = 200;
const MAX_RULES: usize = 50;
const MAX_CHANGES: usize = 20;
/// The longest name, path or value, in bytes.
const MAX_TEXT: usize = 200;
/// Headers that a rule must not touch: they carry identity, decide about caches, or belong to the connection.
const KEPT: [&str; 40] = [
    "age",
    "alt-svc",
    "authorization",
    "cache-control",
    "cache-tag",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "etag",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-none-match",
    "keep-alive",
    "location",
    "nel",
    "origin",
    "permissions-policy",
    "pragma",
    "referrer-policy",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "set-cookie",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-request-id",
    "x-sendfile",
    "idempotency-key",
];

/// The beginnings of the names of more of them.
const KEPT_FAMILIES: [&str; 16] = [
    "access-control-",
    "cdn-",
    "cf-",
    "cloudflare-",
    "content-security-",
    "cross-origin-",
    "proxy-",
    "sec-",
    "souk-",
    "strict-",
    "surrogate-",
    "x-accel-",
    "x-content-type-",
    "x-forwarded-",
    "x-frame-",
    "x-real-",
];

/// What operators set about requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Gate)]
pub struct GateConfig {
    /// Settings of operations, by their ids, such as `createThing`.
    #[garde(dive, custom(few))]
    #[serde(default)]
    pub routes: BTreeMap<String, RouteSetting>,
    /// Settings of limits, by their names, such as `writes`.
    #[garde(dive, custom(few))]
    #[serde(default)]
    pub limits: BTreeMap<String, LimitSetting>,
    /// Changes of requests and answers; all that match are applied, in this order.
    #[garde(dive, custom(few_rules))]
    #[serde(default)]
    #[schema(max_items = 50)]
    pub rules: Vec<Rule>,
    /// What is deprecated.
    #[garde(dive, custom(few_rules))]
    #[serde(default)]
    #[schema(max_items = 50)]
    pub deprecations: Vec<Deprecation>,
}

/// Settings of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSetting {
    /// Whether it answers; if not, requests get 503 `route_disabled`.
    #[garde(skip)]
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Why it does not, for clients.
    #[garde(inner(custom(is_short)))]
    #[serde(default)]
    #[schema(max_length = 200)]
    pub reason: Option<String>,
    /// How long its public answers are cached; only for operations whose answers are cached at all.
    #[garde(dive)]
    #[serde(default)]
    pub cache: Option<CacheSetting>,
}

fn yes() -> bool {
    true
}

/// How long public answers are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheSetting {
    /// For how many seconds an answer is fresh; 0 lets nothing be cached.
    #[garde(range(max = 86_400))]
    #[schema(maximum = 86400)]
    pub fresh_seconds: u32,
    /// For how many seconds after that it may be served while a new one is fetched.
    #[garde(range(max = 86_400))]
    #[serde(default)]
    #[schema(maximum = 86400)]
    pub stale_seconds: u32,
}

/// Settings of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSetting {
    /// How many units there are in its window, in the place of its own number.
    #[garde(range(min = 1))]
    #[serde(default)]
    #[schema(minimum = 1)]
    pub units: Option<u32>,
    /// Whether it is enforced (`on`), only counted and shown (`shadow`), or neither (`off`).
    #[garde(skip)]
    #[serde(default)]
    pub mode: LimitMode,
}

/// Whether a limit is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitMode {
    /// It is.
    #[default]
    On,
    /// It is counted and shown, and refuses nothing.
    Shadow,
    /// It is not counted.
    Off,
}

/// A change of some requests and their answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GateRule)]
pub struct Rule {
    /// What it is for.
    #[garde(custom(is_short))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// The path, or the beginning of paths if it ends in `*`.
    #[garde(custom(is_path))]
    #[schema(pattern = "^/", max_length = 200, example = "/v1/things*")]
    pub path: String,
    /// The methods; all if there are none.
    #[garde(custom(are_methods))]
    #[serde(default)]
    pub methods: Vec<String>,
    /// The clients; all if it is absent.
    #[garde(dive)]
    #[serde(default)]
    pub client: Option<ClientMatch>,
    /// The changes of requests.
    #[garde(dive)]
    #[serde(default)]
    pub request: Changes,
    /// The changes of answers.
    #[garde(dive)]
    #[serde(default)]
    pub response: Changes,
}

/// Clients that send a header which begins so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientMatch {
    /// The name of the header, in lower case. Credentials say nothing: they do not reach every function.
    #[garde(custom(is_header_of_clients))]
    #[schema(max_length = 200, example = "user-agent")]
    pub header: String,
    /// What its value begins with.
    #[garde(custom(is_short))]
    #[schema(max_length = 200, example = "LanternApp/1.")]
    pub begins: String,
}

/// Changes of fields and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GateChanges)]
pub struct Changes {
    /// New names of fields of the JSON body, by the old ones: of its object, and of the objects in its `items`.
    #[garde(custom(are_names))]
    #[serde(default)]
    #[schema(value_type = HashMap<String, String>)]
    pub rename: BTreeMap<String, String>,
    /// Headers to set, by their names in lower case.
    #[garde(custom(are_headers))]
    #[serde(default)]
    #[schema(value_type = HashMap<String, String>)]
    pub set_headers: BTreeMap<String, String>,
    /// Headers to leave out.
    #[garde(custom(are_header_names))]
    #[serde(default)]
    #[schema(max_items = 20)]
    pub drop_headers: Vec<String>,
}

impl Changes {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rename.is_empty() && self.set_headers.is_empty() && self.drop_headers.is_empty()
    }
}

/// Paths that clients should leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deprecation {
    /// The path, or the beginning of paths if it ends in `*`.
    #[garde(custom(is_path))]
    #[schema(pattern = "^/", max_length = 200, example = "/v1/things*")]
    pub path: String,
    /// Since when, for the header `Deprecation` (RFC 9745).
    #[garde(skip)]
    #[schema(value_type = String, format = DateTime)]
    pub deprecated_at: Timestamp,
    /// When they stop to answer, for the header `Sunset` (RFC 8594). They do answer after that too.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sunset_at: Option<Timestamp>,
    /// What to use instead: a path, for a `Link` with `rel="successor-version"`.
    #[garde(inner(custom(is_path)))]
    #[serde(default)]
    #[schema(max_length = 200, example = "/v2/things")]
    pub successor: Option<String>,
}

fn few<T>(map: &BTreeMap<String, T>, _: &()) -> garde::Result {
    match map.len() {
        0..=MAX_SETTINGS => Ok(()),
        _ => Err(Fault::too_many(MAX_SETTINGS).into()),
    }
}

fn few_rules<T>(list: &[T], _: &()) -> garde::Result {
    match list.len() {
        0..=MAX_RULES => Ok(()),
        _ => Err(Fault::too_many(MAX_RULES).into()),
    }
}

/// A text that can be the value of a header.
fn is_short(text: &str, _: &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(Fault::required().into());
    }
    if text.len() > MAX_TEXT {
        return Err(Fault::too_long(MAX_TEXT).into());
    }
    match text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        true => Ok(()),
        false => Err(Fault::format("must be printable ASCII characters").into()),
    }
}

fn is_path(text: &str, cx: &()) -> garde::Result {
    is_short(text, cx)?;
    let inner = text.strip_suffix('*').unwrap_or(text);
    match text.starts_with('/') && !inner.contains(['*', '?', '#', ' ', '"', '<', '>']) {
        true => Ok(()),
        false => Err(Fault::format("must be a path, with a * at its end at most").into()),
    }
}

fn are_methods(list: &[String], _: &()) -> garde::Result {
    const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
    match list.iter().all(|method| METHODS.contains(&method.as_str())) {
        true => Ok(()),
        false => Err(Fault::not_one_of(METHODS).into()),
    }
}

fn are_names(map: &BTreeMap<String, String>, cx: &()) -> garde::Result {
    if map.len() > MAX_CHANGES {
        return Err(Fault::too_many(MAX_CHANGES).into());
    }
    map.iter().try_for_each(|(old, new)| {
        is_short(old, cx)?;
        is_short(new, cx)
    })
}

fn is_header_name(name: &str, cx: &()) -> garde::Result {
    is_short(name, cx)?;
    let is_name = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match is_name {
        true => Ok(()),
        false => Err(Fault::format("must be lower-case letters, digits and hyphens").into()),
    }
}

/// A header that tells clients apart.
fn is_header_of_clients(name: &str, cx: &()) -> garde::Result {
    if ["authorization", "cookie"].contains(&name) {
        return Err(Fault::invalid("does not reach every function").into());
    }
    is_header_name(name, cx)
}

/// A header that rules may set or leave out.
fn is_header(name: &str, cx: &()) -> garde::Result {
    is_header_name(name, cx)?;
    let is_kept = KEPT.contains(&name) || KEPT_FAMILIES.iter().any(|start| name.starts_with(start));
    match is_kept {
        true => Err(Fault::invalid("must not be changed by a rule").into()),
        false => Ok(()),
    }
}

fn are_headers(map: &BTreeMap<String, String>, cx: &()) -> garde::Result {
    if map.len() > MAX_CHANGES {
        return Err(Fault::too_many(MAX_CHANGES).into());
    }
    map.iter().try_for_each(|(name, value)| {
        is_header(name, cx)?;
        is_short(value, cx)
    })
}

fn are_header_names(list: &[String], cx: &()) -> garde::Result {
    if list.len() > MAX_CHANGES {
        return Err(Fault::too_many(MAX_CHANGES).into());
    }
    list.iter().try_for_each(|name| is_header(name, cx))
}
