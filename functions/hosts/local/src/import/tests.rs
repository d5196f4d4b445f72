//! Names are identities: what is named otherwise is something else, in every script, and what has the same name is the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use souk_catalog::NewCategory;
use souk_catalog::operations::create_category;
use souk_core::{Query, check};
use souk_kit::{IfMatch, MergePatch};
use souk_model::catalog::category::{AttributeType, Category};
use souk_vendors::NewVendor;
use souk_vendors::operations::open_vendor;

use super::*;
use crate::data::Market;
use crate::export::export;

struct World {
    folder: tempfile::TempDir,
    how: How,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let how = How {
            adopt: true,
            ..How::default()
        };
        Self { folder, how }
    }

    fn market(&self, name: &str) -> Market {
        data::open(&self.folder.path().join(name)).unwrap()
    }

    /// Imports these lines; returns how many were added, changed, unchanged and left out.
    async fn import(&self, market: &Market, lines: &[Value]) -> [u64; 4] {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        self.import_text(market, &text.join("\n")).await
    }

    async fn import_text(&self, market: &Market, text: &str) -> [u64; 4] {
        let file = self.folder.path().join("lines");
        std::fs::write(&file, text).unwrap();
        let report = import(&market.context(), &file, &self.how).await.unwrap();
        let left_out = u64::try_from(report.left_out).unwrap();
        [report.added, report.changed, report.same, left_out]
    }

    async fn export(&self, market: &Market) -> String {
        let file = self.folder.path().join("exported");
        export(&market.context(), Some(&file)).await.unwrap();
        std::fs::read_to_string(&file).unwrap()
    }
}

fn line(sku: usize, category: &str, vendor: &str) -> Value {
    json!({ "sku": sku.to_string(), "title": format!("{category} {sku}"), "category": category, "vendor": vendor,
            "price": { "amount": 1, "currency": "CNY" } })
}

/// The names of all categories or vendors by their slugs.
async fn names(market: &Market, index: &str) -> BTreeMap<String, String> {
    let page = market.context().query(&Query::index(index, 100)).await.unwrap();
    let items = page.items.iter().map(|item| {
        let body: Value = item.document.parse().unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("slug"), text("name"))
    });
    items.collect()
}

/// The category and the vendor of each product, by its SKU.
fn placed(exported: &str) -> BTreeMap<String, (String, String)> {
    let lines = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines
        .map(|line| (text(&line, "sku"), (text(&line, "category"), text(&line, "vendor"))))
        .collect()
}

#[tokio::test]
async fn other_names_are_other_things() {
    let world = World::new();
    let market = world.market("market");
    let long = "long ".repeat(15);
    let pairs = [
        ("USB 充电器", "ABC 商店"),
        ("USB 数据线", "ABC 書店"),
        ("C++", "C++"),
        ("C#", "C#"),
        ("☕", "☕"),
        ("🍵", "🍵"),
        (&*format!("{long}one"), &*format!("{long}one")),
        (&*format!("{long}two"), &*format!("{long}two")),
        ("Été", "Été"),
        ("Ete", "Ete"),
    ];
    let lines: Vec<Value> = (0..)
        .zip(pairs)
        .map(|(n, (category, vendor))| line(n, category, vendor))
        .collect();
    assert_eq!(world.import(&market, &lines).await, [10, 0, 0, 0]);
    let expected: BTreeMap<String, (String, String)> = (0..)
        .zip(pairs)
        .map(|(n, (c, v))| (n.to_string(), (c.trim().to_owned(), v.trim().to_owned())))
        .collect();
    assert_eq!(placed(&world.export(&market).await), expected);
    for (index, all) in [
        ("categories", pairs.map(|pair| pair.0)),
        ("vendors", pairs.map(|pair| pair.1)),
    ] {
        let found = names(&market, index).await;
        let all: BTreeSet<String> = all.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found.values().cloned().collect::<BTreeSet<_>>(), all);
        assert!(found.keys().all(|slug| check::slug(slug, &()).is_ok()), "{found:?}");
    }
    assert_eq!(
        names(&market, "categories").await.get("usb-充电器").map(String::as_str),
        Some("USB 充电器")
    );
    // Again it changes nothing; nor if the names are written otherwise.
    assert_eq!(world.import(&market, &lines).await, [0, 0, 10, 0]);
    let mut first = line(0, "usb  充电器", " abc 商店 ");
    first["title"] = json!("USB 充电器 0");
    assert_eq!(world.import(&market, &[first]).await, [0, 0, 1, 0]);
}

