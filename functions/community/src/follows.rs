//! Follows of accounts and vendors. Each is two documents in one commit: `follows/{follower}` + target tells what somebody
//! follows, `followers/{target}` + follower tells whom a publication concerns. So there is never one without the other.
//! They may be as many as they will: nothing ever reads all of them at once.

use serde::{Deserialize, Serialize};
use souk_core::access::AccountAccess;
use souk_core::documents::get_one;
use souk_core::fact::{ACCOUNT_FOLLOWED, ACCOUNT_UNFOLLOWED, FollowFact, VENDOR_FOLLOWED, VENDOR_UNFOLLOWED};
use souk_core::kind::{ACCOUNT, resolve};
use souk_core::{Change, Condition, Key, Kind, StoreError, Timestamp};
use souk_kit::{Answer, CommitError, Member, Once, Path, Platform, Problem, State};

use crate::ATTEMPTS;

#[derive(Serialize, Deserialize)]
struct Follow {
    since: Timestamp,
}

/// Whether I follow.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Following {
    /// Whether I do.
    following: bool,
}

/// That `follower` follows `target`, for the follower.
pub(crate) fn follow_key(follower: &str, target: &str) -> Key {
    Key::new(format!("follows/{follower}"), target)
}

/// The partition of those who follow `target`, by their accounts.
pub(crate) fn followers(target: &str) -> String {
    format!("followers/{target}")
}

fn none(kind: Kind) -> Problem {
    Problem::not_found(kind.name)
}

/// The id of what shall be followed.
async fn target(platform: &Platform, kind: Kind, id: &str) -> Result<String, Problem> {
    let mut found = resolve(&*platform.documents, &[(kind, id)]).await?;
    found.pop().flatten().ok_or_else(|| none(kind))
}

pub(crate) async fn add(
    kind: Kind,
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let document = kind.find(&*platform.documents, &id).await?.ok_or_else(|| none(kind))?;
    if kind == ACCOUNT && !document.parse::<AccountAccess>()?.active {
        return Err(none(kind));
    }
    // The id, and not the name that the client sent.
    let target = document.key.pk.split_once('/').map_or("", |(_, id)| id).to_owned();
    let follower = principal.account;
    if target == follower {
        return Err(Problem::invalid().field("id", "is your own: nobody follows themselves"));
    }
    let follow = Follow { since: platform.now() };
    let body = serde_json::to_string(&follow).map_err(|e| Problem::internal(e.to_string()))?;
    let changes = vec![
        Change::create(follow_key(&follower, &target), body.clone(), Vec::new()),
        Change::create(Key::new(followers(&target), &*follower), body, Vec::new()),
    ];
    let name = if kind == ACCOUNT {
        ACCOUNT_FOLLOWED
    } else {
        VENDOR_FOLLOWED
    };
    let events = vec![once.event(name, &FollowFact { follower, target })?];
    match once.commit(changes, events, Answer::no_content()).await {
        // They do already.
        Err(CommitError::Conflict(_)) => Ok(Answer::no_content()),
        result => Ok(result?),
    }
}

pub(crate) async fn show(
    kind: Kind,
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
) -> Result<Answer, Problem> {
    let target = target(&platform, kind, &id).await?;
    let follow = get_one(&*platform.documents, follow_key(&principal.account, &target)).await?;
    Answer::json(&Following {
        following: follow.is_some(),
    })
}

pub(crate) async fn remove(
    kind: Kind,
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let target = target(&platform, kind, &id).await?;
    let follower = principal.account;
    let key = follow_key(&follower, &target);
    let name = if kind == ACCOUNT {
        ACCOUNT_UNFOLLOWED
    } else {
        VENDOR_UNFOLLOWED
    };
    for _ in 0..ATTEMPTS {
        let Some(document) = get_one(&*platform.documents, key.clone()).await? else {
            return Ok(Answer::no_content());
        };
        let delete = |key: Key, condition: Condition| Change::Delete {
            key,
            condition,
            stale: Vec::new(),
        };
        let changes = vec![
            delete(key.clone(), Condition::Version(document.version)),
            delete(Key::new(followers(&target), &*follower), Condition::Exists),
        ];
        let fact = FollowFact {
            follower: follower.clone(),
            target: target.clone(),
        };
        let events = vec![once.event(name, &fact)?];
        match once.commit(changes, events, Answer::no_content()).await {
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}
