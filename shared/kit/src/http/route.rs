//! The route table: one row per method and path, with its access, parameters, body, responses and cache policy.
//!
//! A row cannot be built without an [`Access`]. Routing, authorization, parameter checks, body limits, cache policy and
//! OpenAPI all read the same row, so they cannot contradict each other.
#![cfg_attr(
    not(feature = "openapi"),
    expect(dead_code, reason = "some fields are used only for OpenAPI")
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{self, IntoResponse};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use souk_core::{Fault, FieldCode, FieldError, Role};
#[cfg(feature = "openapi")]
use utoipa::openapi::RefOr;

use super::answer::Shared;
use super::body::Payload;
use super::client::ClientAddress;
use super::exchange::Incoming;
use super::headers::{self, FromCache};
use super::{Problem, problem_type, request, viewer};
use crate::cache::{CacheStatus, Joined, Lifetime, ReadLog, Reads};
use crate::operation::{Context, Failure};
use crate::platform::Platform;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; credentials are ignored. For sign-in and health checks.
    Open,
    /// Anyone, signed in or not. An access token is optional and must be valid if it is sent.
    Public,
    /// Accounts with this role or a higher one.
    Role(Role),
}

/// How long shared caches may store a response that a [`Viewer`](super::Viewer) shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Not at all.
    NoStore,
    /// In the CDN; browsers revalidate each time, and may also keep what only they may see.
    Public {
        /// How long the response is fresh in the CDN, in seconds.
        s_maxage: u32,
        /// How long after that the CDN may serve it stale while it revalidates, in seconds.
        stale: u32,
    },
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The name. A name that ends in `.*` matches all names with the prefix before the `*`.
    pub name: &'static str,
    /// The description in the API docs.
    pub summary: &'static str,
    /// The JSON schema of the value.
    pub schema: &'static str,
}

impl Param {
    /// The `limit` parameter of every list.
    pub const LIMIT: Param = Param {
        name: "limit",
        summary: "The maximum number of items in the page.",
        schema: r#"{"type":"integer","minimum":1,"maximum":100,"default":20}"#,
    };
    /// The `cursor` parameter of every list.
    pub const CURSOR: Param = Param {
        name: "cursor",
        summary: "The `next_cursor` or `prev_cursor` of another page.",
        schema: r#"{"type":"string","minLength":1,"maxLength":1400}"#,
    };
    /// The `fields` parameter, for responses with field selection.
    pub const FIELDS: Param = Param {
        name: "fields",
        summary: "Return only these fields, separated by commas. The others are absent, even if the schema requires them.",
        schema: r#"{"type":"array","items":{"type":"string"}}"#,
    };

    /// A string parameter.
    #[must_use]
    pub const fn text(name: &'static str, summary: &'static str) -> Param {
        Param {
            name,
            summary,
            schema: r#"{"type":"string","minLength":1}"#,
        }
    }

    /// What is wrong with a value, as far as its schema says. The handler checks what a schema cannot say.
    fn fault(schema: &Value, text: &str) -> Option<Fault> {
        let one_of = |schema: &Value, text: &str| {
            let allowed: Vec<&str> = schema
                .get("enum")?
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            (!allowed.contains(&text)).then(|| Fault::not_one_of(&allowed))
        };
        match schema.get("type").and_then(Value::as_str)? {
            kind @ ("integer" | "number") => {
                let is_whole = kind == "number" || text.parse::<i128>().is_ok();
                let Some(number) = text.parse::<f64>().ok().filter(|_| is_whole) else {
                    return Some(Fault::wrong_type(kind));
                };
                let (min, max) = (schema.get("minimum")?, schema.get("maximum")?);
                let is_inside = (min.as_f64()?..=max.as_f64()?).contains(&number);
                (!is_inside).then(|| Fault::out_of_range(min.clone(), max.clone()))
            }
            "array" => {
                let item = schema.get("items")?;
                text.split(',').find_map(|text| one_of(item, text.trim()))
            }
            _ => {
                let max = schema.get("maxLength").and_then(Value::as_u64);
                let max = max.and_then(|max| usize::try_from(max).ok());
                let long = max.filter(|max| text.chars().count() > *max).map(Fault::too_long);
                long.or_else(|| one_of(schema, text))
            }
        }
    }

    /// The schema, to check values with.
    fn parsed(&self) -> Value {
        serde_json::from_str(self.schema).unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => self.name == name,
        }
    }
}

