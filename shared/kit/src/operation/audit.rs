//! The audit log: what staff did by their permissions, in the commit in which they did it.
//!
//! A commit of somebody whom a permission has let do something (`souk_core::access::Used`) has a record: who, by which
//! permissions, why, and each document before and after. Records are numbered without gaps, and each has the hash of the one
//! before in its own. Whoever has kept the last hash therefore notices a record that was changed or removed ([`verify`]).
//!
//! A record names every document that changed. It has no values of personal fields, and of a document that is of no
//! [kind](souk_core::Kind) and that no function lists ([`Function::audited`](crate::Function)) it has no fields at all. So
//! erasing personal data leaves no copy in the log, and breaks no hash.
//!
//! | key | document |
//! | --- | --- |
//! | `audit` + number | a record and its hash |
//! | `audit-head/market` | the number and the hash of the last one |

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use souk_core::access::Use;
use souk_core::{Change, Condition, Entry, Key, Principal, Timestamp};

use super::{Context, Failure};
use crate::registry::Registry;

/// The partition of the records, the first first.
pub const RECORDS: &str = "audit";
/// A field that is longer, as JSON, is recorded by its digest; if a record is longer than another limit, so are shorter fields.
const MAX_FIELD: usize = 20_000;
const MAX_RECORD: usize = 200_000;
const SHORT_FIELD: usize = 500;
/// What only the program itself knows of: results of requests, messages, claims on names, progress.
const TECHNICAL: [&str; 7] = ["idempotency", "outbox", "inbox", "lane-counts", "job", "sku", "rank"];
const CLAIMS: [&str; 3] = ["-named", "-former", "-email"];

/// What the log says of a request.
pub(crate) struct Origin {
    /// The operation id of its row.
    pub(crate) action: &'static str,
    pub(crate) request_id: String,
    /// Why somebody acts for somebody else.
    pub(crate) reason: Option<String>,
}

/// What somebody did by permissions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditRecord)]
pub struct Record {
    /// The number; there are no gaps.
    #[schema(minimum = 1)]
    pub number: u64,
    /// When the change was committed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The id of the account.
    pub actor: String,
    /// The id of its session.
    pub session: String,
    /// A digest of the network that the request came from: the same for the same network, until the signing keys change.
    #[schema(required = true)]
    pub network: Option<String>,
    /// The operation, as the OpenAPI document names it.
    pub action: String,
    /// The names of the permissions that let the account do it.
    pub permissions: Vec<String>,
    /// Why, if it was to something that belongs to somebody else.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// What changed.
    pub changes: Vec<Changed>,
}

/// A document that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditChange)]
pub struct Changed {
    /// The document, such as `order/ord_…`.
    pub document: String,
    /// The account that it belongs to, if it says so.
    #[schema(required = true)]
    pub owner: Option<String>,
    /// The fields that changed, as they were; null if it is new. Of personal and long fields only that they changed.
    #[schema(required = true, value_type = Option<BTreeMap<String, serde_json::Value>>)]
    pub before: Option<Map<String, Value>>,
    /// The same as they are then; null if it was deleted.
    #[schema(required = true, value_type = Option<BTreeMap<String, serde_json::Value>>)]
    pub after: Option<Map<String, Value>>,
}

/// A record as it is stored: its exact text, because the hash is of that.
#[derive(Serialize, Deserialize)]
pub struct Sealed {
    /// SHA-256 of the hash of the record before and this one, in hexadecimal digits.
    pub hash: String,
    /// The [`Record`] as JSON.
    pub record: String,
}

impl Sealed {
    /// The key of the record with this number.
    #[must_use]
    pub fn key(number: u64) -> Key {
        Key::new(RECORDS, format!("{number:012}"))
    }

    /// The record as a line of an export.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{{\"hash\":\"{}\",\"record\":{}}}\n", self.hash, self.record)
    }
}

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last record; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// The key of the head.
    #[must_use]
    pub fn key() -> Key {
        Key::of("audit-head", "market")
    }
}

