//! What an admin sets: the weights of the fields, and synonyms. One versioned document, `settings/search`.
//!
//! Each instance reads it every ten seconds at most; a search that cannot read it goes by what was read last.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::search::{Field, MAX_WORD, Tuning, Word, words};
use souk_core::{Change, Condition, Key, StoreError};
use souk_kit::{Answer, CommitError, IfMatch, Json, Member, Once, Platform, Problem, State, written};

use crate::Memory;

/// For how long an instance goes by what it has read, in milliseconds.
const FRESH: i64 = 10_000;
const MAX_GROUPS: usize = 200;
const MAX_GROUP: usize = 10;

/// How much a word counts in each field; 0: the field is not searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Weights {
    /// In the title.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    title: u32,
    /// In a tag.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    tags: u32,
    /// In the name of the category.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    category: u32,
    /// In the name of the vendor.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    vendor: u32,
    /// In an attribute.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    attributes: u32,
    /// In the description.
    #[garde(range(max = 100))]
    #[schema(maximum = 100)]
    description: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            title: Field::Title.weight(),
            tags: Field::Tags.weight(),
            category: Field::Category.weight(),
            vendor: Field::Vendor.weight(),
            attributes: Field::Attributes.weight(),
            description: Field::Description.weight(),
        }
    }
}

impl Weights {
    fn of(&self, field: Field) -> u32 {
        match field {
            Field::Title => self.title,
            Field::Tags => self.tags,
            Field::Category => self.category,
            Field::Vendor => self.vendor,
            Field::Attributes => self.attributes,
            Field::Description => self.description,
        }
    }
}

/// How search is tuned. What is left out is as it is without any settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSearchSettings {
    /// The weights.
    #[garde(dive, custom(some_weight))]
    #[serde(default)]
    weights: Weights,
    /// Groups of 2 to 10 single words that stand for each other.
    #[garde(custom(groups))]
    #[serde(default)]
    #[schema(max_items = 200, example = json!([["sofa", "couch"]]))]
    synonyms: Vec<Vec<String>>,
}

fn some_weight<C>(weights: &Weights, _: &C) -> garde::Result {
    if Field::ALL.iter().any(|field| weights.of(*field) > 0) {
        Ok(())
    } else {
        Err(garde::Error::new("must leave a field to search"))
    }
}

fn groups<C>(groups: &[Vec<String>], _: &C) -> garde::Result {
    let fault = |why: String| Err(garde::Error::new(why));
    if groups.len() > MAX_GROUPS || groups.iter().any(|group| !(2..=MAX_GROUP).contains(&group.len())) {
        return fault(format!("must be at most {MAX_GROUPS} groups of 2 to {MAX_GROUP} words"));
    }
    let is_word = |text: &String| text.len() <= MAX_WORD && words(text).count() == 1;
    match groups.iter().flatten().find(|text| !is_word(text)) {
        Some(text) => {
            let text: String = text.chars().take(50).collect();
            fault(format!("{text:?} is not a single word of at most {MAX_WORD} bytes"))
        }
        None => Ok(()),
    }
}

/// How search is tuned, as it is stored and shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct SearchSettings {
    /// The weights.
    weights: Weights,
    /// Groups of single words that stand for each other.
    synonyms: Vec<Vec<String>>,
    /// How many times they were written; 0 before the first time.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true)]
    version: u64,
}

fn key() -> Key {
    Key::of("settings", "search")
}

async fn read(platform: &Platform) -> Result<(SearchSettings, u64), StoreError> {
    match get_one(&*platform.documents, key()).await? {
        Some(document) => Ok((document.parse()?, document.version)),
        None => Ok((SearchSettings::default(), 0)),
    }
}

pub(crate) async fn show(platform: State, _: Member) -> Result<Answer, Problem> {
    let (settings, version) = read(&platform).await?;
    Ok(written(key(), &settings, "{}", version)?.1)
}

pub(crate) async fn put(
    memory: Arc<Memory>,
    platform: State,
    _: Member,
    precondition: IfMatch,
    once: Once,
    Json(new): Json<NewSearchSettings>,
) -> Result<Answer, Problem> {
    let (_, version) = read(&platform).await?;
    precondition.check(version)?;
    let settings = SearchSettings {
        weights: new.weights,
        synonyms: new.synonyms,
        version: 0,
    };
    let (body, shown) = written(key(), &settings, "{}", version + 1)?;
    let change = Change::Put {
        key: key(),
        body,
        counters: Vec::new(),
        expires_at: None,
        condition: if version == 0 {
            Condition::Absent
        } else {
            Condition::Version(version)
        },
        entries: Vec::new(),
        stale: Vec::new(),
    };
    let answer = match once.commit(vec![change], Vec::new(), shown).await {
        Err(CommitError::Conflict(_)) if precondition.is_given() => return Err(IfMatch::failed()),
        result => result?,
    };
    memory.tuned.forget();
    platform.forget_searches();
    Ok(answer)
}

