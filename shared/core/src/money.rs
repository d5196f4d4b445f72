//! Money: integer minor units with an ISO 4217 code. Never a float.

use serde::{Deserialize, Serialize};

/// An amount of money, for example `{"amount": 1999, "currency": "EUR"}` for 19.99 euro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// In minor units (cents), from 0 to 9 007 199 254 740 991: the integers that every JSON reader keeps exact.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 1999)]
    pub amount: i64,
    /// ISO 4217, upper case.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
}

/// The largest amount: 2^53 - 1.
pub const MAX_AMOUNT: i64 = 9_007_199_254_740_991;

impl Money {
    /// Says what is wrong with it, as (field, why) pairs.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        if !(0..=MAX_AMOUNT).contains(&self.amount) {
            faults.push(("amount", "must be from 0 to 9007199254740991 minor units"));
        }
        if iso_currency::Currency::from_code(&self.currency).is_none() {
            faults.push(("currency", "must be an ISO 4217 code in upper case, such as EUR"));
        }
        faults
    }

    /// A string that sorts as the amount does, in thousandths of the major unit, so that 1 000 yen and 10.00 euro
    /// stand side by side. Exchange rates play no part.
    #[must_use]
    pub fn sort_key(&self) -> String {
        let digits = iso_currency::Currency::from_code(&self.currency)
            .and_then(|c| c.exponent())
            .unwrap_or(2);
        let scale = 10_i128.pow(u32::from(4_u16.saturating_sub(digits)));
        format!("{:020}", i128::from(self.amount).saturating_mul(scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_each_field() {
        let money = |amount, currency: &str| Money {
            amount,
            currency: currency.into(),
        };
        assert_eq!(money(0, "EUR").faults(), []);
        assert_eq!(money(MAX_AMOUNT, "JPY").faults(), []);
        assert_eq!(
            money(-1, "euro").faults().iter().map(|f| f.0).collect::<Vec<_>>(),
            ["amount", "currency"]
        );
        assert_eq!(money(MAX_AMOUNT + 1, "EUR").faults()[0].0, "amount");
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
