//! A page of hits, and the cursor of the next page.
//!
//! By relevance, one statement reads the levels one after the other, each from its top, until the `LIMIT` is reached.
//! Every other order reads all matches and keeps the first ones.

use souk_core::Consistency::Eventual;
use souk_core::search::{Hit, MAX_RANGES, SearchError, SearchPage, SearchQuery, Sort};
use xxhash_rust::xxh3::xxh3_64;

use super::facets::PRICE;
use super::plan::{Plan, asked};
use super::text::{Part, parts};
use super::{LARGEST, PLACE_BITS, SqlSearch, integer, place, string};
use crate::{SqlDriver, Statement, Value};

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// The digest of the query: a cursor is valid for this query only.
    digest: u64,
    /// The words were treated as misspelt although products have them.
    doubted: bool,
    /// The page is before this place, not after it.
    backwards: bool,
    /// The level of relevance, or the sort value.
    key: i64,
    /// The place of the last product within its generation, or of the first of the page after this one.
    place: i64,
}

impl Cursor {
    fn read(text: &str, digest: u64) -> Result<Self, SearchError> {
        let read = || {
            let mut parts = text.split('.');
            let hex = u64::from_str_radix(parts.next()?, 16).ok()?;
            let flags: u8 = parts.next()?.parse().ok()?;
            let cursor = Self {
                digest: hex,
                doubted: flags & 1 != 0,
                backwards: flags & 2 != 0,
                key: parts.next()?.parse().ok()?,
                place: parts.next()?.parse().ok()?,
            };
            let bounded = |number: i64| (-LARGEST..=LARGEST).contains(&number);
            (parts.next().is_none() && hex == digest && bounded(cursor.key) && bounded(cursor.place)).then_some(cursor)
        };
        read().ok_or(SearchError::BadPlace)
    }

    fn write(self) -> String {
        let Self {
            digest,
            doubted,
            backwards,
            key,
            place,
        } = self;
        let flags = u8::from(doubted) | u8::from(backwards) << 1;
        format!("{digest:016x}.{flags}.{key}.{place}")
    }
}

/// A digest of everything that determines the hits and their order, but not of how many are shown.
pub fn digest(query: &SearchQuery) -> u64 {
    let same = SearchQuery {
        limit: 0,
        after: None,
        count: 0,
        facets: Vec::new(),
        ..query.clone()
    };
    xxh3_64(&serde_json::to_vec(&same).unwrap_or_default())
}

/// A condition on the row of a product, with its arguments.
pub(super) struct Bounds {
    pub(super) sql: String,
    pub(super) args: Vec<Value>,
}

impl Bounds {
    /// The conditions of the query besides words and facets, except that on the field `without`. Their arguments start
    /// at `?{from}`, with those of `near`, so that a sort key can refer to them.
    pub(super) fn new(query: &SearchQuery, without: Option<&str>, from: usize) -> Self {
        let mut bounds = Self {
            sql: String::new(),
            args: Vec::new(),
        };
        if let Some(near) = &query.near {
            bounds.sql += &format!(" AND {} <= ?{}", straight(from), from + 3);
            let vector = place::vector((near.latitude, near.longitude));
            bounds.args.extend(vector.map(Value::Integer));
            bounds.args.push(place::square(near.radius).into());
        }
        let price = |price: Option<i64>, none: i64| price.unwrap_or(none).clamp(-LARGEST, LARGEST);
        if without != Some(PRICE) && query.min_price.or(query.max_price).is_some() {
            let min = from + bounds.args.len();
            let max = min + 1;
            // The lowest price comes first: most listings have no other.
            bounds.sql += &format!(
                " AND d.price <= ?{max} AND (d.price >= ?{min} OR EXISTS \
                 (SELECT 1 FROM json_each(d.other_prices) p WHERE p.value BETWEEN ?{min} AND ?{max}))"
            );
            bounds.args.push(price(query.min_price, -LARGEST).into());
            bounds.args.push(price(query.max_price, LARGEST).into());
        }
        for range in query
            .ranges
            .iter()
            .take(MAX_RANGES)
            .filter(|range| without != Some(&*range.field))
        {
            let mut next = from + bounds.args.len();
            bounds.sql += &format!(" AND EXISTS (SELECT 1 FROM facet f WHERE f.doc = d.id AND f.field = ?{next}");
            bounds.args.push(range.field.as_str().into());
            // A NULL is not within any bounds.
            bounds.sql += " AND f.number IS NOT NULL";
            for (sign, bound) in [(">=", range.min), ("<=", range.max)] {
                if let Some(bound) = bound {
                    next += 1;
                    // As text, so that SQLite reads it as it has read the numbers of the table.
                    bounds.sql += &format!(" AND f.number {sign} CAST(?{next} AS REAL)");
                    bounds.args.push(bound.to_string().into());
                }
            }
            bounds.sql += ")";
        }
        bounds
    }
}

