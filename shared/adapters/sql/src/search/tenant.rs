//! The indexes of tenants, beside the main market's in the same tables.
//!
//! **Names stand for a tenant's own rows.** Every statement is written for the main market, and the main market runs it as it
//! is. For a tenant it begins with common table expressions called `state` and `gone`, which hide the tables of these
//! names ([`Owner::narrow`]). The name of the tenant is an argument, so all tenants share the texts. Where such a row is
//! written, [`Owner`] has a statement for either. `main.state` is the table itself, which also counts the generations of all.
//!
//! **Generations** are numbered across all indexes. All rows but those of the full-text table are found by the number, so
//! no index reads those of another. Rowids hold nine bits of it, so they tell the generations of *one* index apart
//! ([`Owner::next`]), but not those of two. The tokens of a tenant begin with its name ([`prefix`]), so one index finds no
//! row of another, and reads none. Two products of the same place take different slots. An index only deletes old
//! generations of its own.
//!
//! **A tenant's first change** also creates its generation, in the same transaction. Until then, and after
//! [`erase_all`](SqlSearch::erase_all), nothing is stored and everything is empty. No rebuild has made this generation, so
//! its format is 0, and [`state`](souk_core::Search::state) says that the live one is 0, as it does of the main market's first.

use souk_core::Tenant;
use souk_core::search::{FORMAT, SearchError};

use super::write::json;
use super::{SqlSearch, failed};
use crate::{SqlDriver, SqlError, Statement, Value};

/// What surrounds the name of a tenant in its tokens, and what stands for a hyphen in it. FTS5's tokenizer `ascii` takes
/// both for letters. No other token begins with the first, and no name contains either.
const AROUND: &str = "§";
const HYPHEN: &str = "ħ";

/// What the tokens of this tenant's products begin with: nothing for the main market. No prefix begins with another.
fn prefix(tenant: &Tenant) -> String {
    match tenant.is_main() {
        true => String::new(),
        false => [AROUND, &tenant.name().replace('-', HYPHEN), AROUND].concat(),
    }
}

/// Whose an index is.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) tenant: Tenant,
    pub(super) prefix: String,
}