#[tokio::test]
async fn what_was_made_by_others_is_found_by_its_name() {
    let world = World::new();
    let market = world.market("market");
    let cx = market.context().acting_as(Principal {
        account: ensure_passive_account(&market.context(), "keeper", "Keeper")
            .await
            .unwrap(),
        session: String::new(),
        roles: vec!["admin".into()],
        ..Principal::default()
    });
    let category: NewCategory = serde_json::from_value(json!({ "name": "充电器", "slug": "chargers" })).unwrap();
    create_category(&cx, category).await.unwrap();
    let vendor: NewVendor = serde_json::from_value(json!({ "name": "灯光商店" })).unwrap();
    open_vendor(&cx, vendor).await.unwrap();
    assert_eq!(
        world.import(&market, &[line(1, "充电器", "灯光商店")]).await,
        [1, 0, 0, 0]
    );
    assert_eq!(
        (
            names(&market, "categories").await.len(),
            names(&market, "vendors").await.len()
        ),
        (1, 1)
    );
    // A name that is the slug of something else is a name.
    let made = world
        .import(
            &market,
            &[line(2, "充电器", "灯光商店"), line(4, "chargers", "灯光商店")],
        )
        .await;
    assert_eq!((made, names(&market, "categories").await.len()), ([2, 0, 0, 0], 2));

    // Renamed, exported and imported into the same market nothing changes.
    let before = world.export(&market).await;
    let patch = MergePatch::new(json!({ "name": "Ladegeräte" }).as_object().unwrap().clone());
    souk_catalog::operations::edit_category(&cx, "chargers", &IfMatch::default(), &patch)
        .await
        .unwrap();
    let after = world.export(&market).await;
    assert_eq!(after, before.replace("充电器\",\"vendor", "Ladegeräte\",\"vendor"));
    assert_eq!(world.import_text(&market, &after).await, [0, 0, 3, 0]);

    // Two of one name cannot be told apart by it, but by their slugs.
    let twin: NewCategory = serde_json::from_value(json!({ "name": "ladegeräte" })).unwrap();
    create_category(&cx, twin).await.unwrap();
    assert_eq!(names(&market, "categories").await.len(), 3);
    assert_eq!(
        world.import(&market, &[line(3, "Ladegeräte", "灯光商店")]).await,
        [0, 0, 0, 1]
    );
    let after = world.export(&market).await;
    assert!(after.contains("\"cat_") && after.contains("\"chargers\""), "{after}");
    assert_eq!(world.import_text(&market, &after).await, [0, 0, 3, 0]);
}

/// Names of words in ten scripts, many of them alike: the market is the same in another one, and unchanged in its own.
#[tokio::test]
async fn a_market_survives_export_and_import() {
    const WORDS: [&str; 24] = [
        "Lamp",
        "lamp",
        "LÁMP",
        "Été",
        "été",
        "Straße",
        "Лампа",
        "лампы",
        "Λάμπα",
        "מנורה",
        "كِتَاب",
        "کتاب",
        "किताब",
        "বই",
        "กระเป๋า",
        "หนังสือ",
        "充电器",
        "充电",
        "電燈",
        "ランプ",
        "램프",
        "ծառ",
        "☕",
        "+",
    ];
    let world = World::new();
    let (one, other) = (world.market("one"), world.market("other"));
    let word = |n: usize| WORDS.get(n % WORDS.len()).copied().unwrap();
    let lines: Vec<Value> = (0..300)
        .map(|n| {
            let category = format!("{} {}", word(n), word(n * 7 / 5));
            let vendor = format!("{}{}", word(n * 3 + 1), word(n * 11 / 7));
            line(n, &category, &vendor)
        })
        .collect();
    assert_eq!(world.import(&one, &lines).await, [300, 0, 0, 0]);
    let exported = world.export(&one).await;
    assert_eq!(world.import_text(&one, &exported).await, [0, 0, 300, 0]);
    assert_eq!(world.import_text(&other, &exported).await, [300, 0, 0, 0]);
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&world.export(&other).await), sorted(&exported));
    for index in ["categories", "vendors"] {
        let keys = |names: BTreeMap<String, String>| {
            names
                .into_values()
                .map(|name| check::name_key(&name))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(names(&one, index).await), keys(names(&other, index).await));
    }
}

