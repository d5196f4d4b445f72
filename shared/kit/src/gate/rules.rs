//! What the gate changes of one request and its answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use serde_json::Value;
use souk_core::Fault;

use super::config::{Changes, Deprecation, GateConfig, Rule};
use crate::versions::{self, VersionChange};

/// Paths of each version that no rule touches: operators can always sign in and take back what they have set, and no rule makes a
/// password something else.
const STEERING: [&str; 4] = ["/gate", "/sessions*", "/accounts*", "/me"];

/// What is changed of a request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    rules: Vec<Rule>,
    /// The headers by which rules tell clients apart, whether this one is meant or not.
    vary: Vec<String>,
    /// The changes of the version that the path names, and the path of the first version.
    version: Option<(Vec<VersionChange>, String)>,
    deprecations: Vec<Deprecation>,
    /// Whether the client did not ask for the ids, by which documents that a version changes are known.
    drops_ids: bool,
}

/// A field that a version does not know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownField(pub(crate) &'static str);

impl UnknownField {
    pub(crate) fn fault(&self) -> Fault {
        Fault::unknown_field().because(format!("is {}_id in this version", self.0))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    }
}

impl Plan {
    pub(super) fn of(
        config: &GateConfig,
        changes: &[VersionChange],
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let version = versions::first(path).map(|first| (changes.to_vec(), first));
        // What is asked by HEAD is what GET answers.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let rest = path.strip_prefix("/v1").or_else(|| path.strip_prefix("/v2"));
        let is_steering = rest.is_some_and(|rest| STEERING.iter().any(|pattern| matches(pattern, rest)));
        let is_of_path = |rule: &&Rule| {
            let has_method = rule.methods.is_empty() || rule.methods.iter().any(|name| name == method.as_str());
            has_method && !is_steering && matches(&rule.path, path)
        };
        let is_client = |rule: &&&Rule| {
            rule.client.as_ref().is_none_or(|client| {
                let value = headers.get(&client.header).and_then(|value| value.to_str().ok());
                value.is_some_and(|value| value.starts_with(&client.begins))
            })
        };
        let of_path: Vec<&Rule> = config.rules.iter().filter(is_of_path).collect();
        let clients = of_path.iter().filter_map(|rule| rule.client.as_ref());
        let mut vary: Vec<String> = clients.map(|client| client.header.clone()).collect();
        vary.sort_unstable();
        vary.dedup();
        let rules: Vec<Rule> = of_path.iter().filter(is_client).map(|rule| (*rule).clone()).collect();
        let deprecations = config
            .deprecations
            .iter()
            .filter(|deprecation| matches(&deprecation.path, path));
        let deprecations: Vec<Deprecation> = deprecations.cloned().collect();
        let is_empty = rules.is_empty() && vary.is_empty() && version.is_none() && deprecations.is_empty();
        (!is_empty).then_some(Self {
            rules,
            vary,
            version,
            deprecations,
            drops_ids: false,
        })
    }

    /// Whether clients get different answers, so that no shared cache may keep one.
    pub(crate) fn is_for_some(&self) -> bool {
        !self.vary.is_empty()
    }

    /// Changes a request.
    pub(crate) fn request(&mut self, request: &mut Request<Option<Bytes>>) -> Result<(), UnknownField> {
        for rule in &self.rules {
            apply_headers(&rule.request, request.headers_mut());
        }
        if !self.rules.is_empty() {
            // What the client has may be from before the rule.
            request.headers_mut().remove(header::IF_NONE_MATCH);
        }
        let renames = self.rules.iter().any(|rule| !rule.request.rename.is_empty());
        if renames || self.version.is_some() {
            let body = request.body().as_ref().filter(|body| !body.is_empty());
            // What is no JSON is refused behind the gate.
            if let Some(mut value) = body.and_then(|body| serde_json::from_slice::<Value>(body).ok()) {
                for rule in &self.rules {
                    rename(&rule.request, &mut value);
                }
                if let Some((changes, first)) = &self.version {
                    for change in changes {
                        change.request(first, &mut value).map_err(UnknownField)?;
                    }
                }
                *request.body_mut() = serde_json::to_vec(&value).ok().map(Bytes::from);
            }
        }
        if let Some((changes, first)) = &self.version {
            let target = match request.uri().query() {
                Some(query) => {
                    let (query, adds_ids) = old_fields(changes, query);
                    self.drops_ids = adds_ids;
                    format!("{first}?{query}")
                }
                None => first.clone(),
            };
            if let Ok(uri) = target.parse::<Uri>() {
                *request.uri_mut() = uri;
            }
        }
        Ok(())
    }

