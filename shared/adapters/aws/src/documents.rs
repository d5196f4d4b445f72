//! [`DynamoDocuments`]: the `Documents` port over one DynamoDB table.
//!
//! **Reads** are strongly consistent and read the table itself; there is no secondary index. An index is a partition of
//! entries: one `Query` reads the entries, one `BatchGetItem` their documents. These are two moments: if a document
//! changes between them, the newer version is returned; if it is deleted, it is left out.
//! [Eventual](souk_core::Consistency) reads are eventually consistent, at half the price, unless this process has
//! committed within the last [`SETTLED`] milliseconds.
//!
//! **A commit** is one `TransactWriteItems`, which happens whole or not at all. It carries a client request token: if
//! the response is lost, the call is retried with the same token, and DynamoDB does not apply it twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, DeleteRequest, KeySchemaElement, KeyType, KeysAndAttributes, ScalarAttributeType,
    Select, TransactWriteItem, WriteRequest,
};
use futures_util::future::try_join_all;
use souk_core::documents::{MAX_KEY, MAX_KEYS, Scan, Source, check_tenant, is_name};
use souk_core::{
    Change, Clock, Commit, Condition, Consistency, Document, Documents, Item, Key, Page, Query, Random, StoreError,
    Tenant, random,
};

use crate::Settings;
use crate::call::{ATTEMPTS, Failure, failure, patiently, pause, transaction_failure};
use crate::item::{self, document, document_key, document_partition, entry, entry_partition, primary, take_text};
use crate::transaction::Transaction;

/// How long after a commit all replicas have it, in milliseconds: DynamoDB says "usually within one second".
const SETTLED: i64 = 5_000;
/// How many deletes a `BatchWriteItem` has at most.
const MAX_DELETED: usize = 25;
/// How many keys a `BatchGetItem` has at most.
const MAX_BATCH: usize = 100;

/// Documents in a DynamoDB table.
pub struct DynamoDocuments {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// When this process last committed, in milliseconds since 1970.
    committed: AtomicI64,
}