/// The square of the distance to the vector in the three arguments from `?{from}` on; NULL for a product without a
/// place.
fn straight(from: usize) -> String {
    let part = |axis: char, n: usize| format!("(d.{axis} - ?{n}) * (d.{axis} - ?{n})");
    format!(
        "({} + {} + {})",
        part('x', from),
        part('y', from + 1),
        part('z', from + 2)
    )
}

/// A condition for rowids of the live generation whose place in it is below the SQL expression `below`. An argument in
/// it must be cast to INTEGER: D1 binds every number as a double, and FTS5 seeks only to integer bounds.
pub(super) fn live(below: &str) -> String {
    format!(
        "fts.rowid >= (SELECT (live & 511) << {PLACE_BITS} FROM state) \
         AND fts.rowid < (SELECT ((live & 511) << {PLACE_BITS}) + {below} FROM state)"
    )
}

/// The same for those whose place is above.
fn above(place: &str) -> String {
    format!(
        "fts.rowid > (SELECT ((live & 511) << {PLACE_BITS}) + {place} FROM state) \
         AND fts.rowid < (SELECT ((live & 511) + 1) << {PLACE_BITS} FROM state)"
    )
}

/// The place above all products of a generation.
pub(super) const ALL: i64 = 1 << PLACE_BITS;

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn find(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let digest = digest(query);
        let cursor = query
            .after
            .as_deref()
            .map(|after| Cursor::read(after, digest))
            .transpose()?;
        let parts = parts(&query.text);
        let doubted = cursor.is_some_and(|cursor| cursor.doubted);
        let mut plan = self.plan(query, &parts, doubted).await?;
        let mut page = self.hits(query, &plan, cursor, digest, doubted).await?;
        let has_words = parts.iter().any(|part| matches!(part, Part::Word { .. }));
        if page.hits.is_empty() && cursor.is_none() && has_words && !self.finds_words(query, &plan, digest).await? {
            let second = self.plan(query, &parts, true).await?;
            let found = self.hits(query, &second, None, digest, true).await?;
            if !found.hits.is_empty() {
                (plan, page) = (second, found);
            }
        }
        (page.facets, page.is_approximate) = self.facets(query, &plan).await?;
        if query.count > 0 && cursor.is_none() {
            page.total = Some(match page.next {
                Some(_) => self.count_hits(query, &plan).await?,
                None => page.hits.len().min(query.count),
            });
        }
        page.terms = plan.terms;
        Ok(page)
    }

    /// Whether the words match anything without the filters. Called when the whole query has found nothing.
    async fn finds_words(&self, query: &SearchQuery, plan: &Plan, digest: u64) -> Result<bool, SearchError> {
        if plan.nothing || !query.is_narrowed() {
            return Ok(plan.nothing);
        }
        let words = SearchQuery {
            limit: 1,
            ..SearchQuery::default()
        };
        let page = self.hits(&words, &plan.unfiltered(), None, digest, false).await?;
        Ok(!page.hits.is_empty())
    }

    /// How many listings match, at most as many as the query counts.
    async fn count_hits(&self, query: &SearchQuery, plan: &Plan) -> Result<usize, SearchError> {
        let bounds = Bounds::new(query, None, 3);
        // Without bounds the full-text table is enough.
        let table = if bounds.sql.is_empty() {
            "fts"
        } else {
            "fts CROSS JOIN doc d ON d.id = fts.rowid"
        };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE fts MATCH ?1 AND {}{} LIMIT +?2)",
            live(&ALL.to_string()),
            bounds.sql
        );
        let most = i64::try_from(query.count).unwrap_or(i64::MAX);
        let mut args = vec![plan.all(None).into(), most.into()];
        args.extend(bounds.args);
        let statement = Statement::new(sql, args).with(Eventual);
        let statement = if bounds.sql.is_empty() {
            statement
        } else {
            statement.long()
        };
        let rows = self.read(statement).await?;
        let count = integer(&mut rows.into_iter().next().unwrap_or_default().into_iter())?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    async fn plan(&self, query: &SearchQuery, parts: &[Part], doubted: bool) -> Result<Plan, SearchError> {
        let meanings = self.meanings(&asked(parts, doubted)).await?;
        Ok(Plan::new(query, parts, &meanings, doubted).within(&self.owner.prefix))
    }

    async fn hits(
        &self,
        query: &SearchQuery,
        plan: &Plan,
        cursor: Option<Cursor>,
        digest: u64,
        doubted: bool,
    ) -> Result<SearchPage, SearchError> {
        let mut page = SearchPage::default();
        if plan.nothing {
            return Ok(page);
        }
        let limit = query.limit.clamp(1, 100);
        // One more than requested, to learn whether more hits follow.
        let most = i64::try_from(limit).unwrap_or(100) + 1;
        let statement = match order(query) {
            None => by_relevance(query, plan, cursor, most),
            Some(order) => in_order(query, plan, cursor, most, &order),
        };
        let backwards = cursor.is_some_and(|cursor| cursor.backwards);
        let (mut first, mut last, mut more) = (None, None, false);
        for row in self.read(statement.with(Eventual)).await? {
            if page.hits.len() == limit {
                more = true;
                break;
            }
            let mut row = row.into_iter();
            let place = Cursor {
                digest,
                doubted,
                backwards,
                key: integer(&mut row)?,
                place: integer(&mut row)? & (ALL - 1),
            };
            first = first.or(Some(place));
            last = Some(place);
            page.hits.push(Hit {
                id: string(&mut row)?,
                version: u64::try_from(integer(&mut row)?).unwrap_or(0),
                body: string(&mut row)?,
            });
        }
        let on = last.filter(|_| more).map(Cursor::write);
        let back = first.filter(|_| cursor.is_some()).map(|first| {
            let backwards = !backwards;
            Cursor { backwards, ..first }.write()
        });
        (page.next, page.prev) = if backwards { (back, on) } else { (on, back) };
        if backwards {
            page.hits.reverse();
        }
        Ok(page)
    }
}

