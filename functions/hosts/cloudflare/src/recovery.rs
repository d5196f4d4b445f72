//! After a panic the isolate goes on with a new instance of the Wasm module: the requests in flight are lost, the next
//! one is served.
//!
//! A panic ends in a trap, like a stack overflow or exhausted memory, and what it leaves behind is in no known state.
//! wasm-bindgen refuses every further call into that instance, and the shim in front of us (`shim.js`)
//! makes a new one before the next request, if `criticalError` was raised. The `worker` crate raises it for panics, and
//! besides has wasm-bindgen make the new instance at the next call of any kind. That may be the end of an old request's
//! I/O, whose callback would then run in the new instance with pointers into the old one's memory. So its hook is
//! replaced by one that raises the flag and does no more: late callbacks throw, only a request makes a new instance.

use wasm_bindgen::JsValue;
use wasm_bindgen::handler::set_on_abort;
use worker::js_sys::{Reflect, global};

/// Replaces the hook; to be called once per instance, from a request, when `worker` has set its own.
pub(crate) fn init() {
    set_on_abort(raise);
}

/// Runs in the instance that has just trapped: no more than it must.
fn raise() {
    if let Ok(state) = Reflect::get(&global(), &"__worker_init_state".into()) {
        // It fails only on what is no object; then there is no shim, and nothing to tell.
        let _ = Reflect::set(&state, &"criticalError".into(), &JsValue::TRUE);
    }
}
