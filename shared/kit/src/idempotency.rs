//! `Idempotency-Key`: a POST that is sent again is answered as it was the first time.
//!
//! The answer is kept in the same commit as the effect, so there is no moment at which the effect exists and the record
//! does not, nor the reverse, and no "in progress" that a crash could leave behind. Of two that run at once one commits;
//! the other's commit fails on the record and it answers what the first one did. The key belongs to the account and to
//! the path; the same key with another body is refused with 422. Callers without an account cannot be told apart, so for
//! them another body is another request. Only successes are kept.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use futures_util::future::BoxFuture;
use http::Method;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::event::{Cause, Fact};
use souk_core::{Change, Condition, Event, Key, Message, StoreError, clock};

use crate::body::Payload;
use crate::trace::Parent;
use crate::viewer::Member;
use crate::{Answer, Platform, Problem};

/// How long a repeat is recognised.
const KEEP_SECONDS: i64 = 24 * 3600;

/// The one commit of a request that writes: the change, its events, and for a POST the answer for whoever asks again.
#[derive(Clone)]
pub struct Once {
    platform: Arc<Platform>,
    record: Option<(Key, String)>,
    cause: Cause,
}

/// Why a commit did not happen.
#[derive(Debug)]
pub enum CommitError {
    /// The condition of this change did not hold: read again, decide again.
    Conflict(usize),
    /// Anything else, as the client shall see it.
    Problem(Problem),
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(step) => StoreError::Conflict(step).into(),
            CommitError::Problem(problem) => problem,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

impl Once {
    /// That of the request.
    pub(crate) fn of(parts: &Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        if let Some(once) = parts.extensions.get::<Once>() {
            return Ok(once.clone());
        }
        let member = parts.extensions.get::<Member>();
        let cause = Cause {
            actor: member.map(|member| member.0.account.clone()),
            trace: parts.extensions.get::<Parent>().map(|parent| parent.0.clone()),
        };
        // Every other method may be repeated by nature.
        let header = parts.headers.get("idempotency-key");
        let Some(header) = header.filter(|_| parts.method == Method::POST) else {
            return Ok(Self {
                platform: platform.clone(),
                record: None,
                cause,
            });
        };
        let text = header.to_str().unwrap_or_default().trim().trim_matches('"');
        if !(1..=255).contains(&text.len()) || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(Problem::bad_parameter(
                "Idempotency-Key",
                "must be 1 to 255 printable ASCII characters",
            ));
        }
        let body = parts
            .extensions
            .get::<Payload>()
            .map(|payload| payload.0.clone())
            .unwrap_or_default();
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let fingerprint = platform.keys.digest(&[target.as_bytes(), b"\n", &body].concat());
        let scope = member.map_or(fingerprint.as_str(), |member| member.0.account.as_str());
        let name = platform
            .keys
            .digest(format!("{scope}\n{}\n{text}", parts.uri.path()).as_bytes());
        Ok(Self {
            platform: platform.clone(),
            record: Some((Key::of("idempotency", &name), fingerprint)),
            cause,
        })
    }

    /// The event of type `name` that says `fact`, due to this request.
    pub fn event<F: Fact>(&self, name: &str, fact: &F) -> Result<Event, StoreError> {
        let platform = &self.platform;
        Event::new(name, fact, &self.cause, &*platform.clock, &*platform.random)
    }

    /// Who and what this request is, for messages that it sends.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Commits `changes` with their `events` and keeps `answer` with them; the answer is then the client's, be it this
    /// one or, if a twin of this request was faster, the twin's.
    pub fn commit(
        &self,
        changes: Vec<Change>,
        events: Vec<Event>,
        answer: Answer,
    ) -> BoxFuture<'_, Result<Answer, CommitError>> {
        self.commit_all(changes, events, Vec::new(), answer)
    }

    /// [`commit`](Self::commit), with work that follows. In a box, as what is not in one is compiled anew in each crate
    /// that awaits it.
    pub fn commit_all(
        &self,
        changes: Vec<Change>,
        events: Vec<Event>,
        messages: Vec<Message>,
        answer: Answer,
    ) -> BoxFuture<'_, Result<Answer, CommitError>> {
        Box::pin(self.committed(changes, events, messages, answer))
    }

    async fn committed(
        &self,
        mut changes: Vec<Change>,
        events: Vec<Event>,
        messages: Vec<Message>,
        answer: Answer,
    ) -> Result<Answer, CommitError> {
        let own = changes.len();
        if let Some((key, fingerprint)) = &self.record {
            let body = self.keep(fingerprint, &answer).map_err(CommitError::Problem)?;
            changes.push(Change::Put {
                key: key.clone(),
                body,
                counters: Vec::new(),
                expires_at: Some(clock::after(self.platform.clock.now(), KEEP_SECONDS)),
                condition: Condition::Absent,
                entries: Vec::new(),
                stale: Vec::new(),
            });
        }
        if changes.is_empty() && events.is_empty() && messages.is_empty() {
            return Ok(answer);
        }
        match self.platform.commit(changes, events, messages).await {
            Ok(()) => Ok(answer),
            Err(StoreError::Conflict(step)) => match self.replay().await.map_err(CommitError::Problem)? {
                Some(first) => Ok(first),
                // The record was the obstacle and is gone again: it expired this very moment.
                None if step >= own => Err(CommitError::Problem(Problem::unavailable(
                    "idempotency record vanished",
                ))),
                None => Err(CommitError::Conflict(step)),
            },
            Err(error) => Err(CommitError::Problem(error.into())),
        }
    }

    fn keep(&self, fingerprint: &str, answer: &Answer) -> Result<String, Problem> {
        let failed = |e: serde_json::Error| Problem::internal(e.to_string());
        let mut record = Record {
            fingerprint: fingerprint.to_owned(),
            answer: None,
            sealed: None,
        };
        if answer.secret {
            let plain = serde_json::to_vec(answer).map_err(failed)?;
            record.sealed = self.platform.keys.seal(&plain, &*self.platform.random);
        } else {
            record.answer = Some(answer.clone());
        }
        serde_json::to_string(&record).map_err(failed)
    }

    /// The answer to an earlier request with this key.
    pub(crate) async fn replay(&self) -> Result<Option<Answer>, Problem> {
        let Some((key, fingerprint)) = &self.record else {
            return Ok(None);
        };
        let Some(document) = get_one(&*self.platform.documents, key.clone()).await? else {
            return Ok(None);
        };
        let record: Record = document.parse()?;
        if record.fingerprint != *fingerprint {
            let detail = "this key was used for another request";
            return Err(Problem::invalid().field("Idempotency-Key", detail));
        }
        let sealed = record.sealed.and_then(|sealed| self.platform.keys.open(&sealed));
        let opened = sealed.and_then(|plain| serde_json::from_slice::<Answer>(&plain).ok());
        let Some(mut answer) = record.answer.or(opened) else {
            return Err(Problem::conflict(
                "gone",
                "the first answer can no longer be read; use a new key",
            ));
        };
        answer.replayed = true;
        Ok(Some(answer))
    }
}

impl FromRequestParts<Arc<Platform>> for Once {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        Self::of(parts, platform)
    }
}
