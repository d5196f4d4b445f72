//! Deadlines.

use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;

/// What the call comes to, `None` if that takes longer than `limit`; the call is then given up, which need not end it.
pub(crate) async fn in_time<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    match select(Box::pin(call), Delay::from(limit)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}
