//! Nobody gets what is another's, and nothing that a request carries changes what others get.

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};

use crate::world::{Account, ORIGIN, World, call, category, get, plain, run};

const ACCOUNTS: u32 = 20;
const REQUESTS: usize = 100_000;

fn secret(n: usize) -> String {
    format!("secret-of-{n}-only")
}

/// 20 accounts with drafts, 100,000 requests of theirs and of strangers, and edits all along.
#[test]
fn no_one_gets_what_is_anothers() {
    let world = World::new(10);
    let mut rng = Rng::with_seed(10);
    let accounts: Vec<Account> = (0..ACCOUNTS).map(|n| world.account(n)).collect();
    let mut tokens: Vec<String> = accounts.iter().map(|account| world.token(account)).collect();
    let (mut products, mut drafts) = (Vec::new(), Vec::new());
    for (n, account) in accounts.iter().enumerate() {
        for _ in 0..3 {
            products.push((n, world.product(account, "Thing for all", true)));
            drafts.push((n, world.product(account, &secret(n), false)));
        }
    }
    let mut paths: Vec<String> = ["published", "draft", "archived"]
        .iter()
        .flat_map(|status| {
            accounts
                .iter()
                .map(move |a| format!("/v1/products?author={}&status={status}", a.id))
        })
        .collect();
    paths.extend(products.iter().chain(&drafts).flat_map(|(_, id)| {
        let one = format!("/v1/products/{id}");
        [format!("{one}/comments"), format!("{one}?include=author,category"), one]
    }));
    paths.extend(accounts.iter().map(|account| format!("/v1/accounts/{}", account.id)));
    paths.extend((0..ACCOUNTS).map(|n| format!("/v1/products?author=user-{n}")));
    paths.extend(
        [
            "/v1/products",
            "/v1/products?status=draft",
            "/v1/products?sort=price&limit=50",
            "/v1/me",
            "/v1/feed",
        ]
        .map(str::to_owned),
    );

    let (mut hits, mut own) = (0_usize, 0_usize);
    for turn in 0..REQUESTS {
        // Tokens do not live for ever.
        if turn % 20_000 == 19_999 {
            tokens = accounts.iter().map(|account| world.token(account)).collect();
        }
        world.clock.advance(rng.i64(0..20));
        if rng.u8(..50) == 0 {
            let private = rng.bool();
            let (owner, id) = rng.choice(if private { &drafts } else { &products }).unwrap();
            let words = if private { secret(*owner) } else { "Seen".into() };
            let patch = json!({ "description": format!("{words} at {turn}") });
            let path = format!("/v1/products/{id}");
            run(world.write(&accounts[*owner], Method::PATCH, &path, patch));
        }
        let who = (rng.u8(..10) < 4).then(|| rng.usize(..accounts.len()));
        let path = rng.choice(&paths).unwrap();
        let method = if rng.u8(..20) == 0 { Method::HEAD } else { Method::GET };
        let mut headers = vec![("accept", "application/json")];
        if let Some(n) = who {
            headers.push(("authorization", &tokens[n]));
        }
        let response = run(call(&world.app, method, path, &headers));
        assert!(!response.status().is_server_error(), "{path}");
        let body = std::str::from_utf8(response.body()).unwrap();
        for n in 0..accounts.len() {
            if who == Some(n) {
                own += usize::from(body.contains(&secret(n)));
            } else {
                assert!(!body.contains(&secret(n)), "{path} of {who:?} shows what is {n}'s");
            }
        }
        assert!(!body.contains("@cache.test") || path == "/v1/me", "{path}");
        let cache = response.headers()["cache-control"].to_str().unwrap();
        assert_eq!(cache.starts_with("private, no-"), who.is_some(), "{path}");
        assert!(path != "/v1/me" || cache.ends_with("no-store"), "{path}");
        let hit = response.headers()["cache-status"]
            .to_str()
            .unwrap()
            .starts_with("Souk; hit");
        assert!(!(hit && who.is_some()), "{path}");
        hits += usize::from(hit);
    }
    // Else this would prove little.
    assert!(
        hits > REQUESTS / 10 && own > REQUESTS / 200,
        "{hits} hits, {own} own drafts"
    );
}

