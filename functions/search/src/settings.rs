//! The search settings: field weights and synonyms, in one versioned document, `settings/search`.
//!
//! Each instance reads it at most every ten seconds. If the read fails, the instance keeps using the last settings.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::Key;
use souk_core::search::{Field, MAX_WORD, Tuning, Word, words};
use souk_kit::{Context, Fault, check};

use crate::operations::settings::read_settings;

/// How long an instance uses the settings that it has read, in milliseconds.
const FRESH: i64 = 10_000;
const MAX_GROUPS: usize = 200;
const MAX_GROUP: usize = 10;

/// Weight of a match in each field. With 0 the field is not searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SearchWeights)]
pub(crate) struct Weights {
    /// Weight of the title.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    title: u32,
    /// Weight of a tag.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    tags: u32,
    /// Weight of the name of the category.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    category: u32,
    /// Weight of the name of the vendor.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    vendor: u32,
    /// Weight of an attribute.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    attributes: u32,
    /// Weight of the description.
    #[garde(custom(check::range(0, 100)))]
    #[schema(maximum = 100)]
    description: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            title: Field::Title.weight(),
            tags: Field::Tags.weight(),
            category: Field::Group.weight(),
            vendor: Field::Owner.weight(),
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
            Field::Group => self.category,
            Field::Owner => self.vendor,
            Field::Attributes => self.attributes,
            Field::Description => self.description,
        }
    }
}

/// The search settings that can be set. An absent field has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSearchSettings {
    /// Weights of the fields.
    #[garde(dive, custom(some_weight))]
    #[serde(default)]
    pub(crate) weights: Weights,
    /// Synonyms: groups of 2 to 10 single words with the same meaning.
    #[garde(custom(groups))]
    #[serde(default)]
    #[schema(max_items = 200, example = json!([["sofa", "couch"]]))]
    pub(crate) synonyms: Vec<Vec<String>>,
}

fn some_weight<C>(weights: &Weights, _: &C) -> garde::Result {
    if Field::ALL.iter().any(|field| weights.of(*field) > 0) {
        Ok(())
    } else {
        Err(Fault::invalid("must leave a field to search").into())
    }
}

fn groups<C>(groups: &[Vec<String>], _: &C) -> garde::Result {
    if groups.len() > MAX_GROUPS {
        return Err(Fault::too_many(MAX_GROUPS).into());
    }
    for (n, group) in groups.iter().enumerate() {
        let fault = match group.len() {
            0..2 => Fault::too_few(2),
            2..=MAX_GROUP => continue,
            _ => Fault::too_many(MAX_GROUP),
        };
        return Err(fault.at(format!("[{n}]")).into());
    }
    let is_word = |text: &String| text.len() <= MAX_WORD && words(text).count() == 1;
    match groups.iter().flatten().find(|text| !is_word(text)) {
        Some(text) => {
            let text: String = text.chars().take(50).collect();
            let detail = format!("{text:?} is not a single word of at most {MAX_WORD} bytes");
            Err(Fault::format(detail).into())
        }
        None => Ok(()),
    }
}

/// The search settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct SearchSettings {
    /// Weights of the fields.
    pub(crate) weights: Weights,
    /// Synonyms: groups of single words with the same meaning.
    pub(crate) synonyms: Vec<Vec<String>>,
    /// Version of the document; it increases by one with every change. 0 before the first change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true)]
    pub(crate) version: u64,
}

pub(crate) fn key() -> Key {
    Key::of("settings", "search")
}

/// The settings of an instance in memory.
#[derive(Default)]
pub(crate) struct Tuned {
    read_at: AtomicI64,
    known: Mutex<Arc<Known>>,
}

#[derive(Default)]
struct Known {
    settings: SearchSettings,
    /// The numbers of the groups that a word is in.
    groups: HashMap<String, Vec<usize>>,
}

impl Tuned {
    /// The weights, and the synonyms of these words.
    pub(crate) async fn tuning(&self, cx: &Context, asked: &[Word]) -> Tuning {
        let now = cx.clock.now().as_millisecond();
        let read_at = self.read_at.load(Ordering::Relaxed);
        // Only one request reads the settings; concurrent requests use the last ones.
        if now.saturating_sub(read_at) >= FRESH
            && self
                .read_at
                .compare_exchange(read_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            match read_settings(cx).await {
                // If the settings were replaced meanwhile, the next request reads them.
                Ok(settings) if self.read_at.load(Ordering::Relaxed) == now => {
                    *self.lock() = Arc::new(Known::of(settings.value));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "search uses the settings that were read last"),
            }
        }
        let known = self.lock().clone();
        known.tuning(asked)
    }

    /// Makes the next search read the settings.
    pub(crate) fn forget(&self) {
        self.read_at.store(0, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Known>> {
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
        // Sorted, because a cursor is tied to the query including its tuning.
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
