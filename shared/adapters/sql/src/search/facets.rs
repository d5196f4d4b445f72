//! Facets: how many of the matching products have each value of a field.
//!
//! A field's own filter does not narrow its counts, so that they show what its other values would add. Fields without a
//! filter share one statement. Every matching product is counted, so the counts are exact and their cost grows with the
//! matches.
//!
//! The field `price` is counted in fixed ranges of minor units: `0-999`, `1000-4999`, `5000-9999`, `10000-49999` and so
//! on; the last one is open: `1000000000-`. It is filtered by the bounds of the price.

use souk_core::Consistency::Eventual;
use souk_core::search::{Facet, FacetCounts, MAX_VALUES, SearchError, SearchQuery};

use super::page::{ALL, Bounds, live};
use super::plan::Plan;
use super::write::json;
use super::{SqlSearch, failed, integer, string};
use crate::{SqlDriver, Statement};

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
    /// The counts of the fields that the query asks for.
    pub(super) async fn facets(&self, query: &SearchQuery, plan: &Plan) -> Result<Vec<FacetCounts>, SearchError> {
        let mut counts = query.no_counts();
        if plan.nothing {
            return Ok(counts);
        }
        let has_filter = |field: &str| query.filters.iter().any(|(f, values)| f == field && !values.is_empty());
        let (own, shared): (Vec<&str>, Vec<&str>) = query
            .facets
            .iter()
            .map(String::as_str)
            .filter(|field| *field != PRICE)
            .partition(|field| has_filter(field));
        let mut found = Vec::new();
        if !shared.is_empty() {
            self.count(query, &plan.all(None), &shared, &mut found).await?;
        }
        for field in own {
            self.count(query, &plan.all(Some(field)), &[field], &mut found).await?;
        }
        if query.facets.iter().any(|field| field == PRICE) {
            self.count_prices(query, plan, &mut found).await?;
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
        Ok(counts)
    }

    async fn count(
        &self,
        query: &SearchQuery,
        expression: &str,
        fields: &[&str],
        found: &mut Vec<(Facet, u64)>,
    ) -> Result<(), SearchError> {
        let bounds = Bounds::new(query, true, 4);
        let sql = format!(
            "SELECT field, value, label, n FROM (SELECT field, value, label, n, \
             row_number() OVER (PARTITION BY field ORDER BY n DESC, value) AS place \
             FROM (SELECT f.field AS field, f.value AS value, max(f.label) AS label, count(*) AS n FROM fts \
             CROSS JOIN doc d ON d.id = fts.rowid CROSS JOIN json_each(?2) w \
             CROSS JOIN facet f ON f.doc = d.id AND f.field = w.value \
             WHERE fts MATCH ?1 AND {}{} GROUP BY 1, 2)) WHERE place <= ?3",
            live(&ALL.to_string()),
            bounds.sql
        );
        let most = i64::try_from(MAX_VALUES).unwrap_or(50);
        let mut args = vec![expression.into(), json(fields), most.into()];
        args.extend(bounds.args);
        for row in self
            .driver
            .read(Statement::new(sql, args).with(Eventual))
            .await
            .map_err(failed)?
        {
            let mut row = row.into_iter();
            let facet = Facet {
                field: string(&mut row)?,
                value: string(&mut row)?,
                label: string(&mut row)?,
            };
            found.push((facet, u64::try_from(integer(&mut row)?).unwrap_or(0)));
        }
        Ok(())
    }

    async fn count_prices(
        &self,
        query: &SearchQuery,
        plan: &Plan,
        found: &mut Vec<(Facet, u64)>,
    ) -> Result<(), SearchError> {
        let bounds = Bounds::new(query, false, 2);
        let step = STEPS.map(|step| format!("(d.price >= {step})")).join(" + ");
        let sql = format!(
            "SELECT {step}, count(*) FROM fts CROSS JOIN doc d ON d.id = fts.rowid WHERE fts MATCH ?1 AND {}{} GROUP BY 1",
            live(&ALL.to_string()),
            bounds.sql
        );
        let mut args = vec![plan.all(None).into()];
        args.extend(bounds.args);
        for row in self
            .driver
            .read(Statement::new(sql, args).with(Eventual))
            .await
            .map_err(failed)?
        {
            let mut row = row.into_iter();
            let range = range(usize::try_from(integer(&mut row)?).unwrap_or(0));
            let facet = Facet {
                field: PRICE.into(),
                label: range.clone(),
                value: range,
            };
            found.push((facet, u64::try_from(integer(&mut row)?).unwrap_or(0)));
        }
        Ok(())
    }
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
