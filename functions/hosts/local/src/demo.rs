//! Demo data: for the first start, for experiments and for benchmarks (CB-21).
//!
//! All data, including ids and times, is derived from the seed: the import operation creates the products, with a clock
//! and a random source seeded by it. The same seed gives the same data, and a second run changes nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use serde_json::json;
use souk_catalog::operations::{Imported, ProductImport, create_category, import_product};
use souk_catalog::{CatalogError, NewCategory, NewProduct};
use souk_core::access::ADMIN;
use souk_core::{Clock, Kind, Money, Principal, Random, Timestamp, check, random};
use souk_identity::NewAccount;
use souk_identity::operations::{ensure_passive_account, find_by_email, grant_role, sign_up, verify_by_operator};
use souk_kit::Context;
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Attribute, AttributeType};
use souk_model::catalog::product::{ItemCondition, Location};
use souk_model::catalog::status::Status;
use souk_model::vendors::VENDOR;
use souk_sqlite::SystemRandom;
use souk_vendors::NewVendor;
use souk_vendors::operations::open_vendor;

use crate::data;

/// The number of concurrent commits: enough for group commits of the writer.
const AT_ONCE: usize = 64;
/// 2026-01-01T00:00:00Z: the start time of the demo data.
const OPENING: i64 = 1_767_225_600_000;
/// The password of the demo's admin.
const PASSWORD_FILE: &str = "demo-password";
/// The number of demo products at the first start.
const DEMO_PRODUCTS: u32 = 240;

struct Category {
    name: &'static str,
    icon: &'static str,
    color: &'static str,
    makes: &'static [&'static str],
    materials: &'static [&'static str],
    price: (u32, u32),
}

const CATEGORIES: [Category; 8] = [
    Category {
        name: "Lamps",
        icon: "💡",
        color: "#e8a33d",
        makes: &["oil lamp", "table lamp", "lantern", "wall light"],
        materials: &["brass", "glass", "paper"],
        price: (1_900, 24_000),
    },
    Category {
        name: "Ceramics",
        icon: "🏺",
        color: "#b5532d",
        makes: &["bowl", "tea set", "vase", "serving plate"],
        materials: &["stoneware", "porcelain", "terracotta"],
        price: (900, 18_000),
    },
    Category {
        name: "Rugs",
        icon: "🧶",
        color: "#8f2d56",
        makes: &["kilim", "runner", "prayer rug", "floor cushion"],
        materials: &["wool", "cotton", "silk"],
        price: (4_900, 190_000),
    },
    Category {
        name: "Spices",
        icon: "🌶",
        color: "#c8102e",
        makes: &["saffron", "sumac", "spice box", "chilli blend"],
        materials: &["whole", "ground", "smoked"],
        price: (300, 4_500),
    },
    Category {
        name: "Books",
        icon: "📚",
        color: "#3f6c51",
        makes: &["atlas", "cookbook", "poetry volume", "travel diary"],
        materials: &["cloth-bound", "paperback", "leather-bound"],
        price: (500, 9_000),
    },
    Category {
        name: "Instruments",
        icon: "🪕",
        color: "#5b4b8a",
        makes: &["oud", "frame drum", "reed flute", "saz"],
        materials: &["walnut", "cedar", "mulberry"],
        price: (7_000, 160_000),
    },
    Category {
        name: "Bags",
        icon: "👜",
        color: "#7a5230",
        makes: &["satchel", "tote", "travel bag", "coin purse"],
        materials: &["leather", "canvas", "felt"],
        price: (1_200, 32_000),
    },
    Category {
        name: "Bicycles",
        icon: "🚲",
        color: "#1f7a8c",
        makes: &["city bike", "cargo bike", "folding bike", "child bike"],
        materials: &["steel", "aluminium", "titanium"],
        price: (9_900, 420_000),
    },
];
const MOODS: [&str; 16] = [
    "Quiet",
    "Old",
    "Bright",
    "Small",
    "Tall",
    "Handmade",
    "Restored",
    "Rare",
    "Everyday",
    "Painted",
    "Plain",
    "Carved",
    "Blue",
    "Golden",
    "Travelling",
    "Night",
];
const TAGS: [&str; 12] = [
    "handmade",
    "vintage",
    "gift",
    "local",
    "restored",
    "one-of-a-kind",
    "sale",
    "small-batch",
    "natural",
    "signed",
    "fair-trade",
    "repairable",
];
const PLACES: [(&str, f64, f64); 8] = [
    ("Istanbul", 41.01, 28.97),
    ("Marrakesh", 31.63, -7.99),
    ("Tbilisi", 41.69, 44.83),
    ("Sarajevo", 43.86, 18.43),
    ("Samarkand", 39.65, 66.96),
    ("Cairo", 30.04, 31.24),
    ("Fez", 34.03, -5.0),
    ("Isfahan", 32.65, 51.67),
];
const SHOPS: [&str; 12] = [
    "Lantern & Co",
    "The Copper Gate",
    "Mulberry Yard",
    "Salt Road Goods",
    "Blue Door Ceramics",
    "Noon Market",
    "Cedar Workshop",
    "Paper Moon Books",
    "The Wheelwright",
    "Saffron House",
    "Loom Street",
    "Harbour Finds",
];
const PEOPLE: [(&str, &str); 6] = [
    ("leyla", "Leyla Aksoy"),
    ("idris", "Idris Benali"),
    ("nino", "Nino Beridze"),
    ("emir", "Emir Hadžić"),
    ("dilnoza", "Dilnoza Karimova"),
    ("samir", "Samir Haddad"),
];

