//! Options and variants: the fields that the author of a product sets, their rules, and their conversion.

use std::collections::{BTreeMap, BTreeSet};

use garde::Validate;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use souk_core::{Fault, FieldError, Money, Timestamp, check};
use souk_model::catalog::product::Product;
use souk_model::catalog::variant::{ProductOption, Variant, lowest, option_key, past_prices};

pub(crate) const MAX_OPTIONS: usize = 3;
pub(crate) const MAX_VALUES: usize = 100;
pub(crate) const MAX_VARIANTS: usize = 250;
/// The largest weight in grams: a thousand tonnes.
pub(crate) const MAX_WEIGHT: u32 = 1_000_000_000;

/// An option of a product, such as its size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProductOption)]
pub struct NewOption {
    /// Display name. The key is made from it.
    #[garde(custom(check::line(1, 40)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 40, example = "Size")]
    pub name: String,
    /// The values, in the order in which they are shown. Those that only variants have come last.
    #[garde(custom(check::entries(0, MAX_VALUES)), inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::lines")]
    #[schema(max_items = 100)]
    pub values: Vec<String>,
}

/// What of a product is sold: one choice of a value for each of its options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVariant {
    /// The id of the variant that this one replaces. Without it, that is the one with the same options.
    #[garde(skip)]
    #[serde(default)]
    #[schema(pattern = "^var_[0-9a-f]{32}$")]
    pub id: Option<String>,
    /// The value of each option, by its key or name.
    #[garde(custom(values))]
    #[serde(default, deserialize_with = "check::named_lines")]
    #[schema(required = true, example = json!({ "size": "M", "color": "red" }))]
    pub options: BTreeMap<String, String>,
    /// Stock keeping unit (SKU): the vendor's identifier of the variant, unique per vendor.
    #[garde(inner(custom(check::line(1, 100))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 100)]
    pub sku: Option<String>,
    /// Global Trade Item Number (GTIN): 8, 12, 13 or 14 digits, such as of an EAN or UPC.
    #[garde(inner(custom(is_gtin)))]
    #[serde(default)]
    #[schema(pattern = "^([0-9]{8}|[0-9]{12,14})$")]
    pub gtin: Option<String>,
    /// Price; that of the product if absent.
    #[garde(dive)]
    #[serde(default)]
    pub price: Option<Money>,
    /// The price before a reduction.
    #[garde(dive)]
    #[serde(default)]
    pub compare_at_price: Option<Money>,
    /// Weight in grams.
    #[garde(inner(custom(check::range(0, MAX_WEIGHT))))]
    #[serde(default)]
    #[schema(maximum = 1_000_000_000)]
    pub weight: Option<u32>,
    /// The URL of a picture.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub picture: Option<String>,
    // What responses show is ignored, so that a variant can be sent back as it was shown.
    #[garde(skip)]
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub(crate) lowest_prior_price: IgnoredAny,
    #[garde(skip)]
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub(crate) past_prices: IgnoredAny,
}

fn values<C>(options: &BTreeMap<String, String>, context: &C) -> garde::Result {
    let line = check::line(1, 80);
    options.iter().try_for_each(|(name, value)| {
        let fault = |error| Fault::from(&error).at(format!(".{name}"));
        line(value, context).map_err(|error| fault(error).into())
    })
}

/// A GTIN with its check digit.
pub(crate) fn is_gtin<T: AsRef<str>, C>(gtin: &T, _: &C) -> garde::Result {
    let digits: Option<Vec<u32>> = gtin.as_ref().chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| matches!(digits.len(), 8 | 12..=14)) else {
        return Err(Fault::format("must have 8, 12, 13 or 14 digits").into());
    };
    let weights = [1, 3].into_iter().cycle();
    let sum: u32 = digits
        .iter()
        .rev()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum();
    if sum.is_multiple_of(10) {
        Ok(())
    } else {
        Err(Fault::format("has a wrong check digit").into())
    }
}

/// A price before a reduction is higher than the price, and of the same currency.
pub(crate) fn compares_to<C>(price: Option<&Money>) -> impl Fn(&Option<Money>, &C) -> garde::Result + '_ {
    move |before, _| match (before, price) {
        (Some(before), Some(price)) if before.currency != price.currency => {
            Err(Fault::inconsistent("price", "must have the currency of the price").into())
        }
        (Some(before), Some(price)) if before.amount <= price.amount => {
            Err(Fault::inconsistent("price", "must be more than the price").into())
        }
        _ => Ok(()),
    }
}

