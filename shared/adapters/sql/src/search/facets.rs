//! Facets: how many of the matching products have each value of a field.
//!
//! A field's own filter does not narrow its counts, so that they show what its other values would add. Fields without a
//! filter share one statement. The [`MAX_COUNTED`] matches of the highest rank are counted, so that the cost is bounded;
//! with fewer matches the counts are exact.
//!
//! The field `price` is counted in fixed ranges of minor units: `0-999`, `1000-4999`, `5000-9999`, `10000-49999` and so
//! on; the last one is open: `1000000000-`. It is filtered by the bounds of the price. A listing with several prices counts
//! in each range that has one of them.

use souk_core::Consistency::Eventual;
use souk_core::search::{Facet, FacetCounts, MAX_COUNTED, MAX_VALUES, SearchError, SearchQuery};

use super::page::{ALL, Bounds, live};
use super::plan::Plan;
use super::write::json;
use super::{SqlSearch, integer, string};
use crate::{SqlDriver, Statement, Value};

/// The field whose values are ranges of prices.
pub const PRICE: &str = "price";
/// The lower bounds of the price ranges, except the first range's, which is 0.
pub const STEPS: [i64; 13] = [
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
];

impl<D: SqlDriver> SqlSearch<D> {
    /// The counts of the fields that the query asks for, and whether there are more matches than were counted.
    pub(super) async fn facets(
        &self,
        query: &SearchQuery,
        plan: &Plan,
    ) -> Result<(Vec<FacetCounts>, bool), SearchError> {
        let mut counts = query.no_counts();
        if plan.nothing {
            return Ok((counts, false));
        }
        let mut is_approximate = false;
        let has_filter = |field: &str| {
            query.filters.iter().any(|(f, values)| f == field && !values.is_empty())
                || query.ranges.iter().any(|range| range.field == field)
        };
        let (own, shared): (Vec<&str>, Vec<&str>) = query
            .facets
            .iter()
            .map(String::as_str)
            .filter(|field| *field != PRICE)
            .partition(|field| has_filter(field));
        let mut found = Vec::new();
        if !shared.is_empty() {
            is_approximate |= self.count(query, plan, None, &shared, &mut found).await?;
        }
        for field in own {
            is_approximate |= self.count(query, plan, Some(field), &[field], &mut found).await?;
        }
        if query.facets.iter().any(|field| field == PRICE) {
            is_approximate |= self.count_prices(query, plan, &mut found).await?;
        }
        for (facet, count) in found {
            if let Some(counts) = counts.iter_mut().find(|counts| counts.field == facet.field)
                && counts.values.iter().all(|(other, _)| other.value != facet.value)
            {
                counts.values.push((facet, count));
            }
        }
        for counts in &mut counts {
            counts
                .values
                .sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.value.cmp(&b.value)));
        }
        Ok((counts, is_approximate))
    }

    async fn count(
        &self,
        query: &SearchQuery,
        plan: &Plan,
        without: Option<&str>,
        fields: &[&str],
        found: &mut Vec<(Facet, u64)>,
    ) -> Result<bool, SearchError> {
        let bounds = Bounds::new(query, without, 5);
        let sql = format!(
            "WITH {} \
             SELECT field, value, label, n FROM (SELECT field, value, label, n, \
             row_number() OVER (PARTITION BY field ORDER BY n DESC, value) AS place \
             FROM (SELECT f.field AS field, f.value AS value, max(f.label) AS label, count(*) AS n FROM counted \
             CROSS JOIN json_each(?4) w CROSS JOIN facet f ON f.doc = counted.id AND f.field = w.value GROUP BY 1, 2)) \
             WHERE place <= ?3 \
             UNION ALL SELECT '', '', '', count(*) FROM matching",
            matching(&bounds)
        );
        let most = i64::try_from(MAX_VALUES).unwrap_or(50);
        let mut args = vec![plan.all(without).into(), one_more(), most.into(), json(fields)];
        args.extend(bounds.args);
        let mut matches = 0;
        for row in self.read_long(sql, args).await? {
            let mut row = row.into_iter();
            let facet = Facet {
                field: string(&mut row)?,
                value: string(&mut row)?,
                label: string(&mut row)?,
            };
            let count = usize::try_from(integer(&mut row)?).unwrap_or(0);
            if facet.field.is_empty() {
                matches = count;
            } else {
                found.push((facet, u64::try_from(count).unwrap_or(0)));
            }
        }
        Ok(matches > MAX_COUNTED)
    }

    async fn count_prices(
        &self,
        query: &SearchQuery,
        plan: &Plan,
        found: &mut Vec<(Facet, u64)>,
    ) -> Result<bool, SearchError> {
        let bounds = Bounds::new(query, Some(PRICE), 3);
        let step = STEPS.map(|step| format!("(price >= {step})")).join(" + ");
        let sql = format!(
            "WITH {}, priced AS (SELECT id, price FROM counted UNION ALL \
             SELECT counted.id, p.value AS price FROM counted CROSS JOIN json_each(counted.other_prices) p) \
             SELECT {step}, count(DISTINCT id) FROM priced GROUP BY 1 UNION ALL SELECT -1, count(*) FROM matching",
            matching(&bounds)
        );
        let mut args = vec![plan.all(None).into(), one_more()];
        args.extend(bounds.args);
        let mut matches = 0;
        for row in self.read_long(sql, args).await? {
            let mut row = row.into_iter();
            let (steps, count) = (integer(&mut row)?, integer(&mut row)?);
            let count = usize::try_from(count).unwrap_or(0);
            match usize::try_from(steps) {
                Ok(steps) => {
                    let range = range(steps);
                    let facet = Facet {
                        field: PRICE.into(),
                        label: range.clone(),
                        value: range,
                    };
                    found.push((facet, u64::try_from(count).unwrap_or(0)));
                }
                Err(_) => matches = count,
            }
        }
        Ok(matches > MAX_COUNTED)
    }

    async fn read_long(&self, sql: String, args: Vec<Value>) -> Result<Vec<Vec<Value>>, SearchError> {
        let statement = Statement::new(sql, args).with(Eventual).long();
        self.read(statement).await
    }
}

/// The tables `matching`, the first `?2` listings that match `?1`, and `counted`, all of them but the one that shows that
/// there are more.
fn matching(bounds: &Bounds) -> String {
    format!(
        "matching AS MATERIALIZED (SELECT d.id AS id, d.price AS price, d.other_prices AS other_prices FROM fts CROSS JOIN doc d ON d.id = fts.rowid \
         WHERE fts MATCH ?1 AND {}{} ORDER BY fts.rowid DESC LIMIT +?2), \
         counted AS (SELECT * FROM matching LIMIT +?2 - 1)",
        live(&ALL.to_string()),
        bounds.sql
    )
}

fn one_more() -> Value {
    Value::Integer(i64::try_from(MAX_COUNTED).unwrap_or(10_000) + 1)
}

/// The price range number `steps`, counted from 0.
pub fn range(steps: usize) -> String {
    let from = steps.checked_sub(1).and_then(|n| STEPS.get(n)).unwrap_or(&0);
    let to = STEPS.get(steps).map(|next| (next - 1).to_string());
    format!("{from}-{}", to.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn price_ranges_are_contiguous() {
        let ranges: Vec<String> = (0..=super::STEPS.len()).map(super::range).collect();
        assert_eq!(ranges[..3], ["0-999", "1000-4999", "5000-9999"]);
        assert_eq!(ranges.last().unwrap(), "1000000000-");
    }
}
