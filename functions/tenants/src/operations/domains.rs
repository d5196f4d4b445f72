//! Host names of tenants.
//!
//! A tenant adds a host name and gets a text, which its owner publishes in a TXT record. Once that is found, the host name leads
//! to the market. Others may add the same host name as long as nobody has proved that it is theirs.

use serde::Deserialize;
use souk_core::outbound::{Call, USUAL_REPLY};
use souk_core::{Key, Query, check};
use souk_kit::tenancy::{DOMAIN, Domain, is_own_host};
use souk_kit::{Context, Failure, Fault, Stored};

use super::tenants::{alive, find_tenant};
use crate::error::TenantError;

/// How many host names a tenant may have.
const MAX_DOMAINS: usize = 20;
/// How long a name server may take, in milliseconds.
const DNS_MS: u32 = 5_000;
/// The number of the type TXT.
const TXT: u32 = 16;

const NO_DOMAIN: Failure = Failure::NotFound("host name");

/// The partition of a tenant's host names.
pub(crate) fn partition(tenant: &str) -> String {
    format!("tenant-domains/{tenant}")
}

fn key(tenant: &str, host: &str) -> Key {
    Key::new(partition(tenant), host)
}

/// The host names of a tenant.
pub async fn list_domains(cx: &Context, name: &str) -> Result<Vec<Domain>, Failure> {
    let tenant = find_tenant(cx, name).await?;
    let page = cx
        .query(&Query::partition(partition(tenant.name.name()), MAX_DOMAINS))
        .await?;
    let read = |item: souk_core::Item| Ok(item.document.parse()?);
    page.items.into_iter().map(read).collect()
}

/// Adds a host name, which leads to the market once it is [verified](verify_domain).
pub async fn add_domain(cx: &Context, name: &str, host: &str) -> Result<Domain, TenantError> {
    let host = &host_name(cx, host)?;
    cx.commit(|tx| async move {
        let tenant = alive(&tx, name).await?;
        if let Some(domain) = tx.read::<Domain>(key(name, host)).await? {
            return Ok(domain.value);
        }
        let others = tx.query(&Query::partition(partition(name), MAX_DOMAINS)).await?;
        if others.items.len() >= MAX_DOMAINS {
            return Err(TenantError::TooManyDomains(MAX_DOMAINS));
        }
        // An erasure at the same time removes all host names.
        tx.require(&tenant.document).or_retry();
        let domain = Domain {
            host: host.clone(),
            tenant: tenant.name.clone(),
            verified: false,
            proof: proof(&tx, name, host),
            created_at: tx.now(),
        };
        Ok(tx.create(key(name, host), domain).or_retry().value)
    })
    .await
}

/// Looks for the TXT record that proves whose the host name is; then it leads to the market within seconds.
pub async fn verify_domain(cx: &Context, name: &str, host: &str) -> Result<Domain, TenantError> {
    let host = &host_name(cx, host)?;
    let domain = cx.read::<Domain>(key(name, host)).await?.ok_or(NO_DOMAIN)?;
    let record = format!("_souk.{host}");
    if !texts(cx, &record).await?.contains(&domain.proof) {
        let value = domain.proof.clone();
        return Err(TenantError::NotProved { record, value });
    }
    cx.commit(|tx| async move {
        let tenant = alive(&tx, name).await?;
        let old: Stored<Domain> = tx.read(key(name, host)).await?.ok_or(NO_DOMAIN)?;
        if old.verified {
            return Ok(old.value);
        }
        let domain = Domain {
            verified: true,
            ..old.value.clone()
        };
        tx.require(&tenant.document).or_retry();
        tx.create(DOMAIN.key(host), domain.clone())
            .or_fail(TenantError::HostTaken);
        Ok(tx.update(&old.document, domain).or_retry().value)
    })
    .await
}

/// Removes a host name: it leads to the market no longer, within seconds, and another one may have it.
pub async fn remove_domain(cx: &Context, name: &str, host: &str) -> Result<(), TenantError> {
    let host = &host_name(cx, host)?;
    cx.commit(|tx| async move {
        let domain = tx.read::<Domain>(key(name, host)).await?.ok_or(NO_DOMAIN)?;
        if domain.verified {
            tx.remove(DOMAIN.key(host));
        }
        tx.delete(&domain.document, Vec::new()).or_retry();
        Ok(())
    })
    .await
}

/// The host as DNS knows it. Those of the deployment itself belong to nobody.
fn host_name(cx: &Context, host: &str) -> Result<String, Failure> {
    let fault = |why: &'static str| Failure::invalid("host", Fault::format(why));
    let host = check::ascii_host(host.trim_end_matches('.')).ok_or_else(|| fault("must be a host name"))?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = host.len() <= 200 && host.split('.').count() > 1 && host.split('.').all(is_label);
    let is_address = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if !is_name || is_address {
        return Err(fault("must be a host name such as shop.example"));
    }
    if is_own_host(&host, &cx.settings.public_url) {
        return Err(fault("must not be that of the deployment itself"));
    }
    let domain = cx.settings.tenant_domain.as_deref().unwrap_or_default();
    match host.strip_suffix(domain) {
        Some(rest) if !domain.is_empty() && (rest.is_empty() || rest.ends_with('.')) => {
            Err(fault("must not be below the domain of this deployment"))
        }
        _ => Ok(host),
    }
}

/// The text that the owner of a host name publishes for a tenant.
fn proof(cx: &Context, tenant: &str, host: &str) -> String {
    let digest = cx.keys.digest(format!("domain\n{tenant}\n{host}").as_bytes());
    format!("souk-verify={digest}")
}

/// The TXT records of a name, by DNS over HTTPS, which every host can ask.
async fn texts(cx: &Context, record: &str) -> Result<Vec<String>, TenantError> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "Answer", default)]
        records: Vec<Record>,
    }
    #[derive(Deserialize)]
    struct Record {
        r#type: u32,
        data: String,
    }
    let call = Call {
        method: "GET".into(),
        url: format!("{}?name={record}&type=TXT", cx.settings.dns_url),
        headers: vec![("accept".into(), "application/dns-json".into())],
        body: String::new(),
        timeout_ms: DNS_MS,
        max_reply: USUAL_REPLY,
    };
    let reply = cx.outbound.call_for("dns", &cx.settings.dns_url, call).await;
    let reply = reply
        .ok()
        .filter(|reply| reply.status == 200)
        .ok_or(TenantError::NoDns)?;
    let found: Found = serde_json::from_slice(&reply.body).map_err(|_| TenantError::NoDns)?;
    let texts = found.records.into_iter().filter(|record| record.r#type == TXT);
    // A text is quoted, and a long one is several.
    Ok(texts
        .map(|record| record.data.replace("\" \"", "").trim_matches('"').to_owned())
        .collect())
}