    /// Changes an answer.
    pub(crate) fn response(&self, response: &mut Response<Bytes>, is_head: bool) {
        let renames = self.rules.iter().any(|rule| !rule.response.rename.is_empty());
        let content = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_json = content.is_some_and(|content| content.starts_with(b"application/") && content.ends_with(b"json"));
        let is_problem = content.is_some_and(|content| content == b"application/problem+json");
        if (renames || self.version.is_some()) && is_json {
            if let Ok(mut value) = serde_json::from_slice::<Value>(response.body()) {
                if let Some((changes, _)) = &self.version {
                    for change in changes {
                        change.response(&mut value);
                        new_errors(change, &mut value);
                    }
                }
                if self.drops_ids && !is_problem {
                    drop_ids(&mut value);
                }
                // Problems have the same fields for all.
                for rule in self.rules.iter().filter(|_| !is_problem) {
                    rename(&rule.response, &mut value);
                }
                if let Ok(body) = serde_json::to_vec(&value) {
                    *response.body_mut() = body.into();
                }
                if renames {
                    retag(response);
                }
            }
            if is_head {
                // Nobody has made the body whose length and digest these would be.
                response.headers_mut().remove(header::CONTENT_LENGTH);
                if renames {
                    response.headers_mut().remove(header::ETAG);
                }
            }
        }
        let headers = response.headers_mut();
        if self.version.is_some()
            && let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
            && let Some(rest) = location.strip_prefix("/v1/")
            && let Ok(value) = HeaderValue::try_from(format!("/v2/{rest}"))
        {
            headers.insert(header::LOCATION, value);
        }
        for rule in &self.rules {
            apply_headers(&rule.response, headers);
        }
        for deprecation in &self.deprecations {
            announce(deprecation, headers);
        }
        if !self.vary.is_empty() {
            let before = headers.get(header::VARY).and_then(|value| value.to_str().ok());
            let names: Vec<&str> = before.into_iter().chain(self.vary.iter().map(String::as_str)).collect();
            if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
                headers.insert(header::VARY, value);
            }
        }
    }
}

