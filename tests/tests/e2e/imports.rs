//! Imports: a file is uploaded or fetched, judged, and written; every record says what becomes of it.

use http::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::receiver::Receiver;
use crate::text;

/// A shop's file in Shopify's columns, with a product of two variants and a line that is no product.
fn shop(category: &str, vendor: &str) -> String {
    let head = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Status";
    format!(
        "\u{feff}{head}\r\n\
         shirt-{vendor},Shirt,\"<p>Soft<br>\r\nand red</p>\",{vendor},{category},\"a, b\",TRUE,Size,S,S-1,19.99,active\r\n\
         shirt-{vendor},,,,,,,,M,S-2,21.00,\r\n\
         lamp-{vendor},Lamp,,{vendor},{category},,TRUE,,,L-1,5.00,active\r\n\
         bad-{vendor},Bad,,{vendor},{category},,TRUE,,,B-1,cheap,active\r\n"
    )
}

/// A new import with its file, in parts of this many bytes.
async fn upload(client: &Client, options: Value, file: &[u8], part: usize) -> String {
    let import = client.add("/v1/imports", options).await;
    let path = format!("/v1/imports/{}", text(&import, "id"));
    for (n, bytes) in file.chunks(part).enumerate() {
        let part = client
            .call(Method::PUT, &format!("{path}/parts/{}", n + 1))
            .body("text/csv", bytes.to_vec());
        part.await.expect(200);
    }
    path
}

async fn started(client: &Client, path: &str) -> Value {
    client.act(&format!("{path}/start")).await.expect(202);
    ended(client, path).await
}

async fn ended(client: &Client, path: &str) -> Value {
    let is_done = |import: &Value| ["judged", "done", "failed"].contains(&text(import, "status"));
    client.until(path, is_done).await
}

fn counts(counts: &Value) -> [u64; 4] {
    ["added", "changed", "unchanged", "left_out"].map(|name| counts[name].as_u64().unwrap())
}

#[tokio::test]
async fn a_file_is_judged_then_written_and_changes_nothing_the_second_time() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let (category, vendor) = (unique("Shirts"), unique("Ada"));
    let file = shop(&category, &vendor);
    let options = json!({ "currency": "eur", "dry_run": true });
    let path = upload(&admin, options.clone(), file.as_bytes(), 150).await;
    let judged = started(&admin, &path).await;
    assert_eq!(
        (
            text(&judged, "status"),
            counts(&judged["planned"]),
            counts(&judged["result"])
        ),
        ("judged", [2, 0, 0, 1], [0; 4]),
        "{judged}"
    );
    assert_eq!(text(&judged, "read_as"), "shopify, UTF-8");
    // Nothing is written yet.
    let of_vendor = format!("/v1/products?vendor={}&sku=S-2", vendor.to_lowercase());
    admin.get(&of_vendor).await.expect(422);

    let done = started(&admin, &path).await;
    assert_eq!(
        (text(&done, "status"), counts(&done["result"])),
        ("done", [2, 0, 0, 1]),
        "{done}"
    );
    let shirt = admin.get(&of_vendor).await.expect(200).json["items"][0].clone();
    assert_eq!(
        (
            text(&shirt, "title"),
            &shirt["price"]["amount"],
            &shirt["highest_price"]["amount"]
        ),
        ("Shirt", &json!(1999), &json!(2100))
    );
    let lines = admin.all(&format!("{path}/lines")).await;
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), text(line, "outcome")))
        .collect();
    assert_eq!(outcomes, [(2, "added"), (5, "added"), (6, "left_out")], "{lines:?}");
    let bad = admin.all(&format!("{path}/lines?outcome=left_out")).await;
    assert_eq!(bad.len(), 1);
    assert_eq!(text(&bad[0]["errors"][0], "field"), "Variant Price");
    assert!(text(&bad[0]["errors"][0], "detail").contains("cheap"), "{bad:?}");
    assert_eq!(
        admin.get(&format!("{path}/lines?limit=1")).await.expect(200).json["items"],
        json!([lines[0]])
    );

    // What another run has written is the same now; nothing is added twice. So it is after an interruption.
    let (first, second) = (
        shop(&category, &unique("Eve")),
        json!({ "currency": "EUR", "dry_run": true }),
    );
    let cut_off = upload(&admin, second.clone(), first.as_bytes(), 100_000).await;
    started(&admin, &cut_off).await;
    let whole = upload(&admin, json!({ "currency": "EUR" }), first.as_bytes(), 100_000).await;
    started(&admin, &whole).await;
    let done = started(&admin, &cut_off).await;
    assert_eq!(counts(&done["result"]), [2, 0, 0, 1], "{done}");
    let again = upload(&admin, second, first.as_bytes(), 100_000).await;
    assert_eq!(counts(&started(&admin, &again).await["planned"]), [0, 0, 2, 1]);

    // The same file again, and a cheaper lamp.
    let path = upload(
        &admin,
        json!({ "currency": "EUR" }),
        file.replace("5.00", "4.00").as_bytes(),
        100_000,
    )
    .await;
    let done = started(&admin, &path).await;
    assert_eq!(
        (counts(&done["planned"]), counts(&done["result"])),
        ([0, 1, 1, 1], [0, 1, 1, 1]),
        "{done}"
    );
    admin.act(&format!("{path}/start")).await.expect(409);
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect(404);
}