/// Something a request can carry that has confused caches.
const HEADERS: [(&str, &[&str]); 27] = [
    ("host", &["evil.example", "", "evil.example:80"]),
    ("x-forwarded-host", &["evil.example"]),
    ("x-forwarded-proto", &["http", "https"]),
    ("x-forwarded-port", &["1"]),
    ("x-forwarded-for", &["203.0.113.1"]),
    ("x-forwarded-prefix", &["/evil"]),
    ("x-original-url", &["/v1/me", "/none"]),
    ("x-rewrite-url", &["/v1/me"]),
    ("x-http-method-override", &["DELETE", "POST", "HEAD"]),
    ("x-http-method", &["DELETE"]),
    ("forwarded", &["host=evil.example;proto=http"]),
    ("accept", &["text/html", "application/xml", "image/*", ""]),
    ("accept-language", &["tr", "xx"]),
    ("accept-encoding", &["br", "gzip, br", "identity;q=0"]),
    ("origin", &[ORIGIN, "https://evil.example", "null"]),
    ("range", &["bytes=0-5", "bytes=-1"]),
    ("if-none-match", &["*", "\"x\"", "W/\"x\""]),
    ("if-match", &["\"v1-0\""]),
    ("if-modified-since", &["Sat, 01 Jan 2050 00:00:00 GMT"]),
    ("user-agent", &["Googlebot", "curl/8", ""]),
    ("x-request-id", &["evil", "a b", "<script>"]),
    (
        "traceparent",
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x"],
    ),
    ("idempotency-key", &["k"]),
    ("content-type", &["text/evil"]),
    ("cache-control", &["no-cache", "only-if-cached", "max-age=0"]),
    ("cookie", &["session=evil", ""]),
    ("authorization", &["Bearer evil", "Basic eDp5", ""]),
];

fn paths(world: &World) -> Vec<String> {
    let seller = world.account(1);
    let id = world.product(&seller, "Lamp", true);
    vec![
        format!("/v1/products/{id}"),
        format!("/v1/products/{id}?fields=title,price,author&include=author"),
        "/v1/products".into(),
        "/v1/products?limit=5&sort=price&tag=some".into(),
        format!("/v1/products?author={}&category={}", seller.id, category()),
        "/v1/categories".into(),
        "/v1/categories/things".into(),
        format!("/v1/accounts/{}", seller.id),
        "/.well-known/jwks.json".into(),
        format!("/v1/products/{id}/comments"),
    ]
}

/// After each request, however odd, everybody else gets what they would have got.
fn poisons_nothing(world: &World, clean: &str, method: Method, odd: &str, headers: &[(&str, &str)]) {
    if odd.parse::<http::Uri>().is_err() {
        return;
    }
    // An odd request comes to an empty cache and to one that has the answer.
    for warm in [false, true] {
        world.clock.advance(8_000_000);
        if warm {
            run(get(&world.app, clean, &[]));
        }
        let (odd_kept, odd_made) = (
            run(call(&world.app, method.clone(), odd, headers)),
            run(call(&world.bare, method.clone(), odd, headers)),
        );
        let text = |body: &[u8]| {
            let mut json: Value = serde_json::from_slice(body).unwrap_or_default();
            if let Some(problem) = json.as_object_mut() {
                problem.remove("request_id");
                // Faults are named in the order of the parameters.
                if let Some(errors) = problem.get_mut("errors").and_then(Value::as_array_mut) {
                    errors.sort_by_key(Value::to_string);
                }
            }
            json
        };
        assert_eq!(
            (odd_kept.status(), text(odd_kept.body())),
            (odd_made.status(), text(odd_made.body())),
            "{method} {odd} {headers:?}"
        );
        let (kept, made) = (run(get(&world.app, clean, &[])), run(get(&world.bare, clean, &[])));
        assert_eq!(kept.status(), 200, "{clean}");
        assert_eq!(
            (kept.status(), plain(&kept), kept.body()),
            (made.status(), plain(&made), made.body()),
            "{clean} after {method} {odd} {headers:?}"
        );
        let id = kept.headers()["x-request-id"].to_str().unwrap();
        assert!(id.starts_with("req_"), "{id}");
    }
}

