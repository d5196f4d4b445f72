//! The types of problems, by their codes. The kit lists its own, and each function those that only it has
//! ([`Function::problems`](crate::Function)); together they are the enum of `code` in the OpenAPI document.

use http::StatusCode;

/// A type of problem. Each is declared in a table of [`problem_types!`](crate::problem_types).
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// The code, such as `not_found`. Codes are stable.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What it means, and what a client can do.
    pub about: &'static str,
}

impl ProblemType {
    /// The explanation for clients.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim_ascii()
    }
}

/// Declares types of problems, one per row, and the list `ALL` of them. The doc comments explain them to clients.
#[macro_export]
macro_rules! problem_types {
    ($($(#[doc = $about:literal])+ $name:ident: $status:ident $code:literal;)+) => {
        $(
            $(#[doc = $about])+
            pub const $name: &$crate::http::ProblemType = &$crate::http::ProblemType {
                code: $code,
                status: $crate::http::StatusCode::$status,
                about: concat!($($about),+),
            };
        )+
        /// All of these.
        pub const ALL: &[&$crate::http::ProblemType] = &[$($name),+];
    };
}

problem_types! {
    /// The request is malformed, or parameters or headers are not valid; then `errors` names them.
    BAD_REQUEST: BAD_REQUEST "bad_request";
    /// This takes an access token. Sign in, and send it as `Authorization: Bearer …`.
    TOKEN_MISSING: UNAUTHORIZED "token_missing";
    /// The access token has expired. Refresh the session and repeat the request with the new one.
    TOKEN_EXPIRED: UNAUTHORIZED "token_expired";
    /// The token is not one of this market, or no longer. Refresh the session, else sign in again.
    TOKEN_INVALID: UNAUTHORIZED "token_invalid";
    /// The account or the password is wrong.
    INVALID_CREDENTIALS: UNAUTHORIZED "invalid_credentials";
    /// The session of the token has ended: it was signed out, has expired, or a refresh token of it was used twice. Sign in again.
    SESSION_ENDED: UNAUTHORIZED "session_ended";
    /// You may not do this. If only some fields are meant, `errors` names them.
    FORBIDDEN: FORBIDDEN "forbidden";
    /// The request came with the cookie of a session from another site, or its browser does not say from where.
    CROSS_SITE: FORBIDDEN "cross_site";
    /// This takes a session of somebody who has signed in: it is about the account itself, and not for personal access tokens.
    SESSION_REQUIRED: FORBIDDEN "session_required";
    /// The personal access token may only read.
    READ_ONLY_TOKEN: FORBIDDEN "read_only_token";
    /// A permission of yours lets you do this to what is somebody else's. Say why in the header `Souk-Reason`, for the audit log.
    REASON_MISSING: FORBIDDEN "reason_missing";
    /// There is no such thing, or you may not see it.
    NOT_FOUND: NOT_FOUND "not_found";
    /// There is no market with this name.
    TENANT_NOT_FOUND: NOT_FOUND "tenant_not_found";
    /// The market is suspended. Nothing of it is shown or changed meanwhile.
    TENANT_SUSPENDED: FORBIDDEN "tenant_suspended";
    /// An operator has switched this operation off for now; `detail` may say why.
    ROUTE_DISABLED: SERVICE_UNAVAILABLE "route_disabled";
    /// The plan of the market does not allow more of these; `errors` names the quota.
    QUOTA_USED_UP: TOO_MANY_REQUESTS "quota_used_up";
    /// The path exists, this method does not; `Allow` names those that do.
    METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED "method_not_allowed";
    /// The body did not arrive in time. Repeat the request.
    REQUEST_TIMEOUT: REQUEST_TIMEOUT "request_timeout";
    /// Something else has this value already; `errors` names the field.
    TAKEN: CONFLICT "taken";
    /// The first request with this `Idempotency-Key` succeeded, but its result can no longer be read. Use a new key.
    RESULT_LOST: CONFLICT "result_lost";
    /// It has changed since you read it. Read it again, and decide again.
    PRECONDITION_FAILED: PRECONDITION_FAILED "precondition_failed";
    /// The body is too large.
    BODY_TOO_LARGE: PAYLOAD_TOO_LARGE "body_too_large";
    /// The URL is longer than 4 KB.
    URL_TOO_LONG: URI_TOO_LONG "url_too_long";
    /// The `Content-Type` of the body is not one that is taken here.
    UNSUPPORTED_MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE "unsupported_media_type";
    /// The body has a `Content-Encoding`. Send it uncompressed.
    UNSUPPORTED_CONTENT_ENCODING: UNSUPPORTED_MEDIA_TYPE "unsupported_content_encoding";
    /// Fields are not valid; `errors` names them.
    VALIDATION_FAILED: UNPROCESSABLE_ENTITY "validation_failed";
    /// This `Idempotency-Key` was used for another request. Make a key for each request, and use it for its retries only.
    IDEMPOTENCY_KEY_REUSED: UNPROCESSABLE_ENTITY "idempotency_key_reused";
    /// The headers are larger than 8 KB.
    HEADERS_TOO_LARGE: REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large";
    /// You have done this too often. `violated-policies` names the limits, `RateLimit-Policy` says how often is allowed. Repeat the
    /// request after `Retry-After`.
    RATE_LIMITED: TOO_MANY_REQUESTS "rate_limited";
    /// An error on our side. Quote the `request_id` when you contact support.
    INTERNAL: INTERNAL_SERVER_ERROR "internal";
    /// The operator has to complete the settings.
    NOT_CONFIGURED: INTERNAL_SERVER_ERROR "not_configured";
    /// The server behind this one does not answer. Repeat the request in a moment.
    ORIGIN_UNAVAILABLE: BAD_GATEWAY "origin_unavailable";
    /// A store does not answer. Nothing, or all, of the request is done; repeat it after `Retry-After`.
    UNAVAILABLE: SERVICE_UNAVAILABLE "unavailable";
    /// Others changed the same thing at the same time, again and again. Read it and repeat the request.
    CONTENTION: SERVICE_UNAVAILABLE "contention";
    /// Too much expensive work waits. Repeat the request after `Retry-After`.
    BUSY: SERVICE_UNAVAILABLE "busy";
    /// The request took too long. All of it or nothing is done; repeat it after `Retry-After`.
    TIMED_OUT: SERVICE_UNAVAILABLE "timed_out";
    /// The server has too many requests. Repeat this one after `Retry-After`.
    OVERLOADED: SERVICE_UNAVAILABLE "overloaded";
    /// The server has too many connections. Connect again after `Retry-After`.
    TOO_MANY_CONNECTIONS: SERVICE_UNAVAILABLE "too_many_connections";
}
