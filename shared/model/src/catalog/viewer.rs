//! What a product is to the account that asks for it.

use serde::{Deserialize, Serialize};
use souk_core::include::Lookup;
use souk_core::{Document, Principal, StoreError};

use super::PRODUCTS_WRITE;
use crate::community::{follow_key, save_key, upvote_key};
use crate::vendors::{seller_keys, sells_for};

/// What a product is to the account that asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ViewerState {
    /// Whether the account has upvoted the product.
    pub upvoted: bool,
    /// Whether the product is on the wishlist of the account.
    pub saved: bool,
    /// Whether the account follows the vendor of the product.
    pub following_vendor: bool,
    /// Whether the account follows the author of the product.
    pub following_author: bool,
    /// Whether the account may change the product: its author, the owner and staff of its vendor, and accounts with the
    /// permission `products:write` may.
    pub may_edit: bool,
}

/// The fields of a product that it depends on.
pub(super) const VIEWER_FIELDS: &[&str] = &["id", "author", "vendor"];

/// The [`ViewerState`] of a product with these [fields](VIEWER_FIELDS).
pub(super) fn viewer_state(principal: &Principal, fields: &[Option<&str>]) -> Result<Lookup, StoreError> {
    let text = |n: usize| {
        let json = fields.get(n).copied().flatten().unwrap_or("null");
        let value = serde_json::from_str::<Option<String>>(json);
        value.map_err(|error| StoreError::Corrupt(format!("a product: {error}")))
    };
    let lacks = || StoreError::Corrupt("a product lacks its id or its author".into());
    let (id, author, vendor) = (text(0)?.ok_or_else(lacks)?, text(1)?.ok_or_else(lacks)?, text(2)?);
    let (me, is_own) = (&principal.account, principal.may_for(&author, &PRODUCTS_WRITE));
    let mut keys = vec![upvote_key(&id, me), save_key(&id, me), follow_key(me, &author)];
    if let Some(vendor) = &vendor {
        keys.push(follow_key(me, vendor));
        if !is_own {
            keys.extend(seller_keys(vendor));
        }
    }
    let principal = principal.clone();
    let make = move |found: &[Option<&Document>]| {
        let at = |n: usize| found.get(n).copied().flatten();
        let state = ViewerState {
            upvoted: at(0).is_some(),
            saved: at(1).is_some(),
            following_author: at(2).is_some(),
            following_vendor: at(3).is_some(),
            may_edit: is_own || sells_for(&principal, at(4), at(5))?,
        };
        serde_json::to_vec(&state).map_err(|error| StoreError::Corrupt(error.to_string()))
    };
    Ok(Lookup {
        keys,
        make: Box::new(make),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use souk_core::Key;
    use souk_core::access::MODERATOR;

    use super::*;
    fn document(key: Key, body: serde_json::Value) -> Document {
        Document {
            key,
            version: 1,
            body: body.to_string(),
            counters: "{}".into(),
            expires_at: None,
        }
    }

    /// The state of a product of `acc_author` and perhaps `vnd_1`, given documents at these keys.
    fn state(account: &str, role: Option<&str>, vendor: Option<&str>, stored: &[Document]) -> ViewerState {
        let principal = Principal {
            roles: role.into_iter().map(str::to_owned).collect(),
            ..Principal::member(account)
        };
        let vendor = json!(vendor).to_string();
        let fields = [Some("\"prd_1\""), Some("\"acc_author\""), Some(vendor.as_str())];
        let Lookup { keys, make } = viewer_state(&principal, &fields).unwrap();
        let found: Vec<_> = keys
            .iter()
            .map(|key| stored.iter().find(|document| document.key == *key))
            .collect();
        serde_json::from_slice(&make(&found).unwrap()).unwrap()
    }

    #[test]
    fn each_field_follows_from_its_own_documents() {
        let [vendor, staff] = seller_keys("vnd_1");
        let vendor = document(vendor, json!({ "owner": "acc_owner", "name": "Shop" }));
        let staff = document(
            staff,
            json!({ "members": [{ "account": "acc_staff", "since": "2026-11-30T12:00:00Z" }] }),
        );
        let all = |me: &str| {
            let mark = |key| document(key, json!({}));
            vec![
                mark(upvote_key("prd_1", me)),
                mark(save_key("prd_1", me)),
                mark(follow_key(me, "acc_author")),
                mark(follow_key(me, "vnd_1")),
                vendor.clone(),
                staff.clone(),
            ]
        };
        let (none, member) = (ViewerState::default(), None);
        assert_eq!(state("acc_1", member, None, &all("acc_2")), none);
        assert_eq!(state("acc_1", member, Some("vnd_1"), &all("acc_2")), none);
        let marked = ViewerState {
            upvoted: true,
            saved: true,
            following_vendor: true,
            following_author: true,
            may_edit: false,
        };
        assert_eq!(state("acc_1", member, Some("vnd_1"), &all("acc_1")), marked);
        for (n, without) in [
            (
                0,
                ViewerState {
                    upvoted: false,
                    ..marked
                },
            ),
            (1, ViewerState { saved: false, ..marked }),
            (
                2,
                ViewerState {
                    following_author: false,
                    ..marked
                },
            ),
            (
                3,
                ViewerState {
                    following_vendor: false,
                    ..marked
                },
            ),
        ] {
            let mut stored = all("acc_1");
            stored.remove(n);
            assert_eq!(state("acc_1", member, Some("vnd_1"), &stored), without);
        }
        for (account, role, vendor, may_edit) in [
            ("acc_author", member, None, true),
            ("acc_author", member, Some("vnd_1"), true),
            ("acc_owner", member, Some("vnd_1"), true),
            ("acc_staff", member, Some("vnd_1"), true),
            ("acc_1", Some(MODERATOR), Some("vnd_1"), true),
            ("acc_owner", member, None, false),
            ("acc_1", member, Some("vnd_1"), false),
        ] {
            let shown = state(account, role, vendor, &all("nobody"));
            assert_eq!(shown.may_edit, may_edit, "{account} {role:?} {vendor:?}");
        }
    }
}
