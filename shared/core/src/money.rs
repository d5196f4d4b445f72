//! Money: integer minor units with an ISO 4217 code. Never a float.

use serde::{Deserialize, Serialize};

use crate::{Fault, check};

/// An amount of money, for example `{"amount": 1999, "currency": "EUR"}` for 19.99 euro.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, garde::Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// In minor units (cents), from 0 to 9 007 199 254 740 991: the integers that every JSON reader keeps exact.
    #[garde(custom(check::range(0, MAX_AMOUNT)))]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 1999)]
    pub amount: i64,
    /// ISO 4217, upper case.
    #[garde(custom(is_currency))]
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
}

/// The largest amount: 2^53 - 1.
pub const MAX_AMOUNT: i64 = 9_007_199_254_740_991;

/// Whether this is an ISO 4217 code in upper case.
#[must_use]
pub fn is_currency_code(code: &str) -> bool {
    iso_currency::Currency::from_code(code).is_some()
}

fn is_currency<C>(code: &str, _: &C) -> garde::Result {
    match is_currency_code(code) {
        true => Ok(()),
        false => Err(Fault::format("must be an ISO 4217 code in upper case, such as EUR").into()),
    }
}

/// How many decimals the major unit of a currency has.
fn minor_digits(currency: &str) -> u16 {
    iso_currency::Currency::from_code(currency)
        .and_then(|c| c.exponent())
        .unwrap_or(2)
}

impl Money {
    /// A positive amount in major units as people read it: `1,299.50`, and `10` rather than `10.00`.
    #[must_use]
    pub fn major_units(amount: i64, currency: &str) -> String {
        let digits = usize::from(minor_digits(currency));
        let text = format!("{amount:0width$}", width = digits + 1);
        let (major, minor) = text.split_at(text.len() - digits);
        let mut words = String::new();
        for (n, digit) in major.char_indices() {
            if n > 0 && (major.len() - n).is_multiple_of(3) {
                words.push(',');
            }
            words.push(digit);
        }
        if minor.bytes().any(|digit| digit != b'0') {
            words.push('.');
            words.push_str(minor);
        }
        words
    }

    /// A string that sorts by the amount in major units, counted in ten-thousandths: 10 yen equal 10.00 euro. Exchange
    /// rates play no part.
    #[must_use]
    pub fn sort_key(&self) -> String {
        let digits = minor_digits(&self.currency);
        let scale = 10_i128.pow(u32::from(4_u16.saturating_sub(digits)));
        format!("{:020}", i128::from(self.amount).saturating_mul(scale))
    }
}

#[cfg(test)]
mod tests {
    use garde::Validate as _;

    use super::*;

    #[test]
    fn faults_name_each_field() {
        let faults = |amount, currency: &str| -> Vec<String> {
            let report = Money {
                amount,
                currency: currency.into(),
            }
            .validate()
            .err();
            report
                .iter()
                .flat_map(garde::Report::iter)
                .map(|(path, _)| path.to_string())
                .collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(faults(0, "EUR"), none);
        assert_eq!(faults(MAX_AMOUNT, "JPY"), none);
        assert_eq!(faults(-1, "euro"), ["amount", "currency"]);
        assert_eq!(faults(MAX_AMOUNT + 1, "EUR"), ["amount"]);
    }

    #[test]
    fn amounts_read_like_prices() {
        for (amount, currency, words) in [
            (0, "EUR", "0"),
            (5, "EUR", "0.05"),
            (1_000, "EUR", "10"),
            (129_950, "EUR", "1,299.50"),
            (100_000_000, "EUR", "1,000,000"),
            (1_234, "JPY", "1,234"),
            (1_234, "KWD", "1.234"),
        ] {
            assert_eq!(Money::major_units(amount, currency), words);
        }
    }

    #[test]
    fn sorts_across_currencies_by_major_units() {
        let key = |amount, currency: &str| {
            Money {
                amount,
                currency: currency.into(),
            }
            .sort_key()
        };
        assert!(key(999, "EUR") < key(1000, "EUR"));
        assert!(key(1000, "EUR") < key(11, "JPY"));
        assert_eq!(key(1000, "EUR"), key(10, "JPY"));
        assert_eq!(key(MAX_AMOUNT, "JPY").len(), key(0, "JPY").len());
    }
}
