//! [`WorkerBench`]: Cloudflare Queues, spoken to through a Worker's routes for tests.
//!
//! `POST /__test/queue/{send,backlog}` are the port's methods, as `/__test/documents/*` are those of the store. The platform
//! pushes what it delivers to the Worker's `queue` handler, which acts by the message's script and notes what it saw;
//! `POST /__test/queue/seen` answers with what it noted since the last call. "To die" is there to give one message back
//! without a delay of its own: a handler that ends badly gets its whole batch again, which `functions/hosts/cloudflare/tests` tries.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::queue::{Backlog, QueueError};
use souk_core::{Lane, Message, Queue};

use super::queue::{QueueBench, Seen};

/// The queues of a Worker.
pub struct WorkerBench {
    base_url: String,
    client: reqwest::Client,
}

impl WorkerBench {
    /// Those of the test build at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base_url: base_url.into(),
            client,
        }
    }

    async fn call<T: DeserializeOwned>(&self, name: &str, argument: &(impl Serialize + ?Sized)) -> T {
        let url = format!("{}/__test/queue/{name}", self.base_url.trim_end_matches('/'));
        let request = self.client.post(url).body(serde_json::to_vec(argument).unwrap());
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name} answered {status}: {e}: {text:.500}"))
    }
}

#[async_trait]
impl Queue for WorkerBench {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        self.call("send", messages).await
    }

    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError> {
        self.call("backlog", &lane).await
    }
}

#[async_trait]
impl QueueBench for WorkerBench {
    fn queue(&self) -> &dyn Queue {
        self
    }

    async fn drain(&self, lane: Lane) -> Vec<Seen> {
        self.call("seen", &lane).await
    }
}