/// Schemas by name, as `utoipa` collects them.
#[cfg(feature = "openapi")]
pub(crate) type Schemas = Vec<(String, RefOr<utoipa::openapi::Schema>)>;

/// The JSON schema of a body.
#[derive(Clone)]
pub struct Schema {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    #[cfg(feature = "openapi")]
    pub(crate) collect: fn(&mut Schemas),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    /// A merge patch, without the fields that cannot change.
    Patch {
        without: &'static [&'static str],
    },
}

impl Schema {
    /// A `T`.
    #[must_use]
    pub fn of<T: utoipa::ToSchema>() -> Self {
        #[cfg(feature = "openapi")]
        let collect = |schemas: &mut Schemas| {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        };
        Self {
            name: T::name().into_owned(),
            shape: Shape::One,
            #[cfg(feature = "openapi")]
            collect,
        }
    }

    /// A page of `T`s.
    #[must_use]
    pub fn list_of<T: utoipa::ToSchema>() -> Self {
        Self {
            shape: Shape::List,
            ..Self::of::<T>()
        }
    }

    /// A merge patch of a `T`, with this name, such as `UpdateOrder`.
    #[must_use]
    pub fn patch_of<T: utoipa::ToSchema>(name: &str) -> Self {
        let mut schema = Self::of::<T>();
        name.clone_into(&mut schema.name);
        schema.without(&[])
    }

    /// Leaves fields that cannot change out of a merge patch.
    #[must_use]
    pub fn without(mut self, fields: &'static [&'static str]) -> Self {
        self.shape = Shape::Patch { without: fields };
        self
    }
}

/// The requests by which subscribers get events: one of the `webhooks` of the document for each type of event.
pub struct Notification {
    /// The envelope of an event: an object with the name of its type in `type`, and its data in `data`.
    pub body: Schema,
    /// What the receiver must know.
    pub description: &'static str,
    /// The headers beside `Content-Type`, each with its description.
    pub headers: &'static [(&'static str, &'static str)],
}

/// One row of the table.
pub struct Route {
    /// The operation id in the OpenAPI document; empty if the document leaves the row out.
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) policy: Policy,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) body: Option<Schema>,
    pub(crate) responses: Vec<Response>,
    pub(crate) errors: Vec<StatusCode>,
    /// Whether the body of a response holds secrets: then it has no `ETag`, which would be a digest of them.
    pub(crate) is_secret: bool,
    handler: Box<HandlerFn>,
    /// The schemas of the parameters.
    schemas: Vec<Value>,
}

/// A response that a row declares.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) about: &'static str,
    pub(crate) schema: Option<Schema>,
    /// Whether it has the header `Location`.
    pub(crate) has_location: bool,
}

/// The future of an axum handler.
type HandlerFuture = Pin<Box<dyn Future<Output = response::Response> + Send>>;
/// A handler, whatever it extracts from the request.
type HandlerFn = dyn Fn(Request, Arc<Platform>) -> HandlerFuture + Send + Sync;

/// What is checked before the handler runs, and how its response may be cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) cache: CachePolicy,
    /// The maximum size of the body in bytes; 0 for a route without a body.
    pub(crate) body: usize,
    /// Whether the body may have any media type.
    pub(crate) takes_raw: bool,
    pub(crate) params: &'static [Param],
    pub(crate) check: Option<Check>,
}

/// What a handler says of parameters beyond their schemas.
type Check = fn(&QueryParams) -> Result<(), Problem>;

