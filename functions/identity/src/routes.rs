//! The handlers: parse, call, answer.

use serde::Serialize;
use souk_core::documents::get_one;
use souk_core::kind::ACCOUNT;
use souk_core::{Change, Commit, Document, Role, StoreError};
use souk_kit::{
    Answer, CommitError, IfMatch, Json, Member, MergePatch, Once, Params, Path, Problem, Selection, State, Viewer,
    rename,
};

use crate::account::{self, Account, EMAIL_CLAIM, Me, NewAccount, USERNAME_CLAIM};
use crate::password;
use crate::session::{self, Credentials, Refresh, Refreshed};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;
const PROFILE_FIELDS: &[&str] = &["id", "username", "name", "bio", "avatar", "created_at"];
const ME_FIELDS: &[&str] = &[
    "id",
    "username",
    "name",
    "bio",
    "avatar",
    "created_at",
    "email",
    "role",
    "updated_at",
    "version",
];

/// The public keys.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct JwkSet {
    /// Each a JSON Web Key.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

pub(crate) async fn sign_up(platform: State, once: Once, Json(new): Json<NewAccount>) -> Result<Answer, Problem> {
    let (account, changes) = account::prepare(&platform, new)?;
    let path = format!("/v1/accounts/{}", account.profile.id);
    let answer = Answer::json(&account.me(1))?.version(1).created(path);
    match once.commit(changes, Vec::new(), answer).await {
        Err(CommitError::Conflict(EMAIL_CLAIM)) => Err(account::taken("email")),
        Err(CommitError::Conflict(USERNAME_CLAIM)) => Err(account::taken("username")),
        result => Ok(result?),
    }
}

pub(crate) async fn show(
    platform: State,
    viewer: Viewer,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, PROFILE_FIELDS, &[])?;
    let none = || Problem::not_found("account");
    let document = ACCOUNT.find(&*platform.documents, &id).await?.ok_or_else(none)?;
    let account: Account = document.parse()?;
    if !account.active {
        return Err(none());
    }
    let shown = serde_json::to_vec(&account.profile).map_err(|e| Problem::internal(e.to_string()))?;
    let shown = if selection.is_plain() {
        shown
    } else {
        selection.apply(&shown, |_| ())?
    };
    Ok(viewer.answer(Answer::raw(shown)))
}

pub(crate) async fn sign_in(platform: State, once: Once, Json(sent): Json<Credentials>) -> Result<Answer, Problem> {
    let found = match (&sent.email, &sent.username) {
        (Some(email), _) => account::by_email(&platform, email).await?,
        (_, Some(name)) => ACCOUNT.find(&*platform.documents, name).await?,
        (None, None) => None,
    };
    let account: Option<(Document, Account)> = found.map(|d| d.parse().map(|account| (d, account))).transpose()?;
    let stored = match &account {
        Some((_, account)) => get_one(&*platform.documents, password::key(&account.profile.id)).await?,
        None => None,
    };
    let stored: Option<password::Stored> = stored.map(|document| document.parse()).transpose()?;
    let right = password::verify(
        &platform,
        &sent.password,
        stored.as_ref().map(|stored| stored.hash.as_str()),
    )?;
    let Some((document, account)) = account.filter(|_| right) else {
        tracing::warn!(target: "security", "sign-in refused");
        return Err(Problem::unauthorized("the account or the password is wrong"));
    };
    if !account.active {
        return Err(Problem::forbidden("this account has been deactivated"));
    }
    let (change, answer) = session::open(&platform, &account.profile.id)?;
    let mut changes = vec![change];
    if platform.settings.first_admin.as_deref() == Some(account.email.as_str()) && account.role < Role::Admin {
        let account = Account {
            role: Role::Admin,
            updated_at: platform.now(),
            ..account
        };
        let body = account::body(&account)?;
        changes.push(Change::replace(document.key, document.version, body, &[], Vec::new()));
    }
    Ok(once.commit(changes, Vec::new(), answer).await?)
}

pub(crate) async fn refresh(platform: State, once: Once, Json(sent): Json<Refresh>) -> Result<Answer, Problem> {
    let reused = || Problem::unauthorized("this refresh token was used before: its session has ended, sign in again");
    match session::refresh(&platform, &sent.refresh_token).await? {
        Refreshed::Go(change, answer) => match once.commit(vec![change], Vec::new(), answer).await {
            // Somebody else used it between our read and our write.
            Err(CommitError::Conflict(_)) => Err(reused()),
            result => Ok(result?),
        },
        Refreshed::Reused(change) => {
            platform.documents.commit(Commit::new(vec![change])).await?;
            tracing::warn!(target: "security", "a refresh token was used twice; its session has ended");
            Err(reused())
        }
    }
}

pub(crate) async fn sign_out(platform: State, Member(principal): Member) -> Result<Answer, Problem> {
    let change = session::close(&principal.account, &principal.session);
    platform.documents.commit(Commit::new(vec![change])).await?;
    Ok(Answer::no_content())
}

async fn own(platform: &State, account: &str) -> Result<(Document, Account), Problem> {
    let document = get_one(&*platform.documents, ACCOUNT.key(account)).await?;
    let document = document.ok_or_else(|| Problem::not_found("account"))?;
    let account = document.parse()?;
    Ok((document, account))
}

pub(crate) async fn me(platform: State, Member(principal): Member, params: Params) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, ME_FIELDS, &[])?;
    let (document, account) = own(&platform, &principal.account).await?;
    let me: Me = account.me(document.version);
    let shown = serde_json::to_vec(&me).map_err(|e| Problem::internal(e.to_string()))?;
    let shown = if selection.is_plain() {
        shown
    } else {
        selection.apply(&shown, |_| ())?
    };
    Ok(Answer::raw(shown).version(document.version))
}

pub(crate) async fn edit_me(
    platform: State,
    Member(principal): Member,
    precondition: IfMatch,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    for _ in 0..ATTEMPTS {
        let (document, old) = own(&platform, &principal.account).await?;
        precondition.check(document.version)?;
        let input = patch.apply(&old.writable())?;
        let mut new = Account {
            updated_at: platform.now(),
            ..old.clone()
        };
        new.profile.username = input.username;
        new.profile.name = input.name.trim().to_owned();
        new.profile.bio = input.bio;
        new.profile.avatar = input.avatar;
        let body = account::body(&new)?;
        let mut changes = vec![Change::replace(document.key, document.version, body, &[], Vec::new())];
        changes.extend(rename(
            ACCOUNT,
            &old.profile.username,
            &new.profile.username,
            &principal.account,
        ));
        match platform.documents.commit(Commit::new(changes)).await {
            Ok(()) => {
                let version = document.version + 1;
                return Ok(Answer::json(&new.me(version))?.version(version));
            }
            Err(StoreError::Conflict(0)) if precondition.is_given() => return Err(IfMatch::failed()),
            Err(StoreError::Conflict(0)) => {}
            Err(StoreError::Conflict(_)) => return Err(account::taken("username")),
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn jwks(platform: State, viewer: Viewer) -> Result<Answer, Problem> {
    Ok(viewer.answer(Answer::json(&platform.keys.jwks())?))
}