#[tokio::test]
async fn a_member_imports_into_what_is_there() {
    let Some(market) = market() else { return };
    let (admin, member, other) = (market.admin().await, market.member().await, market.member().await);
    let category = admin.add("/v1/categories", json!({ "name": unique("Lamps") })).await;
    let theirs = other.add("/v1/vendors", json!({ "name": unique("Bert") })).await;
    let line = |category: &str, vendor: &str, sku: &str| {
        json!({ "sku": sku, "title": "Lamp", "category": category, "vendor": vendor, "price": { "amount": 5, "currency": "EUR" },
                "attributes": { "watts": 5 } })
        .to_string()
    };
    let (category, own) = (text(&category, "name"), unique("Carl"));
    let lines = [
        line(category, &own, "1"),
        line("no such category", &own, "2"),
        line(category, text(&theirs, "name"), "3"),
        line(category, &own, "1"),
        "{\"title\": 1}".to_owned(),
    ];
    let lines_of_own = lines[0].clone();
    let path = upload(&member, json!({}), lines.join("\n").as_bytes(), 70).await;
    let done = started(&member, &path).await;
    assert_eq!(counts(&done["result"]), [1, 0, 0, 4], "{done}");
    let lines = member.all(&format!("{path}/lines")).await;
    let fields: Vec<_> = lines[1..]
        .iter()
        .map(|line| text(&line["errors"][0], "field"))
        .collect();
    assert_eq!(fields, ["category", "vendor", "", "title"], "{lines:?}");
    assert!(lines[0]["notes"][0].as_str().unwrap().contains("watts"), "{lines:?}");
    // One of the staff may.
    let place = format!(
        "/v1/vendors/{}/staff/{}",
        text(&theirs, "id"),
        text(&member.me, "username")
    );
    other.call(Method::PUT, &place).await.expect(204);
    let lamp = line(category, text(&theirs, "name"), "3");
    let path = upload(&member, json!({}), lamp.as_bytes(), 1000).await;
    assert_eq!(counts(&started(&member, &path).await["result"]), [1, 0, 0, 0]);
    // Somebody else's vendor of the same name does not stand in the way.
    other.add("/v1/vendors", json!({ "name": own })).await;
    let again = upload(&member, json!({}), lines_of_own.as_bytes(), 1000).await;
    assert_eq!(counts(&started(&member, &again).await["result"]), [0, 0, 1, 0]);
    // Nobody else sees it.
    other.get(&path).await.expect(404);
    other.act(&format!("{path}/start")).await.expect(404);
    market.anonymous().get(&path).await.expect(401);
    for options in [
        json!({ "adopt": true }),
        json!({ "author": text(&other.me, "username") }),
        json!({ "redirects": "link" }),
    ] {
        member.post("/v1/imports", options).await.expect(403);
    }
    for options in [
        json!({ "format": "magento" }),
        json!({ "currency": "euro" }),
        json!({ "url": "http://169.254.169.254/" }),
        json!({ "columns": { "a": 1 } }),
    ] {
        member.post("/v1/imports", options).await.expect(422);
    }
    let empty = member.add("/v1/imports", json!({})).await;
    let path = format!("/v1/imports/{}", text(&empty, "id"));
    member.act(&format!("{path}/start")).await.expect(409);
    for part in ["0", "33", "x"] {
        let part = member.call(Method::PUT, &format!("{path}/parts/{part}"));
        part.body("text/csv", "a").await.expect(400);
    }
    // A part is missing.
    let second = member
        .call(Method::PUT, &format!("{path}/parts/2"))
        .body("text/csv", "a,b");
    second.await.expect(200);
    member.act(&format!("{path}/start")).await.expect(409);
    let first = member
        .call(Method::PUT, &format!("{path}/parts/1"))
        .body("text/csv", "\u{0}\n");
    first.await.expect(200);
    let failed = started(&member, &path).await;
    assert_eq!(text(&failed, "status"), "failed", "{failed}");
    assert!(failed["error"].is_string());
}

#[tokio::test]
async fn a_file_is_fetched_from_its_url() {
    let Some(market) = market() else { return };
    let Some(receiver) = Receiver::new("file") else { return };
    let admin = market.admin().await;
    let (category, vendor) = (unique("Shirts"), unique("Dora"));
    receiver.serves(shop(&category, &vendor));
    let moved = receiver.url.replace("/file/", "/moved/");
    let new = json!({ "url": moved, "currency": "EUR", "redirects": "/products/{Handle}" });
    let import = admin.add("/v1/imports", new).await;
    let done = ended(&admin, &format!("/v1/imports/{}", text(&import, "id"))).await;
    assert_eq!(
        (text(&done, "status"), counts(&done["result"])),
        ("done", [2, 0, 0, 1]),
        "{done}"
    );
    let old = format!("/products/shirt-{vendor}?variant=1");
    let moved = admin.get(&old).await.expect(301);
    let slug = format!("/v1/products/shirt-{}", vendor.to_lowercase());
    assert!(moved.header("location").ends_with(&slug), "{moved:?}");
    let Some(nothing) = Receiver::new("file") else { return };
    let import = admin.add("/v1/imports", json!({ "url": nothing.url })).await;
    let failed = ended(&admin, &format!("/v1/imports/{}", text(&import, "id"))).await;
    assert!(text(&failed, "error").contains("404"), "{failed}");
}
