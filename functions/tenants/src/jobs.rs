//! The job that erases a tenant.

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload;
use souk_core::{Message, Tenant};
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, tracked};

use crate::operations;

pub(crate) fn jobs() -> Vec<Job> {
    vec![Job::single("Removes all that an erased market has.", erase)]
}

/// The tenant to erase, and the position of the job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EraseTenant {
    pub(crate) tenant: Tenant,
    pub(crate) after: Option<String>,
}

impl EraseTenant {
    /// When the job begins after the tenant is marked, in milliseconds: what is known of a tenant is read again every three
    /// seconds, and a request takes ten at most.
    pub(crate) const WAIT_MS: i64 = 15_000;
}

impl Payload for EraseTenant {
    const JOB: &'static str = "tenants.erase";
}

async fn erase(tx: JobTransaction, order: EraseTenant, message: Message) -> Result<JobOutput, JobError> {
    let after = operations::erase_part(&tx, &order.tenant, order.after).await?;
    let unfinished = after.is_some();
    if unfinished {
        let next = EraseTenant {
            tenant: order.tenant.clone(),
            after,
        };
        tracked::next(&tx, &message, &next)?;
    }
    Ok(JobOutput {
        result: Some(json!({ "tenant": order.tenant })),
        unfinished,
    })
}
