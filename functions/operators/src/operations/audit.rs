//! Reading the audit log, which the kit writes (`souk_kit::operation::audit`).

use serde::Serialize;
use souk_core::documents::MAX_LIMIT;
use souk_core::{Document, Query};
use souk_kit::operation::audit::{RECORDS, Record, Sealed};
use souk_kit::{Context, Failure, Fault, PageRequest, SortedPage};
use souk_model::identity::ACCOUNT;

/// How many pages of the store an export reads at most, and from how many bytes on it reads no other.
const EXPORT_PAGES: usize = 5;
const EXPORT_BYTES: usize = 1 << 20;
/// How long a filter may be.
const MAX_TEXT: usize = 200;

/// Which records to list; one of them at most.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Those of this account, by username or id.
    pub actor: Option<String>,
    /// Those about this document, such as `product/prd_…`.
    pub document: Option<String>,
    /// Those of acts by this permission.
    pub permission: Option<String>,
}

/// A record with its hash.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SealedAuditRecord)]
pub struct ShownRecord {
    /// What was done.
    #[serde(flatten)]
    pub record: Record,
    /// SHA-256 of the hash of the record before, a line break, and this record as it is exported; in hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
}

/// A page of the log, the newest records first.
pub async fn list_audit(
    cx: &Context,
    filter: &AuditFilter,
    page: &PageRequest,
) -> Result<SortedPage<ShownRecord>, Failure> {
    let given = [
        ("actor", &filter.actor),
        ("document", &filter.document),
        ("permission", &filter.permission),
    ];
    let given: Vec<_> = given
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_ref()?)))
        .collect();
    if let [(first, _), (second, _), ..] = *given {
        let fault = Fault::inconsistent(first, "give one of actor, document and permission");
        return Err(Failure::bad_parameter(second, fault));
    }
    if let Some((name, _)) = given.iter().find(|(_, text)| text.len() > MAX_TEXT) {
        return Err(Failure::bad_parameter(*name, Fault::too_long(MAX_TEXT)));
    }
    let index = match filter {
        AuditFilter { actor: Some(actor), .. } => {
            let account = cx
                .resolve_parameters([("actor", ACCOUNT, std::slice::from_ref(actor))])
                .await?;
            let [ids] = account;
            ids.into_iter().next().map(|id| format!("audit-by/{id}"))
        }
        AuditFilter {
            document: Some(document),
            ..
        } => Some(format!("audit-of/{document}")),
        AuditFilter {
            permission: Some(name), ..
        } => Some(format!("audit-with/{name}")),
        _ => None,
    };
    let (query, scope) = match index {
        Some(index) => (Query::index(index.clone(), page.limit), index),
        None => (Query::partition(RECORDS, page.limit), RECORDS.to_owned()),
    };
    let query = Query {
        descending: true,
        ..query
    };
    let found = cx.list(query, page, &scope).await?;
    found.try_map(|document| shown(&document))
}

fn shown(document: &Document) -> Result<ShownRecord, Failure> {
    let Sealed { hash, record } = document.parse()?;
    let record = serde_json::from_str(&record)?;
    Ok(ShownRecord { record, hash })
}

/// Records in their order after the one with this number, one a line, as they were hashed. Empty after the last one.
pub async fn export_audit(cx: &Context, after: u64) -> Result<String, Failure> {
    let mut query = Query {
        after: (after > 0).then(|| Sealed::key(after).sk),
        ..Query::partition(RECORDS, MAX_LIMIT)
    };
    let mut lines = String::new();
    for _ in 0..EXPORT_PAGES {
        let page = cx.query(&query).await?;
        for item in &page.items {
            lines.push_str(&item.document.parse::<Sealed>()?.line());
        }
        query.after = page.next;
        if query.after.is_none() || lines.len() > EXPORT_BYTES {
            break;
        }
    }
    Ok(lines)
}
