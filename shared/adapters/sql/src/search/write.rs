//! Writing: `apply` and `fill`.
//!
//! **Atomicity.** Products of up to [`MAX_BYTES`] are written in one batch, which is one transaction; larger calls make
//! several. Each product is whole in one batch, for the live generation and the one that is being built. After a crash
//! in between, the caller sends all of them again, and repeated writes have no effect.
//!
//! **Versions.** Nothing is read first. The statements delete the row of a product if its version is not newer than the
//! incoming one. They insert a new row if no row is left and no removal of the same or a later version is recorded. All
//! other data of a product follows its row. So changes can be applied in any order, also within a batch.
//!
//! **Word counts** only grow, until a rebuild. A count only serves to prefer one word to another, and is never zero
//! while a product has the word. Above 32 it is updated less often, by a sixteenth at a time, so that common words cost
//! few writes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use souk_core::search::{IndexChange, Listing, SearchError, SuggestionKind};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::suggest::{ENDS, KINDS};
use super::tenant::Owner;
use super::token::Indexed;
use super::{LARGEST, SLOT_BITS, SqlSearch, failed, place, typo};
use crate::{SqlDriver, SqlError, Statement, Value};

/// How much one transaction writes, in bytes. A byte of a text counts as ten, and a byte more for each of a tenant's
/// prefix: with the deletion variants of its words it may become up to thirty, and D1 accepts arguments of 2 MB.
const MAX_BYTES: usize = 500_000;
/// What a row of a facet has beside its texts, in bytes.
const ROW: usize = 40;
/// How long a removal is remembered, in milliseconds: longer than any queue keeps a message.
const REMEMBERED: i64 = 5 * 86_400_000;
/// The largest rank in seconds, which together with its slots stays below the next generation.
const LAST_RANK: i64 = (1 << 32) - (1 << 14);
/// How many slots are tried to find a free one.
const TRIES: u64 = 20;

/// The newest listing and removal of a product in a call.
#[derive(Default)]
struct Change<'a> {
    put: Option<&'a Listing>,
    removed: Option<u64>,
}

/// The generations to write to.
#[derive(Clone, Copy)]
enum Target {
    /// The live generation and the one that is being built.
    All,
    /// Only this generation, which must be the one that is being built.
    Building(u64),
}

impl Target {
    /// SQL for a table `g` with the numbers of the generations.
    fn table(self) -> &'static str {
        match self {
            Target::All => {
                "WITH g(g) AS (SELECT live FROM state UNION ALL SELECT building FROM state WHERE building IS NOT NULL)"
            }
            Target::Building(_) => "WITH g(g) AS (SELECT building FROM state)",
        }
    }
}

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn apply_all(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        let mut products: BTreeMap<&str, Change<'_>> = BTreeMap::new();
        for change in changes {
            match change {
                IndexChange::Put(listing) => offer(products.entry(&listing.id).or_default(), listing),
                IndexChange::Remove { id, version } => {
                    let removed = &mut products.entry(id).or_default().removed;
                    *removed = (*removed).max(Some(*version));
                }
            }
        }
        self.write_all(Target::All, products).await
    }

    pub(super) async fn fill_all(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        let mut products: BTreeMap<&str, Change<'_>> = BTreeMap::new();
        for listing in listings {
            offer(products.entry(&listing.id).or_default(), listing);
        }
        self.write_all(Target::Building(generation), products).await
    }

    async fn write_all(&self, target: Target, products: BTreeMap<&str, Change<'_>>) -> Result<(), SearchError> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for (product, change) in products {
            let size = change.put.map_or(0, |listing| {
                let facets = listing.facets.iter();
                let facets = facets.map(|f| f.field.len() + f.value.len() + f.label.len() + listing.id.len() + ROW);
                listing.body.len()
                    + (10 + self.owner.prefix.len()) * listing.texts.iter().map(|(_, text)| text.len()).sum::<usize>()
                    + facets.sum::<usize>()
            });
            if bytes + size > MAX_BYTES && !chunk.is_empty() {
                self.write(target, std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
            bytes += size;
            chunk.push((product, change));
        }
        // Also if it is empty: the guard then still detects a superseded generation.
        self.write(target, chunk).await
    }

    async fn write(&self, target: Target, chunk: Vec<(&str, Change<'_>)>) -> Result<(), SearchError> {
        let mut batch = Vec::new();
        if matches!(target, Target::All) && !chunk.is_empty() {
            batch = self.owner.create();
        }
        batch.extend(statements(
            &self.owner,
            target,
            &chunk,
            self.clock.now().as_millisecond(),
        ));
        let result = self.transact(batch).await;
        self.vocabulary.forget();
        result.map_err(|error| match error {
            SqlError::Guard(_) => SearchError::Superseded,
            error => failed(error),
        })
    }
}

/// Keeps the newer of two listings of a product, or the later one if the versions are equal.
fn offer<'a>(change: &mut Change<'a>, listing: &'a Listing) {
    if change.put.is_none_or(|before| before.version <= listing.version) {
        change.put = Some(listing);
    }
}