/// Options with other keys.
pub(crate) fn distinct_options<C>(options: &[NewOption], _: &C) -> garde::Result {
    let mut keys = BTreeSet::new();
    match options.iter().find(|option| !keys.insert(option_key(&option.name))) {
        Some(twice) => {
            let key = option_key(&twice.name);
            let detail = format!("{:?} has the key {key} of another", twice.name);
            Err(Fault::duplicate().because(detail).into())
        }
        None => Ok(()),
    }
}

/// The rules between options and variants: each variant has a value for each option, and no two are the same.
pub(crate) fn fit<'a, C>(
    options: &'a [NewOption],
    price: Option<&'a Money>,
    vendor: Option<&'a String>,
) -> impl Fn(&Vec<NewVariant>, &C) -> garde::Result + 'a {
    move |variants, _| {
        if variants.is_empty() != options.is_empty() {
            return Err(Fault::inconsistent("options", "options and variants need each other").into());
        }
        let keys: Vec<String> = options.iter().map(|option| option_key(&option.name)).collect();
        let mut values: Vec<BTreeSet<&str>> = options
            .iter()
            .map(|option| option.values.iter().map(String::as_str).collect())
            .collect();
        let (mut choices, mut skus, mut ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut currency = None;
        for (n, variant) in variants.iter().enumerate() {
            let refuse = |field: &str, fault: Fault| Err(fault.at(format!("[{n}].{field}")).into());
            let choice = choice(variant, &keys);
            let has_all = choice.len() == keys.len() && variant.options.len() == keys.len();
            if !has_all {
                let detail = format!("must have one value for each of {}", keys.join(", "));
                return refuse("options", Fault::inconsistent("options", detail));
            }
            for (values, (_, value)) in values.iter_mut().zip(&choice) {
                values.insert(value);
            }
            if !choices.insert(choice) {
                return refuse("options", Fault::duplicate().because("are those of another variant"));
            }
            if variant.sku.is_some() && vendor.is_none() {
                let fault = Fault::inconsistent("vendor", "belongs to a vendor: give the vendor too");
                return refuse("sku", fault);
            }
            if variant.sku.as_ref().is_some_and(|sku| !skus.insert(sku)) {
                return refuse("sku", Fault::duplicate().because("is that of another variant"));
            }
            if variant.id.as_ref().is_some_and(|id| !ids.insert(id)) {
                return refuse("id", Fault::duplicate().because("is that of another variant"));
            }
            let Some(price) = variant.price.as_ref().or(price) else {
                return refuse("price", Fault::required());
            };
            if **currency.get_or_insert(&price.currency) != price.currency {
                let fault = Fault::inconsistent("variants", "must have the currency of the others");
                return refuse("price.currency", fault);
            }
            if let Err(error) = compares_to::<()>(Some(price))(&variant.compare_at_price, &()) {
                return refuse("compare_at_price", Fault::from(&error));
            }
        }
        match values.iter().zip(&keys).find(|(values, _)| values.len() > MAX_VALUES) {
            Some((_, key)) => {
                let detail = format!("have more than {MAX_VALUES} values of {key}");
                Err(Fault::too_many(MAX_VALUES).because(detail).into())
            }
            None => Ok(()),
        }
    }
}

/// The values of a variant, in the order of these keys. Options that it does not have are left out.
fn choice<'a>(variant: &'a NewVariant, keys: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let value = |key: &'a String| {
        let by_key = variant.options.get(key);
        let by_name = || variant.options.iter().find(|(name, _)| option_key(name) == *key);
        let value = by_key.or_else(|| by_name().map(|(_, value)| value))?;
        Some((key.as_str(), value.as_str()))
    };
    keys.iter().filter_map(value).collect()
}

/// The options with the values that variants have, in the order that the options give them.
pub(crate) fn options(options: &[NewOption], variants: &[NewVariant]) -> Vec<ProductOption> {
    let keys: Vec<String> = options.iter().map(|option| option_key(&option.name)).collect();
    let mut used: Vec<Vec<&str>> = vec![Vec::new(); keys.len()];
    let mut known: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); keys.len()];
    for variant in variants {
        for ((used, known), (_, value)) in used.iter_mut().zip(&mut known).zip(choice(variant, &keys)) {
            if known.insert(value) {
                used.push(value);
            }
        }
    }
    let stored = options.iter().zip(&keys).zip(used.iter().zip(&mut known));
    stored
        .map(|((option, key), (used, unnamed))| {
            let named = option
                .values
                .iter()
                .map(String::as_str)
                .filter(|value| unnamed.remove(value));
            let mut values: Vec<String> = named.map(str::to_owned).collect();
            values.extend(
                used.iter()
                    .filter(|value| unnamed.contains(*value))
                    .map(|value| (*value).to_owned()),
            );
            ProductOption {
                key: key.clone(),
                name: option.name.clone(),
                values,
            }
        })
        .collect()
}

