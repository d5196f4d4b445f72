//! CloudFront purges: the requests, and how failures are handled. If `SOUK_TEST_CLOUDFRONT` is the address of an
//! emulator, one test also sends requests to it. Without the variable that test is skipped; with `SOUK_TEST_ALL=1` it
//! then fails.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use souk_aws::{CloudFront, Settings, SystemClock, SystemRandom};
use souk_core::edge::EdgeCache;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A response: a status and CloudFront's error code. `None`: the connection is closed without a response.
type Answer = Option<(u16, &'static str)>;

/// Purges these tags, against a stub that gives these responses in turn and then succeeds. Returns the result, and the
/// requests that the stub received.
async fn purge(script: Vec<Answer>, tags: &[&str]) -> (Result<(), String>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::emulator(format!("http://{}", listener.local_addr().unwrap()));
    settings.timeout = Duration::from_millis(500);
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    let server = tokio::spawn(async move {
        let mut script = script.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"</InvalidationBatch>") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            seen.lock().unwrap().push(String::from_utf8(request).unwrap());
            let (status, code) = match script.next() {
                Some(Some(answer)) => answer,
                Some(None) => continue,
                None => (201, ""),
            };
            let body =
                format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    let cdn = CloudFront::new(&settings, "E2EXAMPLE", Arc::new(SystemClock), Arc::new(SystemRandom));
    let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let result = cdn.purge("souk-1", &tags).await;
    server.abort();
    let asked = asked.lock().unwrap().clone();
    (result.map_err(|error| error.0), asked)
}

#[tokio::test]
async fn a_purge_is_one_signed_invalidation() {
    let (result, asked) = purge(Vec::new(), &["products", "prd_1", "a<b>&c"]).await;
    assert_eq!((result, asked.len()), (Ok(()), 1));
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /2020-05-31/distribution/e2example/invalidation http/1.1\r\n"));
    let scope = "/us-east-1/cloudfront/aws4_request, signedheaders=content-type;host;x-amz-content-sha256;x-amz-date, ";
    assert!(
        head.contains("authorization: aws4-hmac-sha256 credential=emulator/") && head.contains(scope),
        "{head}"
    );
    assert!(!head.contains("unsigned-payload"));
    assert_eq!(
        body,
        "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>3</Quantity><Items>\
         <Path>#products</Path><Path>#prd_1</Path><Path>#a&lt;b&gt;&amp;c</Path></Items></Paths>\
         <CallerReference>souk-1</CallerReference></InvalidationBatch>"
    );
}

#[tokio::test]
async fn transient_failures_are_retried_and_others_are_returned() {
    let passing = [
        None,
        Some((503, "ServiceUnavailable")),
        Some((500, "InternalError")),
        Some((429, "Throttling")),
    ];
    let (result, asked) = purge(passing.to_vec(), &["products"]).await;
    assert_eq!((result, asked.len()), (Ok(()), 5));
    // Retried with the same reference, because the first call may have succeeded.
    assert!(
        asked
            .iter()
            .all(|request| request.contains("<CallerReference>souk-1</CallerReference>"))
    );
    let (result, asked) = purge(vec![Some((503, "ServiceUnavailable")); 9], &["products"]).await;
    assert_eq!((result, asked.len()), (Err("ServiceUnavailable: no".into()), 5));
    // An immediate retry would not help.
    for (status, code) in [
        (400, "TooManyInvalidationsInProgress"),
        (400, "Throttling"),
        (403, "AccessDenied"),
        (404, "NoSuchDistribution"),
    ] {
        let (result, asked) = purge(vec![Some((status, code))], &["products"]).await;
        assert_eq!((result, asked.len()), (Err(format!("{code}: no")), 1));
    }
}

#[tokio::test]
async fn an_emulator_accepts_a_purge() {
    let Ok(address) = std::env::var("SOUK_TEST_CLOUDFRONT") else {
        assert!(
            std::env::var("SOUK_TEST_ALL").is_err(),
            "SOUK_TEST_CLOUDFRONT is not set"
        );
        eprintln!("skipped: set SOUK_TEST_CLOUDFRONT to the address of an emulator");
        return;
    };
    // The test creates the distribution: the adapter never does, a template declares it in production.
    let http = |method: &'static str, path: String, body: String| {
        let host = address.trim_start_matches("http://").to_owned();
        async move {
            let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
            let auth = "AWS4-HMAC-SHA256 Credential=emulator/20260101/us-east-1/cloudfront/aws4_request, SignedHeaders=host, Signature=0";
            let request = format!(
                "{method} /2020-05-31/distribution{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {auth}\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }
    };
    let id = |answer: &str| {
        answer
            .split_once("<Id>")
            .unwrap()
            .1
            .split_once('<')
            .unwrap()
            .0
            .to_owned()
    };
    let random = u64::from_le_bytes(souk_core::random::bytes(&SystemRandom));
    let config = format!(
        "<DistributionConfig><CallerReference>{random:x}</CallerReference><Comment>test</Comment><Enabled>true</Enabled>\
         <Origins><Quantity>1</Quantity><Items><Origin><Id>api</Id><DomainName>souk.example</DomainName></Origin></Items></Origins>\
         <DefaultCacheBehavior><TargetOriginId>api</TargetOriginId><ViewerProtocolPolicy>https-only</ViewerProtocolPolicy>\
         </DefaultCacheBehavior></DistributionConfig>"
    );
    let made = http("POST", String::new(), config).await;
    let distribution = id(&made);
    let cdn = |id: &str| {
        CloudFront::new(
            &Settings::emulator(&address),
            id,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        )
    };
    let tags = ["products".to_owned(), "prd_1".to_owned()];
    for reference in ["souk-1", "souk-1", "souk-2"] {
        cdn(&distribution).purge(reference, &tags).await.unwrap();
    }
    let all = http("GET", format!("/{distribution}/invalidation"), String::new()).await;
    assert_eq!(
        all.matches("<InvalidationSummary>").count(),
        2,
        "a repeat is the same: {all}"
    );
    let one = http(
        "GET",
        format!("/{distribution}/invalidation/{}", id(&all)),
        String::new(),
    )
    .await;
    assert!(
        one.contains("<Path>#products</Path>") && one.contains("<Path>#prd_1</Path>"),
        "{one}"
    );
    let error = cdn("E0NONE").purge("souk-1", &tags).await.unwrap_err();
    assert!(error.0.starts_with("NoSuchDistribution"), "{error}");
}
