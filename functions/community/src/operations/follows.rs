//! Operations on follows of accounts and vendors.
//!
//! **Atomicity.** A follow is two documents in one commit: `follows/{follower}` + target, the list of targets of an
//! account, and `followers/{target}` + follower, the list of followers who get publications in their feed. So neither
//! exists without the other. Both lists are read in pages, so the number of follows has no limit. A job updates the counter
//! of the target from the events.

use serde::{Deserialize, Serialize};
use souk_core::{Document, Kind};
use souk_kit::{Context, Failure, Fault, Stored};
use souk_model::community::{
    ACCOUNT_FOLLOWED, ACCOUNT_UNFOLLOWED, FOLLOWER_COUNT, FollowEvent, VENDOR_FOLLOWED, VENDOR_UNFOLLOWED, follow_key,
};
use souk_model::identity::{ACCOUNT, AccountView};

use crate::follow::{Follow, follower_key, withdrawn_key};
use crate::jobs::FollowCount;
use crate::own_count::OwnCount;

/// Whether the account follows another account or a vendor, and the followers of it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FollowState {
    /// Whether the account follows it.
    pub following: bool,
    /// Number of its followers; it reflects what the account itself has just done.
    pub follower_count: u64,
}

impl FollowState {
    fn new(following: bool, count: &OwnCount) -> Self {
        let follower_count = count.total();
        Self {
            following,
            follower_count,
        }
    }
}

/// An account or a vendor, by its id or name.
struct Target {
    id: String,
    document: Document,
}

impl Target {
    async fn find(cx: &Context, kind: Kind, id: &str) -> Result<Self, Failure> {
        let document = cx.find(kind, id).await?.ok_or(Failure::NotFound(kind.name))?;
        // The client may have sent the name.
        let id = kind.id_of(&document.key).unwrap_or_default().to_owned();
        Ok(Self { id, document })
    }

    /// The follow, if there is one, and the count as the follower sees it.
    async fn read(&self, cx: &Context, follower: &str) -> Result<(Option<Stored<Follow>>, OwnCount), Failure> {
        let keys = [follow_key(follower, &self.id), withdrawn_key(follower, &self.id)];
        OwnCount::read::<Follow, FollowCount>(cx, &keys, &self.document, FOLLOWER_COUNT).await
    }

    fn event(&self, follower: &str) -> FollowEvent {
        FollowEvent {
            follower: follower.to_owned(),
            target: self.id.clone(),
        }
    }
}

/// Follows an account or a vendor, unless the principal does.
pub async fn follow(cx: &Context, kind: Kind, id: &str) -> Result<FollowState, Failure> {
    let follower = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let target = Target::find(&tx, kind, id).await?;
        if kind == ACCOUNT && !target.document.parse::<AccountView>()?.active {
            return Err(Failure::NotFound(kind.name));
        }
        if target.id == *follower {
            return Err(Failure::invalid(
                "id",
                Fault::invalid("is your own: nobody follows themselves"),
            ));
        }
        let (found, mut count) = target.read(&tx, follower).await?;
        let (own_key, follower_key) = (follow_key(follower, &target.id), follower_key(&target.id, follower));
        match found {
            None => {
                let event = if kind == ACCOUNT {
                    ACCOUNT_FOLLOWED
                } else {
                    VENDOR_FOLLOWED
                };
                count.change(tx.emit(event, &target.event(follower)), 1);
                let follow = Follow {
                    since: tx.now(),
                    own_changes: Vec::new(),
                };
                let entries = follow.follower_entries(&target.id, follower);
                tx.create(follower_key, &follow).entries(entries).or_retry();
                let own_changes = count.uncounted.clone();
                let follow = Follow { own_changes, ..follow };
                let entries = follow.entries(follower, &target.id);
                tx.create(own_key, follow).entries(entries).or_retry();
            }
            // It has no index entries yet.
            Some(old) if old.own_changes.is_empty() => {
                let entries = old.entries(follower, &target.id);
                tx.update(&old.document, &old.value).entries(entries).or_retry();
                let entries = old.follower_entries(&target.id, follower);
                tx.put(follower_key, &old.value).entries(entries).always();
            }
            Some(_) => {}
        }
        Ok(FollowState::new(true, &count))
    })
    .await
}

/// Whether the principal follows an account or a vendor.
pub async fn find_follow(cx: &Context, kind: Kind, id: &str) -> Result<FollowState, Failure> {
    let follower = &cx.signed_in()?.account;
    let (follow, count) = Target::find(cx, kind, id).await?.read(cx, follower).await?;
    Ok(FollowState::new(follow.is_some(), &count))
}

/// Unfollows an account or a vendor, if the principal follows it.
pub async fn unfollow(cx: &Context, kind: Kind, id: &str) -> Result<FollowState, Failure> {
    let follower = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let target = Target::find(&tx, kind, id).await?;
        let (follow, mut count) = target.read(&tx, follower).await?;
        if let Some(follow) = follow {
            tx.delete(&follow.document, follow.entries(follower, &target.id))
                .or_retry();
            let entries = follow.follower_entries(&target.id, follower);
            tx.remove_with(follower_key(&target.id, follower), entries);
            let event = if kind == ACCOUNT {
                ACCOUNT_UNFOLLOWED
            } else {
                VENDOR_UNFOLLOWED
            };
            count.change(tx.emit(event, &target.event(follower)), -1);
            count.hold(&tx, withdrawn_key(follower, &target.id));
        }
        Ok(FollowState::new(false, &count))
    })
    .await
}
