//! What is written is read again.

use serde_json::{Value, json};

use super::*;
use crate::formats::{Reading, read_text};

fn record(fields: Value) -> Record {
    let mut all = json!({ "slug": "lamp", "title": "Lamp", "category_path": ["Home", "Lamps"], "price_minor": 1999, "currency": "EUR" });
    let (all_fields, fields) = (all.as_object_mut().unwrap(), fields.as_object().unwrap().clone());
    all_fields.extend(fields);
    serde_json::from_value(all).unwrap()
}

fn written(format: Format, records: &[Record], currency: Option<&str>) -> (String, Written) {
    let how = Writing {
        currency: currency.map(str::to_owned),
        pages: "https://souk.example/products/".into(),
    };
    let mut out = Vec::new();
    let mut writer = Writer::new(format, &mut out, &how).unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    let written = writer.finish().unwrap();
    (String::from_utf8(out).unwrap(), written)
}

/// What another reader of this market makes of a file. Its format is recognised.
fn read(format: Format, text: &str, currency: &str) -> Vec<Record> {
    let how = Reading {
        currency: Some(currency.to_owned()),
        ..Reading::default()
    };
    let (found, records) = read_text(text.as_bytes(), &how).unwrap();
    assert_eq!(found, format);
    let records = records.into_iter().map(|record| {
        let mut record = record.unwrap();
        assert_eq!(record.notes, [] as [String; 0], "{text}");
        (record.line, record.source) = (0, None);
        record
    });
    records.collect()
}

/// A record as readers make it, which name each price and take the values of options from variants.
fn as_read(mut record: Record) -> Record {
    for option in &mut record.options {
        option.values.clear();
    }
    for variant in &mut record.variants {
        variant.price.get_or_insert_with(|| record.price.clone());
    }
    record
}

fn shirt() -> Record {
    record(json!({
        "slug": "shirt", "title": "Shirt", "description": "Soft & warm.\nTwo lines.\n\n- <b>no markup</b> &amp; 1 < 2", "vendor": "Ada's \"Shirts\"",
        "tags": ["red", "summer sale"], "price_minor": 1999,
        "options": [{ "name": "size", "values": ["S", "M"] }, { "name": "color" }],
        "variants": [
            { "options": { "size": "S", "color": "Red" }, "sku": "RS-S", "gtin": "4006381333931", "weight": 200,
              "price": { "amount": 1999, "currency": "EUR" }, "compare_at_price": { "amount": 2499, "currency": "EUR" } },
            { "options": { "size": "M", "color": "Blue" }, "sku": "RS-M", "price": { "amount": 2100, "currency": "EUR" },
              "picture": "https://cdn.example/m.jpg" },
        ],
        "cover": "https://cdn.example/1.jpg", "gallery": ["https://cdn.example/2.jpg", "https://cdn.example/a,b.jpg"],
    }))
}

#[test]
fn shopify_holds_variants_pictures_and_states() {
    let lamp = record(json!({ "sku": "L-1", "gtin": "4006381333931", "compare_at_price_minor": 2500, "weight": 900 }));
    let one = record(
        json!({ "slug": "one", "options": [{ "name": "Title" }], "variants": [{ "options": { "Title": "First" } }] }),
    );
    let draft = record(json!({ "slug": "draft", "status": "draft" }));
    let archived = record(json!({ "slug": "archived", "status": "archived", "category_path": ["Lamps"] }));
    let all = [shirt(), lamp, one, draft, archived];
    let (text, report) = written(Format::Shopify, &all, None);
    assert_eq!((report.products, report.notes), (5, Vec::new()));
    assert_eq!(read(Format::Shopify, &text, "EUR"), all.map(as_read));
    // The third row has only a picture.
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows[3], ",shirt,,,,,,,,,,,,,,,,,,,\"https://cdn.example/a,b.jpg\",3,");
    assert!(
        rows[4].contains(",Title,Default Title,,,,,19.99,25.00,900,g,,,"),
        "{}",
        rows[4]
    );
}

#[test]
fn what_shopify_has_no_place_for_is_told() {
    let lost = record(json!({
        "status": "sold", "tags": ["a,b", "c"], "attributes": { "watts": 5 }, "location": { "latitude": 1.0, "longitude": 2.0 },
        "url": "https://lamp.example/", "condition": "good", "category_path": ["Size > 40"],
        "options": [{ "name": "Size", "values": ["S", "M"] }],
        "variants": [{ "options": { "size": "M" } }, { "options": { "size": "S" } }],
    }));
    let dollars = record(json!({ "currency": "USD" }));
    let options: Vec<Value> = ["a", "b", "c", "d"].map(|name| json!({ "name": name })).to_vec();
    let four =
        record(json!({ "options": options, "variants": [{ "options": { "a": "1", "b": "1", "c": "1", "d": "1" } }] }));
    let nameless = record(json!({ "slug": null }));
    let all = [lost, dollars, four, nameless];
    let (text, report) = written(Format::Shopify, &all, None);
    assert_eq!(
        report.notes,
        [
            "products left out, with more than three options: 1",
            "products left out, with prices in another currency than EUR: 1",
            "products left out, without a slug: 1",
            "products that are sold, written as archived: 1",
            "products with a > in the name of a category, which separates names there: 1",
            "products without their URL: 1",
            "products without their attributes: 1",
            "products without their condition: 1",
            "products without their location: 1",
            "products without their order of option values: 1",
            "products without their tags that have a comma: 1",
        ]
    );
    let found = read(Format::Shopify, &text, "EUR");
    assert_eq!(
        (report.products, found.len(), &found[0].tags),
        (1, 1, &vec!["c".to_owned()])
    );
    let (text, report) = written(Format::Shopify, &all, Some("usd"));
    assert_eq!((report.products, report.notes.len()), (1, 1));
    assert_eq!(read(Format::Shopify, &text, "USD"), [all[1].clone()]);
}

