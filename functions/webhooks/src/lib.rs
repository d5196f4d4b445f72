//! Webhooks (PS-20).

use souk_http::Function;
use souk_http::work::Subscription;

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[];

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    Function::new("webhooks", "Events, delivered to other systems.", Vec::new())
}
