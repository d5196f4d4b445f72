//! The `KeyValue` port over DynamoDB: in the table of the documents, in partitions of its own. Reads are eventually
//! consistent, which costs half. DynamoDB deletes expired items within days; until then, `get` checks the expiry.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use souk_core::key_value::{KeyValueError, check, open, seal};
use souk_core::{Clock, KeyValue, Random, Timestamp};

use crate::Settings;
use crate::call::{Failure, failure, patiently};
use crate::item::{self, Item};

/// Values in a DynamoDB table.
pub struct DynamoKeyValue {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl DynamoKeyValue {
    /// Values in `table`. Sends nothing yet.
    pub fn new(settings: &Settings, table: impl Into<String>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            client: settings.dynamodb(),
            table: table.into(),
            clock,
            random,
        }
    }
}

/// The primary key of the value at `key`.
fn place(key: &str) -> Item {
    item::primary(item::value_partition(key), "")
}

#[async_trait]
impl KeyValue for DynamoKeyValue {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        check(key, "")?;
        let call = self.client.get_item().table_name(&self.table).set_key(Some(place(key)));
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        let found: Option<HashMap<_, _>> = answer.await.map_err(failed)?.item;
        let sealed = found.as_ref().and_then(|item| item.get("b")?.as_s().ok());
        Ok(sealed.and_then(|sealed| open(sealed, self.clock.now()).map(str::to_owned)))
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        check(key, value)?;
        let mut item = place(key);
        item.insert("b".into(), item::text(seal(value, expires_at)));
        item.extend(item::expiry(expires_at).map(|(name, value)| (name.to_owned(), value)));
        let call = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        answer.await.map(drop).map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        check(key, "")?;
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(place(key)));
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        answer.await.map(drop).map_err(failed)
    }
}

fn failed(failure: Failure) -> KeyValueError {
    KeyValueError::Unavailable(match failure {
        Failure::Lasting(error) => error.to_string(),
        Failure::Passing(why) => why,
        Failure::Conditions(_) => "a condition failed where there is none".into(),
    })
}
