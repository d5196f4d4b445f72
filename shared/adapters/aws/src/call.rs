//! How calls fail, and which failures are retried.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use souk_core::{Random, StoreError, random};

/// The maximum number of attempts of a call.
pub(crate) const ATTEMPTS: u32 = 5;
/// The longest wait before the second attempt. It doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(25);

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A retry may succeed.
    Passing(String),
    /// The conditions of these items of a transaction did not hold.
    Conditions(Vec<usize>),
    /// A retry cannot succeed.
    Lasting(StoreError),
}

/// Retries `call` until it succeeds or fails for good, with at most [`ATTEMPTS`] attempts.
pub(crate) async fn patiently<T, F>(random: &dyn Random, mut call: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut attempt = 1;
    loop {
        match call().await {
            Err(Failure::Passing(_)) if attempt < ATTEMPTS => pause(random, attempt).await,
            Err(Failure::Passing(why)) => return Err(Failure::Lasting(StoreError::Unavailable(why))),
            other => return other,
        }
        attempt += 1;
    }
}

/// Waits before the next attempt: a random time up to a bound that doubles, so that callers that collided do not
/// collide again.
#[expect(clippy::disallowed_methods, reason = "only Lambda runs this, and its host is tokio")]
pub(crate) async fn pause(random: &dyn Random, attempt: u32) {
    let bound = BACKOFF * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let share = f64::from(u32::from_le_bytes(random::bytes(random))) / f64::from(u32::MAX);
    tokio::time::sleep(bound.mul_f64(share)).await;
}

/// Classifies the failure of a call.
pub(crate) fn failure<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> Failure {
    match &error {
        SdkError::TimeoutError(_) => Failure::Passing("no answer in time".into()),
        SdkError::DispatchFailure(why) => Failure::Passing(match why.as_connector_error() {
            Some(why) => format!("out of reach: {why}"),
            None => "out of reach".into(),
        }),
        SdkError::ResponseError(_) => Failure::Passing("the answer makes no sense".into()),
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("UnknownError");
            let why = describe(code, answer.err().message());
            match code {
                "ValidationException" | "ItemCollectionSizeLimitExceededException" => {
                    Failure::Lasting(StoreError::Refused(why))
                }
                // A fault of the deployment: a retry does not help.
                "ResourceNotFoundException"
                | "AWS.SimpleQueueService.NonExistentQueue"
                | "QueueDoesNotExist"
                | "AccessDeniedException"
                | "AccessDenied"
                | "UnrecognizedClientException"
                | "ExpiredTokenException"
                | "InvalidSignatureException"
                | "MissingAuthenticationTokenException"
                | "IdempotentParameterMismatchException" => Failure::Lasting(StoreError::Unavailable(why)),
                // Throttling under its several names, a transaction in progress, faults of the service.
                _ => Failure::Passing(why),
            }
        }
        _ => Failure::Lasting(StoreError::Unavailable("the request could not be made".into())),
    }
}

/// Classifies the failure of a transaction: DynamoDB gives a reason for each of its items.
pub(crate) fn transaction_failure<R>(error: SdkError<TransactWriteItemsError, R>) -> Failure {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return failure(error);
    };
    let reasons = cancelled.cancellation_reasons();
    let failed: Vec<usize> = reasons
        .iter()
        .enumerate()
        .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(place, _)| place)
        .collect();
    if !failed.is_empty() {
        return Failure::Conditions(failed);
    }
    for reason in reasons {
        let why = describe(reason.code().unwrap_or_default(), reason.message());
        match reason.code() {
            Some("ValidationError" | "ItemCollectionSizeLimitExceeded") => {
                return Failure::Lasting(StoreError::Refused(why));
            }
            None | Some("None") => {}
            // TransactionConflict, ThrottlingError, ProvisionedThroughputExceeded.
            Some(_) => return Failure::Passing(why),
        }
    }
    Failure::Passing("DynamoDB cancelled the transaction".into())
}

fn describe(code: impl Display, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{code}: {message}"),
        None => code.to_string(),
    }
}
