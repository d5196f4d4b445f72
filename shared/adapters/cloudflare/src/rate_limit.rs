//! The `RateLimit` port over Durable Objects: one object holds the cell of a key, wherever it is asked from. `shim.js` of the
//! host has its class, which keeps the cell and asks [`take_from_cell`] for the rule.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_core::rate_limit::{Cell, Quota, Taken};
use souk_core::{Clock, RateLimit, StoreError};
use worker::ObjectNamespace;
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};

use crate::timeout::timeout;

/// How long an object may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys)]
extern "C" {
    type LimitCell;
    #[wasm_bindgen(method, catch)]
    async fn take(this: &LimitCell, units: u32, seconds: u32, wanted: u32, now: f64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = giveBack)]
    async fn give_back(this: &LimitCell, units: u32, ends_at: f64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn clear(this: &LimitCell) -> Result<JsValue, JsValue>;
}

/// Takes units from a cell, which is JSON or absent. Returns what was taken and the new cell, both as JSON.
#[must_use]
pub fn take_from_cell(cell: Option<&str>, quota: Quota, wanted: u32, now: i64) -> Option<[String; 2]> {
    let mut cell: Cell = cell
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let taken = cell.take(quota, wanted, now);
    Some([serde_json::to_string(&taken).ok()?, serde_json::to_string(&cell).ok()?])
}

/// The objects behind a binding.
pub struct DurableRateLimit {
    objects: ObjectNamespace,
    clock: Arc<dyn Clock>,
}

impl DurableRateLimit {
    /// Cells in the objects of this namespace.
    pub fn new(objects: ObjectNamespace, clock: Arc<dyn Clock>) -> Self {
        Self { objects, clock }
    }

    fn cell(&self, key: &str) -> Result<LimitCell, StoreError> {
        let stub = self.objects.get_by_name(key).map_err(failed)?;
        Ok(stub.into_rpc())
    }
}

#[async_trait]
impl RateLimit for DurableRateLimit {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        let call = async {
            let cell = self.cell(key)?;
            #[expect(clippy::cast_precision_loss, reason = "milliseconds have 41 bits")]
            let now = self.clock.now().as_millisecond() as f64;
            let answer = within_timeout(cell.take(quota.units, quota.seconds, wanted, now)).await?;
            let answer = answer.as_string().unwrap_or_default();
            serde_json::from_str(&answer).map_err(failed)
        };
        SendFuture::new(call).await
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds have 41 bits")]
        let call = async {
            within_timeout(self.cell(key)?.give_back(units, ends_at as f64))
                .await
                .map(drop)
        };
        SendFuture::new(call).await
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        SendFuture::new(async { within_timeout(self.cell(key)?.clear()).await.map(drop) }).await
    }
}

async fn within_timeout(call: impl Future<Output = Result<JsValue, JsValue>>) -> Result<JsValue, StoreError> {
    match timeout(TIMEOUT, call).await {
        Some(result) => result.map_err(|why| failed(format!("{why:?}"))),
        None => Err(failed("the Durable Object took too long")),
    }
}

fn failed(why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(why.to_string())
}
