//! The requests that are sent to OpenSearch, and how failures are handled. The contract tests check the results on a
//! real engine.

#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "stub/http.rs"]
mod stub;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use souk_aws::{OpenSearch, Settings, SystemClock, SystemRandom};
use souk_core::Tenant;
use souk_core::search::{
    Facet, Field, IndexChange, IndexState, Listing, Near, Search, SearchError, SearchQuery, Sort, Suggestion,
    SuggestionKind,
};
use stub::{Asked, Http, SILENCE};

/// An index on a stub that gives these responses and records its requests.
async fn index(answers: Vec<(&'static str, u16, Value)>) -> (OpenSearch, Http) {
    let server = Http::start(answers).await;
    let mut settings = Settings::emulator("http://127.0.0.1:1");
    settings.timeout = Duration::from_millis(300);
    let url = format!("http://admin:secret@{}/", server.address);
    let index = OpenSearch::new(&settings, &url, "souk", Arc::new(SystemClock), Arc::new(SystemRandom));
    (index.unwrap(), server)
}

fn test(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(run));
}

/// The `_alias` response with generation 3 live and generation 4 being built.
fn layout() -> (&'static str, u16, Value) {
    let indexes = json!({
        "souk-3": { "aliases": { "souk": {} } },
        "souk-4": { "aliases": { "souk-building": {} } },
        "souk-queries": { "aliases": {} },
    });
    ("GET /souk-%2A/_alias", 200, indexes)
}

fn written(statuses: &[u16]) -> (&'static str, u16, Value) {
    let item = |status: &u16| match status {
        200..300 => json!({ "index": { "status": status } }),
        status => {
            json!({ "index": { "status": status, "error": { "type": "some_exception", "reason": "of some kind" } } })
        }
    };
    let errors = statuses.iter().any(|status| *status >= 300);
    let items: Vec<Value> = statuses.iter().map(item).collect();
    ("POST /_bulk", 200, json!({ "errors": errors, "items": items }))
}

fn nothing() -> (&'static str, u16, Value) {
    ("POST /souk/_search", 200, json!({ "hits": { "hits": [] } }))
}

fn failure(status: u16) -> Value {
    json!({ "error": { "type": "some_exception", "reason": "of some kind" }, "status": status })
}

fn unavailable(why: &str) -> SearchError {
    SearchError::Unavailable(why.to_owned())
}

fn lamp() -> Listing {
    Listing {
        id: "prd_1".into(),
        version: 7,
        body: "{\"title\":\"Oil Lamps\"}".into(),
        rank: 1_700_000_000,
        texts: vec![(Field::Title, "Oil Lamps".into())],
        facets: vec![Facet {
            field: "tag".into(),
            value: "old".into(),
            label: "Old".into(),
        }],
        suggestions: vec![Suggestion {
            kind: SuggestionKind::Group,
            text: "Oil lamps".into(),
            id: Some("cat_1".into()),
        }],
        price: 1_000,
        other_prices: Vec::new(),
        published_at: 1_700_000_000_000,
        votes: 2,
        place: Some((52.5, 190.0)),
    }
}