impl DynamoDocuments {
    /// Documents in `table`. Sends nothing yet.
    pub fn new(settings: &Settings, table: impl Into<String>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            client: settings.dynamodb(),
            table: table.into(),
            clock,
            random,
            committed: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether a read must be strongly consistent: if the caller asks for it, or if the read could miss a commit of
    /// this process.
    fn is_strong(&self, consistency: Consistency) -> bool {
        consistency == Consistency::Strong
            || self.millis() < self.committed.load(Ordering::Acquire).saturating_add(SETTLED)
    }

    fn millis(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Creates the table unless it exists. For emulators; in the cloud, `template.yaml` declares it.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let mut call = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let definition = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let element = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            call = call
                .attribute_definitions(definition.build().map_err(unbuilt)?)
                .key_schema(element.build().map_err(unbuilt)?);
        }
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(ended(failure(error))),
        }
    }

    /// The documents with these keys.
    async fn read(&self, keys: HashSet<&Key>, strong: bool) -> Result<HashMap<Key, Document>, StoreError> {
        let keys: Vec<&Key> = keys.into_iter().collect();
        let batches = keys.chunks(MAX_BATCH).map(|batch| self.read_batch(batch, strong));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    /// The documents with these keys, at most [`MAX_BATCH`], which must all differ.
    async fn read_batch(&self, keys: &[&Key], strong: bool) -> Result<HashMap<Key, Document>, StoreError> {
        let now = self.clock.now();
        let mut found = HashMap::with_capacity(keys.len());
        let mut missing: Vec<_> = keys.iter().map(|key| document_key(key)).collect();
        let mut attempt = 0;
        while !missing.is_empty() {
            // DynamoDB may return only a part, and lists the unprocessed keys.
            if attempt == ATTEMPTS {
                return Err(StoreError::Unavailable("DynamoDB leaves keys unprocessed".into()));
            } else if attempt > 0 {
                pause(&*self.random, attempt).await;
            }
            attempt += 1;
            let request = KeysAndAttributes::builder()
                .set_keys(Some(missing))
                .consistent_read(strong);
            let call = self
                .client
                .batch_get_item()
                .request_items(&self.table, request.build().map_err(unbuilt)?);
            let answer = patiently(&*self.random, || {
                let call = call.clone();
                async { call.send().await.map_err(failure) }
            });
            let answer = answer.await.map_err(ended)?;
            for item in answer
                .responses
                .unwrap_or_default()
                .remove(&self.table)
                .unwrap_or_default()
            {
                if let Some(document) = document(item, now)? {
                    found.insert(document.key.clone(), document);
                }
            }
            let left = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
            missing = left.map(|left| left.keys).unwrap_or_default();
        }
        Ok(found)
    }

    /// The items of partition `pk` that `query` selects, and where the next page starts.
    async fn range(
        &self,
        pk: String,
        query: &Query,
        strong: bool,
    ) -> Result<(Vec<item::Item>, Option<String>), StoreError> {
        // DynamoDB accepts only a start key within the queried range. An `after` that comes before the range, in the
        // requested order, means its beginning; nothing follows one that comes after it.
        let after = match &query.after {
            None => None,
            Some(after) if after.starts_with(&query.prefix) => Some(primary(pk.clone(), after)),
            Some(after) if (after < &query.prefix) != query.descending => None,
            Some(_) => return Ok((Vec::new(), None)),
        };
        // One more than requested, to learn whether more items follow.
        let limit = i32::try_from(query.limit).unwrap_or(i32::MAX).saturating_add(1);
        let call = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", item::text(pk))
            .expression_attribute_values(":prefix", item::text(item::sort(&query.prefix)))
            .set_exclusive_start_key(after)
            .scan_index_forward(!query.descending)
            .consistent_read(strong)
            .limit(limit);
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        let answer = answer.await.map_err(ended)?;
        let mut items = answer.items.unwrap_or_default();
        // A page of large documents may be short: DynamoDB reads 1 MB at a time.
        let mut more = answer.last_evaluated_key.is_some();
        if items.len() > query.limit {
            items.truncate(query.limit);
            more = true;
        }
        let next = match items.last() {
            Some(last) if more => Some(take_text(&mut last.clone(), "sk", "#")?),
            _ => None,
        };
        Ok((items, next))
    }

    /// How many items of partition `pk` the query has, at most as many as it counts.
    async fn count(&self, pk: String, query: &Query, strong: bool) -> Result<usize, StoreError> {
        let mut total = 0;
        let mut after = None;
        loop {
            let limit = i32::try_from(query.count.saturating_sub(total)).unwrap_or(i32::MAX);
            let call = self
                .client
                .query()
                .table_name(&self.table)
                .select(Select::Count)
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", item::text(pk.clone()))
                .expression_attribute_values(":prefix", item::text(item::sort(&query.prefix)))
                .set_exclusive_start_key(after)
                .consistent_read(strong)
                .limit(limit);
            let answer = patiently(&*self.random, || {
                let call = call.clone();
                async { call.send().await.map_err(failure) }
            });
            let answer = answer.await.map_err(ended)?;
            total += usize::try_from(answer.count).unwrap_or(0);
            after = answer.last_evaluated_key;
            // DynamoDB reads 1 MB at a time.
            if after.is_none() || total >= query.count {
                return Ok(total);
            }
        }
    }

    /// Reads on through the whole table, a megabyte at a time, and keeps what is in partitions that begin so.
    async fn scan_table(
        &self,
        begins: &[String],
        after: Option<&str>,
    ) -> Result<(Vec<item::Item>, Option<String>), StoreError> {
        let names: Vec<String> = (0..begins.len()).map(|n| format!("begins_with(pk, :p{n})")).collect();
        let after = match after {
            Some(after) => {
                let (pk, sk): (String, String) =
                    serde_json::from_str(after).map_err(|e| StoreError::Refused(e.to_string()))?;
                Some(primary(pk, &sk))
            }
            None => None,
        };
        let mut call = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(names.join(" OR "))
            .set_exclusive_start_key(after)
            .consistent_read(true);
        for (n, begin) in begins.iter().enumerate() {
            call = call.expression_attribute_values(format!(":p{n}"), item::text(begin.clone()));
        }
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        let answer = answer.await.map_err(ended)?;
        let next = match answer.last_evaluated_key {
            Some(mut last) => {
                let place = (take_text(&mut last, "pk", "")?, take_text(&mut last, "sk", "#")?);
                Some(serde_json::to_string(&place).map_err(|e| StoreError::Corrupt(e.to_string()))?)
            }
            None => None,
        };
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Deletes the items with these keys.
    async fn delete_all(&self, keys: Vec<item::Item>) -> Result<(), StoreError> {
        for keys in keys.chunks(MAX_DELETED) {
            let mut left = Vec::with_capacity(keys.len());
            for key in keys {
                let delete = DeleteRequest::builder()
                    .set_key(Some(key.clone()))
                    .build()
                    .map_err(unbuilt)?;
                left.push(WriteRequest::builder().delete_request(delete).build());
            }
            let mut attempt = 0;
            while !left.is_empty() {
                if attempt == ATTEMPTS {
                    return Err(StoreError::Unavailable("DynamoDB leaves keys unprocessed".into()));
                } else if attempt > 0 {
                    pause(&*self.random, attempt).await;
                }
                attempt += 1;
                let call = self.client.batch_write_item().request_items(&self.table, left);
                let answer = patiently(&*self.random, || {
                    let call = call.clone();
                    async { call.send().await.map_err(failure) }
                });
                let unprocessed = answer.await.map_err(ended)?.unprocessed_items;
                left = unprocessed.unwrap_or_default().remove(&self.table).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Runs one transaction. Retries it with the same token until its outcome is known.
    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), Failure> {
        let token = uuid::Builder::from_random_bytes(random::bytes(&*self.random)).into_uuid();
        let call = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .client_request_token(token.to_string());
        patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map(drop).map_err(transaction_failure) }
        })
        .await
    }
}

