//! Operations on follows of accounts and vendors.
//!
//! **Atomicity.** A follow is two documents in one commit: `follows/{follower}` + target, the list of targets of an
//! account, and `followers/{target}` + follower, the list of followers who get publications in their feed. So neither
//! exists without the other. Both lists are read in pages, so the number of follows has no limit.

use souk_core::Kind;
use souk_kit::{Context, Failure, Fault};
use souk_model::community::{ACCOUNT_FOLLOWED, ACCOUNT_UNFOLLOWED, FollowEvent, VENDOR_FOLLOWED, VENDOR_UNFOLLOWED};
use souk_model::identity::{ACCOUNT, AccountView};

use crate::follow::{Follow, follow_key, follower_key};

/// The id of the account or vendor with this id or name.
async fn target(cx: &Context, kind: Kind, id: &str) -> Result<String, Failure> {
    let mut found = cx.resolve(&[(kind, id)]).await?;
    found.pop().flatten().ok_or(Failure::NotFound(kind.name))
}

/// Follows an account or a vendor; does nothing if the principal follows it already.
pub async fn follow(cx: &Context, kind: Kind, id: &str) -> Result<(), Failure> {
    let follower = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        if tx.is_retry() {
            // The only condition is that the follow does not exist.
            return Ok(());
        }
        let none = Failure::NotFound(kind.name);
        let Some(document) = tx.find(kind, id).await? else {
            return Err(none);
        };
        if kind == ACCOUNT && !document.parse::<AccountView>()?.active {
            return Err(none);
        }
        // Use the id of the document, because the client may have sent the name.
        let target = kind.id_of(&document.key).unwrap_or_default();
        if target == follower {
            return Err(Failure::invalid(
                "id",
                Fault::invalid("is your own: nobody follows themselves"),
            ));
        }
        let follow = Follow { since: tx.now() };
        tx.create(follow_key(follower, target), &follow).or_retry();
        tx.create(follower_key(target, follower), &follow).or_retry();
        let name = if kind == ACCOUNT {
            ACCOUNT_FOLLOWED
        } else {
            VENDOR_FOLLOWED
        };
        tx.emit(name, &event(follower, target));
        Ok(())
    })
    .await
}

/// Whether the principal follows an account or a vendor.
pub async fn is_following(cx: &Context, kind: Kind, id: &str) -> Result<bool, Failure> {
    let follower = &cx.signed_in()?.account;
    let target = target(cx, kind, id).await?;
    Ok(cx.get(follow_key(follower, &target)).await?.is_some())
}

/// Unfollows an account or a vendor, if the principal follows it.
pub async fn unfollow(cx: &Context, kind: Kind, id: &str) -> Result<(), Failure> {
    let follower = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let target = target(&tx, kind, id).await?;
        let Some(follow) = tx.get(follow_key(follower, &target)).await? else {
            return Ok(());
        };
        tx.delete(&follow, Vec::new()).or_retry();
        tx.remove(follower_key(&target, follower));
        let name = if kind == ACCOUNT {
            ACCOUNT_UNFOLLOWED
        } else {
            VENDOR_UNFOLLOWED
        };
        tx.emit(name, &event(follower, &target));
        Ok(())
    })
    .await
}

fn event(follower: &str, target: &str) -> FollowEvent {
    FollowEvent {
        follower: follower.to_owned(),
        target: target.to_owned(),
    }
}
