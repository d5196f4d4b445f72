//! How often passwords may be tried.
//!
//! Whoever tries passwords of one account has a few attempts from each network, and a hundred a day from all networks together.
//! So somebody who knows an address could keep its owner out. That is why a device that has signed in before is known by a token
//! (`SessionTokens.device`): its attempts are counted apart from all others.

use futures_util::future::join_all;
use souk_core::id;
use souk_kit::limits::{By, Limit};
use souk_kit::{Context, Failure};

/// New accounts of a network.
pub(crate) const SIGN_UPS: Limit = Limit::strict("sign-ups", 20, 3_600, By::Subject);
/// Password hashes for a network: each takes tens of milliseconds.
pub(crate) const PASSWORDS: Limit = Limit::strict("passwords", 300, 900, By::Subject);
/// Refreshes of sessions, which no account is known for before.
pub(crate) const REFRESHES: Limit = Limit::cheap("refreshes", 1_200, 60, By::Address);

/// Attempts at an account from a network.
const ATTEMPTS: Limit = Limit::strict("sign-in", 10, 900, By::Subject);
/// Attempts at an account in a row, from all unknown devices.
const IN_A_ROW: Limit = Limit::strict("sign-in-account", 100, 86_400, By::Subject);
/// Attempts at an account from a known device.
const KNOWN: Limit = Limit::strict("sign-in-device", 10, 900, By::Subject);

/// Attempts at an account in a row from a known device, so that a lost device cannot be used to guess for a year.
const KNOWN_IN_A_ROW: Limit = Limit::strict("sign-in-device-row", 50, 86_400, By::Subject);

/// Changes of a password from a session.
const CHANGES: Limit = Limit::strict("password-changes", 10, 900, By::Subject);
/// Changes of a password from a session in a row, with a wrong one as the present one.
const CHANGES_IN_A_ROW: Limit = Limit::strict("password-changes-row", 50, 86_400, By::Subject);

/// Second factors of an account. Only a right one ends the window: the password alone must not buy more guesses.
pub(crate) const SECOND_FACTORS: Limit = Limit::strict("second-factor", 20, 3_600, By::Subject);
/// Codes of mails to an address, over all challenges. The links of the mails count apart.
pub(crate) const MAILED_CODES: Limit = Limit::strict("mailed-codes", 50, 86_400, By::Subject);
/// Mails to an email address that clients of one network ask for.
pub(crate) const MAILS: Limit = Limit::strict("mails", 10, 3_600, By::Subject);
/// Mails to an email address, from all networks together.
pub(crate) const MAILS_OF_ADDRESS: Limit = Limit::strict("mails-address", 60, 3_600, By::Subject);
/// Mails that a network asks for.
pub(crate) const MAILS_OF_NETWORK: Limit = Limit::strict("mails-network", 60, 3_600, By::Subject);

/// Those that operations count.
pub(crate) const OF_OPERATIONS: &[&Limit] = &[
    &SIGN_UPS,
    &PASSWORDS,
    &ATTEMPTS,
    &IN_A_ROW,
    &KNOWN,
    &KNOWN_IN_A_ROW,
    &CHANGES,
    &CHANGES_IN_A_ROW,
    &SECOND_FACTORS,
    &MAILED_CODES,
    &MAILS,
    &MAILS_OF_ADDRESS,
    &MAILS_OF_NETWORK,
];

/// How long a device is known, in seconds.
const KNOWN_SECONDS: i64 = 365 * 86_400;
/// How far the clocks of two hosts may differ, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// An attempt to sign in, which was counted.
pub(crate) struct Attempt {
    /// What it was counted by.
    counted: Vec<(&'static Limit, String)>,
    /// The id of the known device.
    device: Option<String>,
}

impl Attempt {
    /// Counts an attempt to sign in to `account`, or to one that does not exist by the name `login`. Fails if there were too many.
    pub(crate) async fn count(
        cx: &Context,
        login: &str,
        account: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, Failure> {
        let device = token.and_then(|token| known_device(cx, account?, token));
        let who = account.unwrap_or(login);
        let counted = match &device {
            Some(device) => vec![
                (&KNOWN, format!("{who}\n{device}")),
                (&KNOWN_IN_A_ROW, format!("{who}\n{device}")),
            ],
            None if cx.network().is_empty() => vec![(&IN_A_ROW, who.to_owned())],
            None => vec![
                (&ATTEMPTS, format!("{who}\n{}", cx.network())),
                (&IN_A_ROW, who.to_owned()),
            ],
        };
        for (limit, subject) in &counted {
            cx.count(limit, subject).await?;
        }
        Ok(Self { counted, device })
    }

    /// Counts a use of the password of an account by one of its sessions, such as to change it. Fails if there were too many.
    pub(crate) async fn count_change(cx: &Context, account: &str, session: &str) -> Result<Self, Failure> {
        let subject = format!("{account}\n{session}");
        let counted = vec![(&CHANGES, subject.clone()), (&CHANGES_IN_A_ROW, subject)];
        for (limit, subject) in &counted {
            cx.count(limit, subject).await?;
        }
        Ok(Self { counted, device: None })
    }

    /// The id of the known device.
    pub(crate) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// The password was right: the next attempt is the first again.
    pub(crate) async fn succeed(&self, cx: &Context) {
        join_all(self.counted.iter().map(|(limit, subject)| cx.uncount(limit, subject))).await;
    }
}

/// Forgets how often somebody has tried to sign in to an account, as its owner has been found.
pub(crate) async fn forget_attempts(cx: &Context, account: &str) {
    cx.uncount(&IN_A_ROW, account).await;
    cx.uncount(&ATTEMPTS, &format!("{account}\n{}", cx.network())).await;
}

/// Counts something that the network of the client does, if the host knows it.
pub(crate) async fn count_network(cx: &Context, limit: &Limit) -> Result<(), Failure> {
    match cx.network() {
        "" => Ok(()),
        network => cx.count(limit, network).await,
    }
}

/// A token by which a device of the account is known: a new one, or the one with this id.
pub(crate) fn device_token(cx: &Context, account: &str, device: Option<&str>) -> Option<String> {
    let device = device.map_or_else(|| id::new("dev", &*cx.clock, &*cx.random), str::to_owned);
    let text = format!("{PURPOSE}\n{account}\n{device}\n{}", cx.now().as_second());
    cx.keys.seal(text.as_bytes(), &*cx.random)
}

/// The id of the device, if this account has signed in on it.
pub(crate) fn known_device(cx: &Context, account: &str, token: &str) -> Option<String> {
    let text = String::from_utf8(cx.keys.open(token)?).ok()?;
    let [PURPOSE, of, device, since] = text.split('\n').collect::<Vec<_>>()[..] else {
        return None;
    };
    let age = cx.now().as_second().saturating_sub(since.parse().ok()?);
    // One from the future is one of a wrong clock; those of hosts differ a little.
    let is_fresh = (-CLOCK_SKEW_SECONDS..KNOWN_SECONDS).contains(&age);
    (of == account && is_fresh).then(|| device.to_owned())
}

/// Distinguishes the token from other encrypted texts.
const PURPOSE: &str = "device";