/// A row of the table `doc`: the columns after the generation, with the slots to try in place of the id.
#[derive(Serialize)]
struct Row<'a>(
    &'a str,
    i64,
    Vec<i64>,
    i64,
    i64,
    i64,
    Option<[i64; 3]>,
    Vec<[&'a str; 3]>,
    &'a str,
    &'a str,
    Option<&'a [i64]>,
);

fn statements(owner: &Owner, target: Target, chunk: &[(&str, Change<'_>)], now: i64) -> Vec<Statement> {
    let g = target.table();
    let listings: Vec<&Listing> = chunk.iter().filter_map(|(_, change)| change.put).collect();
    let indexed = |listing: &&Listing| {
        let mut indexed = Indexed::new(listing);
        indexed.tokens = owner.tokens(indexed.tokens);
        indexed
    };
    let indexed: Vec<Indexed> = listings.iter().map(indexed).collect();
    let both = || listings.iter().zip(&indexed);
    let removed: Vec<(&str, i64)> = chunk
        .iter()
        .filter_map(|(product, change)| Some((*product, whole(change.removed?))))
        .collect();
    let versions: Vec<(&str, i64)> = listings.iter().map(|l| (&*l.id, whole(l.version))).collect();
    let mut taken = HashSet::new();
    let rows: Vec<Row<'_>> = both()
        .map(|(listing, indexed)| {
            Row(
                &listing.id,
                whole(listing.version),
                slots(listing, &mut taken),
                listing.price.clamp(-LARGEST, LARGEST),
                listing.published_at.clamp(-LARGEST, LARGEST),
                listing.votes.clamp(-LARGEST, LARGEST),
                listing.place.map(place::vector),
                indexed.completions.keys().map(completion_key).collect(),
                &listing.body,
                &indexed.title,
                (!listing.other_prices.is_empty()).then_some(&*listing.other_prices),
            )
        })
        .collect();
    let tokens: Vec<_> = both()
        .map(|(l, indexed)| (&*l.id, whole(l.version), &*indexed.tokens))
        .collect();
    let facets: Vec<_> = listings
        .iter()
        .flat_map(|l| {
            l.facets
                .iter()
                .map(|f| (&*l.id, whole(l.version), &*f.field, &*f.value, &*f.label, f.number()))
        })
        .collect();
    let completions: Vec<_> = both()
        .flat_map(|(l, indexed)| {
            let entry = |(key, text)| (&*l.id, whole(l.version), completion_key(key), text);
            indexed.completions.iter().map(entry)
        })
        .collect();
    let (words, variants) = vocabulary(&indexed);

    let mut batch = Vec::with_capacity(20);
    if !removed.is_empty() {
        batch.push(owner.remember(&removed, now));
    }
    let mut push = |sql: String, args: Vec<Value>| batch.push(Statement::new(sql, args));
    if let Target::Building(generation) = target {
        push(
            "INSERT INTO guard (step) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state WHERE building = ?1)".into(),
            vec![whole(generation).into()],
        );
    }
    if !removed.is_empty() {
        push(
            format!(
                "{g} INSERT INTO leaving (id, generation) SELECT d.id, g.g FROM json_each(?1) r CROSS JOIN g \
                 CROSS JOIN doc d ON d.generation = g.g AND d.product = r.value ->> 0 WHERE d.version <= r.value ->> 1"
            ),
            vec![json(&removed)],
        );
    }
    push(
        format!(
            "{g} INSERT OR IGNORE INTO leaving (id, generation) SELECT d.id, g.g FROM json_each(?1) r CROSS JOIN g \
             CROSS JOIN doc d ON d.generation = g.g AND d.product = r.value ->> 0 WHERE d.version <= r.value ->> 1"
        ),
        vec![json(&versions)],
    );
    push(
        "UPDATE completion SET products = products - l.n FROM \
         (SELECT d.generation AS g, c.value ->> 0 AS kind, c.value ->> 1 AS key, c.value ->> 2 AS thing, count(*) AS n \
         FROM leaving CROSS JOIN doc d ON d.id = leaving.id CROSS JOIN json_each(d.completions) c GROUP BY 1, 2, 3, 4) l \
         WHERE completion.generation = l.g AND completion.kind = l.kind AND completion.key = l.key \
         AND completion.thing = l.thing"
            .into(),
        Vec::new(),
    );
    for statement in LEAVE {
        push((*statement).into(), Vec::new());
    }
    push(
        format!(
            "{g} INSERT INTO doc (id, generation, product, version, price, published_at, votes, x, y, z, completions, body, title, other_prices) \
             SELECT coalesce((SELECT ((g.g & 511) << 44) | s.value FROM json_each(r.value, '$[2]') s \
             WHERE NOT EXISTS (SELECT 1 FROM doc o WHERE o.id = ((g.g & 511) << 44) | s.value) LIMIT 1), \
             (SELECT max(o.id) + 1 FROM doc o WHERE o.id < ((g.g & 511) + 1) << 44)), g.g, r.value ->> 0, r.value ->> 1, \
             r.value ->> 3, r.value ->> 4, r.value ->> 5, r.value ->> '$[6][0]', r.value ->> '$[6][1]', \
             r.value ->> '$[6][2]', r.value ->> 7, r.value ->> 8, r.value ->> 9, r.value ->> 10 FROM json_each(?1) r CROSS JOIN g \
             WHERE NOT EXISTS (SELECT 1 FROM doc o WHERE o.generation = g.g AND o.product = r.value ->> 0) \
             AND NOT EXISTS (SELECT 1 FROM gone WHERE product = r.value ->> 0 AND version >= r.value ->> 1)"
        ),
        vec![json(&rows)],
    );
    // A row with the incoming version is the row that was just inserted.
    let came = "FROM json_each(?1) r CROSS JOIN g CROSS JOIN doc d ON d.generation = g.g AND d.product = r.value ->> 0 \
                WHERE d.version = r.value ->> 1";
    push(
        format!("{g} INSERT INTO fts (rowid, tokens) SELECT d.id, r.value ->> 2 {came}"),
        vec![json(&tokens)],
    );
    push(
        format!(
            "{g} INSERT OR IGNORE INTO facet (doc, field, value, label, number) \
             SELECT d.id, r.value ->> 2, r.value ->> 3, r.value ->> 4, r.value ->> 5 {came}"
        ),
        vec![json(&facets)],
    );
    push(
        format!(
            "{g} INSERT INTO completion (generation, kind, key, thing, text, products) SELECT g.g, r.value ->> '$[2][0]', \
             r.value ->> '$[2][1]', r.value ->> '$[2][2]', max(r.value ->> 3), count(*) {came} GROUP BY 1, 2, 3, 4 \
             ON CONFLICT (generation, kind, key, thing) \
             DO UPDATE SET products = coalesce(products, 0) + excluded.products, words = NULL"
        ),
        vec![json(&completions)],
    );
    let g_first = g.replace("WITH", "WITH RECURSIVE");
    push(
        format!(
            "{g_first}, whole AS (SELECT DISTINCT g.g AS generation, r.value ->> '$[2][0]' AS kind, \
             r.value ->> '$[2][1]' AS key, r.value ->> '$[2][2]' AS thing, 0 AS uses {came}), {ENDS} \
             INSERT OR IGNORE INTO ending (generation, kind, ending, key, thing, uses) SELECT * FROM ends"
        ),
        vec![json(&completions)],
    );
    push(
        format!(
            "WITH RECURSIVE whole AS (SELECT generation, kind, key, thing, 0 AS uses FROM completion \
             WHERE products <= 0), {ENDS} DELETE FROM ending WHERE (generation, kind, ending, key, thing) IN \
             (SELECT generation, kind, ending, key, thing FROM ends)"
        ),
        Vec::new(),
    );
    push("DELETE FROM completion WHERE products <= 0".into(), Vec::new());
    push(
        format!(
            "{g} INSERT OR IGNORE INTO variant (generation, variant, plain) \
             SELECT g.g, v.value, r.value ->> 0 FROM json_each(?1) r CROSS JOIN g CROSS JOIN json_each(r.value, '$[1]') v \
             WHERE NOT EXISTS (SELECT 1 FROM word WHERE generation = g.g AND plain = r.value ->> 0)"
        ),
        vec![json(&variants)],
    );
    push(
        format!(
            "{g} INSERT INTO word (generation, plain, stem, count) \
             SELECT g.g, r.value ->> 0, r.value ->> 1, r.value ->> 2 FROM json_each(?1) r CROSS JOIN g WHERE true \
             ON CONFLICT (generation, plain) DO UPDATE SET count = count + excluded.count * max(1, count / 16) \
             WHERE (?2 + length(plain)) % max(1, count / 16) = 0"
        ),
        vec![json(&words), chance(&versions).into()],
    );
    push(
        format!(
            "{g} UPDATE generation SET products = products + (SELECT count(*) FROM json_each(?1) r \
             CROSS JOIN doc d ON d.generation = number AND d.product = r.value ->> 0 WHERE d.version = r.value ->> 1) \
             - (SELECT count(*) FROM leaving WHERE leaving.generation = number) WHERE number IN (SELECT g FROM g)"
        ),
        vec![json(&versions)],
    );
    push("DELETE FROM leaving".into(), Vec::new());
    batch.push(owner.forget(now - REMEMBERED));
    batch
}

/// The kind, key and id of a completion, as in its row.
fn completion_key((kind, key, thing): &(SuggestionKind, String, String)) -> [&str; 3] {
    let kind = KINDS.iter().find(|(known, _)| known == kind);
    [kind.map_or("", |(_, name)| name), key, thing]
}

/// Deletes everything of the documents listed in `leaving`, but not the list itself.
pub(super) const LEAVE: &[&str] = &[
    "DELETE FROM facet WHERE doc IN (SELECT id FROM leaving)",
    "DELETE FROM fts WHERE rowid IN (SELECT id FROM leaving)",
    "DELETE FROM doc WHERE id IN (SELECT id FROM leaving)",
];

/// The words with their stems and the number of these products that have them, and the deletion variants of each word.
/// Stems are indexed as words too, so one lookup tells whether a word is known.
#[expect(clippy::type_complexity, reason = "rows of two statements")]
fn vocabulary(indexed: &[Indexed]) -> (Vec<(&str, &str, i64)>, Vec<(&str, Vec<String>)>) {
    let mut words: HashMap<&str, (&str, i64)> = HashMap::new();
    for product in indexed {
        let mut seen = HashSet::new();
        let plain = product.words.iter().map(|(plain, stem)| (&**plain, &**stem));
        let stems = product.words.values().map(|stem| (&**stem, &**stem));
        for (plain, stem) in plain.chain(stems).filter(|(plain, _)| seen.insert(*plain)) {
            words.entry(plain).or_insert((stem, 0)).1 += 1;
        }
    }
    let mut words: Vec<_> = words.into_iter().map(|(plain, (stem, n))| (plain, stem, n)).collect();
    words.sort_unstable();
    let variants = words
        .iter()
        .map(|(plain, ..)| (*plain, typo::left_of_word(plain).into_iter().collect()))
        .filter(|(_, left): &(_, Vec<_>)| !left.is_empty())
        .collect();
    (words, variants)
}

/// The slots to try for a listing, in its second first; later ones spread over the following seconds, in case many
/// listings share one. They depend only on the listing, unless two listings of a batch collide.
fn slots(listing: &Listing, taken: &mut HashSet<i64>) -> Vec<i64> {
    let first = listing.rank.clamp(0, LAST_RANK) << SLOT_BITS;
    (0..TRIES)
        .map(|n| {
            let window = 1_i64 << (i64::from(SLOT_BITS) + i64::try_from(n.saturating_sub(4).min(13)).unwrap_or(0));
            let place = xxh3_64_with_seed(listing.id.as_bytes(), n) >> 1;
            first + i64::try_from(place).unwrap_or(0) % window
        })
        .filter(|slot| taken.insert(*slot))
        .collect()
}

/// A number that varies from batch to batch.
fn chance(versions: &[(&str, i64)]) -> i64 {
    let mut sum = 0;
    for (product, version) in versions {
        sum ^= xxh3_64_with_seed(product.as_bytes(), u64::try_from(*version).unwrap_or(0));
    }
    i64::try_from(sum >> 24).unwrap_or(0)
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(LARGEST).min(LARGEST)
}

/// Rows as one JSON argument.
pub(super) fn json(rows: &(impl Serialize + ?Sized)) -> Value {
    // Serializing strings and numbers cannot fail.
    serde_json::to_string(rows).unwrap_or_else(|_| "[]".into()).into()
}