#[test]
fn google_holds_published_products() {
    let lamp = record(
        json!({ "sku": "L-1", "compare_at_price_minor": 2500, "url": "https://lamp.example/", "cover": "https://cdn.example/1.jpg",
        "description": "Bright", "attributes": { "brand": "Acme", "mpn": "A1", "material": "brass" }, "condition": "good" }),
    );
    let all = [
        shirt(),
        lamp.clone(),
        record(json!({ "status": "draft" })),
        record(json!({ "status": "sold" })),
    ];
    let (text, report) = written(Format::Google, &all, None);
    assert_eq!(report.products, 2);
    assert_eq!(
        report.notes,
        ["products left out, not published: 2", "products without their tags: 1"]
    );
    let found = read(Format::Google, &text, "");
    let mut held = as_read(shirt());
    held.tags = Vec::new();
    held.url = Some("https://souk.example/products/shirt".into());
    // The vendor is the brand, and each variant has a picture.
    held.attributes = [("brand".to_owned(), json!(held.vendor.take()))].into_iter().collect();
    held.variants[0].picture.clone_from(&held.cover);
    held.variants.iter_mut().for_each(|variant| variant.weight = None);
    held.gallery.push("https://cdn.example/m.jpg".into());
    // Their order is that of the reader.
    held.options.reverse();
    held.slug = None;
    let lamp = Record { slug: None, ..lamp };
    let mut shirt = found[0].clone();
    shirt.gallery.sort();
    held.gallery.sort();
    assert_eq!([shirt, found[1].clone()], [held, lamp]);
    for part in [
        "<rss version=\"2.0\" xmlns:g=\"http://base.google.com/ns/1.0\"",
        "<g:item_group_id>shirt</g:item_group_id>",
        "<g:price>24.99 EUR</g:price>\n   <g:sale_price>19.99 EUR</g:sale_price>",
        "<g:product_type>Home &gt; Lamps</g:product_type>",
        "<g:identifier_exists>no</g:identifier_exists>",
        "<g:shipping_weight>200 g</g:shipping_weight>",
        "<g:brand>Ada&apos;s &quot;Shirts&quot;</g:brand>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // One variant has a GTIN, and the lamp has a brand and a part number.
    assert_eq!(text.matches("identifier_exists").count(), 2);
}

#[test]
fn what_google_lacks_is_told() {
    let bare = record(json!({
        "price_minor": 0, "location": { "latitude": 1.0, "longitude": 2.0 }, "condition": "like_new", "attributes": { "watts": 5, "on": true },
        "options": [{ "name": "Socket" }], "variants": [{ "options": { "socket": "E14" } }, { "options": { "socket": "E27" } }],
    }));
    let many: Vec<String> = (0..12).map(|n| format!("https://cdn.example/{n}.jpg")).collect();
    let many = record(json!({ "slug": "many", "description": "Many", "gallery": many }));
    let (text, report) = written(Format::Google, &[bare, many], None);
    assert_eq!(
        report.notes,
        [
            "products that are used, without their exact condition: 1",
            "products with a price of 0, which Google refuses: 1",
            "products with options that are none of Google's, written into titles: 1",
            "products without a description, which Google requires: 1",
            "products without a picture, which Google requires: 1",
            "products without some of their pictures, of which an item has at most eleven: 1",
            "products without their location: 1",
        ]
    );
    for part in [
        "Lamp, E14",
        "<g:attribute_name>watts",
        "<g:attribute_value>5",
        "<g:attribute_name>Socket",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn ids_of_google_are_short_stable_and_unique() {
    let long = "灯".repeat(60);
    let ids = [
        google::id("lamp", None),
        google::id("lamp", Some(&["E14"])),
        google::id("lamp", Some(&["E1", "4"])),
        google::id("lamp", Some(&["E1", "5"])),
        google::id(&long, None),
        google::id(&(long.clone() + "2"), None),
    ];
    assert_eq!(ids[0], "lamp");
    assert_eq!(ids[1], "lamp-3c33adf0692cb10b");
    for (n, id) in ids.iter().enumerate() {
        assert!(id.chars().count() <= 50 && !ids[..n].contains(id), "{ids:?}");
    }
}

#[test]
fn prices_have_the_decimals_of_their_currency() {
    for (amount, currency, text) in [
        (0, "EUR", "0.00"),
        (5, "EUR", "0.05"),
        (123_456, "EUR", "1234.56"),
        (1234, "JPY", "1234"),
        (5, "BHD", "0.005"),
        (1_234_567, "BHD", "1234.567"),
        (9_007_199_254_740_991, "JPY", "9007199254740991"),
        (9_007_199_254_740_991, "EUR", "90071992547409.91"),
    ] {
        assert_eq!(decimal(amount, currency), text);
        let one = record(json!({ "price_minor": amount, "currency": currency }));
        for format in [Format::Shopify, Format::Google] {
            let (file, _) = written(format, std::slice::from_ref(&one), None);
            let found = read(format, &file, currency);
            assert_eq!(
                (found[0].price.amount, &*found[0].price.currency),
                (amount, currency),
                "{file}"
            );
        }
    }
}

/// Any text that a product may have comes back, in every place, but for what HTML makes of blanks.
#[test]
fn awkward_texts_come_back() {
    let parts = [
        "=1+1",
        "-5",
        "+3",
        "@x",
        "\"",
        "\"\"",
        "'",
        ",",
        ";",
        "\t",
        "|",
        "a",
        "b c",
        "é",
        "灯具",
        "👩‍👩‍👧‍👦",
        "🇪🇺",
        "&",
        "&amp;",
        "&lt;b&gt;",
        "<b>x</b>",
        "<",
        ">",
        "<br>",
        "]]>",
        "<![CDATA[",
        "<!--",
        "%",
        "\\",
        "\\,",
        "{",
        "null",
        "0x1",
        "1e9",
        "\u{fffd}",
        "\u{1f}",
        "\u{ffff}",
        "#",
    ];
    let mut seed = 7_u32;
    let mut next = |limit: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % limit
    };
    for _ in 0..500 {
        let mut text = |between: &[&str]| {
            let mut text = String::new();
            for n in 0..=next(6) {
                if n > 0 {
                    text.push_str(between[next(between.len())]);
                }
                text.push_str(parts[next(parts.len())]);
            }
            text
        };
        // A line has no control characters, and no category has the separator of names.
        let mut line = || {
            let line: String = text(&[" ", ""])
                .chars()
                .filter(|c| !c.is_control() && *c != '\u{ffff}')
                .collect();
            souk_core::check::normal_line(&format!("x{line}"))
        };
        let (title, vendor, value, sku) = (line(), line(), line(), line());
        let (name, tag) = (
            line().replace('>', ""),
            line().chars().filter(|c| *c != ',').take(40).collect::<String>(),
        );
        let description = text(&["\n", "\n\n", " "]).replace(['\t', '\u{1f}', '\u{ffff}'], "");
        let one = record(json!({
            "title": title, "description": description, "category_path": [name.trim()], "vendor": vendor, "tags": [tag.trim()],
            "options": [{ "name": "size" }], "variants": [{ "options": { "size": value }, "sku": sku }],
        }));
        let (file, _) = written(Format::Shopify, std::slice::from_ref(&one), None);
        let found = &read(Format::Shopify, &file, "EUR")[0];
        let held = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(held(&found.description), held(&description), "{file}");
        assert_eq!(
            Record {
                description: String::new(),
                ..found.clone()
            },
            as_read(Record {
                description: String::new(),
                ..one.clone()
            }),
            "{file}"
        );
        let (file, _) = written(Format::Google, std::slice::from_ref(&one), None);
        let found = &read(Format::Google, &file, "")[0];
        assert_eq!(held(&found.description), held(&description), "{file}");
        assert_eq!(
            (
                &found.title,
                &found.category_path,
                &found.variants[0].options,
                &found.variants[0].sku,
                found.attributes["brand"].as_str()
            ),
            (
                &one.title,
                &one.category_path,
                &one.variants[0].options,
                &one.variants[0].sku,
                one.vendor.as_deref()
            ),
            "{file}"
        );
    }
    let paragraphs = "One\ntwo\n\n\nThree";
    for format in [Format::Shopify, Format::Google] {
        let (file, _) = written(format, &[record(json!({ "description": paragraphs }))], None);
        assert_eq!(read(format, &file, "EUR")[0].description, "One\ntwo\n\nThree");
    }
}

#[test]
fn characters_that_xml_cannot_have_are_dropped() {
    let (file, _) = written(
        Format::Google,
        &[record(json!({ "description": "a\u{0}b\u{1f}c\u{fffe}d\u{7f}\r\ne" }))],
        None,
    );
    assert!(file.contains(">abcd\u{7f}\ne<"), "{file}");
}

#[test]
fn ndjson_is_written_and_other_formats_are_not() {
    let all = [shirt(), record(json!({ "currency": "USD" }))];
    let (text, report) = written(Format::NdJson, &all, None);
    assert_eq!((report.products, report.notes), (2, Vec::new()));
    assert_eq!(read(Format::NdJson, &text, ""), all);
    assert_eq!(written(Format::NdJson, &all, Some("USD")).1.products, 1);
    for format in Format::ALL {
        let is_written = Writer::new(format, Vec::new(), &Writing::default()).is_ok();
        assert_eq!(is_written, Format::WRITTEN.contains(&format));
    }
}