impl Route {
    /// A row with this method, path, access and handler. `id` names it in the OpenAPI document and in clients that are
    /// generated from it: a verb and a noun, such as `listOrders`.
    pub fn new<H, T>(id: &'static str, method: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        Self {
            id,
            method,
            path,
            policy: Policy {
                path,
                access,
                cache: CachePolicy::NoStore,
                body: 0,
                takes_raw: false,
                params: &[],
                check: None,
            },
            summary: "",
            description: "",
            body: None,
            responses: Vec::new(),
            errors: Vec::new(),
            is_secret: false,
            handler: Box::new(move |request, platform| handler.clone().call(request, platform)),
            schemas: Vec::new(),
        }
    }

    /// The row for `GET` of the paths that no other row has ([`Function::fallback`](crate::Function)), with any query. It has
    /// no path, so the log has those of its requests.
    pub fn fallback<H, T>(handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        Self::page("", handler)
    }

    /// The row for `GET` of a page for people or of one of its files. It is not in the OpenAPI document.
    pub fn page<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        Self::new("", Method::GET, path, Access::Public, handler)
    }

    /// The path, with names of its parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Sets the summary of the operation, and an optional description.
    #[must_use]
    pub fn summary(mut self, summary: &'static str, description: &'static str) -> Self {
        self.summary = summary;
        self.description = description;
        self
    }

    /// Sets the query parameters. Any other parameter is a 400.
    #[must_use]
    pub fn params(mut self, params: &'static [Param]) -> Self {
        self.policy.params = params;
        self.schemas = params.iter().map(Param::parsed).collect();
        self
    }

    /// Sets what the handler checks of the parameters beyond their schemas. It runs only if a schema finds faults, so that
    /// the client gets all faults at once.
    #[must_use]
    pub fn checked(mut self, check: Check) -> Self {
        self.policy.check = Some(check);
        self
    }

    /// Sets the request body, of at most `limit` bytes.
    #[must_use]
    pub fn body(mut self, schema: Schema, limit: usize) -> Self {
        self.body = Some(schema);
        self.policy.body = limit;
        self
    }

    /// Sets a request body of at most `limit` bytes of any media type, which the handler gets as [`Raw`](super::Raw).
    #[must_use]
    pub fn raw_body(mut self, limit: usize) -> Self {
        self.policy.body = limit;
        self.policy.takes_raw = true;
        self
    }

    /// Allows shared caches to store shared responses for `s_maxage` seconds, and to serve them stale for another
    /// `stale` seconds while they revalidate.
    #[must_use]
    pub fn cached(mut self, s_maxage: u32, stale: u32) -> Self {
        self.policy.cache = CachePolicy::Public { s_maxage, stale };
        self
    }

    /// Adds a successful response. A 201, a 202 and a redirect have a `Location`.
    #[must_use]
    pub fn response(mut self, status: StatusCode, about: &'static str, schema: Option<Schema>) -> Self {
        let has_location = status.is_redirection() || [StatusCode::CREATED, StatusCode::ACCEPTED].contains(&status);
        self.responses.push(Response {
            status,
            about,
            schema,
            has_location,
        });
        self
    }

    /// Adds a 201 for a thing without a URL, such as a token.
    #[must_use]
    pub fn issues(mut self, about: &'static str, schema: Schema) -> Self {
        self.responses.push(Response {
            status: StatusCode::CREATED,
            about,
            schema: Some(schema),
            has_location: false,
        });
        self
    }

    /// Declares that responses hold secrets: they get no `ETag`, which would be a digest of the secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Adds error statuses beside those that follow from the row.
    #[must_use]
    pub fn errors(mut self, statuses: &[StatusCode]) -> Self {
        self.errors.extend_from_slice(statuses);
        self
    }

    /// Applies the policy, then returns a cached response or the response of the handler.
    pub(crate) async fn run(
        &self,
        mut parts: Parts,
        incoming: Incoming,
        platform: &Arc<Platform>,
    ) -> response::Response {
        let policy = self.policy;
        let cx = match self.admit(&mut parts, &incoming, platform).await {
            Ok(cx) => cx,
            Err(problem) => return problem.into_response(),
        };
        let CachePolicy::Public { s_maxage, stale } = policy.cache else {
            return self.call(parts, cx).await;
        };
        if incoming.carries_credential {
            return self.call(parts, cx).await;
        }
        let (Some(key), Some(cache)) = (incoming.cache_key, &platform.responses) else {
            let reads = platform.is_tagged.then(Arc::<ReadLog>::default);
            let response = self.call(parts, cx.eventual(reads.clone())).await;
            return match reads {
                Some(reads) => tagged(response, &mut reads.take()),
                None => response,
            };
        };
        let making = match cache.join(&key).await {
            Joined::Ready(cached) => return FromCache(cached, CacheStatus::Collapsed).into_response(),
            Joined::Make(making) => making,
        };
        // A cached response must not depend on the client: remove the headers and the address.
        parts.headers.clear();
        parts.extensions.remove::<ClientAddress>();
        let reads = Arc::<ReadLog>::default();
        let mut response = self.call(parts, cx.eventual(Some(reads.clone()))).await;
        let mut reads = reads.take();
        if platform.is_tagged {
            response = tagged(response, &mut reads);
        }
        // A redirect costs a read or two, and is left to the caches in front.
        if response.status() != StatusCode::OK || !is_shared(&response) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let complete = headers::to_cache(parts, body, policy.cache, platform).await;
        let lifetime = Lifetime { fresh: s_maxage, stale };
        let (cached, status) = making.keep(&key, policy.path, complete, reads, lifetime);
        FromCache(cached, status).into_response()
    }

    /// The policy step: the context of the handler, or the problem to respond with.
    async fn admit(
        &self,
        parts: &mut Parts,
        incoming: &Incoming,
        platform: &Arc<Platform>,
    ) -> Result<Context, Problem> {
        let policy = self.policy;
        let size = parts.extensions.get::<Payload>().map_or(0, |payload| payload.0.len());
        // A route without a body ignores one that is sent: many clients send `{}` with every POST.
        let limit = policy.body.max(IGNORED_BODY);
        if size > limit {
            let detail = format!("the body is larger than {limit} bytes");
            return Err(Problem::new(problem_type::BODY_TOO_LARGE, detail));
        }
        let principal = match policy.access {
            Access::Open => None,
            Access::Public => viewer::optional(parts, platform).await?,
            Access::Role(role) => Some(viewer::required(role, parts, platform).await?),
        };
        if size > 0 && policy.body > 0 && !policy.takes_raw && !is_json(parts) {
            let detail = "send the body as application/json";
            let fault = Fault::not_one_of(&["application/json"]);
            return Err(Problem::new(problem_type::UNSUPPORTED_MEDIA_TYPE, detail).field("Content-Type", fault));
        }
        if size > 0
            && let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let detail = format!("{encoding:?} is not supported: send the body uncompressed");
            let fault = Fault::not_one_of(&["identity"]);
            return Err(
                Problem::new(problem_type::UNSUPPORTED_CONTENT_ENCODING, detail).field("Content-Encoding", fault)
            );
        }
        let is_fallback = policy.path.is_empty();
        if let Some(query) = parts.uri.query().filter(|_| !is_fallback) {
            let (params, mut faults) = QueryParams::parse(query, policy.params, &self.schemas);
            if !faults.is_empty() {
                let others = policy.check.and_then(|check| check(&params).err());
                let mut others = others.map_or(Vec::new(), |problem| problem.errors);
                others.retain(|other| faults.iter().all(|fault| fault.field != other.field));
                faults.extend(others);
                return Err(Failure::BadParameter(faults).into());
            }
            parts.extensions.insert(params);
        }
        let mut cx = Context::system(platform.clone()).traced(incoming.traceparent.as_deref());
        if parts.method == Method::POST {
            let account = principal.as_ref().map(|principal| principal.account.as_str());
            cx.idempotency = request::idempotency(parts, account, platform)?.map(Arc::new);
        }
        Ok(match principal {
            Some(principal) => cx.acting_as(principal),
            None => cx,
        })
    }

    async fn call(&self, mut parts: Parts, cx: Context) -> response::Response {
        let platform = cx.platform().clone();
        parts.extensions.insert(cx.clone());
        let mut response = (self.handler)(Request::from_parts(parts, Body::empty()), platform).await;
        if self.is_secret {
            response.headers_mut().remove(header::ETAG);
        }
        if cx.was_replayed() && response.status().is_success() {
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert("idempotency-replayed", replayed);
        }
        response
    }
}

