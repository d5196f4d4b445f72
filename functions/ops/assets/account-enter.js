// Signing up and in, and what a mail proves.
//
// A link in a mail never acts by being opened, because mail scanners open links: it leads to a form with a button. The token of
// the link counts only with the nonce, which the browser keeps that asked for the mail; in any other the six digits count.

import { el } from "/docs/dom.js";
import { begin, knownDevice } from "/docs/tokens.js";
import {
  codeField, emailField, field, form, linkButton, links, newPasswordField, passwordField, PLAIN, send, tell,
} from "./account-form.js";

// ---- Challenges ----

const NONCES = "souk.challenges";
const WAITING = "souk.waiting";
const LINK = /^#(verify_email|change_email|reset_password|sign_in)\/([^/]+)\/([^/]+)$/;
/** Tells the other tabs which challenge was answered. */
export const tabs = new BroadcastChannel(NONCES);

function stored(storage, key) {
  try {
    const all = Object.entries(JSON.parse(storage.getItem(key)) ?? {});
    return Object.fromEntries(all.filter(([, { expires_at: until }]) => new Date(until) > new Date()));
  } catch {
    return {};
  }
}

function store(storage, key, change) {
  const all = stored(storage, key);
  change(all);
  try {
    storage.setItem(key, JSON.stringify(all));
  } catch {
    // Without storage the six digits of the mail count all the same.
  }
}

/**
 * Keeps a challenge until it is answered or expires: its nonce for all tabs, so that a link in its mail counts in any of them;
 * what the reader was doing for this tab, so that it goes on after a reload. Phones reload a tab that was left for the mail.
 */
export function remember({ id, nonce, expires_at }, purpose, about) {
  store(localStorage, NONCES, (all) => { all[id] = { nonce, expires_at }; });
  store(sessionStorage, WAITING, (all) => { all[purpose] = { ...about, id, expires_at }; });
}

/** The challenge that this tab waits for the code of, of this account if it is of one. */
export function waiting(purpose, account) {
  const found = stored(sessionStorage, WAITING)[purpose];
  return found?.account === account ? found : undefined;
}

export const giveUp = (purpose) => store(sessionStorage, WAITING, (all) => { delete all[purpose]; });

/** Forgets a challenge that was answered, and tells the other tabs. */
export function settled(id, purpose) {
  store(localStorage, NONCES, (all) => { delete all[id]; });
  dropped(id);
  tabs.postMessage({ id, purpose });
}

/** Forgets that this tab waits for a challenge. Returns whether it did. */
export function dropped(id) {
  const found = Object.entries(stored(sessionStorage, WAITING)).find(([, challenge]) => challenge.id === id);
  if (found) giveUp(found[0]);
  return Boolean(found);
}

/** Takes the link of a mail out of the address, so that it is not kept in the history. */
export function takeLink() {
  const found = location.hash.match(LINK);
  if (!found) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return { purpose: found[1], id: found[2], token: found[3] };
}

// ---- Views ----

const link = (hash, text) => el("a", { href: `/account#${hash}` }, text);
const view = (title, made, about, ...more) => ({ title, focus: made.focus,
  node: el("article", { class: "enter card" }, el("h1", { tabindex: "-1" }, title), about, made.node, more) });

let known = ""; // the name that the reader signs in by, as other forms have learned it

function signIn(done) {
  const made = form({
    label: "Sign in", submit: "Sign in", takesFactor: true,
    fields: [
      field("login", "Username or email", { autocomplete: "username", value: known, ...PLAIN }),
      passwordField("password", "Password", "current-password")],
    async act({ login, ...rest }) {
      const name = { [login.includes("@") ? "email" : "username"]: login };
      begin(await send("POST", "/v1/sessions", { ...name, ...rest, ...knownDevice() }, { anonymous: true }));
      await done("You are signed in.");
    },
  });
  return view("Sign in", made, null, links(link("forgot", "I forgot my password"), link("code", "Sign in with a mailed code"),
    ["No account yet? ", link("sign-up", "Sign up")]));
}

function signUp(done) {
  const made = form({
    label: "Sign up", submit: "Sign up",
    fields: [
      field("username", "Username", { autocomplete: "username", ...PLAIN,
        hint: "3 to 30 lower-case letters, digits, - and _. Everybody sees it." }),
      emailField("Email", { hint: "Only you see it. We mail a code to it." }),
      newPasswordField("Password")],
    async act(values) {
      const { session, email_verification: challenge, ...me } =
        await send("POST", "/v1/accounts", { ...values, sign_in: true }, { anonymous: true });
      if (challenge) remember(challenge, "verify_email", { account: me.id, email: me.email });
      begin(session);
      if (challenge) await done(`Your account is ready. A code is on its way to ${me.email}.`, "email");
      else await done("Your account is ready.");
    },
  });
  return view("Sign up", made, null, links(["You have an account? ", link("sign-in", "Sign in")]));
}

