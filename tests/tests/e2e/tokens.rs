//! Access tokens: what is in them, and that no other token is taken for one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, market};

/// The header and the claims.
fn parts(token: &str) -> [Value; 2] {
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    [0, 1].map(|n| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[n]).unwrap()).unwrap())
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Whether a token is accepted, which every way in must agree on.
async fn accepted(market: &Market, token: &str) -> bool {
    let client = market.with_token(token);
    let me = client.get("/v1/me").await.status;
    // A bad token is refused, not ignored, where nobody needs one.
    for path in [
        "/v1/products",
        "/v1/categories",
        "/v1/vendors",
        "/.well-known/jwks.json",
    ] {
        assert_eq!(client.get(path).await.status, me, "{path}");
    }
    assert!(matches!(me, 200 | 401), "{me}");
    me == 200
}

#[tokio::test]
async fn an_access_token_is_a_jwt_that_the_published_keys_verify() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let token = member.token.as_deref().unwrap();
    let [header, claims] = parts(token);
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "at+jwt");
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(expires > issued && expires - issued <= 600);
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!(member.id()), &json!("souk")));
    assert!(claims["iss"].as_str().unwrap().starts_with("http"));
    assert!(claims["sid"].as_str().unwrap().starts_with("ses_"));
    // Nothing in it that would have to be looked after.
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "sid", "sub"]);

    let jwks = market.anonymous().get("/.well-known/jwks.json").await.expect(200);
    let keys = jwks["keys"].as_array().unwrap();
    let jwk = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    for (field, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")] {
        assert_eq!(jwk[field], value);
    }
    assert!(
        keys.iter().all(|key| key.get("d").is_none()),
        "the private part stays private"
    );
    let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&x.try_into().unwrap()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    key.verify_strict(signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn an_altered_token_is_refused() {
    let Some(market) = market() else { return };
    let (member, admin) = (market.member().await, market.admin().await);
    let token = member.token.as_deref().unwrap();
    assert!(accepted(&market, token).await);
    let [header, claims] = parts(token);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let with = |part: &Value, more: Value| {
        let mut part = part.clone();
        part.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(&part)
    };
    let own = SigningKey::from_bytes(&[7; 32]);
    let sign = |signed: String| {
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(own.sign(signed.as_bytes()).to_bytes())
        )
    };
    let mut forged = vec![
        "x".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "💡".to_owned(),
        "x".repeat(5000),
        signed.to_owned(),
        format!("{signed}."),
        format!("{token}."),
        format!("{token}A"),
        format!(
            "{}.{}.{signature}",
            encode(&header),
            with(&claims, json!({ "sub": admin.id() }))
        ),
        format!(
            "{}.{}.{signature}",
            encode(&header),
            with(&claims, json!({ "exp": 99_999_999_999_i64 }))
        ),
        // Signed by somebody else, under our key's name or with a key that the token brings along.
        sign(format!(
            "{}.{}",
            encode(&header),
            with(&claims, json!({ "sub": admin.id() }))
        )),
        sign(format!(
            "{}.{}",
            with(&header, json!({ "kid": "own" })),
            encode(&claims)
        )),
        sign(format!(
            "{}.{}",
            with(
                &header,
                json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(own.verifying_key().as_bytes()) } })
            ),
            encode(&claims)
        )),
    ];
    for algorithm in ["none", "None", "NONE", "HS256", "RS256", "ES256", ""] {
        let header = with(&header, json!({ "alg": algorithm }));
        forged.push(format!("{header}.{}.", encode(&claims)));
        forged.push(format!("{header}.{}.{signature}", encode(&claims)));
    }
    // One bit in each part.
    for (n, _) in token.match_indices('.').chain([(token.len() - 4, "")]) {
        let mut bytes = token.as_bytes().to_vec();
        let at = if n == token.len() - 4 { n } else { n - 3 };
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).unwrap());
    }
    for token in forged {
        assert!(!accepted(&market, &token).await, "{token}");
    }
    let anyone = market.anonymous();
    for scheme in [
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token x",
        &format!("Basic {token}"),
        token,
        &format!("Bearer {token} {token}"),
    ] {
        anyone.get("/v1/me").header("authorization", scheme).await.expect(401);
        anyone
            .get("/v1/products")
            .header("authorization", scheme)
            .await
            .expect(401);
    }
    anyone
        .get("/v1/me")
        .header("authorization", format!("bEaReR {token}"))
        .await
        .expect(200);
    // No other place counts: not the query, not a cookie.
    anyone.get(&format!("/v1/me?access_token={token}")).await.expect(401);
    anyone
        .get("/v1/me")
        .header("cookie", format!("access_token={token}"))
        .await
        .expect(401);
}

/// Tokens that only the holder of the signing key can make. `SOUK_TEST_SIGNING_KEY` is the host's.
#[tokio::test]
async fn a_token_is_held_to_its_claims() {
    let Some(market) = market() else { return };
    let Ok(seed) = std::env::var("SOUK_TEST_SIGNING_KEY") else {
        assert!(
            std::env::var("SOUK_TEST_ALL").is_err(),
            "set SOUK_TEST_SIGNING_KEY to the first signing key of the host"
        );
        return println!("skipped: set SOUK_TEST_SIGNING_KEY to the first signing key of the host");
    };
    let seed = seed.split([',', '\n']).next().unwrap().trim();
    let seed = URL_SAFE_NO_PAD
        .decode(seed.strip_prefix("souksecret_").unwrap())
        .unwrap();
    let key = SigningKey::from_bytes(seed.first_chunk().unwrap());
    let (member, other): (Client, Client) = (market.member().await, market.member().await);
    let [header, claims] = parts(member.token.as_deref().unwrap());
    let [_, foreign] = parts(other.token.as_deref().unwrap());
    let now = claims["iat"].as_i64().unwrap();
    let token = |more: Value| {
        let mut claims = claims.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes())
        )
    };
    assert!(accepted(&market, &token(json!({}))).await, "this is the host's key");
    for (what, more) in [
        ("expired", json!({ "iat": now - 700, "exp": now - 100 })),
        ("expired, says the clock alone", json!({ "exp": now - 1 })),
        ("lives too long", json!({ "exp": now + 601 })),
        ("never expires", json!({ "exp": null })),
        ("was never issued", json!({ "iat": null })),
        ("from the future", json!({ "iat": now + 3000, "exp": now + 3300 })),
        ("of another issuer", json!({ "iss": "https://souk.example.org" })),
        ("of no issuer", json!({ "iss": null })),
        ("for another audience", json!({ "aud": "bazaar" })),
        ("of another's session", json!({ "sid": foreign["sid"] })),
        ("of another account", json!({ "sub": foreign["sub"] })),
        (
            "of a session that never was",
            json!({ "sid": "ses_0123456789abcdef0123456789abcdef" }),
        ),
    ] {
        let token = token(more);
        assert!(!accepted(&market, &token).await, "{what}");
        let reply = market.with_token(&token).get("/v1/me").await.expect(401);
        let code = match what {
            _ if what.starts_with("expired") => "token_expired",
            _ if what.contains("session") || what == "of another account" => "session_ended",
            _ => "token_invalid",
        };
        assert_eq!(reply["code"], code, "{what}");
        let challenge = reply.header("www-authenticate");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\", error_description="),
            "{challenge}"
        );
    }
}
