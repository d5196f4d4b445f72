//! What the class of the Durable Objects in `shim.js` calls.

use souk_core::rate_limit::Quota;
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes units from a cell: the answer and the new cell, as JSON.
#[wasm_bindgen(js_sys = worker::js_sys)]
#[must_use]
pub fn take_from_cell(cell: Option<String>, units: u32, seconds: u32, wanted: u32, now: f64) -> Vec<String> {
    let quota = Quota { units, seconds };
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds have 41 bits")]
    let taken = souk_cloudflare::take_from_cell(cell.as_deref(), quota, wanted, now as i64);
    taken.map(Vec::from).unwrap_or_default()
}
