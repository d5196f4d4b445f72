//! Calls without an SDK client: signed with SigV4, over one connector with timeouts. SDK clients for a handful of calls
//! would be more code than all the rest of a Lambda.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use souk_core::{Clock, StoreError};

use crate::Settings;
use crate::call::Failure;

/// Signs requests to one service.
pub(crate) struct Signer {
    service: &'static str,
    region: String,
    identity: Identity,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// A signer for `service`, as signatures name it, such as `s3` or `es`.
    pub(crate) fn new(settings: &Settings, service: &'static str, clock: Arc<dyn Clock>) -> Self {
        let credentials = Credentials::new(
            settings.access_key_id.clone(),
            settings.secret_access_key.clone(),
            settings.session_token.clone(),
            None,
            "environment",
        );
        Self {
            service,
            region: settings.region.clone(),
            identity: credentials.into(),
            clock,
        }
    }

    /// The headers that sign a request. `None` if it cannot be signed because its URL is invalid.
    fn headers(
        &self,
        method: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &Bytes,
    ) -> Option<Vec<(String, String)>> {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let mut signed = SignableBody::Bytes(body);
        if self.service == "s3" {
            // The settings that S3 expects. The body is not hashed: TLS protects it, and hashing would take longer than
            // applying a change.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            signed = SignableBody::UnsignedPayload;
        }
        let since = Duration::from_millis(u64::try_from(self.clock.now().as_millisecond()).ok()?);
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + since)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let signable = SignableRequest::new(method, url, headers.iter().copied(), signed).ok()?;
        let (instructions, _) = sign(signable, &parameters).ok()?.into_parts();
        let headers = instructions.headers();
        Some(
            headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

/// The HTTP client. It keeps connections alive.
pub(crate) struct Wire {
    connect_timeout: Duration,
    connector: OnceLock<SharedHttpConnector>,
}

impl Wire {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            connect_timeout: settings.timeout / 2,
            connector: OnceLock::new(),
        }
    }

    /// Makes one call and returns when the response begins. Without a signer the request is not signed.
    pub(crate) async fn call(
        &self,
        signer: Option<&Signer>,
        method: &'static str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<HttpResponse, Failure> {
        let request = request(signer, method, url, headers, body);
        let request = request.ok_or_else(|| lasting("the request could not be made"))?;
        let connector = self.connector.get_or_init(|| {
            let connector = aws_smithy_http_client::Connector::builder()
                .connector_settings(
                    HttpConnectorSettings::builder()
                        .connect_timeout(self.connect_timeout)
                        .build(),
                )
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build();
            SharedHttpConnector::new(connector)
        });
        match within(timeout, connector.call(request)).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::Passing(format!("out of reach: {error}"))),
        }
    }
}

fn request(
    signer: Option<&Signer>,
    method: &'static str,
    url: &str,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> Option<HttpRequest> {
    let added = match signer {
        Some(signer) => signer.headers(method, url, headers, &body)?,
        None => Vec::new(),
    };
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method).ok()?;
    request.set_uri(url.to_owned()).ok()?;
    let own = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    for (name, value) in own.chain(added) {
        request.headers_mut().try_insert(name, value).ok()?;
    }
    Some(request)
}

/// Fails after `timeout`.
#[expect(clippy::disallowed_methods, reason = "only Lambda runs this, and its host is tokio")]
pub(crate) async fn within<T>(timeout: Duration, call: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(timeout, call)
        .await
        .map_err(|_| Failure::Passing("no answer in time".into()))
}

pub(crate) fn lasting(why: &str) -> Failure {
    Failure::Lasting(StoreError::Unavailable(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use souk_core::Timestamp;

    use super::*;

    struct Then;

    impl Clock for Then {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(1_800_000_000_000).unwrap()
        }
    }

    /// The expected signatures were computed by another program.
    #[test]
    fn requests_are_signed_as_their_service_expects() {
        let mut settings = Settings::emulator("http://127.0.0.1:1");
        settings.region = "eu-central-1".into();
        settings.access_key_id = "AKIDEXAMPLE".into();
        settings.secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into();
        settings.session_token = Some("token".into());
        let signer = Signer::new(&settings, "es", Arc::new(Then));
        let url = "https://search-souk.eu-central-1.es.amazonaws.com/souk-search-%2A/_search?allow_partial_search_results=false";
        let headers = [("content-type", "application/json")];
        let body = Bytes::from_static(b"{\"size\":1}");
        let request = request(Some(&signer), "POST", url, &headers, body).unwrap();
        assert_eq!(
            request.headers().get("authorization").unwrap(),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270115/eu-central-1/es/aws4_request, \
             SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, \
             Signature=0d50d0e2850cb13112ac66df64abd4d13c911c0f516db58e12dae6f99323a82c"
        );
        assert_eq!(request.headers().get("x-amz-security-token"), Some("token"));
        let s3 = Signer::new(&settings, "s3", Arc::new(Then));
        let signed = s3
            .headers("PUT", "https://bucket/index.db", &[], &Bytes::from_static(b"x"))
            .unwrap();
        let hash = signed.iter().find(|(name, _)| name == "x-amz-content-sha256");
        assert_eq!(hash.map(|(_, value)| &**value), Some("UNSIGNED-PAYLOAD"));
    }
}
