//! Variants of a product, and the prices that it had before.

use serde::{Deserialize, Serialize};
use souk_core::{Money, Timestamp, check, clock};
use std::collections::BTreeMap;

/// How long before the current price began others count, in seconds: Directive 98/6/EC, Article 6a.
const PRIOR_SECONDS: i64 = 30 * 24 * 3600;
/// How many former prices are kept.
const MAX_PAST: usize = 10;

/// An option of a product, such as its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProductOption {
    /// The name of the option in filters: `option.{key}=…`. Made from the name.
    #[schema(example = "size")]
    pub key: String,
    /// Display name.
    #[schema(example = "Size")]
    pub name: String,
    /// The values that variants have, in the order in which they are shown.
    pub values: Vec<String>,
}

/// What of a product is sold: one choice of a value for each of its options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Variant {
    /// The id, `var_…`. It stays when the variant is changed.
    #[schema(pattern = "^var_[0-9a-f]{32}$")]
    pub id: String,
    /// The value of each option, by its key.
    #[schema(example = json!({ "size": "M", "color": "red" }))]
    pub options: BTreeMap<String, String>,
    /// Stock keeping unit (SKU): the vendor's identifier of the variant. This and what follows is absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sku: Option<String>,
    /// Global Trade Item Number (GTIN): 8, 12, 13 or 14 digits, such as of an EAN or UPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gtin: Option<String>,
    /// Price.
    pub price: Money,
    /// The price before a reduction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compare_at_price: Option<Money>,
    /// With `compare_at_price`: the lowest price of the 30 days before the current one began; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lowest_prior_price: Option<Money>,
    /// Weight in grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub weight: Option<u32>,
    /// The URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub picture: Option<String>,
    /// The prices before the current one that may still be the lowest of 30 days, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_prices: Vec<PastPrice>,
}

/// A price that was shown before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PastPrice {
    /// In minor units.
    pub amount: i64,
    /// ISO 4217, upper case.
    pub currency: String,
    /// Until when it was shown.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// The key of an option.
#[must_use]
pub fn option_key(name: &str) -> String {
    check::slugify(name, "option")
}

/// How the index finds variants as a whole: it knows values of products, so each combination of options that one variant has is a
/// value too.
pub mod facets {
    use std::collections::BTreeSet;

    use super::{BTreeMap, Variant};

    /// Between the parts of a name or value. Keys and values are lines, which have no control characters.
    const SEPARATOR: &str = "\u{1f}";

    /// The field of these options together. One option is `option.{key}`, and others follow, sorted.
    #[must_use]
    pub fn field<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
        let mut keys: Vec<&str> = keys.into_iter().collect();
        keys.sort_unstable();
        format!("option.{}", keys.join(SEPARATOR))
    }

    /// The value of that field, from the values in the order of their sorted keys.
    #[must_use]
    pub fn value(values: &[&str]) -> String {
        values.join(SEPARATOR)
    }

    /// The field of an option that only variants have which have these other values, sorted by their keys: for counts.
    #[must_use]
    pub fn field_given(key: &str, others: &[(&str, &str)]) -> String {
        let others: Vec<String> = others.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("option.{key}{SEPARATOR}{SEPARATOR}{}", others.join(SEPARATOR))
    }

    /// All fields and values of these variants. A field of one option comes with what is shown.
    #[must_use]
    pub fn of(variants: &[Variant]) -> BTreeSet<(String, String)> {
        let mut all = BTreeSet::new();
        for variant in variants {
            let options: Vec<(&str, &str)> = variant.options.iter().map(|(key, value)| (&**key, &**value)).collect();
            for some in subsets(&options) {
                let values: Vec<&str> = some.iter().map(|(_, value)| *value).collect();
                all.insert((field(some.iter().map(|(key, _)| *key)), value(&values)));
                for (n, (key, value)) in some.iter().enumerate().filter(|_| some.len() > 1) {
                    let mut others = some.clone();
                    others.remove(n);
                    all.insert((field_given(key, &others), (*value).to_owned()));
                }
            }
        }
        all
    }

    /// The subsets that are not empty, each in its order. There are at most three options.
    fn subsets<'a>(options: &[(&'a str, &'a str)]) -> Vec<Vec<(&'a str, &'a str)>> {
        let mut subsets: Vec<Vec<_>> = vec![Vec::new()];
        for option in options {
            let with: Vec<Vec<_>> = subsets
                .iter()
                .map(|subset| [subset.as_slice(), &[*option]].concat())
                .collect();
            subsets.extend(with);
        }
        subsets.retain(|subset| !subset.is_empty());
        subsets
    }

    /// The conditions that several values of several options come to: one value of each. Sorted by their keys.
    #[must_use]
    pub fn conditions<'a>(filters: &'a BTreeMap<String, Vec<String>>, but: &str) -> Vec<Vec<(&'a str, &'a str)>> {
        let mut conditions = vec![Vec::new()];
        for (key, values) in filters.iter().filter(|(key, _)| *key != but) {
            conditions = conditions
                .iter()
                .flat_map(|condition: &Vec<_>| {
                    values
                        .iter()
                        .map(move |value| [condition.as_slice(), &[(&**key, &**value)]].concat())
                })
                .collect();
        }
        conditions
    }
}