impl Owner {
    pub(super) fn new(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            prefix: prefix(tenant),
        }
    }

    fn name(&self) -> Value {
        self.tenant.name().into()
    }

    /// The tokens of a product, as they are stored.
    pub(super) fn tokens(&self, tokens: String) -> String {
        if self.tenant.is_main() {
            return tokens;
        }
        let tokens = tokens.split(' ').map(|token| [&self.prefix, token].concat());
        tokens.collect::<Vec<_>>().join(" ")
    }

    /// SQL for the number of the next generation. It shares the bits in rowids with no generation of which this index has
    /// rows. The name of the tenant is `?1`.
    fn next() -> &'static str {
        "WITH RECURSIVE next(number) AS (SELECT last + 1 FROM main.state UNION ALL SELECT number + 1 FROM next \
         WHERE EXISTS (SELECT 1 FROM generation g WHERE g.tenant = ?1 AND g.number & 511 = next.number & 511) LIMIT 512) "
    }

    /// Creates the first generation of a tenant that has none.
    pub(super) fn create(&self) -> Vec<Statement> {
        const IS_NEW: &str = "NOT EXISTS (SELECT 1 FROM tenant_state WHERE tenant = ?1)";
        if self.tenant.is_main() {
            return Vec::new();
        }
        let next = Self::next();
        let statements = [
            format!("{next} UPDATE main.state SET last = (SELECT max(number) FROM next) WHERE {IS_NEW}"),
            format!(
                "INSERT INTO generation (number, products, tenant) SELECT last, 0, ?1 FROM main.state WHERE {IS_NEW}"
            ),
            format!("INSERT INTO tenant_state (tenant, live) SELECT ?1, last FROM main.state WHERE {IS_NEW}"),
        ];
        statements.map(|sql| Statement::new(sql, vec![self.name()])).into()
    }

    /// The last generation of all indexes, and the next one of this index.
    pub(super) fn last_and_next(&self) -> Statement {
        let sql = format!(
            "{}SELECT (SELECT last FROM main.state), max(number) FROM next",
            Self::next()
        );
        Statement::new(sql, vec![self.name()])
    }

    /// Adds an empty generation.
    pub(super) fn add(&self, generation: i64) -> Statement {
        let sql = "INSERT INTO generation (number, products, format, tenant) VALUES (?1, 0, ?2, ?3)";
        Statement::new(sql, vec![generation.into(), i64::from(FORMAT).into(), self.name()])
    }

    /// Says that a generation is being built.
    pub(super) fn build(&self, generation: i64) -> Statement {
        match self.tenant.is_main() {
            true => Statement::new("UPDATE state SET building = ?1", vec![generation.into()]),
            false => Statement::new(
                "UPDATE tenant_state SET building = ?1 WHERE tenant = ?2",
                vec![generation.into(), self.name()],
            ),
        }
    }

    /// Makes a generation live; none is being built then.
    pub(super) fn go_live(&self, generation: i64) -> Statement {
        match self.tenant.is_main() {
            true => Statement::new("UPDATE state SET live = ?1, building = NULL", vec![generation.into()]),
            false => Statement::new(
                "UPDATE tenant_state SET live = ?1, building = NULL WHERE tenant = ?2",
                vec![generation.into(), self.name()],
            ),
        }
    }

    /// Makes the generations of a tenant old.
    pub(super) fn retire(&self) -> Statement {
        Statement::new("DELETE FROM tenant_state WHERE tenant = ?1", vec![self.name()])
    }

    /// The oldest generation that this index does not need any more; -1 if there is none.
    pub(super) fn oldest(&self) -> Statement {
        let sql = "SELECT coalesce(min(number), -1) FROM generation WHERE tenant = ?1 AND NOT EXISTS \
                   (SELECT 1 FROM state WHERE number = live OR number IS building)";
        Statement::new(sql, vec![self.name()])
    }

    /// Remembers removals, which are products with versions, as of `now`.
    pub(super) fn remember(&self, removed: &[(&str, i64)], now: i64) -> Statement {
        let mut args = vec![json(removed), now.into()];
        let sql = if self.tenant.is_main() {
            "INSERT INTO gone (product, version, at) SELECT r.value ->> 0, r.value ->> 1, ?2 FROM json_each(?1) r WHERE true \
             ON CONFLICT (product) DO UPDATE SET version = excluded.version, at = excluded.at \
             WHERE excluded.version > gone.version"
        } else {
            args.push(self.name());
            "INSERT INTO tenant_gone (tenant, product, version, at) \
             SELECT ?3, r.value ->> 0, r.value ->> 1, ?2 FROM json_each(?1) r WHERE true \
             ON CONFLICT (tenant, product) DO UPDATE SET version = excluded.version, at = excluded.at \
             WHERE excluded.version > tenant_gone.version"
        };
        Statement::new(sql, args)
    }

    /// Forgets some of the removals before `since`.
    pub(super) fn forget(&self, since: i64) -> Statement {
        let sql = match self.tenant.is_main() {
            true => "DELETE FROM gone WHERE product IN (SELECT product FROM gone WHERE at < ?1 ORDER BY at LIMIT 8)",
            false => {
                "DELETE FROM tenant_gone WHERE (tenant, product) IN \
                 (SELECT tenant, product FROM tenant_gone WHERE at < ?1 ORDER BY at LIMIT 8)"
            }
        };
        Statement::new(sql, vec![since.into()])
    }

    /// Forgets `rows` of the removals, whenever they were.
    pub(super) fn forget_any(&self, rows: i64) -> Statement {
        match self.tenant.is_main() {
            true => Statement::new(
                "DELETE FROM gone WHERE product IN (SELECT product FROM gone LIMIT +?1)",
                vec![rows.into()],
            ),
            false => Statement::new(
                "DELETE FROM tenant_gone WHERE tenant = ?2 AND product IN \
                 (SELECT product FROM tenant_gone WHERE tenant = ?2 LIMIT +?1)",
                vec![rows.into(), self.name()],
            ),
        }
    }

    /// A statement about `state` and `gone`, as one about this index.
    fn narrow(&self, mut statement: Statement) -> Statement {
        const ROWS: [(&str, &str, &str); 2] = [
            (" state", "state", "SELECT live, building FROM tenant_state"),
            (" gone", "gone", "SELECT product, version FROM tenant_gone"),
        ];
        if self.tenant.is_main() {
            return statement;
        }
        let name = statement.args.len() + 1;
        let own: Vec<String> = ROWS
            .iter()
            .filter(|(mention, ..)| statement.sql.contains(mention))
            .map(|(_, table, rows)| format!("{table} AS NOT MATERIALIZED ({rows} WHERE tenant = ?{name})"))
            .collect();
        if own.is_empty() {
            return statement;
        }
        let own = own.join(", ");
        let with = |with: &str| Some(format!("{with}{own}, {}", statement.sql.strip_prefix(with)?));
        let sql = with("WITH RECURSIVE ").or_else(|| with("WITH "));
        statement.sql = sql.unwrap_or_else(|| format!("WITH {own} {}", statement.sql)).into();
        statement.args.push(self.name());
        statement
    }
}

