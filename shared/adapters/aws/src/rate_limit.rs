//! The `RateLimit` port over DynamoDB: each cell is an item in the table of the documents, in a partition of its own, changed
//! by conditional updates. DynamoDB takes updates of one item one after the other, and deletes the item after its window.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use souk_core::rate_limit::{Cell, Quota, Taken, latest_end, share};
use souk_core::{Clock, Random, RateLimit, StoreError, Timestamp};

use crate::Settings;
use crate::call::{ATTEMPTS, Failure, failure, patiently};
use crate::item::{self, Item};

/// Cells in a DynamoDB table.
pub struct DynamoRateLimit {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl DynamoRateLimit {
    /// Cells in `table`. Sends nothing yet.
    pub fn new(settings: &Settings, table: impl Into<String>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            client: settings.dynamodb(),
            table: table.into(),
            clock,
            random,
        }
    }

    fn update(&self, key: &str) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        update.set_key(Some(place(key)))
    }

    /// The changed cell, or the one that does not meet the condition.
    async fn try_update(&self, update: UpdateItemFluentBuilder) -> Result<Result<Cell, Cell>, StoreError> {
        let update = update
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = patiently(&*self.random, || {
            let update = update.clone();
            async { changed(update.send().await.map(|answer| answer.attributes)) }
        });
        answer.await.map_err(failed)
    }
}

/// The primary key of the cell at `key`.
fn place(key: &str) -> Item {
    item::primary(item::cell_partition(key), "")
}

fn changed<R>(answer: Result<Option<Item>, SdkError<UpdateItemError, R>>) -> Result<Result<Cell, Cell>, Failure> {
    match answer {
        Ok(item) => Ok(Ok(cell(item))),
        Err(SdkError::ServiceError(refused)) if refused.err().is_conditional_check_failed_exception() => {
            match refused.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => Ok(Err(cell(refused.item))),
                other => Err(Failure::Passing(other.to_string())),
            }
        }
        Err(error) => Err(failure(error)),
    }
}

fn cell(item: Option<Item>) -> Cell {
    let item = item.unwrap_or_default();
    let read = |name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
    Cell {
        used: read("used").and_then(|used| u32::try_from(used).ok()).unwrap_or(0),
        ends_at: read("x").unwrap_or(0),
    }
}

fn failed(failure: Failure) -> StoreError {
    match failure {
        Failure::Lasting(error) => error,
        Failure::Passing(why) => StoreError::Unavailable(why),
        Failure::Conditions(_) => StoreError::Unavailable("a condition failed".into()),
    }
}

fn number(value: impl Into<i64>) -> AttributeValue {
    item::number(value.into())
}

#[async_trait]
impl RateLimit for DynamoRateLimit {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        let mut granted = share(quota.units, wanted);
        for attempt in 1..=ATTEMPTS {
            let now = self.clock.now().as_millisecond();
            // Several only if they are no more than a third of what is left.
            let needed = if granted > 1 {
                granted.saturating_mul(3)
            } else {
                granted
            };
            let within = self
                .update(key)
                .update_expression("SET #used = #used + :granted")
                .condition_expression("x > :now AND x <= :latest AND #used <= :most")
                .expression_attribute_names("#used", "used")
                .expression_attribute_values(":granted", number(granted))
                .expression_attribute_values(":most", number(quota.units.saturating_sub(needed)))
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":latest", number(latest_end(quota, now)));
            let before = match self.try_update(within).await? {
                Ok(cell) => return Ok(taken(quota, granted, cell)),
                Err(before) => before,
            };
            if before.ends_at > now && before.ends_at <= latest_end(quota, now) {
                // Others who take too change what is left; one unit is there or not.
                let wanted = if attempt == 1 { wanted } else { 1 };
                granted = share(quota.units.saturating_sub(before.used), wanted);
                if granted == 0 {
                    return Ok(taken(quota, 0, before));
                }
                continue;
            }
            // A new window.
            let mut cell = before;
            granted = cell.take(quota, wanted, now).granted;
            let ends_at = Timestamp::from_millisecond(cell.ends_at).unwrap_or_default();
            let mut begin = self
                .update(key)
                .update_expression("SET #used = :granted, x = :x, #ttl = :ttl")
                .condition_expression("attribute_not_exists(pk) OR x <= :now OR x > :latest")
                .expression_attribute_names("#used", "used")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":granted", number(granted))
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":latest", number(latest_end(quota, now)));
            for (name, value) in item::expiry(ends_at) {
                begin = begin.expression_attribute_values(format!(":{name}"), value);
            }
            if let Ok(cell) = self.try_update(begin).await? {
                return Ok(taken(quota, granted, cell));
            }
        }
        Err(StoreError::Unavailable("others keep changing the count".into()))
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        let update = self
            .update(key)
            .update_expression("SET #used = #used - :units")
            .condition_expression("x = :ends AND #used >= :units")
            .expression_attribute_names("#used", "used")
            .expression_attribute_values(":units", number(units))
            .expression_attribute_values(":ends", number(ends_at));
        // Once: a retry of what was done after all would give back twice.
        let answer = changed(update.send().await.map(|answer| answer.attributes));
        answer.map(drop).map_err(failed)
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(place(key)));
        let answer = patiently(&*self.random, || {
            let delete = delete.clone();
            async { delete.send().await.map_err(failure) }
        });
        answer.await.map(drop).map_err(failed)
    }
}

fn taken(quota: Quota, granted: u32, cell: Cell) -> Taken {
    Taken {
        granted,
        left: quota.units.saturating_sub(cell.used),
        ends_at: cell.ends_at,
    }
}
