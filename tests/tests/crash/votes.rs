//! Voters: each casts and takes back votes of its own, so it knows which stand and how often each changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use fastrand::Rng;
use reqwest::Method;
use serde_json::json;

use crate::host::{ADMIN_NAME, Api};
use crate::id;

const VOTERS: usize = 16;
/// For how many products they vote.
const CANDIDATES: usize = 8;

/// What a voter knows of its vote for one product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// How often it was cast and acknowledged, and how often taken back.
    pub(crate) cast: usize,
    pub(crate) taken_back: usize,
    /// Whether the last change was under way when the server died.
    pub(crate) doubt: bool,
}

impl Known {
    pub(crate) fn stands(self) -> bool {
        self.cast > self.taken_back
    }

    /// As it is after one more change.
    pub(crate) fn changed(self) -> Self {
        let stands = self.stands();
        Self {
            cast: self.cast + usize::from(!stands),
            taken_back: self.taken_back + usize::from(stands),
            doubt: false,
        }
    }
}

/// A voter: its votes are its own.
pub(crate) struct Voter {
    pub(crate) api: Api,
    pub(crate) rng: Rng,
    /// By product.
    pub(crate) votes: BTreeMap<String, Known>,
    pub(crate) acknowledged: usize,
    pub(crate) fault: Option<String>,
}

impl Voter {
    /// Until the server is gone or answers what it should not; not longer than until `end`.
    pub(crate) async fn run(mut self, end: Option<Instant>) -> Self {
        self.acknowledged = 0;
        let products: Vec<String> = self.votes.keys().cloned().collect();
        while end.is_none_or(|end| Instant::now() < end) {
            let product = &products[self.rng.usize(0..products.len())];
            let known = self.votes[product];
            let repeat = self.rng.u8(0..8) == 0;
            let cast = known.stands() == repeat;
            let path = format!("/v1/products/{product}/upvote");
            let method = if cast { Method::PUT } else { Method::DELETE };
            let now = if repeat { known } else { known.changed() };
            let before = Known {
                doubt: !repeat,
                ..known
            };
            self.votes.insert(product.clone(), before);
            let Some(answer) = self.api.send(method, &path, None, None).await else {
                return self;
            };
            if let Err(fault) = answer.expect(200) {
                self.fault = Some(fault);
                return self;
            }
            self.acknowledged += 1;
            self.votes.insert(product.clone(), now);
        }
        self
    }
}

/// Those who vote, and whom they vote for.
pub(crate) async fn electorate(api: &Api, rng: &mut Rng, known: &mut BTreeSet<String>) -> Vec<Voter> {
    let new = json!({ "name": "Candidates" });
    let category = api.sign_in(ADMIN_NAME).await.add("/v1/categories", new).await;
    let author = api.author("candidate".into()).await;
    let mut votes = BTreeMap::new();
    for n in 0..CANDIDATES {
        let product = json!({
            "title": format!("Candidate {n}"), "category": category["id"], "price": { "amount": 1, "currency": "EUR" },
        });
        let product = author.add("/v1/products", product).await;
        let path = format!("/v1/products/{}/publish", id(&product));
        author
            .send(Method::POST, &path, None, None)
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        known.insert(id(&product));
        votes.insert(id(&product), Known::default());
    }
    let mut voters = Vec::new();
    for n in 0..VOTERS {
        voters.push(Voter {
            api: api.author(format!("voter-{n}")).await,
            rng: rng.fork(),
            votes: votes.clone(),
            acknowledged: 0,
            fault: None,
        });
    }
    voters
}
