//! A made-up market: for the first start, for tries and for benchmarks (CB-21).
//!
//! Everything comes from the seed, ids and times included, so the same seed makes the same market, and making it again
//! changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use serde_json::json;
use souk_catalog::category::{Attribute, AttributeType, Category};
use souk_catalog::product::{ItemCondition, NewProduct, Origin, Product};
use souk_catalog::routes::creation;
use souk_catalog::status::Status;
use souk_core::kind::{ACCOUNT, CATEGORY, VENDOR};
use souk_core::{Change, Event, Money, Role, StoreError, Timestamp};
use souk_identity::NewAccount;
use souk_kit::{Keys, Platform, check};
use souk_sqlite::SystemRandom;
use souk_vendors::Vendor;

use crate::data;

/// How many commits are under way at once: enough for the writer to group them.
const AT_ONCE: usize = 64;
/// 2026-01-01T00:00:00Z: the day the made-up market opened.
const OPENING: i64 = 1_767_225_600_000;
/// How many products a first start brings.
const DEMO_PRODUCTS: u32 = 240;

struct Kind {
    name: &'static str,
    icon: &'static str,
    colour: &'static str,
    makes: &'static [&'static str],
    materials: &'static [&'static str],
    price: (u32, u32),
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "Lamps",
        icon: "💡",
        colour: "#e8a33d",
        makes: &["oil lamp", "table lamp", "lantern", "wall light"],
        materials: &["brass", "glass", "paper"],
        price: (1_900, 24_000),
    },
    Kind {
        name: "Ceramics",
        icon: "🏺",
        colour: "#b5532d",
        makes: &["bowl", "tea set", "vase", "serving plate"],
        materials: &["stoneware", "porcelain", "terracotta"],
        price: (900, 18_000),
    },
    Kind {
        name: "Rugs",
        icon: "🧶",
        colour: "#8f2d56",
        makes: &["kilim", "runner", "prayer rug", "floor cushion"],
        materials: &["wool", "cotton", "silk"],
        price: (4_900, 190_000),
    },
    Kind {
        name: "Spices",
        icon: "🌶",
        colour: "#c8102e",
        makes: &["saffron", "sumac", "spice box", "chilli blend"],
        materials: &["whole", "ground", "smoked"],
        price: (300, 4_500),
    },
    Kind {
        name: "Books",
        icon: "📚",
        colour: "#3f6c51",
        makes: &["atlas", "cookbook", "poetry volume", "travel diary"],
        materials: &["cloth-bound", "paperback", "leather-bound"],
        price: (500, 9_000),
    },
    Kind {
        name: "Instruments",
        icon: "🪕",
        colour: "#5b4b8a",
        makes: &["oud", "frame drum", "reed flute", "saz"],
        materials: &["walnut", "cedar", "mulberry"],
        price: (7_000, 160_000),
    },
    Kind {
        name: "Bags",
        icon: "👜",
        colour: "#7a5230",
        makes: &["satchel", "tote", "travel bag", "coin purse"],
        materials: &["leather", "canvas", "felt"],
        price: (1_200, 32_000),
    },
    Kind {
        name: "Bicycles",
        icon: "🚲",
        colour: "#1f7a8c",
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

/// A source of choices, all from one seed.
struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice for one thing of one market.
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

    fn id(&mut self, prefix: &str, at: Timestamp) -> String {
        let millis = at.as_millisecond();
        format!(
            "{prefix}_{millis:012x}7{:03x}{:016x}",
            self.0.next_u32() & 0xfff,
            self.0.next_u64() >> 2 | 1 << 63
        )
    }
}

