//! The `Outbound` port for hosts with sockets.

use async_trait::async_trait;
use souk_core::Outbound;
use souk_core::outbound::{Call, OutboundError, Reply};

/// Calls others.
pub struct Client;

impl Client {
    /// A client that may also call these `host:port`s, though private or plain.
    #[must_use]
    pub fn new(_allow: &[String]) -> Self {
        Self
    }
}

#[async_trait]
impl Outbound for Client {
    async fn call(&self, _call: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Refused("not built yet".into()))
    }
}
