//! Requests as tasks, and calls that they wait for.
//!
//! wasm-bindgen makes a promise of each future, and waits for a promise by two closures that live until it settles and a
//! microtask behind it. Here a task runs on within the callback that brings what it waits for, and a call is known by a
//! number. What waits for promises in wasm-bindgen's way may be in a task too; it then runs on in a microtask.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use worker::send::SendWrapper;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::{Closure, wasm_bindgen};

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
extern "C" {
    #[wasm_bindgen(js_name = queueMicrotask)]
    fn queue_microtask(task: &Closure<dyn Fn()>);
}

type Outcome = Result<JsValue, JsValue>;

thread_local! {
    /// The tasks that can go on, in the order in which they were woken.
    static READY: RefCell<VecDeque<Arc<Task>>> = RefCell::default();
    /// Whether they are being run, and whether a microtask will run them.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static SCHEDULED: Cell<bool> = const { Cell::new(false) };
    static MICROTASK: Closure<dyn Fn()> = Closure::new(|| {
        SCHEDULED.set(false);
        run_after(|| ());
    });
    static CALLS: RefCell<BTreeMap<u32, Call>> = RefCell::default();
}

/// What is left of a task, `None` while it runs and when it is done. It is kept by whoever may wake it.
struct Task(SendWrapper<Cell<Option<LocalBoxFuture<'static, ()>>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        READY.with_borrow_mut(|ready| ready.push_back(self));
        if !RUNNING.get() && !SCHEDULED.replace(true) {
            MICROTASK.with(queue_microtask);
        }
    }
}

/// Runs it until it has to wait; it then goes on by itself. For events to call, not for tasks.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    let task = Arc::new(Task(SendWrapper(Cell::new(Some(Box::pin(task))))));
    run_after(|| READY.with_borrow_mut(|ready| ready.push_back(task)));
}

/// Runs every task that is ready after `first`.
fn run_after(first: impl FnOnce()) {
    if RUNNING.replace(true) {
        return first();
    }
    first();
    while let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) {
        // It may have been woken again before it was done.
        if let Some(mut rest) = task.0.take() {
            let waker = Waker::from(task.clone());
            if rest.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                task.0.set(Some(rest));
            }
        }
    }
    RUNNING.set(false);
}

/// A call that somebody waits for.
enum Call {
    UnderWay(Waker),
    Ended(Outcome),
}

/// Waits for the call of this number.
struct Waiting(u32);

impl Future for Waiting {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let under_way = Call::UnderWay(context.waker().clone());
        // What was there is let go only when the calls are not borrowed any more: a waker may be the last to keep a task that
        // waits for another call.
        match CALLS.with_borrow_mut(|calls| calls.insert(self.0, under_way)) {
            Some(Call::Ended(outcome)) => Poll::Ready(outcome),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _given_up = CALLS.with_borrow_mut(|calls| calls.remove(&self.0));
    }
}

/// What a call comes to, as [`settle`] is told: of the number that JavaScript gave it when it began, before it can have ended and
/// not again for four thousand million others. A call that could not begin comes to why.
pub(crate) async fn outcome(begun: Result<u32, JsValue>) -> Outcome {
    Waiting(begun?).await
}

/// Ends a call, and runs what waited for it. A call that nobody knows has ended before or been given up, or is of an instance before this one.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub fn settle(call: u32, value: JsValue, is_done: bool) {
    let outcome = if is_done { Ok(value) } else { Err(value) };
    let waiting = CALLS.with_borrow_mut(|calls| Some(std::mem::replace(calls.get_mut(&call)?, Call::Ended(outcome))));
    if let Some(Call::UnderWay(waker)) = waiting {
        run_after(|| waker.wake());
    }
}
