//! Finds the row of the route table for a request. Like axum's router it uses [`matchit`], but without cloning and
//! boxing a service for each request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use souk_core::Fault;

use super::exchange::Incoming;
use super::route::{Policy, Route};
use super::{Access, Problem, problem_type};
use crate::Platform;

/// The route tables of all functions, by path.
pub(crate) struct Router {
    paths: matchit::Router<Vec<Route>>,
    /// The row for other paths.
    fallback: Option<Route>,
}

impl Router {
    /// Builds the router.
    ///
    /// # Panics
    ///
    /// If two rows have the same path and method, or if path patterns conflict. No host starts in that case.
    #[expect(clippy::panic, reason = "a mistake in the program, which the first start shows")]
    pub(crate) fn new(routes: impl IntoIterator<Item = Route>, fallback: Option<Route>) -> Self {
        let mut rows = BTreeMap::<_, Vec<Route>>::new();
        for route in routes {
            let others = rows.entry(route.path).or_default();
            if others.iter().any(|other| other.method == route.method) {
                panic!("two rows for {} {}", route.method, route.path);
            }
            others.push(route);
        }
        let mut paths = matchit::Router::new();
        for (path, rows) in rows {
            if let Err(why) = paths.insert(path, rows) {
                panic!("{path}: {why}");
            }
        }
        Self { paths, fallback }
    }

    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.paths.at(path).is_ok()
    }

    /// Whether anyone may read this path whatever an operator has set, such as whether the process lives.
    pub(crate) fn is_open(&self, path: &str) -> bool {
        let rows = self.paths.at(path).map(|found| found.value);
        rows.is_ok_and(|rows| {
            rows.iter()
                .all(|row| row.policy.access == Access::Open && row.method.is_safe())
        })
    }

    /// The row for a path that no row has. Below `/v1/` such a path is a mistake of the client.
    fn fallback_for(&self, parts: &Parts) -> Option<&Route> {
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let is_ours = parts.uri.path().starts_with("/v1/");
        self.fallback.as_ref().filter(|_| is_read && !is_ours)
    }

    /// The response to a request, and the policy of the matching row, if any.
    pub(crate) async fn answer(
        &self,
        mut parts: Parts,
        mut incoming: Incoming,
        platform: &Arc<Platform>,
    ) -> (Response, Option<Policy>) {
        let Ok(found) = self.paths.at(parts.uri.path()) else {
            let Some(row) = self.fallback_for(&parts) else {
                return (Problem::not_found("path").into_response(), None);
            };
            // Nobody knows how many such URLs there are: they would push everything else out of the memory.
            incoming.cache_key = None;
            return (row.run(parts, incoming, platform).await, Some(row.policy));
        };
        let rows = found.value;
        let of = |method: &Method| rows.iter().find(|row| row.method == *method);
        let get = || (parts.method == Method::HEAD).then(|| of(&Method::GET))?;
        let Some(row) = of(&parts.method).or_else(get) else {
            return (not_allowed(rows), None);
        };
        let values = found
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let values: Vec<(String, String)> = values.collect();
        if !values.is_empty() {
            parts.extensions.insert(PathValues(values));
        }
        (row.run(parts, incoming, platform).await, Some(row.policy))
    }
}

fn not_allowed(rows: &[Route]) -> Response {
    let name = |row: &Route| {
        if row.method == Method::GET {
            "GET,HEAD".into()
        } else {
            row.method.to_string()
        }
    };
    let methods: Vec<String> = rows.iter().map(name).collect();
    let detail = "the path exists, this method does not";
    let mut response = Problem::new(problem_type::METHOD_NOT_ALLOWED, detail).into_response();
    if let Ok(methods) = HeaderValue::try_from(methods.join(",")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// The names and values of the path parameters; the values are still percent-encoded.
#[derive(Clone)]
struct PathValues(Vec<(String, String)>);

/// Extracts the path parameters: one `String`, or a tuple of two. A handler can extract them once.
#[derive(Clone, Debug)]
pub struct Path<T>(pub T);

/// The decoded path parameters; an error if the pattern does not have `N` of them.
fn path_values<const N: usize>(parts: &mut Parts) -> Result<[String; N], Problem> {
    let sent = parts.extensions.remove::<PathValues>().map(|values| values.0);
    let decode = |(name, text): (String, String)| match percent_decode_str(&text).decode_utf8() {
        Ok(Cow::Borrowed(_)) => Ok(text),
        Ok(Cow::Owned(decoded)) => Ok(decoded),
        Err(_) => Err(Problem::bad_parameter(name, Fault::format("must be UTF-8"))),
    };
    let decoded = sent.unwrap_or_default().into_iter().map(decode);
    let decoded: Vec<String> = decoded.collect::<Result<_, _>>()?;
    let other = |_| Problem::internal("the pattern of this path has another number of braces");
    decoded.try_into().map_err(other)
}

impl<S: Sync> FromRequestParts<S> for Path<String> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let [value] = path_values(parts)?;
        Ok(Self(value))
    }
}

impl<S: Sync> FromRequestParts<S> for Path<(String, String)> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let [first, second] = path_values(parts)?;
        Ok(Self((first, second)))
    }
}
