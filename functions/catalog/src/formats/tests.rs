//! Files in their original columns, with invented goods.

use serde_json::{Value, json};

use super::*;

fn how() -> Reading {
    Reading {
        currency: Some("EUR".into()),
        category: Some("Other".into()),
        ..Reading::default()
    }
}

/// The records as JSON, and the faults as texts.
fn records(text: &[u8], how: &Reading, format: Format) -> (Vec<Value>, Vec<String>, Vec<String>) {
    let (found, all) = read_text(text, how).unwrap();
    assert_eq!(found, format);
    let (mut records, mut faults, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for record in all {
        match record {
            Ok(record) => {
                notes.extend(record.notes.iter().map(|note| format!("line {}: {note}", record.line)));
                records.push(serde_json::to_value(&record).unwrap());
            }
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    (records, faults, notes)
}

/// What a record has of these fields.
fn picked(record: &Value, fields: &[&str]) -> Value {
    let pairs = fields.iter().map(|field| ((*field).to_owned(), record[*field].clone()));
    Value::Object(pairs.collect())
}

fn variants(record: &Value, fields: &[&str]) -> Vec<Value> {
    let variants = record["variants"].as_array().cloned().unwrap_or_default();
    variants.iter().map(|variant| picked(variant, fields)).collect()
}

fn euro(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

const SHOPIFY: &str = "\u{feff}Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Grams,Variant Price,Variant Compare At Price,Variant Barcode,Image Src,Image Position,Variant Image,Status\r\n\
red-shirt,Red shirt,\"<p>Soft &amp; warm.</p>\r\n<ul><li>Cotton</li></ul>\",Ada's Shirts,Apparel > Clothing > Shirts,Shirt,\"summer, red\",TRUE,Size,S,Colour,Red,RS-S,200,19.99,24.99,4006381333931,//cdn.example/red shirt.jpg,1,,active\r\n\
red-shirt,,,,,,,,,M,,Red,RS-M,210,21.00,,'123,https://cdn.example/2.jpg,2,https://cdn.example/m.jpg,\r\n\
red-shirt,,,,,,,,,,,,,,,,,https://cdn.example/3.jpg,3,,\r\n\
plain-mug,\"Plain mug, large\",A mug.,Ada's Shirts,,Mugs,,true,Title,Default Title,,,MUG,0,8.50,8.50,,,,,draft\r\n\
no-price,No price,,Ada's Shirts,,Mugs,,true,Title,Default Title,,,X,,,,,,,,active\r\n\
bad-price,Bad price,,Ada's Shirts,,Mugs,,true,Title,Default Title,,,X,,\"8,50\",,,,,,active\r\n\
old-hat,Old hat,,Ada's Shirts,,,\"1,2,3,4,5,6,7,8,9,10,11,12\",false,Title,Default Title,,,HAT,,5,,,not an address,,,active\r\n";

#[test]
fn shopify_before_2024() {
    let (records, faults, notes) = records(SHOPIFY.as_bytes(), &how(), Format::Shopify);
    let shirt = &records[0];
    assert_eq!(
        picked(
            shirt,
            &[
                "slug",
                "title",
                "category_path",
                "vendor",
                "tags",
                "cover",
                "gallery",
                "price",
                "status",
                "sku"
            ]
        ),
        json!({
            "slug": "red-shirt", "title": "Red shirt", "category_path": ["Apparel", "Clothing", "Shirts"],
            "vendor": "Ada's Shirts", "tags": ["summer", "red"], "cover": "https://cdn.example/red%20shirt.jpg",
            "gallery": ["https://cdn.example/2.jpg", "https://cdn.example/3.jpg"], "price": euro(1999),
            "status": "published", "sku": null,
        })
    );
    assert!(
        shirt["description"].as_str().unwrap().starts_with("Soft & warm."),
        "{shirt}"
    );
    assert_eq!(
        variants(
            shirt,
            &[
                "options",
                "sku",
                "price",
                "compare_at_price",
                "gtin",
                "weight",
                "picture"
            ]
        ),
        [
            json!({ "options": { "Size": "S", "Colour": "Red" }, "sku": "RS-S", "price": euro(1999), "compare_at_price": euro(2499),
                    "gtin": "4006381333931", "weight": 200, "picture": null }),
            json!({ "options": { "Size": "M", "Colour": "Red" }, "sku": "RS-M", "price": euro(2100), "compare_at_price": null,
                    "gtin": null, "weight": 210, "picture": "https://cdn.example/m.jpg" }),
        ]
    );
    assert_eq!(
        picked(
            &records[1],
            &["title", "category_path", "sku", "price", "status", "variants"]
        ),
        json!({ "title": "Plain mug, large", "category_path": ["Mugs"], "sku": "MUG", "price": euro(850), "status": "draft", "variants": null })
    );
    assert_eq!(
        picked(&records[2], &["category", "status", "tags"]),
        json!({ "category": "Other", "status": "draft", "tags": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"] })
    );
    assert_eq!(
        faults,
        [
            "line 7: Variant Price: is required",
            "line 8: Variant Price: \"8,50\" is not a price (is it a decimal comma?)",
        ]
    );
    assert_eq!(
        notes,
        [
            "line 2: GTIN left out: \"123\" is not one",
            "line 9: tags left out: 11, 12",
            "line 9: picture left out: \"not an address\" is not an address",
        ]
    );
}

#[test]
fn shopify_since_2024() {
    let text = "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,Option1 name,Option1 value,Option1 Linked To,Price,Compare-at price,Weight value (grams),Product image URL,Variant image URL\n\
        Lamp,lamp,<b>Bright</b>,Zinc,Home & Garden > Lighting,,,TRUE,Active,L-1,,Socket,E14,,30,,500,https://cdn.example/l.jpg,\n\
        ,lamp,,,,,,,,L-2,,,E27,,35,40,600,,\n\
        Bulb,bulb,,Zinc,Home & Garden > Lighting,,,TRUE,Active,B-1,,,,,3,,,,\n";
    let (records, faults, notes) = records(text.as_bytes(), &how(), Format::Shopify);
    assert_eq!((faults, notes), (Vec::new(), Vec::new()));
    assert_eq!(
        variants(&records[0], &["options", "price", "compare_at_price", "weight"]),
        [
            json!({ "options": { "Socket": "E14" }, "price": euro(3000), "compare_at_price": null, "weight": 500 }),
            json!({ "options": { "Socket": "E27" }, "price": euro(3500), "compare_at_price": euro(4000), "weight": 600 }),
        ]
    );
    assert_eq!(
        picked(&records[0], &["description", "status"]),
        json!({ "description": "Bright", "status": "published" })
    );
    assert_eq!(
        picked(&records[1], &["sku", "price", "options"]),
        json!({ "sku": "B-1", "price": euro(300), "options": null })
    );
}

#[test]
fn woocommerce() {
    let header = "ID,Type,SKU,\"GTIN, UPC, EAN, or ISBN\",Name,Published,Short description,Description,Weight (kg),Sale price,Regular price,Categories,Tags,Images,Parent,External URL,Attribute 1 name,Attribute 1 value(s),Attribute 2 name,Attribute 2 value(s)\n";
    let text = header.to_owned()
        + "1,variable,TEE,,Tee,1,<p>Soft.</p>,Long text.,,,,\"Clothing > Tees, Sale\",\"a, b\",\"https://s.example/1.jpg, https://s.example/2.jpg\",,,Size,\"S, M\",Fabric,\"Cotton, Wool\"\n\
        3,variation,TEE-M,,Tee - M,1,,,0.25,\"12,50\",\"15,00\",,,https://s.example/m.jpg,id:1,,Size,M,,\n\
        2,variation,TEE-S,4006381333931,Tee - S,1,,,0.2,,\"14,00\",,,,TEE,,Size,S,,\n\
        4,simple,CUP,,Cup,0,,,,,\"1.234,56\",Home,,,,,Colour,Blue,,\n\
        5,grouped,,,Set,1,,,,,,Home,,,,,,,,\n\
        6,external,EXT,,Elsewhere,1,,,,,\"9,00\",\"Home\\, Garden\",,,,https://other.example/x,,,,\n\
        7,variation,LOST,,Lost,1,,,,,\"9,00\",,,,id:99,,Size,S,,\n\
        8,simple,,,Free?,1,,,,,,Home,,,,,,,,\n";
    let how = Reading {
        decimal_comma: true,
        vendor: Some("Woo".into()),
        ..how()
    };
    let text = text.replace(",0.25,", ",\"0,25\",").replace(",0.2,", ",\"0,2\",");
    let (records, faults, notes) = records(text.as_bytes(), &how, Format::WooCommerce);
    let tee = &records[0];
    assert_eq!(
        picked(
            tee,
            &[
                "title",
                "description",
                "category_path",
                "tags",
                "cover",
                "gallery",
                "attributes",
                "vendor",
                "price"
            ]
        ),
        json!({
            "title": "Tee", "description": "Soft.\n\nLong text.", "category_path": ["Clothing", "Tees"], "tags": ["a", "b"],
            "cover": "https://s.example/1.jpg", "gallery": ["https://s.example/2.jpg"], "attributes": { "Fabric": "Cotton, Wool" },
            "vendor": "Woo", "price": euro(1250),
        })
    );
    assert_eq!(
        variants(tee, &["options", "sku", "price", "compare_at_price", "weight", "gtin"]),
        [
            json!({ "options": { "Size": "M" }, "sku": "TEE-M", "price": euro(1250), "compare_at_price": euro(1500), "weight": 250, "gtin": null }),
            json!({ "options": { "Size": "S" }, "sku": "TEE-S", "price": euro(1400), "compare_at_price": null, "weight": 200, "gtin": "4006381333931" }),
        ]
    );
    assert_eq!(
        picked(&records[1], &["sku", "price", "status", "attributes", "category_path"]),
        json!({ "sku": "CUP", "price": euro(123_456), "status": "draft", "attributes": { "Colour": "Blue" }, "category_path": ["Home"] })
    );
    assert_eq!(
        picked(&records[2], &["url", "category_path"]),
        json!({ "url": "https://other.example/x", "category_path": ["Home, Garden"] })
    );
    assert_eq!(
        faults,
        [
            "line 6: Type: \"grouped\" is a group of other products, which are imported by themselves",
            "line 9: Regular price: is required",
            "line 8: Parent: \"id:99\" is not a product of the file",
        ]
    );
    assert_eq!(notes, ["line 2: category left out: Sale"]);
}

const GOOGLE: [(&str, [&str; 5]); 12] = [
    ("id", ["1", "2", "3", "4", "5"]),
    ("title", ["Cap", "Cap", "Bag", "Belt", "Sock"]),
    ("description", ["<b>A</b> cap", "A cap", "A bag", "", ""]),
    (
        "link",
        [
            "https://s.example/cap",
            "https://s.example/cap?2",
            "https://s.example/bag",
            "",
            "",
        ],
    ),
    (
        "image_link",
        ["https://s.example/1.jpg", "https://s.example/2.jpg", "", "", ""],
    ),
    ("price", ["20.00 EUR", "20.00 EUR", "49.90 usd", "ten", "3 EUR"]),
    ("sale_price", ["15.00 EUR", "", "", "", ""]),
    ("gtin", ["4006381333931", "", "", "", ""]),
    ("brand", ["Acme", "Acme", "Acme", "", ""]),
    ("condition", ["new", "new", "used", "new", "mint"]),
    ("product_type", ["Hats > Caps", "Hats > Caps", "Bags", "Belts", "Socks"]),
    ("item_group_id", ["G", "G", "", "", ""]),
];
const COLORS: [&str; 5] = ["Blue", "Green", "Black", "", ""];

fn is_the_feed(records: &[Value], faults: &[String]) {
    let cap = &records[0];
    assert_eq!(
        picked(
            cap,
            &[
                "title",
                "category_path",
                "url",
                "cover",
                "gallery",
                "attributes",
                "description"
            ]
        ),
        json!({
            "title": "Cap", "category_path": ["Hats", "Caps"], "url": "https://s.example/cap", "cover": "https://s.example/1.jpg",
            "gallery": ["https://s.example/2.jpg"], "attributes": { "brand": "Acme" }, "description": "A cap",
        })
    );
    assert_eq!(
        variants(cap, &["options", "sku", "price", "compare_at_price", "gtin"]),
        [
            json!({ "options": { "color": "Blue" }, "sku": "1", "price": euro(1500), "compare_at_price": euro(2000), "gtin": "4006381333931" }),
            json!({ "options": { "color": "Green" }, "sku": "2", "price": euro(2000), "compare_at_price": null, "gtin": null }),
        ]
    );
    assert_eq!(
        picked(
            &records[1],
            &["title", "sku", "price", "condition", "attributes", "variants"]
        ),
        json!({ "title": "Bag", "sku": "3", "price": { "amount": 4990, "currency": "USD" }, "condition": "good",
                "attributes": { "brand": "Acme", "color": "Black" }, "variants": null })
    );
    assert_eq!(records.len(), 2);
    assert!(faults[0].contains("price: \"ten\" is not a price"), "{faults:?}");
    assert!(
        faults[1].contains("condition: \"mint\" must be new, refurbished or used"),
        "{faults:?}"
    );
}

#[test]
fn google_merchant_as_a_table_and_as_xml() {
    let mut table = GOOGLE.map(|(name, _)| name).join("\t") + "\tcolor\n";
    let mut xml = String::from(
        "<?xml version=\"1.0\"?>\n<rss version=\"2.0\" xmlns:g=\"http://base.google.com/ns/1.0\"><channel><title>Feed</title>\n",
    );
    for n in 0..5 {
        table += &GOOGLE.map(|(_, values)| values[n]).join("\t");
        table += &format!("\t{}\n", COLORS[n]);
        xml += "<item>";
        for (name, values) in GOOGLE {
            let value = values[n];
            xml += &match name {
                "title" | "link" => format!("<{name}>{}</{name}>", value.replace('&', "&amp;")),
                "description" => format!("<{name}><![CDATA[{value}]]></{name}>"),
                _ => format!("<g:{name}>{}</g:{name}>", value.replace('>', "&gt;")),
            };
        }
        xml += &format!("<g:color>{}</g:color></item>\n", COLORS[n]);
    }
    xml += "</channel></rss>";
    for text in [table.into_bytes(), xml.into_bytes()] {
        let (records, faults, _) = records(&text, &how(), Format::Google);
        is_the_feed(&records, &faults);
    }
    let (records, faults, _) = records(b"<rss><item><title>A</title><g:id>1</g:id>", &how(), Format::Google);
    assert_eq!((records.len(), faults.len()), (0, 1));
}

#[test]
fn vendure() {
    let text = "name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets\n\
        Laptop,laptop,A laptop.,https://a.example/1.jpg|https://a.example/2.jpg,category:Electronics|category:Computers|brand:Acme,screen size|RAM,13 inch|8GB,L-13,1299.00,standard,10,true,,\n\
        ,,,,,,15 inch|16GB,L-15,1899.00,standard,10,true,https://a.example/15.jpg,\n\
        Mouse,,,,category:Electronics,,,M-1,12,standard,1,false,,\n\
        Broken,,,,category:Electronics,size,,B-1,12,standard,1,false,,\n";
    let (records, faults, notes) = records(text.as_bytes(), &how(), Format::Vendure);
    assert_eq!(
        picked(
            &records[0],
            &["slug", "category_path", "attributes", "cover", "gallery"]
        ),
        json!({ "slug": "laptop", "category_path": ["Electronics", "Computers"], "attributes": { "brand": "Acme" },
                "cover": "https://a.example/1.jpg", "gallery": ["https://a.example/2.jpg"] })
    );
    assert_eq!(
        variants(&records[0], &["options", "sku", "price", "picture"]),
        [
            json!({ "options": { "screen size": "13 inch", "RAM": "8GB" }, "sku": "L-13", "price": euro(129_900), "picture": null }),
            json!({ "options": { "screen size": "15 inch", "RAM": "16GB" }, "sku": "L-15", "price": euro(189_900), "picture": "https://a.example/15.jpg" }),
        ]
    );
    assert_eq!(
        picked(&records[1], &["sku", "category_path", "price"]),
        json!({ "sku": "M-1", "category_path": ["Electronics"], "price": euro(1200) })
    );
    assert_eq!(faults, ["line 5: optionValues: must have a value for each of size"]);
    assert_eq!(notes, [] as [String; 0]);
}

#[test]
fn our_own_columns_in_other_encodings_and_under_other_names() {
    let text = "title;category;price;currency;sku;attr.Screen Size;attr.watts;status\r\nÉté;Café > Thé;\"1.234,50\";eur;A;\"5\"\" wide\";5;\r\n;Café;1;eur;B;;;\r\n";
    let german = Reading {
        decimal_comma: true,
        ..Reading::default()
    };
    let windows: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    for bytes in [
        text.as_bytes().to_vec(),
        windows,
        utf16,
        text.replace(';', "\t").into_bytes(),
    ] {
        let (records, faults, _) = records(&bytes, &german, Format::Plain);
        assert_eq!(
            picked(
                &records[0],
                &["title", "category_path", "price", "sku", "attributes", "status"]
            ),
            json!({ "title": "Été", "category_path": ["Café", "Thé"], "price": euro(123_450), "sku": "A",
                    "attributes": { "Screen Size": "5\" wide", "watts": 5 }, "status": "published" })
        );
        assert_eq!(faults, ["line 3: title: is required"]);
    }
    let mapped = Reading {
        format: Some(Format::Plain),
        columns: vec![("Bezeichnung".into(), "title".into()), ("Preis".into(), "price".into())],
        ..how()
    };
    let (records, ..) = records(b"Bezeichnung,Preis\nLampe,3\n", &mapped, Format::Plain);
    assert_eq!(records[0]["title"], "Lampe");
    assert!(read_text(b"a,b\n1,2\n", &how()).is_err());
    let unknown = Reading {
        columns: vec![("x".into(), "title".into())],
        ..how()
    };
    assert!(
        read_text(b"a,b\n1,2\n", &unknown)
            .err()
            .unwrap()
            .contains("there is no column")
    );
}

#[test]
fn keys_of_attributes() {
    for (name, key) in [
        ("screen_size", "screen_size"),
        ("Screen Size", "screen_size"),
        ("Größe (cm)", "grosse_cm"),
        ("5G", "a_5g"),
        ("Размер", "razmer"),
        ("尺寸", "u5c3au5bf8"),
        ("!", "attribute"),
    ] {
        assert_eq!(attribute_key(name), key, "{name}");
    }
}

/// No file stops the reading or makes it slow.
#[test]
fn damaged_files_are_read_to_their_end() {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    let xml = "<rss><item><title>A &amp; b</title><g:id>1</g:id><g:price>1 EUR</g:price></item></rss>";
    for round in 0..2_000 {
        let mut bytes = if round % 3 == 0 {
            xml.repeat(3)
        } else {
            SHOPIFY.to_owned()
        }
        .into_bytes();
        for _ in 0..=next() % 8 {
            let place = next() % bytes.len();
            match next() % 3 {
                0 => bytes.truncate(place.max(1)),
                1 => bytes[place] = b"\",;\n\r<>&\0\xff"[next() % 10],
                _ => bytes.extend_from_within(place..),
            }
            bytes.truncate(20_000);
        }
        if let Ok((_, records)) = read_text(&bytes, &how()) {
            assert!(records.len() < 20_000);
        }
    }
}

#[test]
fn rows_that_do_not_fit_the_header_are_named() {
    let text = "title,price,description\nA,1,Soft, and warm\nB,2,\"never closed\nC,3,fine\n";
    let (records, faults, _) = records(text.as_bytes(), &how(), Format::Plain);
    assert_eq!(records, [] as [Value; 0]);
    assert_eq!(
        faults,
        [
            "line 2: has 4 cells, and the header 3",
            "line 3: a quote is never closed, so all that follows is one cell",
        ]
    );
    let mapped = Reading {
        columns: vec![("Farbe".into(), "attr.Farbe".into())],
        ..how()
    };
    let (found, _, notes) = records_of("title,price.amount,Farbe,colour\nA,150,rot,red\n", &mapped);
    assert_eq!(
        (&found[0]["price"], &found[0]["attributes"]),
        (&euro(150), &json!({ "Farbe": "rot" }))
    );
    assert_eq!(notes, ["line 2: columns not read: colour"]);
}

fn records_of(text: &str, how: &Reading) -> (Vec<Value>, Vec<String>, Vec<String>) {
    records(text.as_bytes(), how, Format::Plain)
}
