//! Converts events of API Gateway and function URLs (payload format 2.0) to HTTP requests, and responses back.
//!
//! `lambda_http` does the work. This module keeps input of clients from its defects: it panics if `Host`, `X-Forwarded-Proto`
//! and the path make no valid URL, and if the query contains a `<`; it resolves `..` in the path; it rejects the whole event
//! if one header is malformed; and of a header with several values it sends only the first.

use std::convert::Infallible;
use std::mem;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::{LambdaRequest, RequestOrigin};
use lambda_http::{Body, IntoResponse as _, TransformResponse};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use souk_kit::MAX_BODY;
use souk_kit::http::ClientAddress;

/// The characters that are percent-encoded in a query and in a path. `%` is not one of them: what was encoded stays so.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const PATH: &AsciiSet = &QUERY.add(b'?');

/// The request that the client sent; `None` as its body if that is larger than [`MAX_BODY`]. Fails only if the event is not
/// one of API Gateway. `proxies` is the number of trusted proxies in front of the API.
pub fn request(mut event: Value, proxies: usize) -> serde_json::Result<Request<Option<Bytes>>> {
    if let Some(headers) = event.get_mut("headers").and_then(Value::as_object_mut) {
        let valid = |value: &Value| value.as_str().is_some_and(|value| HeaderValue::from_str(value).is_ok());
        headers.retain(|name, value| HeaderName::try_from(name).is_ok() && valid(value));
    }
    let mut event = ApiGatewayV2httpRequest::deserialize(event)?;
    // Without these `lambda_http` builds no URL; see above.
    let path = event.raw_path.take().unwrap_or_default();
    let query = event.raw_query_string.take().unwrap_or_default();
    event.request_context.domain_name = None;
    event.request_context.stage = None;
    let address = event.request_context.http.source_ip.take().unwrap_or_default();
    let headers = mem::take(&mut event.headers);
    let (mut parts, body) = lambda_http::Request::from(LambdaRequest::ApiGatewayV2(event)).into_parts();
    parts.uri = target(&path, &query);
    let cookies = mem::replace(&mut parts.headers, headers);
    parts.headers.extend(cookies);
    // API Gateway appends the address that it is called from too.
    let trusted = if proxies > 0 { proxies + 1 } else { 0 };
    let address = ClientAddress::forwarded(&parts.headers, trusted).unwrap_or(ClientAddress(address));
    parts.extensions.insert(address);
    let body = (body.len() <= MAX_BODY).then(|| Bytes::copy_from_slice(&body));
    Ok(Request::from_parts(parts, body))
}

/// Whether the request came through CloudFront, which adds one of these secrets, separated by commas, as the header
/// `Souk-Origin`. The header is removed.
pub fn has_secret<T>(request: &mut Request<T>, secrets: &str) -> bool {
    let sent = request.headers_mut().remove("souk-origin");
    let sent = sent.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
    let mut secrets = secrets.split(',').filter(|secret| !secret.is_empty());
    secrets.any(|secret| is_equal(sent, secret.as_bytes()))
}