fn is_shared(response: &response::Response) -> bool {
    response.extensions().get::<Shared>().is_some()
}

/// The response with the tags of what was read for it, if caches in front may store it.
fn tagged(mut response: response::Response, reads: &mut Reads) -> response::Response {
    if is_shared(&response)
        && let Some(tags) = reads.labels.header()
    {
        response.headers_mut().insert(CACHE_TAG, tags);
    }
    response
}

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// The maximum size of a body that a route ignores, in bytes.
const IGNORED_BODY: usize = 1024;

fn is_json(parts: &Parts) -> bool {
    let sent = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let essence = sent.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
        || (parts.method == Method::PATCH && essence.eq_ignore_ascii_case("application/merge-patch+json"))
}

/// The query parameters of a request. The route knows each of them, and each is given once.
#[derive(Clone, Debug, Default)]
pub struct QueryParams(Arc<[(String, String)]>);

/// `attr.size` for `attr[size]`: the style `deepObject` of OpenAPI, in which generated clients write it.
fn dotted(name: Cow<'_, str>) -> Cow<'_, str> {
    match name.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((prefix, rest)) => format!("{prefix}.{rest}").into(),
        None => name,
    }
}

impl QueryParams {
    /// The parameters that are as their schemas say, and the faults of the others.
    fn parse(query: &str, known: &[Param], schemas: &[Value]) -> (Self, Vec<FieldError>) {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut seen: BTreeMap<String, bool> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = dotted(name);
            // What is wrong does not depend on the order: of a parameter that is given twice, only that is named, once.
            let place = known.iter().position(|param| param.is(&name));
            if let Some(is_named) = seen.get_mut(&*name) {
                if place.is_some() && !std::mem::replace(is_named, true) {
                    errors.retain(|error| error.field != *name);
                    errors.push(FieldError::new(name, Fault::duplicate()));
                }
                continue;
            }
            seen.insert(name.to_string(), false);
            let fault = if place.is_none() {
                Some(Fault::new(
                    FieldCode::UnknownParameter,
                    "is not a parameter of this route",
                ))
            } else if value.is_empty() {
                Some(Fault::required().because("must not be empty"))
            } else {
                let schema = place.and_then(|place| schemas.get(place));
                schema.and_then(|schema| Param::fault(schema, &value))
            };
            match fault {
                Some(fault) => errors.push(FieldError::new(name, fault)),
                None => pairs.push((name.into_owned(), value.into_owned())),
            }
        }
        // The order of the parameters has no meaning.
        pairs.sort_unstable();
        (Self(pairs.into()), errors)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All parameters whose name has this prefix, with the prefix removed.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<S: Sync> FromRequestParts<S> for QueryParams {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<QueryParams>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, known: &[Param]) -> (QueryParams, Vec<FieldError>) {
        let schemas: Vec<Value> = known.iter().map(Param::parsed).collect();
        QueryParams::parse(query, known, &schemas)
    }