/// The prices before the price `new`, which replaces `old` now; `past` are those before `old`. What nobody was shown does not
/// count.
#[must_use]
pub fn past_prices(old: &Money, past: &[PastPrice], was_shown: bool, new: &Money, now: Timestamp) -> Vec<PastPrice> {
    if old != new && was_shown {
        ended(old, past, now)
    } else {
        past.to_vec()
    }
}

/// The prices before, when `price` is no longer shown. Only those are kept that may still be the lowest.
#[must_use]
pub fn ended(price: &Money, past: &[PastPrice], now: Timestamp) -> Vec<PastPrice> {
    let counts = |other: &&PastPrice| {
        let may_be_lowest = other.currency != price.currency || other.amount < price.amount;
        may_be_lowest && clock::after(other.until, PRIOR_SECONDS) > now
    };
    let mut past: Vec<PastPrice> = past.iter().filter(counts).cloned().collect();
    past.push(PastPrice {
        amount: price.amount,
        currency: price.currency.clone(),
        until: now,
    });
    condense(&mut past, MAX_PAST);
    past
}

/// Makes the oldest prices one with the next of their currency, at the lower price, until there are at most `max`.
pub fn condense(past: &mut Vec<PastPrice>, max: usize) {
    while past.len() > max {
        let first = past.remove(0);
        if let Some(next) = past.iter_mut().find(|next| next.currency == first.currency) {
            next.amount = next.amount.min(first.amount);
        }
    }
}

/// The lowest of the prices before in this currency.
#[must_use]
pub fn lowest(past: &[PastPrice], currency: &str) -> Option<Money> {
    let amounts = past
        .iter()
        .filter(|price| price.currency == currency)
        .map(|price| price.amount);
    Some(Money {
        amount: amounts.min()?,
        currency: currency.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euro(amount: i64) -> Money {
        Money {
            amount,
            currency: "EUR".into(),
        }
    }

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    /// A shop that raises its price for a week before a reduction shows the lower one.
    #[test]
    fn the_lowest_price_of_the_30_days_before_is_kept() {
        let prices = [(0, 1000), (40, 2000), (47, 900), (60, 800)];
        let (mut price, mut past) = (euro(1500), Vec::new());
        let mut lowest_at = Vec::new();
        for (at, next) in prices {
            past = past_prices(&price, &past, true, &euro(next), day(at));
            price = euro(next);
            lowest_at.push(lowest(&past, "EUR").unwrap().amount);
        }
        // On day 40 the 1500 of day 0 are long ago; on day 60 the 1000 of day 40 still count, but 900 are less.
        assert_eq!(lowest_at, [1500, 1000, 1000, 900]);
        assert_eq!(past_prices(&price, &past, true, &price, day(99)), past);
        assert_eq!(past_prices(&price, &past, false, &euro(1), day(99)), past);
        // A detour over another currency hides nothing.
        let dollars = Money {
            amount: 1,
            currency: "USD".into(),
        };
        past = past_prices(&price, &past, true, &dollars, day(61));
        past = past_prices(&dollars, &past, true, &euro(5000), day(62));
        assert_eq!(lowest(&past, "EUR"), Some(euro(800)));
    }

    #[test]
    fn many_changes_keep_the_lowest() {
        let (mut price, mut past) = (euro(5), Vec::new());
        for n in 0..1_000 {
            let next = euro(10 + n);
            let now = clock::after(day(0), n);
            past = past_prices(&price, &past, true, &next, now);
            price = next;
        }
        assert_eq!((past.len(), lowest(&past, "EUR")), (MAX_PAST, Some(euro(5))));
        // What a lower price follows does not count any more.
        assert_eq!(past_prices(&price, &past, true, &euro(1), day(1)).len(), MAX_PAST);
        assert_eq!(ended(&euro(1), &past, day(1)).len(), 1);
    }
}