/// The sort key, as SQL over `d`, and its direction; `None` for relevance.
fn order(query: &SearchQuery) -> Option<(String, &'static str)> {
    match query.sort {
        Sort::Relevance => None,
        Sort::Newest => Some(("d.published_at".into(), "DESC")),
        Sort::Oldest => Some(("d.published_at".into(), "ASC")),
        Sort::Cheapest => Some(("d.price".into(), "ASC")),
        Sort::Dearest => Some(("d.price".into(), "DESC")),
        Sort::Popular => Some(("d.votes".into(), "DESC")),
        // Without a centre there is no distance.
        Sort::Nearest => query.near.map(|_| (straight(5), "ASC")),
    }
}

fn by_relevance(query: &SearchQuery, plan: &Plan, cursor: Option<Cursor>, most: i64) -> Statement {
    let bounds = Bounds::new(query, None, 2);
    let mut args = vec![most.into()];
    args.extend(bounds.args);
    let backwards = cursor.is_some_and(|cursor| cursor.backwards);
    let mut expressions: Vec<(i64, String)> = (1..).zip(plan.levels()).collect();
    if backwards {
        expressions.reverse();
    }
    let is_passed = |level: i64, cursor: Cursor| {
        if backwards {
            level > cursor.key
        } else {
            level < cursor.key
        }
    };
    let mut levels = Vec::new();
    for (level, expression) in expressions {
        let place = match cursor {
            Some(cursor) if is_passed(level, cursor) => continue,
            Some(cursor) if level == cursor.key => cursor.place,
            _ if backwards => -1,
            _ => ALL,
        };
        let next = args.len() + 1;
        let from = format!("CAST(?{} AS INTEGER)", next + 1);
        let (range, order) = if backwards {
            (above(&from), "ASC")
        } else {
            (live(&from), "DESC")
        };
        levels.push(format!(
            "SELECT ?{} AS level, * FROM (SELECT d.id, d.product, d.version, d.body FROM fts \
             CROSS JOIN doc d ON d.id = fts.rowid WHERE fts MATCH ?{next} AND {range}{} ORDER BY fts.rowid {order} LIMIT +?1)",
            next + 2,
            bounds.sql,
        ));
        args.extend([expression.into(), place.into(), level.into()]);
    }
    let statement = Statement::new(format!("{} LIMIT +?1", levels.join(" UNION ALL ")), args);
    // Bounds may pass few of very many.
    if bounds.sql.is_empty() {
        statement
    } else {
        statement.long()
    }
}

