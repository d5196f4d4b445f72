//! The account: its fields, its rules, and how one comes to be.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::kind::ACCOUNT;
use souk_core::{Change, Commit, Document, Key, Role, Timestamp};
use souk_kit::{Platform, Problem, check};

use crate::password;

/// The public profile of an account.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Profile {
    /// `acc_…`
    #[schema(pattern = "^acc_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique; part of addresses.
    pub username: String,
    /// As people read it.
    pub name: String,
    /// A few lines about them.
    pub bio: String,
    /// A picture of them.
    pub avatar: Option<String>,
    /// When they signed up.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// An account as its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Me {
    /// What everyone sees.
    #[serde(flatten)]
    pub profile: Profile,
    /// Where to reach them; shown to nobody else.
    #[schema(format = "email")]
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// When the account last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many times it was written.
    #[schema(minimum = 1)]
    pub version: u64,
}

/// An account as it is stored. Its password lives in a document of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// What everyone sees.
    #[serde(flatten)]
    pub profile: Profile,
    /// Lower case.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub active: bool,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What it takes to sign up.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Unique; never shown to others.
    #[garde(custom(is_email))]
    #[serde(default)]
    #[schema(required = true, format = "email", max_length = 254, example = "ada@example.com")]
    pub email: String,
    /// Unique; 3 to 30 lower-case letters, digits, `-` and `_`.
    #[garde(custom(is_username))]
    #[serde(default)]
    #[schema(required = true, pattern = "^[a-z0-9][a-z0-9_-]{2,29}$", example = "ada")]
    pub username: String,
    /// 8 to 128 characters.
    #[garde(custom(is_passphrase))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 8, max_length = 128)]
    pub password: String,
    /// As people read it; the username if not given.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    pub name: Option<String>,
}

/// What owners may change of their account.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[schema(as = Account)]
#[serde(deny_unknown_fields)]
pub(crate) struct Writable {
    /// Unique.
    #[garde(custom(is_username))]
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{2,29}$")]
    pub(crate) username: String,
    /// As people read it.
    #[garde(custom(check::line(1, 80)))]
    #[schema(min_length = 1, max_length = 80)]
    pub(crate) name: String,
    /// A few lines about them; plain text.
    #[garde(custom(check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub(crate) bio: String,
    /// The address of a picture.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub(crate) avatar: Option<String>,
}

fn is_email<C>(email: &str, _: &C) -> garde::Result {
    let valid = email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && name.len() <= 64
                && domain.contains('.')
                && !domain.contains('@')
                && domain.split('.').all(|label| !label.is_empty())
        });
    if valid {
        Ok(())
    } else {
        Err(garde::Error::new("must be an email address"))
    }
}

/// Names that would speak for the market.
const RESERVED: [&str; 5] = ["admin", "importer", "moderator", "souk", "system"];

fn is_username<C>(name: &str, _: &C) -> garde::Result {
    if RESERVED.contains(&name) {
        return Err(garde::Error::new("is reserved"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = (3..=30).contains(&name.len())
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || c == '-' || c == '_');
    let rule = "must be 3 to 30 lower-case letters, digits, - and _, and begin with a letter or digit";
    if valid { Ok(()) } else { Err(garde::Error::new(rule)) }
}

fn is_passphrase<C>(password: &str, _: &C) -> garde::Result {
    let valid = (8..=128).contains(&password.chars().count());
    if valid {
        Ok(())
    } else {
        Err(garde::Error::new("must have 8 to 128 characters"))
    }
}

impl Account {
    /// As its owner sees it, at this version.
    pub(crate) fn me(self, version: u64) -> Me {
        Me {
            profile: self.profile,
            email: self.email,
            role: self.role,
            updated_at: self.updated_at,
            version,
        }
    }

    /// What a patch is applied to.
    pub(crate) fn writable(&self) -> Writable {
        Writable {
            username: self.profile.username.clone(),
            name: self.profile.name.clone(),
            bio: self.profile.bio.clone(),
            avatar: self.profile.avatar.clone(),
        }
    }
}

/// Where an email address is claimed. Addresses are compared in lower case.
pub(crate) fn email_key(email: &str) -> Key {
    Key::of("account-email", &email.to_lowercase())
}

/// Finds an account by its email address.
pub async fn by_email(platform: &Platform, email: &str) -> Result<Option<Document>, Problem> {
    #[derive(Deserialize)]
    struct Claim {
        id: String,
    }
    let Some(claim) = get_one(&*platform.documents, email_key(email)).await? else {
        return Ok(None);
    };
    Ok(get_one(&*platform.documents, ACCOUNT.key(&claim.parse::<Claim>()?.id)).await?)
}

/// Which change of a sign-up claims what.
pub(crate) const EMAIL_CLAIM: usize = 0;
pub(crate) const USERNAME_CLAIM: usize = 1;

/// A new account and the changes that make it, the two claims first.
pub(crate) fn prepare(platform: &Platform, new: NewAccount) -> Result<(Account, Vec<Change>), Problem> {
    let now = platform.now();
    let account = Account {
        profile: Profile {
            id: ACCOUNT.new_id(&*platform.clock, &*platform.random),
            name: new
                .name
                .as_deref()
                .map_or_else(|| new.username.clone(), |name| name.trim().to_owned()),
            username: new.username,
            bio: String::new(),
            avatar: None,
            created_at: now,
        },
        email: new.email.to_lowercase(),
        role: Role::Member,
        active: true,
        updated_at: now,
    };
    let id = &account.profile.id;
    let hash = password::hash(platform, &new.password)?;
    let changes = vec![
        Change::claim(email_key(&account.email), id),
        Change::claim(ACCOUNT.name_key(&account.profile.username), id),
        Change::create(ACCOUNT.key(id), body(&account)?, Vec::new()),
        Change::create(
            password::key(id),
            serde_json::json!({ "hash": hash }).to_string(),
            Vec::new(),
        ),
    ];
    Ok((account, changes))
}

pub(crate) fn body(account: &Account) -> Result<String, Problem> {
    serde_json::to_string(account).map_err(|e| Problem::internal(e.to_string()))
}

/// The 409 for a sign-up or a rename that lost.
pub(crate) fn taken(field: &str) -> Problem {
    Problem::conflict("taken", format!("there is an account of this {field}")).field(field, "is taken")
}

/// Signs up an account, for hosts that make one themselves. Validates as the API does.
pub async fn sign_up(platform: &Platform, new: NewAccount) -> Result<Account, Problem> {
    new.validate()
        .map_err(|report| Problem::invalid().field("account", report.to_string()))?;
    let (account, changes) = prepare(platform, new)?;
    platform.documents.commit(Commit::new(changes)).await?;
    Ok(account)
}

/// Gives the account with this email address a role; `Ok(false)` if there is none.
pub async fn grant(platform: &Platform, email: &str, role: Role) -> Result<bool, Problem> {
    let Some(document) = by_email(platform, email).await? else {
        return Ok(false);
    };
    let account = Account {
        role,
        updated_at: platform.now(),
        ..document.parse()?
    };
    let change = Change::replace(document.key, document.version, body(&account)?, &[], Vec::new());
    platform.documents.commit(Commit::new(vec![change])).await?;
    Ok(true)
}
