//! Recovery from panics.
//!
//! A panic traps, like a stack overflow or exhausted memory, and leaves the instance's memory in an unknown state.
//! wasm-bindgen then calls the abort hook and refuses every further call into the instance, until `shim.js` creates a fresh
//! one for the next event. The hook of the `worker` crate would have wasm-bindgen do that at the next call of any kind,
//! which may be a late callback of an old request: it would run in the fresh instance with pointers into the old one's
//! memory. So this hook replaces it and only tells `shim.js`.

use std::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen::handler::set_on_abort;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Function;

thread_local! {
    static CALLBACK: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has `callback` called when this instance aborts. `shim.js` calls it once per instance.
#[wasm_bindgen(js_sys = worker::js_sys)]
pub fn on_abort(callback: Function) {
    CALLBACK.set(Some(callback));
    set_on_abort(run_callback);
}

/// Runs in the aborted instance, so it does as little as possible.
fn run_callback() {
    CALLBACK.with_borrow(|callback| {
        callback
            .as_ref()
            .map(|callback| callback.call0(&JsValue::UNDEFINED).is_ok())
    });
}