/// The variants of a product that replace those of `old`. A variant keeps its id and its past prices; those of a product
/// that had no variants are the first of all.
pub(crate) fn variants(
    new: &[NewVariant],
    options: &[NewOption],
    price: Option<&Money>,
    old: &Product,
    now: Timestamp,
    new_id: impl Fn() -> String,
) -> Vec<Variant> {
    let was_shown = old.status.is_public();
    let keys: Vec<String> = options.iter().map(|option| option_key(&option.name)).collect();
    let by_id: BTreeMap<&str, &Variant> = old
        .variants
        .iter()
        .map(|variant| (variant.id.as_str(), variant))
        .collect();
    let by_choice: BTreeMap<_, &Variant> = old.variants.iter().map(|variant| (&variant.options, variant)).collect();
    let named: BTreeSet<&str> = new.iter().filter_map(|variant| variant.id.as_deref()).collect();
    let mut stored = Vec::with_capacity(new.len());
    for variant in new {
        // The rules are checked: there is a price.
        let Some(price) = variant.price.as_ref().or(price) else {
            continue;
        };
        let chosen: BTreeMap<String, String> = choice(variant, &keys)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let before = match &variant.id {
            Some(id) => by_id.get(id.as_str()),
            None => by_choice
                .get(&chosen)
                .filter(|before| !named.contains(before.id.as_str())),
        };
        let past = match before {
            Some(before) => past_prices(&before.price, &before.past_prices, was_shown, price, now),
            None if old.variants.is_empty() => past_prices(&old.price, &old.past_prices, was_shown, price, now),
            None => Vec::new(),
        };
        let prior = variant
            .compare_at_price
            .as_ref()
            .and_then(|_| lowest(&past, &price.currency));
        stored.push(Variant {
            id: before.map_or_else(&new_id, |before| before.id.clone()),
            options: chosen,
            sku: variant.sku.clone(),
            gtin: variant.gtin.clone(),
            price: price.clone(),
            compare_at_price: variant.compare_at_price.clone(),
            lowest_prior_price: prior,
            weight: variant.weight,
            picture: variant.picture.clone(),
            past_prices: past,
        });
    }
    stored
}

/// Ids of variants that the product does not have.
pub(crate) fn unknown_ids(new: &[NewVariant], old: &[Variant]) -> Vec<FieldError> {
    let known: BTreeSet<&str> = old.iter().map(|variant| variant.id.as_str()).collect();
    let fault = |(n, variant): (usize, &NewVariant)| {
        let id = variant.id.as_deref().filter(|id| !known.contains(id))?;
        let detail = format!(
            "the product has no variant {:?}",
            id.chars().take(40).collect::<String>()
        );
        let fault = Fault::not_found("variant").because(detail);
        Some(FieldError::new(format!("variants[{n}].id"), fault))
    };
    new.iter().enumerate().filter_map(fault).collect()
}

impl From<&ProductOption> for NewOption {
    fn from(option: &ProductOption) -> Self {
        Self {
            name: option.name.clone(),
            values: option.values.clone(),
        }
    }
}

impl From<&Variant> for NewVariant {
    fn from(variant: &Variant) -> Self {
        Self {
            id: Some(variant.id.clone()),
            options: variant.options.clone(),
            sku: variant.sku.clone(),
            gtin: variant.gtin.clone(),
            price: Some(variant.price.clone()),
            compare_at_price: variant.compare_at_price.clone(),
            weight: variant.weight,
            picture: variant.picture.clone(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_gtin_has_a_check_digit() {
        let check = |gtin: &str| super::is_gtin(&gtin, &()).is_ok();
        for right in ["96385074", "036000291452", "4006381333931", "10012345678902"] {
            assert!(check(right), "{right}");
        }
        for wrong in [
            "",
            "4006381333932",
            "96385075",
            "400638133393",
            "4006381333931 ",
            "４006381333931",
            "00000000000",
        ] {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
