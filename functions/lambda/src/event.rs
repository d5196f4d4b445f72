//! API Gateway's events (payload format 2.0), which function URLs send too, as requests and answers.
//!
//! Only what the kit uses is read. The field's crate for this, `lambda_http`, panics on a query that holds a `<`, and the
//! whole Lambda ends with it; here anything that a client can send becomes a request.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use serde::{Deserialize, Serialize};
use souk_http::MAX_BODY;

/// What API Gateway sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// What API Gateway takes as an answer.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    cookies: Vec<String>,
    body: String,
    is_base64_encoded: bool,
}

impl From<Event> for Request<Option<Bytes>> {
    fn from(event: Event) -> Self {
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(&body).unwrap_or_default()
        } else {
            body.into_bytes()
        };
        let mut request = Request::new((body.len() <= MAX_BODY).then(|| body.into()));
        *request.method_mut() = event.request_context.http.method.parse().unwrap_or(Method::GET);
        *request.uri_mut() = target(&event.raw_path, &event.raw_query_string);
        let cookies = (!event.cookies.is_empty()).then(|| ("cookie".to_owned(), event.cookies.join("; ")));
        for (name, value) in event.headers.into_iter().chain(cookies) {
            // API Gateway has joined headers of one name already.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let (body, is_base64_encoded) = match String::from_utf8(body.into()) {
            Ok(text) => (text, false),
            Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
        };
        let cookies = texts(&parts.headers, &header::SET_COOKIE);
        let names = parts.headers.keys().filter(|name| *name != header::SET_COOKIE);
        let headers = names
            .map(|name| (name.to_string(), texts(&parts.headers, name).join(", ")))
            .collect();
        Self {
            status_code: parts.status.as_u16(),
            headers,
            cookies,
            body,
            is_base64_encoded,
        }
    }
}

fn texts(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect()
}

/// The path, which API Gateway may have decoded, and the query as the client wrote it.
fn target(path: &str, query: &str) -> Uri {
    let mut target = if path.starts_with('/') {
        String::new()
    } else {
        "/".to_owned()
    };
    escape(path, b"?#", &mut target);
    if !query.is_empty() {
        target.push('?');
        escape(query, b"#", &mut target);
    }
    // Only one that is too long is left to fail: far beyond the kit's limit, which answers it.
    target.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// Appends `text` with everything escaped that no URL may hold, and `also`.
fn escape(text: &str, also: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte) && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(event: serde_json::Value) -> Request<Option<Bytes>> {
        serde_json::from_value::<Event>(event).unwrap().into()
    }

    /// An event as API Gateway sends it.
    fn event(path: &str, query: &str) -> serde_json::Value {
        serde_json::json!({
            "version": "2.0",
            "routeKey": "ANY /v1/products/{proxy+}",
            "rawPath": path,
            "rawQueryString": query,
            "cookies": ["a=1", "b=2"],
            "headers": {
                "accept": "application/json",
                "content-type": "application/json",
                "host": "abc.execute-api.eu-central-1.amazonaws.com",
                "x-forwarded-for": "192.0.2.1, 192.0.2.2",
                "x-forwarded-proto": "https",
                "no header": "at all"
            },
            "queryStringParameters": { "tag": "red,blue" },
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "abc",
                "domainName": "abc.execute-api.eu-central-1.amazonaws.com",
                "domainPrefix": "abc",
                "http": {
                    "method": "PATCH",
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "curl/8"
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": "ANY /v1/products/{proxy+}",
                "stage": "$default",
                "time": "12/Mar/2026:19:03:58 +0000",
                "timeEpoch": 1773342238
            },
            "pathParameters": { "proxy": "prd_1" },
            "body": "eyJ0aXRsZSI6InQifQ==",
            "isBase64Encoded": true
        })
    }

    #[test]
    fn an_event_becomes_the_request_that_the_client_sent() {
        let request = request(event("/v1/products/prd_1", "tag=red&tag=blue%20sky&q=a+b"));
        assert_eq!(request.method(), Method::PATCH);
        assert_eq!(request.uri(), "/v1/products/prd_1?tag=red&tag=blue%20sky&q=a+b");
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.headers()["cookie"], "a=1; b=2");
        assert_eq!(request.headers()["x-forwarded-for"], "192.0.2.1, 192.0.2.2");
        assert_eq!(request.headers().len(), 6);
        assert_eq!(request.body().as_deref(), Some(r#"{"title":"t"}"#.as_bytes()));
    }

    #[test]
    fn the_least_event_is_a_request_too() {
        let least = serde_json::json!({ "rawPath": "", "requestContext": { "http": { "method": "GET" } } });
        let request = request(least);
        assert_eq!(
            (request.method(), request.uri()),
            (&Method::GET, &Uri::from_static("/"))
        );
        assert!(request.headers().is_empty());
        assert_eq!(request.body().as_deref(), Some(&b""[..]));
        let mut large = event("/", "");
        large["body"] = "x".repeat(MAX_BODY + 1).into();
        large["isBase64Encoded"] = false.into();
        assert_eq!(super::tests::request(large).body(), &None);
    }

    #[test]
    fn nothing_that_a_client_writes_into_a_url_is_lost_or_fatal() {
        for (path, query, expected) in [
            ("/v1/products/café au lait", "", "/v1/products/caf%C3%A9%20au%20lait"),
            ("/v1/products/caf%C3%A9", "", "/v1/products/caf%C3%A9"),
            ("/a?b#c", "d#e", "/a%3Fb%23c?d%23e"),
            ("//evil.example/x", "", "//evil.example/x"),
            ("/x", r#"z=<"\^`{|}>"#, "/x?z=%3C%22%5C%5E%60%7B%7C%7D%3E"),
            ("/x", "\u{0}\u{7f}é%zz?&=", "/x?%00%7F%C3%A9%zz?&="),
            ("*", "", "/*"),
        ] {
            let request = request(event(path, query));
            assert_eq!(request.uri().path_and_query().unwrap().as_str(), expected);
            assert_eq!(request.uri().host(), None);
        }
        assert_eq!(request(event(&format!("/{}", "x".repeat(100_000)), "")).uri(), "/");
    }

    #[test]
    fn an_answer_is_text_where_it_can_be() {
        let mut response = Response::new(Bytes::from_static("{\"a\":\"é\"}".as_bytes()));
        for (name, value) in [
            ("etag", "\"1\""),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("vary", "a"),
            ("vary", "b"),
        ] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let answer = Answer::from(response);
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            serde_json::json!({
                "statusCode": 200,
                "headers": { "etag": "\"1\"", "vary": "a, b" },
                "cookies": ["a=1", "b=2"],
                "body": "{\"a\":\"é\"}",
                "isBase64Encoded": false
            })
        );
        let binary = Answer::from(Response::new(Bytes::from_static(&[0xff, 0])));
        assert_eq!((binary.body.as_str(), binary.is_base64_encoded), ("/wA=", true));
    }
}
