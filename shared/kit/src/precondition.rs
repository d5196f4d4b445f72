//! `If-Match`: change it only if it is still what the client saw.

use axum::extract::FromRequestParts;
use http::{StatusCode, header, request::Parts};

use crate::Problem;

/// The versions that the client will change, or none if it does not care.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<Vec<u64>>);

impl IfMatch {
    /// Whether the client named a version: then a lost race is its answer, not a reason to try again.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// 412 unless `version` is one of those.
    pub fn check(&self, version: u64) -> Result<(), Problem> {
        match &self.0 {
            Some(versions) if !versions.contains(&version) => Err(Self::failed()),
            _ => Ok(()),
        }
    }

    /// The 412.
    #[must_use]
    pub fn failed() -> Problem {
        let detail = "it has changed since you read it; read it again and decide anew";
        Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let lines = parts.headers.get_all(header::IF_MATCH).into_iter();
        let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or_default().trim()).collect();
        if lines.is_empty() || lines.contains(&"*") {
            return Ok(Self(None));
        }
        // The version is what decides: counts move without it, and must not make an edit fail.
        let versions = lines.iter().flat_map(|line| line.split(',')).filter_map(|tag| {
            let tag = tag.trim().strip_prefix("\"v")?.strip_suffix('"')?;
            tag.split('-').next()?.parse().ok()
        });
        Ok(Self(Some(versions.collect())))
    }
}