    #[test]
    fn unknown_repeated_and_empty_parameters_are_all_named() {
        const KNOWN: &[Param] = &[Param::LIMIT, Param::text("attr.*", "")];
        let faults = |query: &str| -> Vec<String> {
            let (_, faults) = parse(query, KNOWN);
            faults.into_iter().map(|e| e.field).collect()
        };
        assert_eq!(
            faults("limit=1&limit=2&color=red&attr.=x&attr.a="),
            ["limit", "color", "attr.", "attr.a"]
        );
        const TYPED: &[Param] = &[
            Param::LIMIT,
            Param {
                name: "sort",
                summary: "",
                schema: r#"{"type":"string","enum":["new","old"]}"#,
            },
            Param {
                name: "facets",
                summary: "",
                schema: r#"{"type":"array","items":{"type":"string","enum":["tag","price"]}}"#,
            },
            Param {
                name: "radius",
                summary: "",
                schema: r#"{"type":"number","minimum":1,"maximum":9.5}"#,
            },
            Param {
                name: "q",
                summary: "",
                schema: r#"{"type":"string","maxLength":2}"#,
            },
        ];
        let query = "limit=0&sort=odd&facets=tag,%20color&radius=x&q=%C3%A4%C3%B6%C3%BC";
        let (_, errors) = parse(query, TYPED);
        let said: Vec<_> = errors
            .iter()
            .map(|error| (error.field.as_str(), error.code, error.detail.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("limit", FieldCode::OutOfRange, "must be from 1 to 100"),
                ("sort", FieldCode::NotOneOf, "must be one of new, old"),
                ("facets", FieldCode::NotOneOf, "must be one of tag, price"),
                ("radius", FieldCode::WrongType, "must be a number"),
                ("q", FieldCode::TooLong, "must have at most 2 characters"),
            ]
        );
        for bad in [
            "limit=1e1",
            "limit=101",
            "limit=-1",
            "limit=99999999999999999999999999",
            "radius=NaN",
            "radius=inf",
        ] {
            assert_eq!(parse(bad, TYPED).1.len(), 1, "{bad}");
        }
        for good in ["limit=100", "radius=9.5", "facets=price,tag", "sort=old", "q=ab"] {
            assert_eq!(parse(good, TYPED).1, [], "{good}");
        }
        for query in ["limit=5&attr.size=XL%20tall", "limit=5&attr%5Bsize%5D=XL+tall"] {
            let (params, faults) = parse(query, KNOWN);
            assert_eq!(faults, []);
            assert_eq!(params.get("limit"), Some("5"));
            assert_eq!(params.with_prefix("attr.").collect::<Vec<_>>(), [("size", "XL tall")]);
        }
        assert_eq!(faults("attr[size]=S&attr.size=M&attr[]=x"), ["attr.size", "attr."]);
    }
}
