//! Where DynamoDB is and who we are to it, and the client made from that.

use std::env;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// How to reach DynamoDB. The Lambda service sets all of it as environment variables.
pub struct Settings {
    /// The AWS region, such as `eu-central-1`.
    pub region: String,
    /// Another address than the region's own, for an emulator.
    pub endpoint: Option<String>,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Comes with temporary credentials, which a Lambda's always are.
    pub session_token: Option<String>,
    /// How long one attempt of a call may take, from connecting to the last byte. The SDK's default is for ever.
    pub timeout: Duration,
}

/// DynamoDB answers in milliseconds: an attempt this late is lost, and five of them fit into a Lambda's 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Settings {
    /// From `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and, if there is one,
    /// `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL`.
    pub fn from_env() -> Result<Self, String> {
        let optional = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let required = |name: &str| optional(name).ok_or_else(|| format!("the environment variable {name} is missing"));
        Ok(Self {
            region: required("AWS_REGION")?,
            endpoint: optional("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| optional("AWS_ENDPOINT_URL")),
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
            session_token: optional("AWS_SESSION_TOKEN"),
            timeout: TIMEOUT,
        })
    }

    /// For an emulator at this address, which takes any credentials.
    pub fn emulator(endpoint: impl Into<String>) -> Self {
        Self {
            region: "us-east-1".into(),
            endpoint: Some(endpoint.into()),
            access_key_id: "emulator".into(),
            secret_access_key: "emulator".into(),
            session_token: None,
            timeout: TIMEOUT,
        }
    }

    pub(crate) fn client(self) -> Client {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeout / 2)
            .read_timeout(self.timeout)
            .operation_attempt_timeout(self.timeout)
            .operation_timeout(self.timeout)
            .build();
        let credentials = Credentials::new(
            self.access_key_id,
            self.secret_access_key,
            self.session_token,
            None,
            "environment",
        );
        let config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region))
            .credentials_provider(credentials)
            .http_client(http)
            .timeout_config(timeouts)
            // Retried here instead (`call.rs`): the SDK doesn't repeat a transaction that met another.
            .retry_config(RetryConfig::disabled());
        let config = match self.endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        Client::from_conf(config.build())
    }
}