/** Asks for an address, mails a code to it, then asks for the code. */
function byMail({ title, purpose, url, about, submit, fields, takesFactor, act }) {
  return (done, show) => {
    const mailTo = async (email) => remember(await send("POST", url, { email }, { anonymous: true }), purpose, { email });
    const challenge = waiting(purpose);
    if (!challenge) {
      const made = form({
        label: title, submit: "Mail me a code", fields: [emailField("Email", { value: known.includes("@") ? known : "" })],
        async act({ email }) {
          known = email;
          await mailTo(email);
          show(true);
        },
      });
      return view(title, made, el("p", {}, about), links(link("sign-in", "Sign in with a password")));
    }
    const { id, email } = challenge;
    const made = form({ label: title, submit, takesFactor, fields: [codeField(), ...fields()],
      act: (values) => act({ challenge: id, ...values }, done, { id, email }) });
    return view(title, made,
      el("p", {}, "If an account has ", el("strong", {}, email), " as its address, we have mailed a code to it. ",
        "It works for 30 minutes."),
      links(
        linkButton("Mail me another code", async () => {
          try {
            await mailTo(email);
            show(true);
            tell("Another code is on its way. The one before does not count any more here.");
          } catch (error) {
            tell(error.message, true);
          }
        }),
        linkButton("Use another address", () => { giveUp(purpose); show(true); }),
        link("sign-in", "Sign in with a password")));
  };
}

async function signInByMail(values, done, { id }) {
  begin(await send("POST", "/v1/sessions/mailed/confirm", { ...values, ...knownDevice() }, { anonymous: true }));
  settled(id, "sign_in");
  await done("You are signed in.");
}

async function resetPassword(values, done, { id, email }) {
  await send("POST", "/v1/password-resets/confirm", values, { anonymous: true });
  settled(id, "reset_password");
  known = email ?? known;
  await done("Your password is changed. Sign in with the new one.", "sign-in");
}

/** Answers a challenge about an address. Returns whether the address is verified. */
export async function confirmEmail(values, purpose) {
  const { verified } = await send("POST", "/v1/email-confirmations", values, { anonymous: true });
  if (verified) settled(values.challenge, purpose);
  return verified;
}

const OTHER_TOO = "That code is right. Now confirm the mail to the other address too.";

const VIEWS = {
  "sign-in": signIn,
  "sign-up": signUp,
  code: byMail({ title: "Sign in with a mailed code", purpose: "sign_in", url: "/v1/sessions/mailed",
    about: "We mail you a code, and you need no password.", submit: "Sign in", fields: () => [], takesFactor: true,
    act: signInByMail }),
  forgot: byMail({ title: "Set a new password", purpose: "reset_password", url: "/v1/password-resets",
    about: "We mail you a code to set a new password with.", submit: "Set the password",
    fields: () => [newPasswordField("New password")], act: resetPassword }),
};

/** The view of an address while nobody is signed in. `show` draws it again, `done` goes on. */
export const entrance = (hash, done, show) => (VIEWS[hash.slice(1)] ?? signIn)(done, show);

const LINKS = {
  verify_email: { title: "Confirm your email address", about: "Press the button to confirm that this address is yours.",
    submit: "Confirm", again: ["email", "Ask for another mail"], act: confirmByLink },
  change_email: { title: "Change your email address", about: "Press the button to confirm that your account gets another address.",
    submit: "Confirm", again: ["email", "Go to your account"], act: confirmByLink },
  reset_password: { title: "Set a new password", about: "All sessions of your account end when you set it.",
    submit: "Set the password", again: ["forgot", "Ask for another mail"], fields: () => [newPasswordField("New password")],
    act: resetPassword },
  sign_in: { title: "Sign in", about: "Press the button to sign in.", submit: "Sign in", again: ["code", "Ask for another mail"],
    takesFactor: true, act: signInByMail },
};

async function confirmByLink(values, done, { purpose, say }) {
  if (await confirmEmail(values, purpose)) await done("Your email address is confirmed.");
  else say(OTHER_TOO);
}

/** The form that the link of a mail leads to. */
export function linkView({ purpose, id, token }, done) {
  const { title, about, submit, again, fields, takesFactor, act } = LINKS[purpose];
  const nonce = stored(localStorage, NONCES)[id]?.nonce;
  const made = form({ label: title, submit, takesFactor, labels: { code: "The link" },
    fields: [...(nonce ? [] : [codeField()]), ...(fields?.() ?? [])],
    act: (values, say) => act({ challenge: id, ...(nonce && { code: token, nonce }), ...values }, done, { id, purpose, say }) });
  const elsewhere = "This browser did not ask for the mail, so its link does not count here. Enter the six digits of the mail.";
  return view(title, made, el("p", {}, nonce ? about : elsewhere), links(link(...again)));
}