/// The exported lines, sorted.
fn sorted(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

const SHOP: &str = "Handle,Title,Body (HTML),Vendor,Product Category,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Barcode,Image Src,Status\r\n\
    shirt,Shirt,<p>Soft</p>,Ada,Apparel > Shirts,red,TRUE,Size,S,S-1,19.99,4006381333931,//cdn.example/a b.jpg,active\r\n\
    shirt,,,,,,,,M,S-2,21,,,\r\n\
    mug,Mug,,Ada,Home > Shirts,,TRUE,Title,Default Title,M-1,8,,,draft\r\n\
    dup,Twice,,Ada,Home,,TRUE,Title,Default Title,M-1,8,,,active\r\n\
    bad,Bad,,Ada,Home,,TRUE,Title,Default Title,B-1,eight,,,active\r\n";

#[tokio::test]
async fn a_file_of_another_shop_is_judged_applied_and_unchanged_the_second_time() {
    let mut world = World::new();
    let market = world.market("market");
    world.how.reading.currency = Some("EUR".into());
    world.how.dry_run = true;
    assert_eq!(world.import_text(&market, SHOP).await, [2, 0, 0, 2]);
    assert_eq!(
        names(&market, "categories").await.len() + names(&market, "vendors").await.len(),
        0
    );
    world.how.dry_run = false;
    assert_eq!(world.import_text(&market, SHOP).await, [2, 0, 0, 2]);
    let exported = world.export(&market).await;
    let shirt: Value = serde_json::from_str(exported.lines().find(|line| line.contains("Soft")).unwrap()).unwrap();
    assert_eq!(shirt["category_path"], json!(["Apparel", "Shirts"]));
    assert_eq!(shirt["variants"][1]["sku"], "S-2");
    assert_eq!(
        (&shirt["slug"], &shirt["price"]["amount"], &shirt["cover"]),
        (&json!("shirt"), &json!(1999), &json!("https://cdn.example/a%20b.jpg"))
    );
    for dry_run in [true, false] {
        world.how.dry_run = dry_run;
        assert_eq!(world.import_text(&market, SHOP).await, [0, 0, 2, 2]);
        let cheaper = SHOP.replace("19.99", "18.99");
        assert_eq!(world.import_text(&market, &cheaper).await, [0, 1, 1, 2]);
    }
    // The market is the same elsewhere, and unchanged in its own place.
    let other = world.market("other");
    let exported = world.export(&market).await;
    assert_eq!(world.import_text(&other, &exported).await, [2, 0, 0, 0]);
    assert_eq!(sorted(&world.export(&other).await), sorted(&exported));
    assert_eq!(world.import_text(&other, &exported).await, [0, 0, 2, 0]);
    // There the shop's own file finds them too, by their SKUs, and then by where they come from.
    assert_eq!(world.import_text(&other, SHOP).await, [0, 1, 1, 2]);
    assert_eq!(world.import_text(&other, SHOP).await, [0, 0, 2, 2]);
}

/// Two shops have the same handles and ids.
#[tokio::test]
async fn the_products_of_others_are_left_alone() {
    let mut world = World::new();
    let market = world.market("market");
    world.how.adopt = false;
    world.how.reading.currency = Some("EUR".into());
    for name in ["anna", "bert"] {
        ensure_passive_account(&market.context(), name, name).await.unwrap();
    }
    world.how.author = Some("anna".into());
    assert_eq!(world.import_text(&market, SHOP).await, [2, 0, 0, 2]);
    let before = world.export(&market).await;
    world.how.author = Some("bert".into());
    assert_eq!(world.import_text(&market, SHOP).await, [0, 0, 0, 4]);
    let own = SHOP.replace(",Ada,", ",Bert,").replace("Shirt,", "Bert's shirt,");
    assert_eq!(world.import_text(&market, &own).await, [2, 0, 0, 2]);
    assert!(sorted(&world.export(&market).await).is_superset(&sorted(&before)));
    // As earlier versions wrote prices.
    let by_slug = r#"{"slug":"shirt","title":"Taken","category":"Home","price_minor":1,"currency":"EUR"}"#;
    assert_eq!(world.import_text(&market, by_slug).await, [0, 0, 0, 1]);
    world.how.adopt = true;
    assert_eq!(world.import_text(&market, by_slug).await, [0, 1, 0, 0]);
}

/// Attributes are named as shops name them, and a later file adds to them.
#[tokio::test]
async fn categories_get_the_attributes_of_their_records() {
    let world = World::new();
    let market = world.market("market");
    let with = |sku: usize, attributes: Value| {
        let mut line = line(sku, "Screens", "Ada");
        line["attributes"] = attributes;
        line
    };
    let first = [
        with(1, json!({ "Screen Size": 27, "flat": true })),
        with(2, json!({ "Screen Size": "27 inch" })),
    ];
    assert_eq!(world.import(&market, &first).await, [2, 0, 0, 0]);
    assert_eq!(world.import(&market, &first).await, [0, 0, 2, 0]);
    let later = [
        with(3, json!({ "Ports": 2, "Screen Size": 24 })),
        with(4, json!({ "x".repeat(600): 1, "long": "y".repeat(600) })),
    ];
    assert_eq!(world.import(&market, &later).await, [1, 0, 0, 1]);
    let found = market
        .context()
        .find(souk_model::catalog::CATEGORY, "screens")
        .await
        .unwrap();
    let category: Category = found.unwrap().parse().unwrap();
    let attributes: Vec<_> = category
        .attributes
        .iter()
        .map(|a| (&*a.name, a.label.as_deref(), a.r#type))
        .collect();
    assert_eq!(
        attributes[..3],
        [
            ("flat", None, AttributeType::Boolean),
            ("screen_size", Some("Screen Size"), AttributeType::Text),
            ("long", None, AttributeType::Text),
        ]
    );
    assert!(world.export(&market).await.contains(r#""screen_size":"24""#));
}

/// Paths of up to six names, many of them alike: each leaf has a parent of its own.
#[tokio::test]
async fn paths_make_a_tree_that_survives_export_and_import() {
    let world = World::new();
    let (one, other) = (world.market("one"), world.market("other"));
    let long = "a long name that others begin with too, ";
    let lines: Vec<Value> = (0..400)
        .map(|n| {
            let depth = 1 + n % 6;
            let name = |level: usize| format!("{long}{}", (n / (1 + level)) % (2 + level));
            let path: Vec<String> = (0..depth).map(name).collect();
            let mut line = line(n, "", "Ada");
            line["category_path"] = json!(path);
            line["title"] = json!(format!("Thing {n}"));
            line
        })
        .collect();
    assert_eq!(world.import(&one, &lines).await, [400, 0, 0, 0]);
    assert_eq!(world.import(&one, &lines).await, [0, 0, 400, 0]);
    // Where each product is, by the names from the root.
    let mut wanted = BTreeMap::new();
    for line in &lines {
        wanted.insert(line["sku"].clone().to_string(), line["category_path"].clone());
    }
    let exported = world.export(&one).await;
    for line in exported.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let path = match &line["category_path"] {
            Value::Null => json!([line["category"]]),
            path => path.clone(),
        };
        assert_eq!(path, wanted[&line["sku"].to_string()]);
    }
    assert_eq!(world.import_text(&other, &exported).await, [400, 0, 0, 0]);
    assert_eq!(sorted(&world.export(&other).await), sorted(&exported));
    let mut deep = line(1000, "", "Ada");
    deep["category_path"] = json!(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let mut wide = line(1001, "", "Ada");
    wide["category_path"] = json!(["x".repeat(81)]);
    assert_eq!(world.import(&one, &[deep, wide]).await, [0, 0, 0, 2]);
}