/// The settings as one instance knows them.
#[derive(Default)]
pub(crate) struct Tuned {
    read_at: AtomicI64,
    known: Mutex<Arc<Known>>,
}

#[derive(Default)]
struct Known {
    settings: SearchSettings,
    /// Which groups a word is in.
    groups: HashMap<String, Vec<usize>>,
}

impl Tuned {
    /// What matters for a query of these words.
    pub(crate) async fn tuning(&self, platform: &Platform, asked: &[Word]) -> Tuning {
        let now = platform.clock.now().as_millisecond();
        let read_at = self.read_at.load(Ordering::Relaxed);
        // Only one request looks; the others go by what is known.
        if now.saturating_sub(read_at) >= FRESH
            && self
                .read_at
                .compare_exchange(read_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            match read(platform).await {
                // Unless they were written meanwhile: then the next one looks.
                Ok((settings, _)) if self.read_at.load(Ordering::Relaxed) == now => {
                    *self.lock() = Arc::new(Known::of(settings));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "search goes by the settings that were read last"),
            }
        }
        let known = self.lock().clone();
        known.tuning(asked)
    }

    /// Has the next search read them.
    fn forget(&self) {
        self.read_at.store(0, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(settings: SearchSettings) -> Self {
        let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, group) in settings.synonyms.iter().enumerate() {
            for word in group.iter().flat_map(|text| words(text)) {
                groups.entry(word.stem).or_default().push(n);
            }
        }
        Self { settings, groups }
    }

    fn tuning(&self, asked: &[Word]) -> Tuning {
        // In order: a cursor belongs to a query in all that it has.
        let numbers: BTreeSet<usize> = asked
            .iter()
            .filter_map(|word| self.groups.get(&word.stem))
            .flatten()
            .copied()
            .collect();
        let synonyms = numbers
            .into_iter()
            .filter_map(|n| self.settings.synonyms.get(n).cloned());
        let weights = &self.settings.weights;
        let weights = if *weights == Weights::default() {
            Vec::new()
        } else {
            Field::ALL.iter().map(|field| (*field, weights.of(*field))).collect()
        };
        Tuning {
            weights,
            synonyms: synonyms.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_gets_the_synonyms_of_its_own_words() {
        let settings = json!({ "weights": {}, "synonyms": [["sofa", "Couches"], ["lamp", "light"], ["couch", "bed"]] });
        let known = Known::of(serde_json::from_value(settings).unwrap());
        let tuning = |text: &str| known.tuning(&words(text).collect::<Vec<_>>());
        assert_eq!(tuning("a big couch").synonyms, [["sofa", "Couches"], ["couch", "bed"]]);
        assert_eq!(tuning("LIGHTS").synonyms, [["lamp", "light"]]);
        assert_eq!(tuning("table"), Tuning::default());
    }

    #[test]
    fn bad_settings_are_named() {
        let faults = |settings: serde_json::Value| -> Vec<String> {
            let settings: NewSearchSettings = serde_json::from_value(settings).unwrap();
            let report = settings.validate().err();
            report
                .iter()
                .flat_map(garde::Report::iter)
                .map(|(path, _)| path.to_string())
                .collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(faults(json!({})), none);
        assert_eq!(
            faults(json!({ "weights": { "title": 100 }, "synonyms": [["a", "b"]] })),
            none
        );
        assert_eq!(faults(json!({ "weights": { "title": 101 } })), ["weights.title"]);
        let zero = json!({ "title": 0, "tags": 0, "category": 0, "vendor": 0, "attributes": 0, "description": 0 });
        assert_eq!(faults(json!({ "weights": zero })), ["weights"]);
        for bad in [
            json!(["a"]),
            json!(["a", "b c"]),
            json!(["a", "!"]),
            json!(["a", "x".repeat(41)]),
        ] {
            assert_eq!(faults(json!({ "synonyms": [bad] })), ["synonyms"]);
        }
        assert_eq!(faults(json!({ "synonyms": vec![["a", "b"]; 201] })), ["synonyms"]);
    }

    #[test]
    fn the_stored_format_is_pinned() {
        let stored = r#"{"weights":{"title":10,"tags":5,"category":5,"vendor":5,"attributes":5,"description":1},"synonyms":[["sofa","couch"]]}"#;
        let settings: SearchSettings = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&settings).unwrap(), stored);
    }
}