/// Gives a changed body a digest of its own in its `ETag`, so that nobody keeps it when the rule is gone.
fn retag(response: &mut Response<Bytes>) {
    let Some(old) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()) else {
        return;
    };
    let version = old.rsplit_once('-').map_or("\"", |(version, _)| version);
    let dash = if version.len() > 1 { "-" } else { "" };
    let digest = xxhash_rust::xxh3::xxh3_64(response.body());
    if let Ok(tag) = HeaderValue::try_from(format!("{version}{dash}{digest:016x}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

fn apply_headers(changes: &Changes, headers: &mut HeaderMap) {
    for name in &changes.drop_headers {
        headers.remove(name);
    }
    for (name, value) in &changes.set_headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// Renames fields of an object, and of the objects in its `items`.
fn rename(changes: &Changes, value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    for (old, new) in &changes.rename {
        if let Some(field) = fields.remove(old) {
            fields.insert(new.clone(), field);
        }
    }
    if let Some(Value::Array(items)) = fields.get_mut("items") {
        for item in items {
            if let Value::Object(fields) = item {
                for (old, new) in &changes.rename {
                    if let Some(field) = fields.remove(old) {
                        fields.insert(new.clone(), field);
                    }
                }
            }
        }
    }
}

/// The query with the names of the first version in its parameter `fields`, and whether the ids are added to it.
fn old_fields(changes: &[VersionChange], query: &str) -> (String, bool) {
    let mut adds_ids = false;
    let pairs = query.split('&').map(|pair| {
        let Some(names) = pair.strip_prefix("fields=") else {
            return pair.to_owned();
        };
        let old = |name: &str| {
            changes
                .iter()
                .find_map(|change| change.old_name(name))
                .map_or(name, |old| old)
                .to_owned()
        };
        let wanted = names.replace("%2C", ",").replace("%2c", ",");
        let mut names: Vec<String> = wanted.split(',').map(old).collect();
        let is_reference = |name: &String| changes.iter().any(|change| change.references.contains(&name.as_str()));
        if names.iter().any(is_reference) && !names.iter().any(|name| name == "id") {
            names.push("id".to_owned());
            adds_ids = true;
        }
        format!("fields={}", names.join(","))
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    (query, adds_ids)
}

/// Leaves out the id of a document, or of those in a list.
fn drop_ids(value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    match fields.get_mut("items") {
        Some(Value::Array(items)) => {
            for fields in items.iter_mut().filter_map(Value::as_object_mut) {
                fields.remove("id");
            }
        }
        _ => drop(fields.remove("id")),
    }
}

/// Gives the fields that errors name their names in the later version. One that is unknown is so by its earlier name.
fn new_errors(change: &VersionChange, problem: &mut Value) {
    for error in problem
        .get_mut("errors")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let is_unknown = error.get("code").and_then(Value::as_str) == Some("unknown_field");
        if let Some(field) = error.get_mut("field").filter(|_| !is_unknown)
            && let Some(new) = field.as_str().and_then(|field| change.new_name(field))
        {
            *field = new.into();
        }
    }
}

/// Says that a path is deprecated (RFC 9745, RFC 8594).
fn announce(deprecation: &Deprecation, headers: &mut HeaderMap) {
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("deprecation", format!("@{}", deprecation.deprecated_at.as_second()));
    if let Some(at) = deprecation.sunset_at {
        set("sunset", at.http_date());
    }
    if let Some(path) = &deprecation.successor {
        set("link", format!("<{path}>; rel=\"successor-version\""));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> GateConfig {
        serde_json::from_value(value).unwrap()
    }

    fn plan(config: &GateConfig, method: &Method, path: &str, agent: &str) -> Option<Plan> {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", agent.parse().unwrap());
        Plan::of(config, &[], method, path, &headers)
    }

    #[test]
    fn a_rule_changes_both_ways_what_it_matches() {
        let config = config(json!({ "rules": [{
            "name": "old app", "path": "/v1/things*", "methods": ["POST"],
            "client": { "header": "user-agent", "begins": "App/1." },
            "request": { "rename": { "colour": "color" }, "set_headers": { "x-from": "gate" }, "drop_headers": ["x-secret"] },
            "response": { "rename": { "color": "colour" }, "set_headers": { "x-to": "app" } },
        }]}));
        for (method, path, agent, expected) in [
            (Method::POST, "/v1/things", "App/1.2", true),
            (Method::POST, "/v1/things/1", "App/1.2", true),
            (Method::GET, "/v1/things", "App/1.2", false),
            (Method::POST, "/v1/other", "App/1.2", false),
            (Method::POST, "/v1/things", "App/2.0", false),
        ] {
            let applies = plan(&config, &method, path, agent).is_some_and(|plan| !plan.rules.is_empty());
            assert_eq!(applies, expected, "{method} {path} {agent}");
        }
        // Whom it does not mean gets another answer, which is not for all either.
        let other = plan(&config, &Method::POST, "/v1/things", "App/2.0").unwrap();
        assert!(other.is_for_some());
        let mut plan = plan(&config, &Method::POST, "/v1/things", "App/1.2").unwrap();
        assert!(plan.is_for_some());
        let body = Bytes::from(r#"{"colour":"red","size":1}"#);
        let mut request = Request::builder().header("x-secret", "1").body(Some(body)).unwrap();
        plan.request(&mut request).unwrap();
        let sent: Value = serde_json::from_slice(request.body().as_ref().unwrap()).unwrap();
        assert_eq!(sent, json!({ "color": "red", "size": 1 }));
        assert!(request.headers().get("x-secret").is_none() && request.headers()["x-from"] == "gate");
        let answer = Bytes::from(r#"{"items":[{"color":"red"}],"color":"x"}"#);
        let mut response = Response::builder()
            .header("content-type", "application/json")
            .header("etag", "\"v3-612aa6b2c38579c3\"")
            .body(answer)
            .unwrap();
        plan.response(&mut response, false);
        let got: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(got, json!({ "items": [{ "colour": "red" }], "colour": "x" }));
        assert_eq!(response.headers()["x-to"], "app");
        // Who has this body has another one than without the rule.
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert!(
            tag.starts_with("\"v3-") && tag != "\"v3-612aa6b2c38579c3\"" && tag.len() == 21,
            "{tag}"
        );
        assert_eq!(response.headers()["vary"], "user-agent");
        let mut problem = Response::builder()
            .header("content-type", "application/problem+json")
            .body(Bytes::from(r#"{"color":"x"}"#))
            .unwrap();
        plan.response(&mut problem, false);
        assert_eq!(problem.body(), r#"{"color":"x"}"#);
    }

    #[test]
    fn no_rule_locks_operators_out() {
        let config =
            config(json!({ "rules": [{ "name": "all", "path": "/*", "request": { "rename": { "rules": "x" } } }] }));
        for (path, expected) in [
            ("/v1/gate", false),
            ("/v2/sessions/refresh", false),
            ("/v1/accounts", false),
            ("/v1/me", false),
            ("/v1/messages", true),
            ("/v1/things", true),
        ] {
            let rules = plan(&config, &Method::POST, path, "x").map_or(0, |plan| plan.rules.len());
            assert_eq!(rules > 0, expected, "{path}");
        }
    }

    #[test]
    fn a_rule_of_get_is_one_of_head_and_its_answers_are_sent_again() {
        let config = config(json!({ "rules": [{ "name": "a", "path": "/v1/things", "methods": ["GET"] }] }));
        let mut plan = plan(&config, &Method::HEAD, "/v1/things", "x").unwrap();
        assert!(!plan.is_for_some());
        let mut request = Request::builder().header("if-none-match", "*").body(None).unwrap();
        plan.request(&mut request).unwrap();
        assert!(request.headers().is_empty());
    }

    #[test]
    fn a_version_knows_documents_whose_ids_are_not_asked_for() {
        use souk_core::Kind;
        let change = VersionChange {
            kind: Kind::new("thing", "thg"),
            references: &["maker"],
            paths: &["/v1/things"],
        };
        for (query, expected, adds_ids) in [
            ("fields=maker_id,name&q=a", "fields=maker,name,id&q=a", true),
            ("fields=id%2Cmaker_id", "fields=id,maker", false),
            ("fields=name", "fields=name", false),
            ("fields=name,maker", "fields=name,maker,id", true),
        ] {
            assert_eq!(old_fields(&[change], query), (expected.to_owned(), adds_ids), "{query}");
        }
        let headers = HeaderMap::new();
        let config = GateConfig::default();
        let mut plan = Plan::of(&config, &[change], &Method::GET, "/v2/things", &headers).unwrap();
        let mut request = Request::builder().uri("/v2/things?fields=maker_id").body(None).unwrap();
        plan.request(&mut request).unwrap();
        assert_eq!(request.uri(), "/v1/things?fields=maker,id");
        let id = "thg_0194bbd7e6007abc8def0123456789ab";
        let body = json!({ "items": [{ "id": id, "maker": "m" }] }).to_string();
        let mut response = Response::builder()
            .header("content-type", "application/json")
            .body(Bytes::from(body))
            .unwrap();
        plan.response(&mut response, false);
        assert_eq!(response.body(), r#"{"items":[{"maker_id":"m"}]}"#);
    }

    #[test]
    fn a_deprecation_is_announced() {
        let config = config(json!({ "deprecations": [{
            "path": "/v1/things*", "deprecated_at": "2026-12-01T00:00:00Z", "sunset_at": "2028-12-01T00:00:00Z",
            "successor": "/v2/things",
        }]}));
        let plan = plan(&config, &Method::GET, "/v1/things", "x").unwrap();
        let mut response = Response::new(Bytes::new());
        plan.response(&mut response, false);
        for (name, value) in [
            ("deprecation", "@1796083200"),
            ("sunset", "Fri, 01 Dec 2028 00:00:00 GMT"),
            ("link", "</v2/things>; rel=\"successor-version\""),
        ] {
            assert_eq!(response.headers()[name], value);
        }
    }

    #[test]
    fn settings_that_could_do_harm_are_refused() {
        use garde::Validate as _;
        let rule = |more: Value| {
            let mut rule = json!({ "name": "a", "path": "/v1/things" });
            for (name, value) in more.as_object().unwrap() {
                rule[name] = value.clone();
            }
            config(json!({ "rules": [rule] })).validate().is_ok()
        };
        assert!(rule(json!({ "response": { "set_headers": { "x-a": "b" } } })));
        assert!(rule(
            json!({ "client": { "header": "x-forwarded-for", "begins": "10." } })
        ));
        for wrong in [
            json!({ "path": "v1" }),
            json!({ "path": "/v1/*/x" }),
            json!({ "methods": ["TRACE"] }),
            json!({ "request": { "set_headers": { "authorization": "Bearer x" } } }),
            json!({ "request": { "drop_headers": ["souk-tenant"] } }),
            json!({ "response": { "set_headers": { "access-control-allow-origin": "*" } } }),
            json!({ "response": { "set_headers": { "set-cookie": "a=b" } } }),
            json!({ "response": { "set_headers": { "location": "https://other.example" } } }),
            json!({ "response": { "set_headers": { "cdn-cache-control": "max-age=1" } } }),
            json!({ "response": { "drop_headers": ["x-content-type-options"] } }),
            json!({ "request": { "set_headers": { "x-real-ip": "10.0.0.1" } } }),
            json!({ "response": { "set_headers": { "x-a": "b\r\nset-cookie: c" } } }),
            json!({ "response": { "set_headers": { "X-A": "b" } } }),
            json!({ "response": { "drop_headers": ["cache-control"] } }),
            json!({ "response": { "rename": { "": "x" } } }),
        ] {
            assert!(!rule(wrong.clone()), "{wrong}");
        }
    }
}
