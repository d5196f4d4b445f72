//! The account: its fields and its validation rules.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::access::role_names;
use souk_core::{Fault, Key, Timestamp, check};
use souk_kit::Failure;

use crate::password;

/// The public profile of an account.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Profile {
    /// The id, `acc_…`.
    #[schema(pattern = "^acc_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique name for URLs.
    pub username: String,
    /// Display name.
    pub name: String,
    /// Biography, plain text.
    pub bio: String,
    /// The URL of the avatar picture.
    #[schema(required = true)]
    pub avatar: Option<String>,
    /// When the account was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// An account as its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Me {
    /// The public profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// Email address; visible only to the owner of the account.
    #[schema(format = "email")]
    pub email: String,
    /// Whether its owner has shown that the address is theirs.
    pub email_verified: bool,
    /// The language of its owner (BCP 47), such as `de-AT`.
    #[schema(required = true)]
    pub locale: Option<String>,
    /// The time zone of its owner (IANA), such as `Europe/Vienna`.
    #[schema(required = true)]
    pub time_zone: Option<String>,
    /// The names of its built-in roles, and the ids of others.
    pub roles: Vec<String>,
    /// The names of the permissions that these give it, beside what is its own.
    pub permissions: Vec<String>,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Version of the document; it increases by one with every change.
    #[schema(minimum = 1)]
    pub version: u64,
}

/// An account in its stored form. The password hash is in a separate document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The public profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// Email address.
    pub email: String,
    /// When its owner showed that the address is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified_at: Option<Timestamp>,
    /// The language of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The time zone of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The names of its built-in roles, and the ids of others.
    #[serde(default, alias = "role", deserialize_with = "role_names")]
    pub roles: Vec<String>,
    /// Whether the account may sign in and act.
    pub active: bool,
    /// How often all of its sessions were ended: those that were opened before do not work.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// When a field last changed.
    pub updated_at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The fields of a new account.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Email address, visible only to the owner of the account. It is mailed a code; once verified it can be signed in by.
    #[garde(custom(check::email))]
    #[serde(default)]
    #[schema(required = true, format = "email", max_length = 254, example = "ada@example.com")]
    pub email: String,
    /// Unique name for URLs: 3 to 30 lower-case letters, digits, `-` and `_`.
    #[garde(custom(is_free_username))]
    #[serde(default)]
    #[schema(required = true, pattern = "^[a-z0-9][a-z0-9_-]{2,29}$", example = "ada")]
    pub username: String,
    /// Password, 8 to 128 characters; not one of those that are tried first everywhere, nor made of the account's own words.
    #[garde(custom(is_passphrase))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 8, max_length = 128)]
    pub password: String,
    /// Display name; the username if absent.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 80)]
    pub name: Option<String>,
    /// Whether to sign in too: the response then has the tokens of a `session`.
    #[garde(skip)]
    #[serde(default)]
    #[schema(default = false)]
    pub sign_in: bool,
}

/// A new password for the account of the principal.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPassword)]
pub struct NewPassword {
    /// The password until now.
    #[garde(custom(check::characters(1, 128)))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 1, max_length = 128)]
    pub current_password: String,
    /// The new password, 8 to 128 characters; not one of those that are tried first everywhere, nor made of the account's own
    /// words.
    #[garde(custom(is_passphrase))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 8, max_length = 128)]
    pub password: String,
}

/// Another address for the account of the principal.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEmail)]
pub struct NewEmail {
    /// The new address.
    #[garde(custom(check::email))]
    #[serde(default)]
    #[schema(
        required = true,
        format = "email",
        max_length = 254,
        example = "ada@lovelace.example"
    )]
    pub email: String,
    /// The password.
    #[garde(custom(check::characters(1, 128)))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 1, max_length = 128)]
    pub current_password: String,
}

/// The fields of an account that its owner may change.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditableAccount {
    /// Unique name for URLs.
    #[garde(custom(is_username))]
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{2,29}$")]
    pub(crate) username: String,
    /// Display name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(deserialize_with = "check::one_line")]
    #[schema(min_length = 1, max_length = 80)]
    pub(crate) name: String,
    /// Biography, plain text.
    #[garde(custom(check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub(crate) bio: String,
    /// The URL of the avatar picture.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub(crate) avatar: Option<String>,
    /// The language of its owner (BCP 47), such as `de-AT`.
    #[garde(inner(custom(is_locale)))]
    #[serde(default)]
    #[schema(pattern = "^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$", max_length = 35, example = "de-AT")]
    pub(crate) locale: Option<String>,
    /// The time zone of its owner (IANA), such as `Europe/Vienna`.
    #[garde(inner(custom(is_time_zone)))]
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_+/-]*$", max_length = 50, example = "Europe/Vienna")]
    pub(crate) time_zone: Option<String>,
}

