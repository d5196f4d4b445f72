//! Translates a commit into the items of one `TransactWriteItems`.

use std::collections::HashSet;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use souk_core::{Change, Condition, Entry, Key, Timestamp};

use crate::item::{document_key, entry_item, entry_key, expiry, number, text, zeros};

/// There is no document, or it has expired.
const ABSENT: &str = "(attribute_not_exists(pk) OR x <= :now)";
/// There is a document that has not expired.
const LIVE: &str = "attribute_exists(pk) AND (attribute_not_exists(x) OR x > :now)";
/// Like `LIVE`, at a given version.
const AT_VERSION: &str = "attribute_exists(pk) AND (attribute_not_exists(x) OR x > :now) AND v = :version";
/// There is no document, or one that has not expired.
const NOT_EXPIRED: &str = "(attribute_not_exists(x) OR x > :now)";

/// The items of a transaction, and the index of the change that each belongs to.
pub(crate) struct Transaction<'a> {
    table: &'a str,
    now: Timestamp,
    pub(crate) items: Vec<TransactWriteItem>,
    pub(crate) steps: Vec<usize>,
}

impl<'a> Transaction<'a> {
    /// The items that apply `changes` to `table` at the time `now`.
    ///
    /// A put with [`Condition::Any`] either updates the present document or replaces an expired one. No single DynamoDB
    /// expression can do both: the put is an update unless its index is in `expired`.
    pub(crate) fn new(
        table: &'a str,
        now: Timestamp,
        changes: &[Change],
        expired: &HashSet<usize>,
    ) -> Result<Self, BuildError> {
        let mut transaction = Self {
            table,
            now,
            items: Vec::new(),
            steps: Vec::new(),
        };
        for (step, change) in changes.iter().enumerate() {
            transaction.change(change, expired.contains(&step))?;
            transaction.steps.resize(transaction.items.len(), step);
        }
        Ok(transaction)
    }

    fn change(&mut self, change: &Change, expired: bool) -> Result<(), BuildError> {
        match change {
            Change::Put {
                key,
                body,
                counters,
                expires_at,
                condition,
                entries,
                stale,
            } => {
                let item = if *condition == Condition::Absent || expired {
                    self.create(key, body, counters, *expires_at)?
                } else {
                    self.update(key, body, counters, *expires_at, *condition)?
                };
                self.items.push(item);
                self.remove_entries(stale)?;
                for entry in entries {
                    let put = Put::builder()
                        .table_name(self.table)
                        .set_item(Some(entry_item(entry, key)));
                    self.items.push(TransactWriteItem::builder().put(put.build()?).build());
                }
            }
            Change::Delete { key, condition, stale } => {
                let delete = Delete::builder()
                    .table_name(self.table)
                    .set_key(Some(document_key(key)));
                let delete = match condition {
                    Condition::Any => delete,
                    condition => delete
                        .condition_expression(expression(*condition))
                        .set_expression_attribute_values(Some(self.values(*condition))),
                };
                self.items
                    .push(TransactWriteItem::builder().delete(delete.build()?).build());
                self.remove_entries(stale)?;
            }
            Change::Add { key, counter, delta } => {
                let update = self
                    .updating(key, Condition::Exists)
                    .update_expression("SET n.#c = if_not_exists(n.#c, :zero) + :delta")
                    .expression_attribute_names("#c", counter)
                    .expression_attribute_values(":zero", number(0))
                    .expression_attribute_values(":delta", number(delta));
                self.items
                    .push(TransactWriteItem::builder().update(update.build()?).build());
            }
            Change::Require { key, condition } => {
                let check = ConditionCheck::builder()
                    .table_name(self.table)
                    .set_key(Some(document_key(key)))
                    .condition_expression(expression(*condition))
                    .set_expression_attribute_values(Some(self.values(*condition)));
                self.items
                    .push(TransactWriteItem::builder().condition_check(check.build()?).build());
            }
        }
        Ok(())
    }

    /// Creates a document, and replaces an expired one together with its counters.
    fn create(
        &self,
        key: &Key,
        body: &str,
        counters: &[String],
        expires_at: Option<Timestamp>,
    ) -> Result<TransactWriteItem, BuildError> {
        let mut item = document_key(key);
        item.insert("v".into(), number(1));
        item.insert("b".into(), text(body));
        item.insert("n".into(), zeros(counters));
        item.extend(
            expires_at
                .into_iter()
                .flat_map(expiry)
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let put = Put::builder()
            .table_name(self.table)
            .set_item(Some(item))
            .condition_expression(ABSENT)
            .set_expression_attribute_values(Some(self.values(Condition::Absent)));
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    /// Replaces the body of the present document and keeps its counters. With `Any`, also creates the document.
    fn update(
        &self,
        key: &Key,
        body: &str,
        counters: &[String],
        expires_at: Option<Timestamp>,
        condition: Condition,
    ) -> Result<TransactWriteItem, BuildError> {
        let mut update = self.updating(key, condition);
        let mut set = String::from("SET b = :body, ");
        if condition == Condition::Any {
            set.push_str("v = if_not_exists(v, :zero) + :one, n = if_not_exists(n, :zeros)");
            update = update
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":zeros", zeros(counters));
        } else {
            set.push_str("v = v + :one");
        }
        match expires_at {
            Some(at) => {
                set.push_str(", x = :x, #ttl = :ttl");
                for (name, value) in expiry(at) {
                    update = update.expression_attribute_values(format!(":{name}"), value);
                }
            }
            None => set.push_str(" REMOVE x, #ttl"),
        }
        let update = update
            .update_expression(set)
            // `ttl` is a reserved word.
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":body", text(body));
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    }

    fn updating(&self, key: &Key, condition: Condition) -> UpdateBuilder {
        Update::builder()
            .table_name(self.table)
            .set_key(Some(document_key(key)))
            .condition_expression(expression(condition))
            .set_expression_attribute_values(Some(self.values(condition)))
    }

    fn remove_entries(&mut self, entries: &[Entry]) -> Result<(), BuildError> {
        for entry in entries {
            let delete = Delete::builder().table_name(self.table).set_key(Some(entry_key(entry)));
            self.items
                .push(TransactWriteItem::builder().delete(delete.build()?).build());
        }
        Ok(())
    }

    /// The values that [`expression`] refers to.
    fn values(&self, condition: Condition) -> crate::item::Item {
        let mut values = crate::item::Item::from([(":now".to_owned(), number(self.now.as_millisecond()))]);
        if let Condition::Version(version) = condition {
            values.insert(":version".into(), number(version));
        }
        values
    }
}

fn expression(condition: Condition) -> &'static str {
    match condition {
        Condition::Absent => ABSENT,
        Condition::Exists => LIVE,
        Condition::Version(_) => AT_VERSION,
        Condition::Any => NOT_EXPIRED,
    }
}