impl<D: SqlDriver> SqlSearch<D> {
    /// Reads rows of this index. All reads go through this.
    pub(super) async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SearchError> {
        self.driver.read(self.owner.narrow(statement)).await.map_err(failed)
    }

    /// Writes rows of this index in one transaction. All writes go through this.
    pub(super) async fn transact(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        let batch = batch.into_iter().map(|statement| self.owner.narrow(statement));
        self.driver.write(batch.collect()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(&Tenant::named(name).unwrap())
    }

    #[test]
    fn no_prefix_begins_with_another() {
        let names = ["ab", "abc", "a-b", "a-bc", "aħb", "ab-", "b", "a--b"];
        let owners: Vec<Owner> = names
            .iter()
            .filter_map(|name| Tenant::named(name))
            .map(|t| Owner::new(&t))
            .collect();
        for one in &owners {
            for other in owners.iter().filter(|other| other.tenant != one.tenant) {
                assert!(!other.prefix.starts_with(&one.prefix));
            }
            assert_eq!(
                one.prefix
                    .split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric())
                    .count(),
                1
            );
        }
        assert_eq!(owner("a-b").tokens("y tlamp".into()), "§aħb§y §aħb§tlamp");
        assert_eq!(Owner::new(&Tenant::main()).tokens("y tlamp".into()), "y tlamp");
    }

    #[test]
    fn a_statement_is_narrowed_where_it_reads_what_indexes_share() {
        let narrow = |sql: &'static str| owner("one").narrow(Statement::new(sql, vec![1.into()]));
        let state = "state AS NOT MATERIALIZED (SELECT live, building FROM tenant_state WHERE tenant = ?2)";
        let gone = "gone AS NOT MATERIALIZED (SELECT product, version FROM tenant_gone WHERE tenant = ?2)";
        for (sql, expected) in [
            ("SELECT live FROM state", format!("WITH {state} SELECT live FROM state")),
            (
                "WITH g AS (SELECT 1) SELECT live FROM g, state",
                format!("WITH {state}, g AS (SELECT 1) SELECT live FROM g, state"),
            ),
            (
                "WITH RECURSIVE g AS (SELECT 1) SELECT 1 FROM gone",
                format!("WITH RECURSIVE {gone}, g AS (SELECT 1) SELECT 1 FROM gone"),
            ),
            (
                "SELECT 1 FROM state, gone",
                format!("WITH {state}, {gone} SELECT 1 FROM state, gone"),
            ),
        ] {
            let narrowed = narrow(sql);
            assert_eq!(narrowed.sql, expected);
            assert_eq!(narrowed.args, [1.into(), "one".into()]);
            let main = Owner::new(&Tenant::main()).narrow(Statement::new(sql, vec![1.into()]));
            assert_eq!((&*main.sql, main.args.len()), (sql, 1));
        }
        for sql in [
            "DELETE FROM leaving",
            "UPDATE main.state SET last = 1",
            "DELETE FROM tenant_state WHERE tenant = ?1",
        ] {
            assert_eq!(narrow(sql).sql, sql);
        }
    }
}
