//! Request bodies, read as JSON.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;
use souk_core::Fault;

use super::Problem;
use crate::{MergePatch, Platform, validated};

/// The request body. The host collects it and stores it in the extensions of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload(pub(crate) Bytes);

/// Extracts a validated JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T> FromRequest<Arc<Platform>> for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Arc<Platform>) -> Result<Self, Problem> {
        Ok(Self(validated(parse(&request)?)?))
    }
}

impl FromRequest<Arc<Platform>> for MergePatch {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Arc<Platform>) -> Result<Self, Problem> {
        match parse(&request)? {
            Value::Object(map) => Ok(Self::new(map)),
            _ => Err(Problem::invalid().field("", Fault::wrong_type("object"))),
        }
    }
}

/// Extracts a body as it was sent.
#[derive(Debug)]
pub struct Raw(pub Bytes);

impl FromRequest<Arc<Platform>> for Raw {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Arc<Platform>) -> Result<Self, Problem> {
        let payload = request.extensions().get::<Payload>().cloned().unwrap_or_default();
        Ok(Self(payload.0))
    }
}

/// Parses the body; 400 unless it is JSON. `serde_json` limits the depth to 128, the route limits the size.
fn parse(request: &Request) -> Result<Value, Problem> {
    let payload = request.extensions().get::<Payload>().cloned().unwrap_or_default();
    if payload.0.is_empty() {
        return Err(Problem::bad_request("this takes a JSON body"));
    }
    serde_json::from_slice(&payload.0).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad_request(format!("the body is not valid JSON (line {line}, column {column})"))
    })
}