fn lines(asked: &Asked) -> Vec<Value> {
    asked
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn products_and_removals_go_to_both_generations_with_their_versions() {
    test(async {
        let (index, server) = index(vec![layout(), written(&[201, 409, 200, 201, 201, 201]), layout()]).await;
        let gone = IndexChange::Remove {
            id: "prd_2".into(),
            version: 9,
        };
        // A conflict with a newer version is not a failure.
        index.apply(&[IndexChange::Put(Box::new(lamp())), gone]).await.unwrap();
        let asked = server.asked();
        assert!(
            asked[0].head.contains("authorization: Basic YWRtaW46c2VjcmV0\r\n"),
            "{}",
            asked[0].head
        );
        assert!(asked[1].head.starts_with("POST /_bulk?refresh=wait_for "));
        assert!(asked[1].head.contains("content-type: application/x-ndjson\r\n"));
        let sent = lines(&asked[1]);
        let action = |index: &str, id: &str, version: u64| json!({ "index": { "_index": index, "_id": id, "version": version, "version_type": "external_gte" } });
        assert_eq!(sent[0], action("souk-3", "prd_1", 14));
        assert_eq!(sent[2], action("souk-4", "prd_1", 14));
        assert_eq!(sent[4], action("souk-3", "prd_2", 19));
        let key = sent[1]["facets"][0]
            .as_str()
            .unwrap()
            .strip_suffix("[\"old\",\"Old\"]")
            .unwrap();
        assert!(
            key.len() == 17 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{key}"
        );
        let mut expected = json!({
            "product": "prd_1",
            "version": 7,
            "body": "{\"title\":\"Oil Lamps\"}",
            "rank": 1_700_000_000,
            "price": [1_000],
            "numbers": [],
            "published_at": 1_700_000_000_000_u64,
            "votes": 2,
            "place": { "lat": 52.5, "lon": -170.0 },
            "words": ["lamp", "lamps", "oil"],
            "title": "Oil Lamps",
            "completions": ["goil lamps\toil lamps\tcat_1\tOil lamps", "glamps\toil lamps\tcat_1\tOil lamps"],
        });
        expected["facets"] = sent[1]["facets"].clone();
        expected["tokens"] = sent[1]["tokens"].clone();
        assert_eq!(sent[1], expected);
        assert!(
            sent[1]["tokens"]
                .as_str()
                .unwrap()
                .starts_with("y boil toil tlamp moil mlamp zoil zlamp x")
        );
        assert_eq!(sent[5], json!({}));
        assert_eq!(sent[8], action("souk-3", "gone:prd_2", 9));
        assert_eq!((&sent[9]["product"], &sent[9]["version"]), (&json!("prd_2"), &json!(9)));
        assert!(sent[9]["gone_at"].is_i64());
        server.done();
    });
}

#[test]
fn a_generation_begun_during_a_write_is_written_too() {
    test(async {
        let before = json!({ "souk-3": { "aliases": { "souk": {} } } });
        let before = ("GET /souk-%2A/_alias", 200, before);
        let answers = vec![before, written(&[200]), layout(), written(&[200]), layout()];
        let (index, server) = index(answers).await;
        index.apply(&[IndexChange::Put(Box::new(lamp()))]).await.unwrap();
        let asked = server.asked();
        assert_eq!(lines(&asked[1])[0]["index"]["_index"], "souk-3");
        assert_eq!(lines(&asked[3])[0]["index"]["_index"], "souk-4");
        server.done();
    });
}

#[test]
fn transient_failures_are_retried() {
    test(async {
        let bulk = |status| ("POST /_bulk", status, failure(status));
        let answers = vec![
            ("GET /souk-%2A/_alias", 429, failure(429)),
            layout(),
            bulk(503),
            // One of two products was rejected: both are sent again.
            written(&[200, 429]),
            written(&[200, 200]),
            layout(),
        ];
        let (one, server) = index(answers).await;
        one.apply(&[IndexChange::Put(Box::new(lamp()))]).await.unwrap();
        let asked = server.asked();
        assert_eq!(asked[3].body, asked[4].body);
        server.done();

        let (other, server) = index(vec![layout(), written(&[200, 400])]).await;
        let refused = other.apply(&[IndexChange::Put(Box::new(lamp()))]).await;
        assert_eq!(refused, Err(unavailable("status 400: some_exception of some kind")));
        server.done();
    });
}

#[test]
fn lasting_failures_make_search_unavailable() {
    test(async {
        let alias = |status, body| ("GET /souk-%2A/_alias", status, body);
        for (answers, expected) in [
            (
                vec![alias(503, failure(503)); 5],
                "status 503: some_exception of some kind",
            ),
            (
                vec![alias(403, json!({ "Message": "User: anonymous is not authorized" }))],
                "status 403: User: anonymous is not authorized",
            ),
            (vec![alias(SILENCE, Value::Null); 5], "no answer in time"),
            (vec![alias(200, json!("?"))], "the answer makes no sense"),
        ] {
            let (index, server) = index(answers).await;
            assert_eq!(index.state().await, Err(unavailable(expected)));
            server.done();
        }
        // While a rebuild finishes, the alias may point to no index.
        let (index, server) = index(vec![("POST /souk/_search", 404, failure(404)), nothing()]).await;
        assert!(index.search(&SearchQuery::default()).await.unwrap().hits.is_empty());
        server.done();
    });
}

#[test]
fn a_generation_replaces_another_atomically() {
    test(async {
        let fine = || json!({ "acknowledged": true });
        let (one, server) = index(vec![
            layout(),
            ("POST /souk-4/_refresh", 200, json!({})),
            ("POST /_aliases", 200, fine()),
            ("DELETE /souk-3 ", 200, fine()),
            ("POST /souk-queries/_search", 200, json!({ "hits": { "hits": [] } })),
        ])
        .await;
        one.finish(4).await.unwrap();
        let actions: Value = serde_json::from_str(&server.asked()[2].body).unwrap();
        let expected = json!({ "actions": [
            { "add": { "index": "souk-4", "alias": "souk" } },
            { "remove": { "index": "souk-4", "alias": "souk-building" } },
            { "remove": { "index": "souk-3", "alias": "souk" } },
        ] });
        assert_eq!(actions, expected);
        server.done();

        let (other, server) = index(vec![layout(), layout()]).await;
        assert_eq!(other.finish(3).await, Err(SearchError::Superseded));
        assert_eq!(other.fill(5, &[lamp()]).await, Err(SearchError::Superseded));
        server.done();
    });
}

#[test]
fn a_rebuild_begins_beside_the_live_generation_and_copies_removals() {
    test(async {
        let fine = || json!({ "acknowledged": true });
        let exists = json!({ "error": { "type": "resource_already_exists_exception", "reason": "it is there" } });
        let removal = json!({ "_source": { "product": "prd_2", "version": 9, "gone_at": 1_800_000_000_000_u64 } });
        let after = json!({
            "souk-3": { "aliases": { "souk": {} } },
            "souk-4": { "aliases": {} },
            "souk-5": { "aliases": { "souk-building": {} } },
        });
        let (index, server) = index(vec![
            layout(),
            ("PUT /souk-5 ", 400, exists),
            layout(),
            ("PUT /souk-5 ", 200, fine()),
            ("POST /_aliases", 200, fine()),
            ("POST /souk-3/_refresh", 200, json!({})),
            ("POST /souk-3/_search", 200, json!({ "hits": { "hits": [removal] } })),
            written(&[201, 201]),
            ("GET /souk-%2A/_alias", 200, after),
            ("DELETE /souk-4 ", 200, fine()),
            ("PUT /souk-queries ", 200, fine()),
        ])
        .await;
        assert_eq!(index.begin().await, Ok(5));
        let asked = server.asked();
        let definition: Value = serde_json::from_str(&asked[3].body).unwrap();
        assert_eq!(definition["settings"], json!({ "index": { "number_of_shards": 1 } }));
        let fields = &definition["mappings"]["properties"];
        assert_eq!(
            fields["tokens"],
            json!({ "type": "text", "analyzer": "whitespace", "norms": false })
        );
        assert_eq!(definition["mappings"]["_meta"]["format"], souk_core::search::FORMAT);
        assert_eq!(fields["numbers"]["type"], "nested");
        assert_eq!(fields["words"]["type"], "keyword");
        assert_eq!(fields["place"], json!({ "type": "geo_point" }));
        let actions: Value = serde_json::from_str(&asked[4].body).unwrap();
        let expected = json!({ "actions": [
            { "remove": { "index": "souk-*", "alias": "souk-building" } },
            { "add": { "index": "souk-5", "alias": "souk-building" } },
        ] });
        assert_eq!(actions, expected);
        assert_eq!(lines(&asked[7])[0]["index"]["version"], 19);
        server.done();
    });
}

#[test]
fn use_counts_are_retried_after_a_conflict() {
    test(async {
        let used = |uses, number| {
            let source =
                json!({ "key": "oil lamp", "text": "oil lamp", "uses": uses, "endings": ["oil lamp", "lamp"] });
            json!({ "docs": [{ "_source": source, "_seq_no": number, "_primary_term": 2 }] })
        };
        let (index, server) = index(vec![
            layout(),
            ("POST /souk-queries/_mget", 200, used(3, 8)),
            written(&[409]),
            ("POST /souk-queries/_mget", 200, used(5, 9)),
            written(&[200]),
        ])
        .await;
        index
            .used(&[("Oil lamp".into(), 2), ("oil, LAMP".into(), 1)])
            .await
            .unwrap();
        let asked = server.asked();
        assert_eq!(asked[1].body, json!({ "ids": ["oil lamp"] }).to_string());
        let action =
            json!({ "index": { "_index": "souk-queries", "_id": "oil lamp", "if_seq_no": 9, "if_primary_term": 2 } });
        let source = json!({ "key": "oil lamp", "text": "Oil lamp", "uses": 8, "endings": ["oil lamp", "lamp"] });
        assert_eq!(lines(&asked[4]), [action, source]);
        server.done();
    });
}

#[test]
fn a_query_has_levels_filters_and_counts() {
    test(async {
        let known = json!({
            "hits": { "hits": [] },
            "aggregations": {
                "known": { "buckets": { "0": { "doc_count": 3 }, "1": { "doc_count": 0 } } },
                "begun": { "buckets": [{ "key": "lamps", "doc_count": 2 }] },
            },
        });
        let hit = |id: &str| {
            let source = json!({ "product": id, "version": 7, "body": "{}" });
            json!({ "_source": source, "sort": [12_345.678_901_234_5, 1_700_000_000, id] })
        };
        let found = json!({
            "hits": { "hits": [hit("prd_1"), hit("prd_2")] },
            "aggregations": { "0": { "values": { "buckets": [{ "key": "0-999", "doc_count": 0 }, { "key": "1000-4999", "doc_count": 4 }] } } },
        });
        let (index, server) = index(vec![
            ("POST /souk/_search", 200, known.clone()),
            ("POST /souk/_search", 200, found.clone()),
            ("POST /souk/_search", 200, known),
            ("POST /souk/_search", 200, found),
        ])
        .await;
        let mut query = SearchQuery {
            text: "\"oil can\" brass la".into(),
            filters: vec![("tag".into(), vec!["old".into()])],
            max_price: Some(5_000),
            near: Some(Near {
                latitude: 52.5,
                longitude: 190.0,
                radius: 6_371_000.8,
            }),
            sort: Sort::Nearest,
            limit: 1,
            facets: vec!["price".into()],
            ..SearchQuery::default()
        };
        let page = index.search(&query).await.unwrap();
        assert_eq!(page.hits.len(), 1);
        assert_eq!(page.facets[0].values.len(), 1);
        assert_eq!(
            (&*page.facets[0].values[0].0.value, page.facets[0].values[0].1),
            ("1000-4999", 4)
        );
        query.sort = Sort::Relevance;
        query.facets = Vec::new();
        index.search(&query).await.unwrap();
        query.sort = Sort::Nearest;
        query.after = page.next;
        assert!(
            query
                .after
                .as_deref()
                .unwrap()
                .ends_with("~0~12345.6789012345~1700000000~prd_1")
        );

        let asked: Vec<Value> = server
            .asked()
            .iter()
            .map(|asked| serde_json::from_str(&asked.body).unwrap())
            .collect();
        assert_eq!(
            asked[0],
            json!({
                "size": 0,
                "track_total_hits": false,
                "query": { "bool": { "should": [
                    { "terms": { "words": ["brass", "la"] } },
                    { "prefix": { "words": "la" } },
                ] } },
                "aggs": {
                    "known": { "filters": { "filters": {
                        "0": { "term": { "words": "brass" } },
                        "1": { "term": { "words": "la" } },
                    } } },
                    "begun": { "terms": { "field": "words", "include": "la.*", "size": 24 } },
                },
            })
        );
        let one = |tokens: Value| json!({ "bool": { "should": [{ "terms": { "tokens": tokens } }] } });
        let level = |letter: char| {
            let phrase = json!([{ "match_phrase": { "tokens": format!("{letter}oil {letter}can") } }]);
            let word = |word: &str| one(json!([format!("{letter}{word}")]));
            json!({ "bool": { "filter": [{ "bool": { "should": phrase } }, word("brass"), word("lamp")] } })
        };
        let place = json!({ "lat": 52.5, "lon": -170.0 });
        let price = json!({ "range": { "price": { "gte": i64::MIN, "lte": 5_000 } } });
        let old = asked[1]["query"]["bool"]["filter"][1].clone();
        assert!(old["terms"]["tokens"][0].as_str().unwrap().starts_with('x'));
        let near = json!({ "geo_distance": { "distance": "6371008.7714m", "place": place } });
        let rest = json!([{ "rank": "desc" }, { "product": "desc" }]);
        assert_eq!(
            asked[1]["query"]["bool"]["must"],
            json!([{ "constant_score": { "filter": level('z') } }])
        );
        assert_eq!(
            asked[1]["query"]["bool"]["filter"],
            json!([{ "term": { "tokens": "y" } }, old, near])
        );
        assert_eq!(asked[1]["post_filter"], json!({ "bool": { "filter": [price] } }));
        let nearest = json!({ "_geo_distance": { "place": place, "unit": "m", "order": "asc" } });
        assert_eq!(asked[1]["sort"], json!([nearest, rest[0], rest[1]]));
        assert_eq!(asked[1]["size"], 2);
        let counted = &asked[1]["aggs"]["0"];
        assert_eq!(counted["filter"], json!({ "bool": { "filter": [] } }));
        let ranges = &counted["aggs"]["values"]["range"]["ranges"];
        assert_eq!(ranges[0], json!({ "key": "0-999", "to": 1_000 }));
        assert_eq!(ranges[1], json!({ "key": "1000-4999", "from": 1_000, "to": 5_000 }));

        let scored = |letter, score| json!({ "constant_score": { "filter": level(letter), "boost": score } });
        let levels = json!([{ "dis_max": { "queries": [scored('z', 1), scored('m', 2), scored('t', 3)] } }]);
        assert_eq!(asked[3]["query"]["bool"]["must"], levels);
        assert_eq!(asked[3]["sort"], json!([{ "_score": "desc" }, rest[0], rest[1]]));
        assert!(asked[3].get("aggs").is_none() && asked[3].get("post_filter").is_none());
        server.done();
    });
}

#[test]
fn invalid_addresses_are_refused() {
    let settings = Settings::emulator("http://127.0.0.1:1");
    for bad in ["", "localhost:9200", "ftp://localhost", "https://"] {
        assert!(
            OpenSearch::new(&settings, bad, "souk", Arc::new(SystemClock), Arc::new(SystemRandom)).is_err(),
            "{bad}"
        );
    }
    test(async {
        let (index, server) = index(vec![("GET /souk-%2A/_alias", 200, json!({}))]).await;
        assert_eq!(index.state().await, Ok(IndexState::default()));
        server.done();
    });
}

#[test]
fn a_tenant_has_indexes_that_no_other_pattern_matches() {
    let alias = |name: &str, body| {
        (
            format!("GET /souk_{name}_-%2A/_alias").leak() as &'static str,
            200,
            body,
        )
    };
    let fine = || json!({ "acknowledged": true });
    let made = || json!({ "souk_one_-0": { "aliases": { "souk_one_": {} } } });
    test(async {
        let (main, server) = index(vec![
            // Nothing is there, and nothing is made for a search.
            alias("one", json!({})),
            alias("one", json!({})),
            alias("one", json!({})),
            ("PUT /souk_one_-0 ", 200, fine()),
            alias("one", made()),
            written(&[201]),
            alias("one", made()),
            alias("one", made()),
            ("POST /souk_one_/_search", 200, json!({ "hits": { "hits": [] } })),
            ("POST /souk_one_/_search", 200, json!({ "hits": { "hits": [] } })),
        ])
        .await;
        let one = main.of(&Tenant::named("one").unwrap());
        let query = SearchQuery {
            count: 9,
            ..SearchQuery::default()
        };
        assert_eq!(one.search(&query).await.unwrap().total, Some(0));
        assert_eq!(one.suggest("lamp", 9).await, Ok(Vec::new()));
        one.apply(&[IndexChange::Put(Box::new(lamp()))]).await.unwrap();
        // That the index is there is looked up once.
        one.search(&query).await.unwrap();
        one.search(&query).await.unwrap();
        server.done();

        let mut erased = made();
        erased["souk_one_-4"] = json!({ "aliases": {} });
        erased["souk_one_-queries"] = json!({ "aliases": {} });
        let (main, server) = index(vec![
            alias("one", erased),
            ("DELETE /souk_one_-0 ", 200, fine()),
            ("DELETE /souk_one_-4 ", 404, failure(404)),
            ("DELETE /souk_one_-queries ", 200, fine()),
            alias("one-4", json!({})),
            layout(),
            ("POST /souk-3/_count", 200, json!({ "count": 1 })),
            ("GET /souk-3/_mapping", 200, json!({})),
        ])
        .await;
        main.of(&Tenant::named("one").unwrap()).erase().await.unwrap();
        let other = main.of(&Tenant::named("one-4").unwrap());
        assert_eq!(other.state().await, Ok(IndexState::default()));
        assert_eq!(other.of(&Tenant::main()).state().await.unwrap().live, 3);
        server.done();
    });
}

#[test]
fn a_tenant_that_was_erased_meanwhile_is_empty() {
    test(async {
        let there = json!({ "souk_one_-7": { "aliases": { "souk_one_": {} } } });
        let mut answers = vec![
            ("GET /souk_one_-%2A/_alias", 200, there),
            ("POST /souk_one_/_search", 200, json!({ "hits": { "hits": [] } })),
        ];
        answers.extend(vec![("POST /souk_one_/_search", 404, failure(404)); 5]);
        answers.push(("GET /souk_one_-%2A/_alias", 200, json!({})));
        let (main, server) = index(answers).await;
        let one = main.of(&Tenant::named("one").unwrap());
        for _ in 0..2 {
            assert_eq!(one.search(&SearchQuery::default()).await.unwrap().hits, []);
        }
        server.done();
    });
}