fn moment(minutes: u64) -> Timestamp {
    let millis = i64::try_from(minutes)
        .unwrap_or(0)
        .saturating_mul(60_000)
        .saturating_add(OPENING);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A market before its products.
struct Stage {
    authors: Vec<String>,
    vendors: Vec<(String, String)>,
    categories: Vec<String>,
}

/// The people, shops and categories of a market; they are the same for every seed.
fn stage() -> Result<(Stage, Vec<Vec<Change>>), String> {
    let failed = |e: serde_json::Error| e.to_string();
    let mut stage = Stage {
        authors: Vec::new(),
        vendors: Vec::new(),
        categories: Vec::new(),
    };
    let mut commits = Vec::new();
    let now = moment(0);
    for (n, (username, name)) in (0..).zip(PEOPLE) {
        let id = Dice::of(0, "account", n).id(ACCOUNT.prefix, now);
        // They have no password, so nobody can sign in as them.
        let body = json!({ "id": id, "username": username, "name": name, "bio": "", "avatar": null, "created_at": now,
                           "email": format!("{username}@market.example"), "role": "member", "active": true, "updated_at": now });
        commits.push(vec![
            Change::claim(ACCOUNT.name_key(username), &id),
            Change::create(ACCOUNT.key(&id), body.to_string(), Vec::new()),
        ]);
        stage.authors.push(id);
    }
    for (n, name) in (0..).zip(SHOPS) {
        let mut dice = Dice::of(0, "vendor", n);
        let owner = dice.pick(&stage.authors).clone();
        let id = dice.id(VENDOR.prefix, now);
        let vendor = Vendor {
            id: id.clone(),
            slug: check::slugify(name, "vendor"),
            name: name.into(),
            description: format!("{name}: things made to last."),
            owner: owner.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        commits.push(vec![
            Change::claim(VENDOR.name_key(&vendor.slug), &id),
            Change::create(
                VENDOR.key(&id),
                serde_json::to_string(&vendor).map_err(failed)?,
                vendor.entries(),
            ),
        ]);
        stage.vendors.push((id, owner));
    }
    for (n, kind) in (0..).zip(&KINDS) {
        let id = Dice::of(0, "category", n).id(CATEGORY.prefix, now);
        let attribute = |name: &str, r#type, choices: Vec<String>| Attribute {
            name: name.into(),
            label: None,
            r#type,
            required: false,
            filterable: true,
            choices,
        };
        let materials = kind.materials.iter().map(|material| (*material).to_owned()).collect();
        let category = Category {
            id: id.clone(),
            slug: check::slugify(kind.name, "category"),
            name: kind.name.into(),
            description: String::new(),
            icon: Some(kind.icon.into()),
            colour: Some(kind.colour.into()),
            parent: None,
            attributes: vec![
                attribute("material", AttributeType::Choice, materials),
                attribute("year", AttributeType::Number, Vec::new()),
            ],
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        commits.push(vec![
            Change::claim(CATEGORY.name_key(&category.slug), &id),
            Change::create(
                CATEGORY.key(&id),
                serde_json::to_string(&category).map_err(failed)?,
                category.entries(),
            ),
        ]);
        stage.categories.push(id);
    }
    Ok((stage, commits))
}

/// The `n`th product of the market of this seed.
fn product(stage: &Stage, seed: u64, n: u32) -> Product {
    let mut dice = Dice::of(seed, "product", n.into());
    let now = moment(u64::from(n) * 7);
    let place = dice.below(KINDS.len());
    #[expect(clippy::indexing_slicing, reason = "there is a category for each kind")]
    let (kind, category) = (&KINDS[place], stage.categories[place].clone());
    let (mood, make, material) = (dice.pick(&MOODS), dice.pick(kind.makes), dice.pick(kind.materials));
    let (label, latitude, longitude) = dice.pick(&PLACES);
    let (vendor, owner) = dice.pick(&stage.vendors).clone();
    let own = dice.below(4) == 0;
    let (low, high) = kind.price;
    let price = low + u32::try_from(dice.below((high - low) as usize)).unwrap_or(0);
    let year = 1930 + dice.below(96);
    let title = format!("{mood} {material} {make}");
    let mut tags = vec![
        (*dice.pick(&TAGS)).to_owned(),
        (*dice.pick(&TAGS)).to_owned(),
        (*material).to_owned(),
    ];
    tags.truncate(1 + dice.below(3));
    let new = NewProduct {
        description: format!(
            "A {} {make} in {material}, from {label}, about {year}. It comes from a house where it was used and looked \
             after. Small marks tell its age; nothing needs repair. We pack it well and send it within two days, or you \
             come by and see it first.",
            mood.to_lowercase()
        ),
        title,
        category: category.clone(),
        vendor: None,
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
        location: Some(souk_catalog::product::Location {
            latitude: *latitude,
            longitude: *longitude,
            label: Some((*label).to_owned()),
        }),
        url: None,
    };
    let author = if own { dice.pick(&stage.authors).clone() } else { owner };
    let slug = format!("{}-{seed}-{n}", check::slugify(&new.title, "product"));
    let origin = Origin {
        id: dice.id("prd", now),
        slug,
        author,
        now,
    };
    Product::draft(new, category, (!own).then_some(vendor), origin).moved(Status::Published, now)
}

/// Adds `count` made-up products; says how many were not there yet.
pub(crate) async fn seed(platform: &Platform, count: u32, seed: u64, bar: ProgressBar) -> Result<u64, String> {
    let (stage, commits) = stage()?;
    for changes in commits {
        add(platform, changes, Vec::new()).await?;
    }
    let added = AtomicU64::new(0);
    let mut writes = stream::iter(0..count)
        .map(async |n| {
            let product = product(&stage, seed, n);
            let (changes, _) = creation(&product).map_err(|problem| problem.detail)?;
            let events = data::news(platform, &product, 1, None).map_err(|e| e.to_string())?;
            if add(platform, changes, events).await? {
                added.fetch_add(1, Ordering::Relaxed);
            }
            bar.inc(1);
            Ok::<_, String>(())
        })
        .buffer_unordered(AT_ONCE);
    while let Some(written) = writes.next().await {
        written?;
    }
    drop(writes);
    bar.finish_and_clear();
    Ok(added.into_inner())
}

/// Commits what makes a thing; `false` if it is there already.
async fn add(platform: &Platform, changes: Vec<Change>, events: Vec<Event>) -> Result<bool, String> {
    match platform.commit(changes, events, Vec::new()).await {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// A login that works.
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// The demo market and an admin to look around with, made at the first start; the account comes last, so a start that
/// was interrupted is made good by the next. The password is kept in the data folder, so that every start can print it.
pub(crate) async fn demo(platform: &Arc<Platform>, dir: &Path) -> Result<Login, String> {
    let email = "demo@souk.example".to_owned();
    let path = dir.join("demo-password");
    let password = match std::fs::read_to_string(&path) {
        Ok(password) => password.trim().to_owned(),
        Err(_) => {
            let fresh = Keys::generate(&SystemRandom);
            let password: String = fresh.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
            data::private(&path, &password).map_err(|e| format!("{}: {e}", path.display()))?;
            password
        }
    };
    let found = souk_identity::by_email(platform, &email)
        .await
        .map_err(|problem| problem.detail)?;
    if found.is_none() {
        seed(platform, DEMO_PRODUCTS, 1, ProgressBar::hidden()).await?;
        // Somebody may have taken the first name in a market that was opened without the demo.
        for username in ["demo", "demo-2", "demo-3"] {
            let new = NewAccount {
                email: email.clone(),
                username: username.into(),
                password: password.clone(),
                name: Some("Demo".into()),
            };
            if souk_identity::sign_up(platform, new).await.is_ok() {
                break;
            }
        }
        souk_identity::grant(platform, &email, Role::Admin)
            .await
            .map_err(|problem| problem.detail)?;
    }
    Ok(Login { email, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_market() {
        let (stage, _) = stage().unwrap();
        let market = |seed| (0..50).map(|n| product(&stage, seed, n)).collect::<Vec<_>>();
        assert_eq!(market(7), market(7));
        assert_ne!(market(7), market(8));
        assert!(market(7).iter().all(|p| souk_core::id::is("prd", &p.id)));
    }
}