/// Arguments: `?1` the limit, `?2` the expression, `?3` and `?4` where the page before ended, then the bounds.
fn in_order(
    query: &SearchQuery,
    plan: &Plan,
    cursor: Option<Cursor>,
    most: i64,
    (key, direction): &(String, &'static str),
) -> Statement {
    let bounds = Bounds::new(query, None, 5);
    // Backwards, everything is the other way round.
    let backwards = cursor.is_some_and(|cursor| cursor.backwards);
    let is_ascending = (*direction == "ASC") != backwards;
    let direction = if is_ascending { "ASC" } else { "DESC" };
    let (places, below) = if backwards { ("ASC", ">") } else { ("DESC", "<") };
    let after = match cursor {
        None => String::from("?3 IS ?4"),
        Some(_) => {
            let further = if is_ascending { ">" } else { "<" };
            let place = format!("(d.id & {})", ALL - 1);
            format!("({key} {further} ?3 OR ({key} = ?3 AND {place} {below} ?4))")
        }
    };
    let sql = format!(
        "SELECT p.key, d.id, d.product, d.version, d.body FROM (SELECT {key} AS key, d.id AS id FROM fts \
         CROSS JOIN doc d ON d.id = fts.rowid WHERE fts MATCH ?2 AND {}{} AND {after} \
         ORDER BY 1 {direction}, 2 {places} LIMIT +?1) p \
         CROSS JOIN doc d ON d.id = p.id ORDER BY p.key {direction}, p.id {places}",
        live(&ALL.to_string()),
        bounds.sql,
    );
    let (from, place) = cursor.map_or((Value::Null, Value::Null), |c| (c.key.into(), c.place.into()));
    let mut args = vec![most.into(), plan.all(None).into(), from, place];
    args.extend(bounds.args);
    Statement::new(sql, args).long()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_for_its_query_only() {
        let query = SearchQuery {
            text: "lamp".into(),
            ..SearchQuery::default()
        };
        let cursor = Cursor {
            digest: digest(&query),
            doubted: true,
            backwards: true,
            key: -3,
            place: 1 << 43,
        };
        let text = cursor.write();
        assert_eq!(Cursor::read(&text, digest(&query)), Ok(cursor));
        let other = SearchQuery {
            min_price: Some(1),
            ..query.clone()
        };
        let more = SearchQuery {
            limit: 7,
            facets: vec!["tag".into()],
            after: Some(text.clone()),
            ..query.clone()
        };
        assert_eq!(Cursor::read(&text, digest(&other)), Err(SearchError::BadPlace));
        assert_eq!(Cursor::read(&text, digest(&more)), Ok(cursor));
        for bad in [
            "",
            ".",
            "1.1.1.1",
            "é",
            text.get(1..).unwrap(),
            &format!("{text}.1"),
            &text.replace("-3", "9223372036854775807"),
        ] {
            assert_eq!(Cursor::read(bad, digest(&query)), Err(SearchError::BadPlace), "{bad}");
        }
    }
}