/// Compares in a time that does not depend on where the two differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// The response as API Gateway takes it.
pub async fn response(response: Response<Bytes>) -> Result<impl Serialize, Infallible> {
    let mut response = response.map(|body| Body::from(Vec::from(body)));
    let headers = response.headers_mut();
    let names: Vec<_> = headers
        .keys()
        .filter(|name| *name != header::SET_COOKIE)
        .cloned()
        .collect();
    for name in names {
        let values: Vec<_> = headers
            .get_all(&name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        match HeaderValue::try_from(values.join(", ")) {
            Ok(value) => headers.insert(name, value),
            Err(_) => headers.remove(name),
        };
    }
    TransformResponse::<Response<Body>, _>::Response(RequestOrigin::ApiGatewayV2, response.into_response()).await
}

/// The request target: the path, which API Gateway may have decoded, and the query as the client wrote it.
fn target(path: &str, query: &str) -> Uri {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let question = if query.is_empty() { "" } else { "?" };
    let (path, query) = (utf8_percent_encode(path, PATH), utf8_percent_encode(query, QUERY));
    // Only a target of more than 64 KB fails, which the kit refuses anyway.
    Uri::try_from(format!("{slash}{path}{question}{query}")).unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use serde_json::json;

    use super::*;

    fn request(event: Value) -> Request<Option<Bytes>> {
        super::request(event, 0).unwrap()
    }

    async fn event_of(response: Response<Bytes>) -> Value {
        serde_json::to_value(super::response(response).await.unwrap()).unwrap()
    }

    /// An event as API Gateway sends it.
    fn event(path: &str, query: &str) -> Value {
        json!({
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
    fn the_clients_address_is_what_trusted_proxies_saw_and_not_what_it_claims() {
        let address = |event: Value, proxies| {
            let request = super::request(event, proxies).unwrap();
            request.extensions().get::<ClientAddress>().unwrap().0.clone()
        };
        let mut event = event("/", "");
        event["requestContext"]["http"]["sourceIp"] = "192.0.2.9".into();
        for (header, proxies, expected) in [
            ("6.6.6.6, 192.0.2.9", 0, "192.0.2.9"),
            ("6.6.6.6, 2001:db8::1, 192.0.2.9", 1, "2001:db8::1"),
            ("6.6.6.6,198.51.100.7,192.0.2.1,192.0.2.9", 2, "198.51.100.7"),
            ("192.0.2.9", 1, "192.0.2.9"),
            ("", 1, "192.0.2.9"),
        ] {
            event["headers"]["x-forwarded-for"] = header.into();
            assert_eq!(address(event.clone(), proxies), expected);
        }
        assert_eq!(
            address(json!({ "requestContext": { "http": { "method": "GET" } } }), 1),
            ""
        );
    }

    #[test]
    fn only_who_knows_the_secret_comes_through_the_cdn() {
        for (sent, passes) in [
            (Some("0123456789abcdef"), true),
            (Some("fedcba9876543210"), true),
            (Some("0123456789abcdef,fedcba9876543210"), false),
            (Some("0123456789abcdeF"), false),
            (Some("0123456789abcde"), false),
            (Some(""), false),
            (None, false),
        ] {
            let mut event = event("/", "");
            if let Some(sent) = sent {
                event["headers"]["souk-origin"] = sent.into();
            }
            let mut request = request(event);
            assert_eq!(
                has_secret(&mut request, "0123456789abcdef,fedcba9876543210,"),
                passes,
                "{sent:?}"
            );
            // Nobody after this sees it.
            assert!(!request.headers().contains_key("souk-origin"));
        }
    }

    #[test]
    fn a_minimal_event_is_a_request_too() {
        let mut least = json!({ "rawPath": "", "requestContext": { "http": { "method": "GET" } } });
        let bare = json!({ "requestContext": { "http": { "method": "GET" } } });
        for name in [
            "rawQueryString",
            "cookies",
            "headers",
            "body",
            "pathParameters",
            "queryStringParameters",
        ] {
            least[name] = Value::Null;
        }
        for event in [least, bare] {
            let request = request(event);
            assert_eq!(
                (request.method(), request.uri()),
                (&Method::GET, &Uri::from_static("/"))
            );
            assert!(request.headers().is_empty());
            assert_eq!(request.body().as_deref(), Some(&b""[..]));
        }
        assert!(super::request(json!({ "detail-type": "Scheduled Event" }), 0).is_err());
        assert!(super::request(Value::Null, 0).is_err());
    }

    #[test]
    fn a_body_arrives_unless_it_is_too_large() {
        let mut event = event("/", "");
        event["isBase64Encoded"] = false.into();
        for (length, arrives) in [(0, true), (MAX_BODY, true), (MAX_BODY + 1, false)] {
            event["body"] = "x".repeat(length).into();
            let body = request(event.clone()).into_body();
            assert_eq!(body.map(|body| body.len()), arrives.then_some(length));
        }
        event["body"] = "\u{feff}é\u{0}".into();
        assert_eq!(request(event).body().as_deref(), Some("\u{feff}é\u{0}".as_bytes()));
    }

    #[test]
    fn no_character_in_a_url_is_lost_or_panics() {
        for (path, query, expected) in [
            ("/v1/products/café au lait", "", "/v1/products/caf%C3%A9%20au%20lait"),
            ("/v1/products/caf%C3%A9", "", "/v1/products/caf%C3%A9"),
            ("/a?b#c", "d#e", "/a%3Fb%23c?d%23e"),
            ("//evil.example/x", "", "//evil.example/x"),
            ("/a//b/../%2e%2e/./c", "", "/a//b/../%2e%2e/./c"),
            ("http://evil.example:x/", "", "/http://evil.example:x/"),
            ("@evil.example", "", "/@evil.example"),
            (":99999", "", "/:99999"),
            ("/%FF%zz%", "%FF%zz%", "/%FF%zz%?%FF%zz%"),
            ("/\\evil\t\r\n", "", "/%5Cevil%09%0D%0A"),
            ("/x", r#"z=<"\^`{|}>"#, "/x?z=%3C%22%5C%5E%60%7B%7C%7D%3E"),
            ("/x", "\u{0}\u{7f}é%zz?&=", "/x?%00%7F%C3%A9%zz?&="),
            ("*", "", "/*"),
        ] {
            let request = request(event(path, query));
            assert_eq!(request.uri().path_and_query().unwrap().as_str(), expected);
            assert_eq!(request.uri().host(), None);
        }
        for byte in 0..=u8::MAX {
            let text = format!("/{}", char::from(byte));
            let request = request(event(&text, &text));
            let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().unwrap();
            assert_eq!(decode(request.uri().path()), text);
            assert_eq!(decode(request.uri().query().unwrap()), text);
        }
        assert_eq!(request(event(&format!("/{}", "x".repeat(100_000)), "")).uri(), "/");
    }

    #[test]
    fn no_header_panics_and_every_valid_one_arrives() {
        let hosts = [
            "",
            " ",
            "a b",
            "a:99999",
            "a:b",
            "[::",
            "[::1]:1",
            "a/b?c#d",
            "me@x",
            "xn--",
            "é",
            "%zz",
            "<",
            "1.2.3.999",
            "?",
        ];
        for host in hosts {
            for scheme in ["https", "", "java script", "data", "file", "1", "://", "https, http"] {
                let mut event = event("/x", "q=<");
                event["headers"]["host"] = host.into();
                event["headers"]["x-forwarded-proto"] = scheme.into();
                event["requestContext"]["domainName"] = host.into();
                event["requestContext"]["stage"] = host.into();
                let request = request(event);
                assert_eq!(request.uri(), "/x?q=%3C");
                assert_eq!(request.headers()["host"], host);
                assert_eq!(request.headers()["x-forwarded-proto"], scheme);
            }
        }
        let mut event = event("/", "");
        event["headers"] = json!({
            "X-Name": "é \t \u{80}", "": "a", "é": "a", "a b": "a", "x-null": null, "x-list": ["a"],
            "x-del": "\u{7f}", "x-line": "a\r\nb: c", "cookie": "replaced"
        });
        event["cookies"] = json!(["a=é", "b=\""]);
        let headers = request(event.clone()).headers().clone();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-name"], "é \t \u{80}");
        assert_eq!(headers["cookie"], "a=é; b=\"");
        event["cookies"] = json!(["\n"]);
        assert_eq!(request(event).headers()["cookie"], "replaced");
    }

    #[test]
    fn a_method_arrives_if_it_is_valid() {
        let mut event = event("/", "");
        for (method, arrives) in [
            ("PURGE", true),
            ("get", true),
            ("M-SEARCH", true),
            ("G T", false),
            ("é", false),
        ] {
            event["requestContext"]["http"]["method"] = method.into();
            let request = super::request(event.clone(), 0);
            assert_eq!(
                request.ok().map(|request| request.method() == method),
                arrives.then_some(true)
            );
        }
    }

    #[tokio::test]
    async fn a_response_is_text_if_it_is_utf8() {
        let mut response = Response::new(Bytes::from_static("{\"a\":\"é\"}".as_bytes()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("etag", "\"1\""),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("vary", "a"),
            ("vary", "b"),
        ] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        assert_eq!(
            event_of(response).await,
            json!({
                "statusCode": 404,
                "headers": { "content-type": "application/problem+json", "etag": "\"1\"", "vary": "a, b" },
                "multiValueHeaders": {},
                "cookies": ["a=1", "b=2"],
                "body": "{\"a\":\"é\"}",
                "isBase64Encoded": false
            })
        );
    }

    #[tokio::test]
    async fn a_response_may_be_binary_or_empty() {
        let mut response = Response::new(Bytes::from_static(&[0xff, 0]));
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("image/png"));
        // Not UTF-8, so it cannot be written as JSON.
        response
            .headers_mut()
            .insert("x-bytes", HeaderValue::from_bytes(&[0xff]).unwrap());
        let binary = event_of(response).await;
        assert_eq!(
            (&binary["body"], &binary["isBase64Encoded"]),
            (&json!("/wA="), &json!(true))
        );
        assert_eq!(binary["headers"], json!({ "content-type": "image/png", "x-bytes": "" }));
        let empty = event_of(Response::new(Bytes::new())).await;
        assert_eq!((&empty["body"], &empty["isBase64Encoded"]), (&json!(""), &json!(false)));
    }
}