#[async_trait]
impl Documents for DynamoDocuments {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        if keys.len() > MAX_KEYS {
            return Err(StoreError::Refused("too many keys".into()));
        }
        // DynamoDB rejects keys that are too long. No document has one.
        let possible = |key: &&Key| is_name(&key.pk) && key.sk.len() <= MAX_KEY;
        let strong = self.is_strong(consistency);
        let found = self.read(keys.iter().filter(possible).collect(), strong).await?;
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        check_tenant(tenant)?;
        let now = self.clock.now();
        let (items, next) = self.scan_table(&[document_partition(&tenant.prefix())], after).await?;
        let mut documents = Vec::with_capacity(items.len());
        for item in items {
            documents.extend(document(item, now)?);
        }
        Ok(Scan { documents, next })
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        check_tenant(tenant)?;
        let prefix = tenant.prefix();
        let begins = [document_partition(&prefix), entry_partition(&prefix)];
        let (items, next) = self.scan_table(&begins, after).await?;
        let mut keys = Vec::with_capacity(items.len());
        for mut item in items {
            keys.push(primary(
                take_text(&mut item, "pk", "")?,
                &take_text(&mut item, "sk", "#")?,
            ));
        }
        self.delete_all(keys).await?;
        Ok(next)
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        query.check()?;
        let strong = self.is_strong(consistency);
        let mut page = Page::default();
        match &query.source {
            Source::Partition(pk) => {
                let now = self.clock.now();
                let (items, next) = self.range(document_partition(pk), query, strong).await?;
                page.next = next;
                for item in items {
                    if let Some(document) = document(item, now)? {
                        let sort = document.key.sk.clone();
                        page.items.push(Item { sort, document });
                    }
                }
            }
            Source::Index(name) => {
                let (items, next) = self.range(entry_partition(name), query, strong).await?;
                page.next = next;
                let entries = items.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
                let found = self.read(entries.iter().map(|(_, key)| key).collect(), strong).await?;
                for (sort, key) in entries {
                    if let Some(document) = found.get(&key).cloned() {
                        page.items.push(Item { sort, document });
                    }
                }
                if query.count > 0 {
                    page.total = Some(match page.next {
                        Some(_) => self.count(entry_partition(name), query, strong).await?,
                        None => page.items.len().min(query.count),
                    });
                }
            }
        }
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check()?;
        let overwrites = |step: &usize| {
            let change = commit.changes.get(*step);
            matches!(
                change,
                Some(Change::Put {
                    condition: Condition::Any,
                    ..
                })
            )
        };
        // The puts with `Any` that found an expired document. This is rare, so the first attempt does not check for it.
        let mut expired = HashSet::new();
        for _ in 0..ATTEMPTS {
            // This includes commits with an unknown outcome.
            self.committed.fetch_max(self.millis(), Ordering::AcqRel);
            let transaction =
                Transaction::new(&self.table, self.clock.now(), &commit.changes, &expired).map_err(unbuilt)?;
            let steps = transaction.steps;
            let failed: Vec<usize> = match self.transact(transaction.items).await {
                Ok(()) => {
                    self.committed.fetch_max(self.millis(), Ordering::AcqRel);
                    return Ok(());
                }
                Err(Failure::Conditions(items)) => items.into_iter().filter_map(|i| steps.get(i).copied()).collect(),
                Err(failure) => return Err(ended(failure)),
            };
            if let Some(step) = failed.iter().find(|step| !overwrites(step)) {
                return Err(StoreError::Conflict(*step));
            }
            for step in failed {
                // If the put has failed both as a replacement and as an update, another writer came in between: start
                // over with an update.
                if !expired.remove(&step) {
                    expired.insert(step);
                }
            }
        }
        Err(StoreError::Unavailable("too many writers".into()))
    }
}

/// Converts a failure where no condition is involved to the port's error.
fn ended(failure: Failure) -> StoreError {
    match failure {
        Failure::Lasting(error) => error,
        Failure::Passing(why) => StoreError::Unavailable(why),
        Failure::Conditions(_) => StoreError::Unavailable("a condition failed where there is none".into()),
    }
}

/// Converts an error of the SDK's builders, which check for required fields. The fields are always set.
fn unbuilt(error: BuildError) -> StoreError {
    StoreError::Refused(error.to_string())
}