/// A deterministic random generator.
struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator for one object, derived from the seed, the object's type and its number.
    fn of(seed: u64, what: &str, number: u64) -> Self {
        let mut bytes = [0; 32];
        let text = format!("{seed}/{what}/{number}");
        bytes.iter_mut().zip(text.bytes()).for_each(|(slot, byte)| *slot = byte);
        Self(ChaCha8Rng::from_seed(bytes))
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let n = self.below(of.len());
        #[expect(
            clippy::indexing_slicing,
            reason = "the lists above are not empty, and n is below their length"
        )]
        &of[n]
    }
}

/// A [`Random`] port with a deterministic generator.
struct SeededRandom(Mutex<Dice>);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .fill_bytes(bytes);
    }
}

/// A clock with a fixed time.
struct FixedClock(Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// `cx` with a fixed time and a deterministic random source.
fn at(cx: &Context, now: Timestamp, dice: Dice) -> Context {
    let platform = cx
        .platform()
        .with_time(Arc::new(FixedClock(now)), Arc::new(SeededRandom(Mutex::new(dice))));
    Context::system(Arc::new(platform))
}

fn acting_as(cx: Context, account: &str) -> Context {
    cx.acting_as(Principal::member(account))
}

fn moment(minutes: u64) -> Timestamp {
    let millis = i64::try_from(minutes)
        .unwrap_or(0)
        .saturating_mul(60_000)
        .saturating_add(OPENING);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The demo data before its products: the ids of the accounts, of the vendors with their owners, and of the categories.
struct Stage {
    authors: Vec<String>,
    vendors: Vec<(String, String)>,
    categories: Vec<String>,
}

/// Creates the accounts, vendors and categories, which are the same for every seed.
async fn set_up(cx: &Context) -> Result<Stage, String> {
    let mut stage = Stage {
        authors: Vec::new(),
        vendors: Vec::new(),
        categories: Vec::new(),
    };
    let now = moment(0);
    for (n, (username, name)) in (0..).zip(PEOPLE) {
        let cx = at(cx, now, Dice::of(0, "account", n));
        let id = ensure_passive_account(&cx, username, name).await;
        stage.authors.push(id.map_err(|e| e.to_string())?);
    }
    for (n, name) in (0..).zip(SHOPS) {
        let mut dice = Dice::of(0, "vendor", n);
        let owner = dice.pick(&stage.authors).clone();
        let cx = acting_as(at(cx, now, dice), &owner);
        let id = match existing(&cx, VENDOR, name).await? {
            Some(id) => id,
            None => {
                let new = NewVendor {
                    name: name.into(),
                    slug: None,
                    description: format!("{name}: things made to last."),
                };
                let vendor = open_vendor(&cx, new).await.map_err(|e| e.to_string())?;
                vendor.value.id
            }
        };
        stage.vendors.push((id, owner));
    }
    for (n, category) in (0..).zip(&CATEGORIES) {
        let cx = at(cx, now, Dice::of(0, "category", n));
        let id = match existing(&cx, CATEGORY, category.name).await? {
            Some(id) => id,
            None => {
                let created = create_category(&cx, new_category(category)).await;
                created.map_err(|e| e.to_string())?.value.id
            }
        };
        stage.categories.push(id);
    }
    Ok(stage)
}

/// The id of the document whose slug is derived from this name.
async fn existing(cx: &Context, kind: Kind, name: &str) -> Result<Option<String>, String> {
    let slug = check::slugify(name, kind.name);
    let found = cx.resolve(&[(kind, &slug)]).await.map_err(|e| e.to_string())?;
    Ok(found.into_iter().next().flatten())
}

fn new_category(category: &Category) -> NewCategory {
    let attribute = |name: &str, r#type, choices: Vec<String>| Attribute {
        name: name.into(),
        label: None,
        r#type,
        required: false,
        filterable: true,
        choices,
    };
    let materials = category.materials.iter().map(|material| (*material).to_owned());
    NewCategory {
        name: category.name.into(),
        slug: None,
        description: String::new(),
        icon: Some(category.icon.into()),
        color: Some(category.color.into()),
        parent: None,
        attributes: vec![
            attribute("material", AttributeType::Choice, materials.collect()),
            attribute("year", AttributeType::Number, Vec::new()),
        ],
    }
}

/// The `n`th product for this seed.
fn product(stage: &Stage, seed: u64, n: u32) -> ProductImport {
    let mut dice = Dice::of(seed, "product", n.into());
    let place = dice.below(CATEGORIES.len());
    #[expect(clippy::indexing_slicing, reason = "there is an id for each category")]
    let (category, id) = (&CATEGORIES[place], stage.categories[place].clone());
    let (mood, make, material) = (
        dice.pick(&MOODS),
        dice.pick(category.makes),
        dice.pick(category.materials),
    );
    let (label, latitude, longitude) = dice.pick(&PLACES);
    let (vendor, owner) = dice.pick(&stage.vendors).clone();
    let own = dice.below(4) == 0;
    let (low, high) = category.price;
    let price = low + u32::try_from(dice.below((high - low) as usize)).unwrap_or(0);
    let year = 1930 + dice.below(96);
    let title = format!("{mood} {material} {make}");
    let mut tags = vec![
        (*dice.pick(&TAGS)).to_owned(),
        (*dice.pick(&TAGS)).to_owned(),
        (*material).to_owned(),
    ];
    tags.truncate(1 + dice.below(3));
    let product = NewProduct {
        slug: None,
        description: format!(
            "A {} {make} in {material}, from {label}, about {year}. It comes from a house where it was used and looked \
             after. Small marks tell its age; nothing needs repair. We pack it well and send it within two days, or you \
             come by and see it first.",
            mood.to_lowercase()
        ),
        title,
        category: id,
        vendor: (!own).then_some(vendor),
        sku: (!own).then(|| format!("S{seed}-{n:06}")),
        price: Some(Money {
            amount: i64::from(price / 10 * 10),
            currency: "EUR".into(),
        }),
        condition: *dice.pick(&[
            ItemCondition::New,
            ItemCondition::LikeNew,
            ItemCondition::Good,
            ItemCondition::Fair,
        ]),
        cover: Some(format!("https://img.market.example/{seed}/{n}.webp")),
        gallery: Vec::new(),
        tags,
        attributes: [
            ("material".to_owned(), json!(material)),
            ("year".to_owned(), json!(year)),
        ]
        .into_iter()
        .collect(),
        location: Some(Location {
            latitude: *latitude,
            longitude: *longitude,
            label: Some((*label).to_owned()),
        }),
        ..NewProduct::default()
    };
    let author = if own { dice.pick(&stage.authors).clone() } else { owner };
    ProductImport {
        source: None,
        adopt: false,
        old_addresses: Vec::new(),
        slug: Some(format!("{}-{seed}-{n}", check::slugify(&product.title, "product"))),
        product,
        status: Status::Published,
        author,
    }
}

/// Adds `count` demo products; returns how many are new.
pub(crate) async fn seed(cx: &Context, count: u32, seed: u64, bar: ProgressBar) -> Result<u64, String> {
    let stage = set_up(cx).await?;
    let added = AtomicU64::new(0);
    let mut writes = stream::iter(0..count)
        .map(async |n| {
            let cx = at(cx, moment(u64::from(n) * 7), Dice::of(seed, "id", n.into()));
            match import_product(&cx, &product(&stage, seed, n)).await {
                Ok(Imported::Added) => drop(added.fetch_add(1, Ordering::Relaxed)),
                // A product of another seed with this SKU, or an edited one: leave it unchanged.
                Ok(Imported::Changed | Imported::Unchanged) | Err(CatalogError::SkuTaken(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
            bar.inc(1);
            Ok(())
        })
        .buffer_unordered(AT_ONCE);
    while let Some(written) = writes.next().await {
        written?;
    }
    drop(writes);
    bar.finish_and_clear();
    Ok(added.into_inner())
}

/// Credentials that work.
pub(crate) struct Login {
    pub(crate) email: String,
    /// The password, at the first start.
    pub(crate) password: Option<String>,
    /// The file with the password.
    pub(crate) file: PathBuf,
}

/// Whether the folder may have a demo market: it has no other one, or has the demo, perhaps unfinished.
pub(crate) fn may_open(dir: &Path) -> bool {
    !data::has_market(dir) || dir.join(PASSWORD_FILE).exists()
}

/// Creates the demo data and an admin account at the first start. The account is created last, so that the next start
/// completes an interrupted one. The password is stored in the data folder.
pub(crate) async fn open(cx: &Context, dir: &Path) -> Result<Login, String> {
    let email = "demo@souk.example".to_owned();
    let path = dir.join(PASSWORD_FILE);
    let kept = std::fs::read_to_string(&path).ok();
    let password = match &kept {
        Some(password) => password.trim().to_owned(),
        None => {
            let password = random::bytes::<8>(&SystemRandom)
                .map(|byte| format!("{byte:02x}"))
                .concat();
            data::private(&path, &password).map_err(|e| format!("{}: {e}", path.display()))?;
            password
        }
    };
    let found = find_by_email(cx, &email).await.map_err(|e| e.to_string())?;
    if found.is_none() {
        seed(cx, DEMO_PRODUCTS, 1, ProgressBar::hidden()).await?;
        let new = NewAccount {
            email: email.clone(),
            username: "demo".into(),
            password: password.clone(),
            name: Some("Demo".into()),
            sign_in: false,
        };
        // Only an account that was made here becomes an admin.
        sign_up(cx, new).await.map_err(|e| format!("the demo's account: {e}"))?;
        verify_by_operator(cx, "demo").await.map_err(|e| e.to_string())?;
        grant_role(cx, &email, Some(ADMIN)).await.map_err(|e| e.to_string())?;
    }
    Ok(Login {
        email,
        password: kept.is_none().then_some(password),
        file: path,
    })
}

#[cfg(test)]
mod tests {
    use souk_core::Consistency;
    use souk_core::Query;
    use souk_model::catalog::lists::List;

    use super::*;

    async fn products(folder: &Path, seed: u64) -> Vec<String> {
        let market = data::open(folder).unwrap();
        let cx = market.context();
        assert_eq!(super::seed(&cx, 50, seed, ProgressBar::hidden()).await, Ok(50));
        assert_eq!(super::seed(&cx, 50, seed, ProgressBar::hidden()).await, Ok(0));
        let query = Query {
            prefix: "t/".into(),
            ..Query::index(List::All.index(Status::Published), 100)
        };
        let page = market
            .platform
            .documents()
            .query(&query, Consistency::Strong)
            .await
            .unwrap();
        page.items.into_iter().map(|item| item.document.body).collect()
    }

    #[tokio::test]
    async fn the_same_seed_makes_the_same_market_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let first = products(&at("one"), 7).await;
        assert_eq!(first.len(), 50);
        assert_eq!(first, products(&at("two"), 7).await);
        assert_ne!(first, products(&at("three"), 8).await);
    }
}
