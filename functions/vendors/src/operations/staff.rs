//! Operations on the staff of vendors.
//!
//! **Atomicity.** All staff of a vendor is one document, so concurrent requests cannot exceed the limit, and it takes one key to
//! learn whether an account may sell for a vendor.

use souk_kit::{Context, Failure, Fault, Stored, Transaction};
use souk_model::identity::{ACCOUNT, active_account};
use souk_model::vendors::{Staff, StaffEntry};

use super::find_vendor;
use crate::error::VendorError;
use crate::permissions::VENDORS_STAFF;
use crate::staff::{AccountNames, MAX_STAFF, StaffMember};
use crate::vendor::Vendor;

const NO_ACCOUNT: Failure = Failure::NotFound("account");

/// The staff of a vendor, in the order in which it was added; for its owner, the staff itself and accounts with
/// the permission `vendors:staff`.
pub async fn list_staff(cx: &Context, vendor: &str) -> Result<Vec<StaffMember>, Failure> {
    let vendor = find_vendor(cx, vendor).await?;
    let staff = read(cx, &vendor.id).await?;
    let members = staff.map(|staff| staff.value.members).unwrap_or_default();
    let is_member = |entry: &StaffEntry| cx.principal().is_some_and(|own| own.account == entry.account);
    if !is_employer(cx, &vendor)? && !members.iter().any(is_member) {
        return Err(Failure::forbidden(
            "only its owner and staff may see the staff of a vendor",
        ));
    }
    let keys: Vec<_> = members.iter().map(|member| ACCOUNT.key(&member.account)).collect();
    let mut shown = Vec::new();
    for (StaffEntry { account, since }, found) in members.into_iter().zip(cx.get_all(&keys).await?) {
        let Some(document) = found else { continue };
        let AccountNames { username, name } = document.parse()?;
        shown.push(StaffMember {
            id: account,
            username,
            name,
            since,
        });
    }
    Ok(shown)
}

/// Adds an account, by username or id, to the staff of a vendor; its owner and accounts with the permission `vendors:staff` may. Does nothing if it is there.
pub async fn add_staff(cx: &Context, vendor: &str, username: &str) -> Result<(), VendorError> {
    cx.commit(|tx| async move {
        let vendor = find_vendor(&tx, vendor).await?;
        if !is_employer(&tx, &vendor)? {
            return Err(Failure::forbidden("only its owner may add staff of a vendor").into());
        }
        let found = tx.find(ACCOUNT, username).await?;
        let account = active_account(found.as_ref())
            .map_err(Failure::from)?
            .ok_or(NO_ACCOUNT)?;
        if account == vendor.owner {
            return Err(Failure::invalid(
                "username",
                Fault::invalid("is the owner, who needs no place among the staff"),
            )
            .into());
        }
        let old = read(&tx, &vendor.id).await?;
        let mut staff = old.as_ref().map(|old| old.value.clone()).unwrap_or_default();
        if staff.has(&account) {
            return Ok(());
        }
        if staff.members.len() >= MAX_STAFF {
            return Err(VendorError::TooManyStaff);
        }
        // The account may become the owner at the same time.
        tx.require(&vendor.document).or_retry();
        let since = tx.now();
        staff.members.push(StaffEntry { account, since });
        let found = old.as_ref().map(|old| &old.document);
        tx.create_or_update(Staff::key(&vendor.id), found, staff).or_retry();
        Ok(())
    })
    .await
}

/// Removes an account, by username or id, from the staff of a vendor; the owner of the vendor, accounts with the permission
/// `vendors:staff` and the account itself may. Does nothing if it is not there.
pub async fn remove_staff(cx: &Context, vendor: &str, username: &str) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        let vendor = find_vendor(&tx, vendor).await?;
        let found = tx.resolve(&[(ACCOUNT, username)]).await?.pop().flatten();
        let account = found.ok_or(NO_ACCOUNT)?;
        if tx.signed_in()?.account != account && !is_employer(&tx, &vendor)? {
            return Err(Failure::forbidden("only its owner may remove other staff of a vendor"));
        }
        remove(&tx, &vendor.id, &[&account]).await
    })
    .await
}

/// Removes accounts from the staff of a vendor, if they are there.
pub(super) async fn remove<E>(tx: &Transaction<E>, vendor: &str, accounts: &[&str]) -> Result<(), Failure> {
    if let Some(Stored { mut value, document }) = read(tx, vendor).await?
        && accounts.iter().any(|account| value.has(account))
    {
        value.members.retain(|member| !accounts.contains(&&*member.account));
        tx.update(&document, value).or_retry();
    }
    Ok(())
}

/// Whether the principal may add and remove staff. Who may change the vendor may not: it gives accounts rights.
fn is_employer(cx: &Context, vendor: &Vendor) -> Result<bool, Failure> {
    Ok(cx.signed_in()?.may_for(&vendor.owner, &VENDORS_STAFF))
}

async fn read(cx: &Context, vendor: &str) -> Result<Option<Stored<Staff>>, Failure> {
    cx.read(Staff::key(vendor)).await
}