fn is_locale<C>(text: &str, _: &C) -> garde::Result {
    let mut parts = text.split('-');
    let is_language = parts
        .next()
        .is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic()));
    let is_part = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    match is_language && parts.all(is_part) && text.len() <= 35 {
        true => Ok(()),
        false => Err(Fault::format("must be a language tag (BCP 47), such as de-AT").into()),
    }
}

fn is_time_zone<C>(text: &str, _: &C) -> garde::Result {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    match text.len() <= 50 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_inner) {
        true => Ok(()),
        false => Err(Fault::format("must be a time zone (IANA), such as Europe/Vienna").into()),
    }
}

/// What usernames that could be mistaken for the operator begin with, in the form of [`skeleton`].
const RESERVED_STARTS: [&str; 4] = ["admin", "importer", "moderator", "official"];
/// What they contain.
const RESERVED_PARTS: [&str; 2] = ["administrator", "support"];
/// The words that they have: these also begin people's names.
const RESERVED_WORDS: [&str; 3] = ["souk", "staff", "sysadmin"];

/// The username with characters that look alike replaced by one of them, and without separators.
fn skeleton(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric).map(|c| match c {
        '0' => 'o',
        '1' | 'l' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        c => c,
    });
    let letters: String = letters.collect();
    letters.replace("rn", "m").replace("vv", "w")
}

pub(crate) fn is_reserved(name: &str) -> bool {
    let words = name
        .split(['-', '_'])
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    let is_word = |word: &str| RESERVED_WORDS.iter().any(|known| skeleton(known) == word);
    let has_word = words.map(skeleton).any(|word| is_word(&word));
    let name = skeleton(name);
    has_word
        || is_word(&name)
        || RESERVED_STARTS.iter().any(|start| name.starts_with(&skeleton(start)))
        || RESERVED_PARTS.iter().any(|part| name.contains(&skeleton(part)))
}

/// What is wrong with a username that nobody may have.
pub(crate) fn reserved() -> Fault {
    Fault::taken().because("is reserved")
}

fn is_free_username<C>(name: &str, cx: &C) -> garde::Result {
    if is_reserved(name) {
        return Err(reserved().into());
    }
    is_username(name, cx)
}

fn is_username<C>(name: &str, _: &C) -> garde::Result {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = (3..=30).contains(&name.len())
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || c == '-' || c == '_');
    let rule = "must be 3 to 30 lower-case letters, digits, - and _, and begin with a letter or digit";
    match name.chars().count() {
        _ if valid => Ok(()),
        0 => Err(Fault::required().into()),
        1..3 => Err(Fault::too_short(3).into()),
        31.. => Err(Fault::too_long(30).into()),
        _ => Err(Fault::format(rule).into()),
    }
}

pub(crate) fn is_passphrase<C>(password: &str, _: &C) -> garde::Result {
    Err(match password.chars().count() {
        0 => Fault::required(),
        1..8 => Fault::too_short(8),
        8..=128 => return Ok(()),
        _ => Fault::too_long(128),
    }
    .into())
}

impl Account {
    /// Fails if the password is one that everybody tries first.
    pub(crate) fn may_have(&self, password: &str) -> Result<(), Failure> {
        password::check(password, &[&self.profile.username, &self.email, &self.profile.name])
    }

    /// The account as its owner sees it, at this version and with these permissions.
    pub(crate) fn me(&self, version: u64, permissions: &[&str]) -> Me {
        Me {
            profile: self.profile.clone(),
            email: self.email.clone(),
            email_verified: self.email_verified_at.is_some(),
            locale: self.locale.clone(),
            time_zone: self.time_zone.clone(),
            roles: self.roles.clone(),
            permissions: permissions.iter().map(ToString::to_string).collect(),
            updated_at: self.updated_at,
            version,
        }
    }

    /// The fields that a patch is applied to.
    pub(crate) fn editable(&self) -> EditableAccount {
        EditableAccount {
            username: self.profile.username.clone(),
            name: self.profile.name.clone(),
            bio: self.profile.bio.clone(),
            avatar: self.profile.avatar.clone(),
            locale: self.locale.clone(),
            time_zone: self.time_zone.clone(),
        }
    }
}

/// The key of the claim on an email address. Addresses are compared in lower case.
pub(crate) fn email_key(email: &str) -> Key {
    Key::of("account-email", &check::kept_email(email).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_the_operator_are_reserved() {
        for name in [
            "admin",
            "adm1n-team",
            "a-d-m-i-n",
            "moderat0r",
            "5ouk",
            "souk-help",
            "the_support",
            "supp0rt24",
            "adrnin",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "ada",
            "badminton",
            "moda",
            "sous-chef",
            "lamps",
            "staffan",
            "soukaina",
            "rooty",
            "systema",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
