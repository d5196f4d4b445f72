//! Timeouts of calls.

use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;

/// Waits for `call` for at most `limit`; `None` if it takes longer. The call itself may go on.
pub(crate) async fn timeout<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    match select(Box::pin(call), Delay::from(limit)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}
