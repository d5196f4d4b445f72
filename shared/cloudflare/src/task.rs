//! Requests as tasks, and calls that they wait for.
//!
//! wasm-bindgen makes a promise of each future, and waits for a promise by two closures that live until it settles and a
//! microtask behind it. Here a task runs on within the callback that brings what it waits for, and a call is known by a
//! number. What waits for promises in wasm-bindgen's way may be in a task too; it then runs on in a microtask.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_channel::oneshot;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::{Closure, wasm_bindgen};

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
extern "C" {
    #[wasm_bindgen(js_name = queueMicrotask)]
    fn queue_microtask(task: &Closure<dyn Fn()>);
}

type Outcome = Result<JsValue, JsValue>;

thread_local! {
    static TASKS: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>> = RefCell::default();
    /// Whether they are being run, whether one got ready meanwhile, and whether a microtask will run them.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static WOKEN: Cell<bool> = const { Cell::new(false) };
    static SCHEDULED: Cell<bool> = const { Cell::new(false) };
    static MICROTASK: Closure<dyn Fn()> = Closure::new(|| {
        SCHEDULED.set(false);
        run_after(|| ());
    });
    static CALLS: RefCell<BTreeMap<u32, oneshot::Sender<Outcome>>> = RefCell::default();
    static READY: Waker = Waker::from(Arc::new(Ready));
}

/// Called when a task is ready.
struct Ready;

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        if RUNNING.get() {
            WOKEN.set(true);
        } else if !SCHEDULED.replace(true) {
            MICROTASK.with(queue_microtask);
        }
    }
}

/// Runs it until it has to wait; it then goes on by itself. For events to call, not for tasks.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    run_after(|| TASKS.with_borrow(|tasks| tasks.push(task.boxed_local())));
}

/// Runs every task that is ready after `first`.
fn run_after(first: impl FnOnce()) {
    if RUNNING.replace(true) {
        return first();
    }
    first();
    let waker = READY.with(Waker::clone);
    let next = || TASKS.with_borrow_mut(|tasks| tasks.poll_next_unpin(&mut Context::from_waker(&waker)));
    loop {
        WOKEN.set(false);
        let is_one_done = matches!(next(), Poll::Ready(Some(())));
        if !is_one_done && !WOKEN.get() {
            break;
        }
    }
    RUNNING.set(false);
}

/// What a call comes to, as [`settle`] is told: of the number that JavaScript gave it when it began, before it can have ended and
/// not again for four thousand million others. A call that could not begin comes to why.
pub(crate) async fn outcome(begun: Result<u32, JsValue>) -> Outcome {
    let call = begun?;
    let (sender, outcome) = oneshot::channel();
    CALLS.with_borrow_mut(|calls| calls.insert(call, sender));
    outcome.await.unwrap_or(Err(JsValue::UNDEFINED))
}

/// Ends a call, and runs what waited for it. A call that nobody knows has ended before, or in an instance before this one.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub fn settle(call: u32, value: JsValue, is_done: bool) {
    if let Some(sender) = CALLS.with_borrow_mut(|calls| calls.remove(&call)) {
        // It fails if nobody waits any more.
        run_after(|| drop(sender.send(if is_done { Ok(value) } else { Err(value) })));
    }
}