fn hash(before: &str, record: &str) -> String {
    let digest = Sha256::new()
        .chain_update(before)
        .chain_update("\n")
        .chain_update(record)
        .finalize();
    hex(&digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why an export is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Checks the lines of an export that begins with the first record, or after `from`. Returns its end.
pub fn verify(export: &[u8], from: Head) -> Result<Head, Broken> {
    let mut head = from;
    let mut rest = export;
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let broken = |why| Broken { line, why };
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(broken("it does not end"))?;
        let (text, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| broken("it is no text"))?;
        let parts = text
            .strip_prefix("{\"hash\":\"")
            .and_then(|text| text.split_once("\",\"record\":"));
        let Some((stated, record)) = parts.and_then(|(hash, text)| Some((hash, text.strip_suffix('}')?))) else {
            return Err(broken("it is no record"));
        };
        if stated != hash(&head.hash, record) {
            return Err(broken("it, or one before it, is not what was recorded"));
        }
        let record: Record = serde_json::from_str(record).map_err(|_| broken("it is no record"))?;
        if record.number != head.number.saturating_add(1) {
            return Err(broken("records are missing before it"));
        }
        head = Head {
            number: record.number,
            hash: stated.to_owned(),
        };
    }
    Ok(head)
}

impl Context {
    /// The permissions by which the principal does what it does now.
    pub(crate) fn uses(&self) -> Vec<Use> {
        match (&self.origin, self.principal()) {
            (Some(_), Some(principal)) => principal.used.all(),
            _ => Vec::new(),
        }
    }

    /// The changes that add the record of these changes to the log; none if they took no permission. `before` has the bodies of
    /// the documents that are changed.
    pub(crate) async fn audit(&self, changes: &[Change], before: &[(Key, String)]) -> Result<Vec<Change>, Failure> {
        let (uses, Some(origin), Some(principal)) = (self.uses(), &self.origin, self.principal()) else {
            return Ok(Vec::new());
        };
        if uses.is_empty() || changes.is_empty() {
            return Ok(Vec::new());
        }
        if uses.iter().any(|used| used.is_for_other) && origin.reason.is_none() {
            return Err(Failure::ReasonMissing);
        }
        let found = self.strong().get(Head::key()).await?;
        let head: Head = match &found {
            Some(document) => document.parse()?,
            None => Head::default(),
        };
        let number = head.number.saturating_add(1);
        let with = |max| {
            let changes = changes_of(&self.registry, changes, before, max);
            self.record_of(&uses, origin, principal, number, changes)
        };
        let mut record = with(MAX_FIELD);
        let mut text = serde_json::to_string(&record)?;
        if text.len() > MAX_RECORD {
            record = with(SHORT_FIELD);
            text = serde_json::to_string(&record)?;
        }
        let next = Head {
            number: record.number,
            hash: hash(&head.hash, &text),
        };
        let sealed = Sealed {
            hash: next.hash.clone(),
            record: text,
        };
        let place = format!("{:012}", record.number);
        let by = std::iter::once(format!("audit-by/{}", record.actor));
        let of = record
            .changes
            .iter()
            .map(|change| format!("audit-of/{}", change.document));
        let with = record.permissions.iter().map(|name| format!("audit-with/{name}"));
        let put = |key, body, condition, entries| Change::Put {
            key,
            body,
            counters: Vec::new(),
            expires_at: None,
            condition,
            entries,
            stale: Vec::new(),
        };
        let entries = by
            .chain(of)
            .chain(with)
            .map(|index| Entry::new(index, place.clone()))
            .collect();
        let condition = match &found {
            Some(document) => Condition::Version(document.version),
            None => Condition::Absent,
        };
        Ok(vec![
            put(Head::key(), serde_json::to_string(&next)?, condition, Vec::new()),
            put(
                Sealed::key(record.number),
                serde_json::to_string(&sealed)?,
                Condition::Absent,
                entries,
            ),
        ])
    }

    fn record_of(
        &self,
        uses: &[Use],
        origin: &Origin,
        principal: &Principal,
        number: u64,
        changes: Vec<Changed>,
    ) -> Record {
        let mut permissions: Vec<String> = uses.iter().map(|used| used.permission.name.to_owned()).collect();
        permissions.sort_unstable();
        permissions.dedup();
        let network = Some(self.network()).filter(|network| !network.is_empty());
        Record {
            number,
            at: self.now(),
            actor: principal.account.clone(),
            session: principal.session.clone(),
            network: network.map(|network| self.keys.digest(format!("network\n{network}").as_bytes())),
            action: origin.action.to_owned(),
            permissions,
            reason: origin.reason.clone(),
            request_id: origin.request_id.clone(),
            changes,
        }
    }
}

/// What changed, with fields of at most so many bytes.
fn changes_of(registry: &Registry, changes: &[Change], before: &[(Key, String)], max: usize) -> Vec<Changed> {
    let changed = changes.iter().filter_map(|change| {
        let (key, after) = match change {
            Change::Put { key, body, .. } => (key, Some(body.as_str())),
            Change::Delete { key, .. } => (key, None),
            Change::Require { .. } | Change::Add { .. } => return None,
        };
        let before = before.iter().find(|(of, _)| of == key).map(|(_, body)| body.as_str());
        changed(registry, key, before, after, max)
    });
    changed.collect()
}

/// What changed of a document, if it is one that people know.
fn changed(registry: &Registry, key: &Key, before: Option<&str>, after: Option<&str>, max: usize) -> Option<Changed> {
    let (name, _) = key.pk.split_once('/').unwrap_or((&key.pk, ""));
    if TECHNICAL.contains(&name) || CLAIMS.iter().any(|end| name.ends_with(end)) {
        return None;
    }
    let document = match key.sk.as_str() {
        "" => key.pk.clone(),
        sort => format!("{}/{sort}", key.pk),
    };
    let kind = registry.kinds.iter().find(|kind| kind.name == name);
    if kind.is_none() && !registry.audited.contains(&name) {
        return Some(Changed {
            document,
            owner: None,
            before: None,
            after: None,
        });
    }
    let personal = kind.map_or(&[][..], |kind| kind.personal_fields);
    let fields = |body: &str| serde_json::from_str::<Map<String, Value>>(body).unwrap_or_default();
    let (old, new) = (before.map(fields), after.map(fields));
    let owner = [&new, &old].into_iter().flatten().find_map(|fields| {
        let owner = fields.get("owner").or_else(|| fields.get("author"))?;
        owner.as_str().map(str::to_owned)
    });
    let differs = |name: &str| {
        let of = |fields: &Option<Map<String, Value>>| fields.as_ref().and_then(|fields| fields.get(name).cloned());
        of(&old) != of(&new)
    };
    let shown = |fields: &Option<Map<String, Value>>| {
        let fields = fields.as_ref()?;
        let shown = fields.iter().filter(|(name, _)| differs(name)).map(|(name, value)| {
            let is_long = || value.to_string().len() > max;
            let value = match value {
                _ if personal.contains(&name.as_str()) => Value::from("(personal)"),
                value if is_long() => Value::from(format!(
                    "(SHA-256 of the JSON: {})",
                    hex(&Sha256::digest(value.to_string()))
                )),
                value => value.clone(),
            };
            (name.clone(), value)
        });
        Some(shown.collect())
    };
    Some(Changed {
        document,
        owner,
        before: shown(&old),
        after: shown(&new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An export of so many records.
    fn export(count: u64) -> (String, Head) {
        let (mut text, mut head) = (String::new(), Head::default());
        for number in 1..=count {
            let record = Record {
                number,
                at: Timestamp::from_second(1_800_000_000).unwrap(),
                actor: "acc_1".into(),
                session: "ses_1".into(),
                network: Some("n".into()),
                action: "updateProduct".into(),
                permissions: vec!["products:write".into()],
                reason: Some("spam \"here\"\n".into()),
                request_id: format!("req_{number}"),
                changes: vec![Changed {
                    document: "product/prd_1".into(),
                    owner: None,
                    before: None,
                    after: Some(Map::from_iter([("title".to_owned(), Value::from("ünï"))])),
                }],
            };
            let record = serde_json::to_string(&record).unwrap();
            let hash = hash(&head.hash, &record);
            text += &Sealed {
                hash: hash.clone(),
                record,
            }
            .line();
            head = Head { number, hash };
        }
        (text, head)
    }

    #[test]
    fn every_edit_of_an_export_is_noticed() {
        let (text, head) = export(20);
        assert_eq!(verify(text.as_bytes(), Head::default()), Ok(head.clone()));
        let bytes = text.as_bytes();
        let mut edits = 0;
        let mut state = 7_u64;
        while edits < 10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % bytes.len();
            let mut edited = bytes.to_vec();
            let byte = u8::try_from(state >> 8 & 0xFF).unwrap();
            if edited[at] == byte {
                continue;
            }
            edited[at] = byte;
            edits += 1;
            assert!(verify(&edited, Head::default()).is_err(), "byte {at} as {byte}");
        }
        // A byte more or less.
        for at in (0..bytes.len()).step_by(7) {
            let (mut more, mut less) = (bytes.to_vec(), bytes.to_vec());
            more.insert(at, b'0');
            less.remove(at);
            assert!(
                verify(&more, Head::default()).is_err() && verify(&less, Head::default()).is_err(),
                "{at}"
            );
        }
    }

    #[test]
    fn records_cannot_be_removed_moved_or_doubled() {
        let (text, head) = export(5);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let of = |order: &[usize]| {
            verify(
                order.iter().map(|n| lines[*n]).collect::<String>().as_bytes(),
                Head::default(),
            )
        };
        for order in [
            &[1, 2, 3, 4][..],
            &[0, 1, 3, 4],
            &[0, 2, 1, 3, 4],
            &[0, 1, 1, 2, 3, 4],
            &[4],
        ] {
            assert!(of(order).is_err(), "{order:?}");
        }
        // Only what is known of the end tells that records are missing there.
        let start = of(&[0, 1, 2]).unwrap();
        assert_eq!(start.number, 3);
        assert_eq!(verify((lines[3].to_owned() + lines[4]).as_bytes(), start), Ok(head));
    }

    #[test]
    fn what_is_personal_is_not_recorded() {
        let kind = souk_core::Kind {
            personal_fields: &["email"],
            ..souk_core::Kind::new("account", "acc")
        };
        let registry = Registry {
            kinds: vec![kind],
            audited: vec!["settings"],
            ..Registry::default()
        };
        let key = Key::of("account", "acc_1");
        let long = "x".repeat(MAX_FIELD);
        let after =
            format!(r#"{{"email":"new@example.com","roles":["support"],"same":1,"long":"{long}","owner":"acc_2"}}"#);
        let before = r#"{"email":"old@example.com","roles":[],"same":1,"owner":"acc_2"}"#;
        let shown = changed(&registry, &key, Some(before), Some(&after), MAX_FIELD).unwrap();
        let text = serde_json::to_string(&shown).unwrap();
        assert!(
            !text.contains("example.com") && !text.contains(&long) && !text.contains("same"),
            "{text}"
        );
        assert_eq!(shown.before.as_ref().unwrap()["email"], "(personal)");
        assert_eq!(shown.after.as_ref().unwrap()["roles"], serde_json::json!(["support"]));
        assert_eq!(
            (shown.document.as_str(), shown.owner.as_deref()),
            ("account/acc_1", Some("acc_2"))
        );
        assert_eq!(
            changed(
                &registry,
                &Key::of("account-email", "a@example.com"),
                None,
                Some("{}"),
                MAX_FIELD
            ),
            None
        );
        // Of what is secret or of no kind, only that it changed.
        let secret = changed(
            &registry,
            &Key::of("password", "acc_1"),
            Some(r#"{"hash":"x"}"#),
            Some("{}"),
            MAX_FIELD,
        );
        let secret = secret.unwrap();
        assert_eq!(
            (&*secret.document, secret.before, secret.after),
            ("password/acc_1", None, None)
        );
        let deleted = changed(&registry, &Key::of("settings", "search"), Some(r#"{"a":1}"#), None, 10).unwrap();
        assert_eq!(
            (deleted.after, deleted.before.unwrap()["a"].clone()),
            (None, Value::from(1))
        );
    }
}
