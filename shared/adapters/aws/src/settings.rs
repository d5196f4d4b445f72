//! Endpoints and credentials of DynamoDB, SQS, S3 and CloudFront, and the SDK clients made from them.

use std::env;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;

/// How to reach AWS. The Lambda runtime sets all of this in environment variables.
#[derive(Clone)]
pub struct Settings {
    /// The AWS region, such as `eu-central-1`.
    pub region: String,
    /// The endpoint of DynamoDB if it is not the region's own, for an emulator.
    pub dynamodb: Option<String>,
    /// The same for SQS.
    pub sqs: Option<String>,
    /// The same for S3.
    pub s3: Option<String>,
    /// The same for CloudFront.
    pub cloudfront: Option<String>,
    /// The same for SES.
    pub ses: Option<String>,
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token of temporary credentials, which a Lambda always has.
    pub session_token: Option<String>,
    /// The timeout of one attempt of a call, from connecting to the last byte. The SDK's default is none.
    pub timeout: Duration,
    /// All clients share one HTTP client, so its start-up cost is paid once.
    http: SharedHttpClient,
}

/// DynamoDB and SQS usually respond within milliseconds: a slower attempt is lost, and five attempts fit into a
/// Lambda's 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Settings {
    /// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and the optional
    /// `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SQS`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL_CLOUDFRONT`,
    /// `AWS_ENDPOINT_URL_SES` and `AWS_ENDPOINT_URL`.
    pub fn from_env() -> Result<Self, String> {
        let optional = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let required = |name: &str| optional(name).ok_or_else(|| format!("the environment variable {name} is missing"));
        let endpoint = |name: &str| optional(name).or_else(|| optional("AWS_ENDPOINT_URL"));
        Ok(Self {
            region: required("AWS_REGION")?,
            dynamodb: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            sqs: endpoint("AWS_ENDPOINT_URL_SQS"),
            s3: endpoint("AWS_ENDPOINT_URL_S3"),
            cloudfront: endpoint("AWS_ENDPOINT_URL_CLOUDFRONT"),
            ses: endpoint("AWS_ENDPOINT_URL_SES"),
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
            session_token: optional("AWS_SESSION_TOKEN"),
            timeout: TIMEOUT,
            http: http(),
        })
    }

    /// Settings for an emulator at this address, which accepts any credentials.
    pub fn emulator(endpoint: impl Into<String>) -> Self {
        let endpoint = Some(endpoint.into());
        Self {
            region: "us-east-1".into(),
            dynamodb: endpoint.clone(),
            sqs: endpoint.clone(),
            s3: endpoint.clone(),
            cloudfront: endpoint.clone(),
            ses: endpoint,
            access_key_id: "emulator".into(),
            secret_access_key: "emulator".into(),
            session_token: None,
            timeout: TIMEOUT,
            http: http(),
        }
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.common());
        config.set_endpoint_url(self.dynamodb.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::config::Builder::from(&self.common());
        config.set_endpoint_url(self.sqs.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    fn common(&self) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeout / 2)
            .read_timeout(self.timeout)
            .operation_attempt_timeout(self.timeout)
            .operation_timeout(self.timeout)
            .build();
        let credentials = Credentials::new(
            self.access_key_id.clone(),
            self.secret_access_key.clone(),
            self.session_token.clone(),
            None,
            "environment",
        );
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.http.clone())
            .timeout_config(timeouts)
            // `call.rs` retries instead: the SDK does not retry a transaction that conflicted with another.
            .retry_config(RetryConfig::disabled())
            .build()
    }
}

fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
