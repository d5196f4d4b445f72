//! What mails say.

use souk_core::Timestamp;

use crate::jobs::Deed;

/// A mail without its address.
pub(crate) struct Text {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// A mail of these paragraphs. A link stands alone in its paragraph.
fn mail(subject: String, paragraphs: &[&str]) -> Text {
    let shown = |paragraph: &&str| {
        let escaped = escaped(paragraph);
        match paragraph.starts_with("http") {
            true => format!("<p><a href=\"{escaped}\">{escaped}</a></p>"),
            false => format!("<p>{escaped}</p>"),
        }
    };
    let body: String = paragraphs.iter().map(shown).collect();
    Text {
        text: paragraphs.join("\n\n") + "\n",
        html: format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head><body>{body}</body></html>",
            escaped(&subject)
        ),
        subject,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const NOT_YOU: &str =
    "If you did not ask for this, do nothing: without the code nothing happens. Never tell anybody the code.";
const VALID: &str = "It works once, within 30 minutes.";

/// The code, as it is easier to read.
fn spaced(code: &str) -> String {
    match code.split_at_checked(3) {
        Some((a, b)) => format!("{a} {b}"),
        None => code.to_owned(),
    }
}

fn with_code(what: &str, code: &str, link: &str) -> Text {
    let code = spaced(code);
    let line = format!("Your code to {what} is {code}");
    let first = format!("{line}. {VALID}");
    let open = "Or open this link in the browser in which you asked for it:";
    mail(line, &[&first, open, link, NOT_YOU])
}

/// Verifies an address.
pub(crate) fn verify(username: &str, code: &str, link: &str) -> Text {
    with_code(
        &format!("confirm this email address for the account {username}"),
        code,
        link,
    )
}

/// Confirms, at the former address, that an account gets another one.
pub(crate) fn leave(new: &str, code: &str, link: &str) -> Text {
    with_code(
        &format!("change the email address of your account to {new}"),
        code,
        link,
    )
}

/// Resets a password.
pub(crate) fn reset(code: &str, link: &str) -> Text {
    with_code("set a new password", code, link)
}

/// Signs in.
pub(crate) fn sign_in(code: &str, link: &str) -> Text {
    with_code("sign in", code, link)
}

/// Somebody gave an address that an account has verified already.
pub(crate) fn known(url: &str) -> Text {
    let text = "Somebody, perhaps you, gave this email address for another account. It already belongs to an account, in which you \
                can sign in; if you have forgotten the password, set a new one there.";
    mail("You already have an account".into(), &[text, &format!("{url}/account")])
}

/// What was done in an account.
pub(crate) fn deed(deed: &Deed, at: Timestamp) -> Text {
    let reset = "If this was not you, set a new password by mail at once: this ends all sessions and access tokens.";
    let change = "If this was not you, change your password: this ends all other sessions. Revoke access tokens that you do not know.";
    let (subject, what, else_) = match deed {
        Deed::NewDevice { agent } => {
            let agent = agent.as_deref().unwrap_or("an unknown program");
            let agent: String = agent.chars().take(200).collect();
            let what = format!("Your account was signed in to on a new device at {at}, with: {agent}");
            ("New sign-in to your account", what, change)
        }
        Deed::PasswordChanged => {
            let what = format!("The password of your account was changed at {at}. All other sessions have ended.");
            ("Your password was changed", what, reset)
        }
        Deed::PasswordReset => {
            let what = format!(
                "The password of your account was set anew at {at}, by mail. All sessions and access tokens have ended."
            );
            ("Your password was changed", what, reset)
        }
        Deed::TokenMade => {
            let what = format!(
                "An access token of your account was made, or got another secret, at {at}. A program can use your account with it."
            );
            ("A new access token", what, reset)
        }
        Deed::RecoveryCodesRenewed => {
            let what =
                format!("The recovery codes of your account were replaced at {at}. The former ones count no more.");
            ("Your recovery codes were replaced", what, reset)
        }
        Deed::SecondFactorEnabled => {
            let what = format!("Since {at} signing in to your account asks for a code of an authenticator too.");
            ("Your second factor was turned on", what, reset)
        }
        Deed::SecondFactorDisabled => {
            let what = format!("Since {at} signing in to your account asks for no code of an authenticator any more.");
            ("Your second factor was turned off", what, reset)
        }
    };
    mail(subject.into(), &[&what, else_])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_no_markup() {
        let agent = Some("<b>&\"x".to_owned());
        let mail = deed(&Deed::NewDevice { agent }, Timestamp::UNIX_EPOCH);
        assert!(mail.html.contains("&lt;b&gt;&amp;&quot;x"), "{}", mail.html);
        assert!(mail.text.contains("<b>&\"x"), "{}", mail.text);
        let mail = verify("ada", "012345", "https://souk.example/account#a/b/c");
        assert_eq!(
            mail.subject,
            "Your code to confirm this email address for the account ada is 012 345"
        );
        assert!(
            mail.html.contains("href=\"https://souk.example/account#a/b/c\""),
            "{}",
            mail.html
        );
    }
}