/// 60 ways to write a path.
#[test]
fn odd_paths_poison_nothing() {
    let world = World::new(11);
    let paths = paths(&world);
    let mut count = 0;
    for clean in paths.iter().filter(|path| !path.contains('?')).take(5) {
        let (head, tail) = clean.rsplit_once('/').unwrap();
        let upper = clean.to_uppercase();
        let encoded = |byte: u8| format!("%{byte:02x}");
        let all: String = clean
            .bytes()
            .map(|b| if b == b'/' { "/".into() } else { encoded(b) })
            .collect();
        let first = tail.bytes().next().unwrap();
        for odd in [
            format!("{clean}/"),
            format!("/{clean}"),
            format!("{head}//{tail}"),
            format!("{head}/./{tail}"),
            format!("{head}/x/../{tail}"),
            format!("{head}/%2e%2e/{tail}"),
            format!("{clean}.css"),
            format!("{clean}%00"),
            format!("{clean}%0a"),
            format!("{clean};x=1"),
            format!("{clean}%3Fx=1"),
            format!("{clean}%2f"),
            format!("{clean}/x.js"),
            format!("{head}%2f{tail}"),
            format!("{head}/{}{}", encoded(first), tail.get(1..).unwrap()),
            all,
            upper,
            format!("{clean}%20"),
            format!("{clean}%ff"),
            format!("https://evil.example{clean}"),
        ] {
            poisons_nothing(&world, clean, Method::GET, &odd, &[]);
            count += 1;
        }
    }
    assert!(count >= 60, "{count}");
}

/// 5,000 requests with odd headers and parameters.
#[test]
fn odd_headers_and_parameters_poison_nothing() {
    let world = World::new(12);
    let paths = paths(&world);
    let mut rng = Rng::with_seed(12);
    for _ in 0..5_000 {
        let clean = rng.choice(&paths).unwrap();
        let mut odd = clean.clone();
        for _ in 0..rng.u8(..3) {
            let join = if odd.contains('?') { '&' } else { '?' };
            let more = rng
                .choice([
                    "utm_source=x",
                    "cb=1",
                    "limit=5",
                    "limit=0",
                    "limit=5&limit=6",
                    "%6cimit=5",
                    "callback=evil",
                    "_method=DELETE",
                    "fields=title",
                    "fields=evil",
                    "include=evil",
                    "",
                    "&",
                    "=",
                    "tag=some",
                    "tag=evil",
                    "x",
                    "a;b=1",
                    "sort=newest",
                    "lim%69t=7",
                    "cursor=evil",
                    "tag=%00",
                    "tag=%ff",
                    "q=<script>",
                ])
                .unwrap();
            odd = format!("{odd}{join}{}", more.replace('<', "%3C").replace('>', "%3E"));
        }
        let mut headers = Vec::new();
        for _ in 0..rng.u8(..5) {
            let (name, values) = rng.choice(HEADERS).unwrap();
            headers.push((name, *rng.choice(values).unwrap()));
        }
        let method = rng
            .choice([Method::GET, Method::GET, Method::GET, Method::HEAD, Method::OPTIONS])
            .unwrap();
        poisons_nothing(&world, clean, method, &odd, &headers);
    }
}

/// Not even a handler that means to can put into an answer what only one request has.
#[test]
fn a_handler_hears_nothing_of_who_asks() {
    let world = World::new(13);
    let all: Vec<(&str, &str)> = HEADERS
        .iter()
        .filter(|(name, _)| !["cookie", "authorization", "if-none-match"].contains(name))
        .map(|(name, values)| (*name, values[0]))
        .collect();
    for target in [
        "/gossip?limit=2&",
        "https://evil.example/gossip?&%6cimit=2",
        "/gossip?limit=2",
    ] {
        world.clock.advance(8_000_000);
        for method in [Method::HEAD, Method::GET] {
            let response = run(call(&world.app, method.clone(), target, &all));
            assert_eq!(response.status(), 200);
            if method == Method::GET {
                assert_eq!(response.body(), "\"/gossip?limit=2 {} \"");
            }
        }
    }
    // It is heard where the answer is for the asker alone.
    let own = run(get(&world.app, "/gossip", &[("cookie", "a=b")]));
    assert!(String::from_utf8_lossy(own.body()).contains("a=b"));
}
