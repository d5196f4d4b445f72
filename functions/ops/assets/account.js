// The account page: the entrance while nobody is signed in, then the parts of the account.

import { $, el, span } from "/docs/dom.js";
import { account, call, forget, named, watch } from "/docs/tokens.js";
import { confirmEmail, dropped, entrance, giveUp, linkView, remember, tabs, takeLink, waiting } from "./account-enter.js";
import {
  actionButton, closeDialogs, codeField, emailField, field, form, opener, ownerOfPassword, passwordField, PLAIN, section, send, tell,
} from "./account-form.js";
import { passkeys, password, secondFactor, sessions, tokens } from "./account-security.js";

let me = null; // the account as its owner sees it
let parts = []; // what is on screen of it
let isLink = false; // whether the form of a mailed link is on screen

// ---- Profile ----

const ZONES = Intl.supportedValuesOf?.("timeZone") ?? [];

const profile = () => section("profile", "Profile", () => {
  const text = (name, label, rest) => field(name, label, { value: me[name] ?? "", ...rest });
  const rest = { optional: true, autocomplete: "off", ...PLAIN };
  const locale = text("locale", "Language", { ...rest, hint: "A language tag, such as de-AT." });
  const zone = text("time_zone", "Time zone", { ...rest, list: "zones", hint: "Such as Europe/Vienna." });
  return [
    el("datalist", { id: "zones" }, ZONES.map((value) => el("option", { value }))),
    form({
      label: "Profile", submit: "Save", kind: "",
      fields: [
        text("name", "Name", { autocomplete: "name", hint: "Everybody sees your name and the text about you." }),
        text("bio", "About you", { tag: "textarea", rows: "4", optional: true }),
        locale, zone],
      after: el("button", { type: "button", onclick: () => {
        locale.input.value = navigator.language;
        zone.input.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
      } }, "Use those of this device"),
      async act(values) {
        const wanted = { ...values, locale: values.locale || null, time_zone: values.time_zone || null };
        const changed = Object.entries(wanted).filter(([name, value]) => value !== me[name]);
        if (changed.length) me = await send("PATCH", "/v1/me", Object.fromEntries(changed));
        tell("Your profile is saved.");
      },
    }).node];
});

// ---- Email ----

const isVerified = () => span(`access ${me.email_verified ? "public" : ""}`, me.email_verified ? "verified" : "not verified");

/** The form for the code of a mail, if one is on its way. */
function mailedCode(part, purpose, about, ...buttons) {
  const challenge = waiting(purpose, me.id);
  const made = codeField();
  return challenge && form({
    label: "Confirm the email address", submit: "Confirm", fields: [made], intro: el("p", {}, about(challenge)),
    after: buttons,
    async act({ code }, say) {
      if (await confirmEmail({ challenge: challenge.id, code }, purpose)) {
        await refreshMe();
        await part.back();
        tell(`${me.email} is your address now.`);
        return;
      }
      say("That code is right. Now enter the code of the mail to the other address.");
      made.input.value = "";
      made.input.focus();
    },
  }).node;
}

const email = () => {
  const part = section("email", "Email", () => [
    el("p", { class: "long" }, el("strong", {}, me.email), " ", isVerified()),
    !me.email_verified && verification(),
    change()]);

  const mailCode = async () => {
    remember(await send("POST", "/v1/me/email/verification"), "verify_email", { account: me.id, email: me.email });
    await part.reload();
    part.node.querySelector("input").focus();
    tell(`A code is on its way to ${me.email}.`);
  };

  const verification = () => mailedCode(part, "verify_email",
    ({ email: to }) => ["We have mailed a code to ", el("strong", {}, to), ". Enter it here, or open the link of the mail in this ",
      "browser."],
    actionButton("Mail me another code", mailCode)) ?? [
    el("p", { class: "muted" }, "Once your address is verified you can sign in by it, and set a new password if you forget ",
      "yours."),
    actionButton("Mail me a code", mailCode)];

  const change = () => mailedCode(part, "change_email",
    ({ email: to, isOfTwo }) => ["We have mailed a code to ", el("strong", {}, to),
      isOfTwo ? [", and another one to ", el("strong", {}, me.email), ". Enter one, then the other."] : ". Enter it here."],
    el("button", { type: "button", onclick: () => { giveUp("change_email"); part.back(); } },
      "Keep the present address")) ??
    opener("Change the address", (close) => form({
      label: "Change the email address", submit: "Mail me the codes", cancel: close,
      fields: [
        emailField("New address"),
        ownerOfPassword(me.username),
        passwordField("current_password", "Password", "current-password")],
      async act(values) {
        const challenge = await send("PUT", "/v1/me/email", values);
        remember(challenge, "change_email", { account: me.id, email: values.email, isOfTwo: me.email_verified });
        await part.reload();
        part.node.querySelector(`form[aria-label="Confirm the email address"]:last-of-type input`).focus();
      },
    }));

  return part;
};

// ---- The page ----

const focusMain = () => ($("main").querySelector("h1") ?? $("main")).focus();

function draw(title, node) {
  document.title = `${title} · Souk`;
  $("main").replaceChildren(node);
  $("main").removeAttribute("data-loading");
  renderWho();
}

function renderWho() {
  const session = account();
  const signOut = async () => {
    await call("DELETE", "/v1/sessions/current").catch(() => null);
    forget();
    focusMain();
    tell("You are signed out.");
  };
  $("who").replaceChildren(...session ? [
    el("span", { class: "avatar", "aria-hidden": "true" }, session.name.slice(0, 1).toUpperCase()),
    span("who", session.name), actionButton("Sign out", signOut)] : []);
}

/** Shows what the address names, and focuses on it if the reader came here from another view. */
async function show(isMoved) {
  if (account()) await showAccount(isMoved);
  else {
    me = null;
    const { title, node, focus } = entrance(location.hash, done, show);
    draw(title, node);
    if (isMoved) focus();
  }
}

/** Goes on after signing in, or to another view. */
async function done(text, hash) {
  isLink = false;
  history.replaceState(null, "", `/account${hash ? `#${hash}` : ""}`);
  await show(true);
  tell(text);
}

async function refreshMe() {
  me = await send("GET", "/v1/me");
  named(me);
}

async function showAccount(isMoved) {
  try {
    await refreshMe();
  } catch (error) {
    if (!account()) return; // `watch` has shown that
    draw("Your account", el("article", { class: "enter card" }, el("h1", { tabindex: "-1" }, "Your account"),
      el("p", { class: "fault" }, error.message), actionButton("Try again", () => show())));
    return;
  }
  const all = [profile(), email(), password(() => reload("sessions")), secondFactor(), passkeys(), sessions(), tokens()];
  parts = all.filter(Boolean);
  draw("Your account", el("div", { class: "account" },
    el("nav", { "aria-label": "Parts of your account" },
      el("ul", {}, parts.map(({ id, title }) => el("li", {}, el("a", { href: `#${id}` }, title))))),
    el("div", { class: "stack" },
      el("h1", { tabindex: "-1" }, "Your account"), parts.map((part) => part.node))));
  await Promise.all(parts.map((part) => part.reload()));
  const part = parts.find(({ id }) => id === location.hash.slice(1));
  part?.node.scrollIntoView();
  if (isMoved) (part ?? $("main")).focus();
}

const reload = (id) => parts.find((part) => part.id === id)?.reload();

/** Shows the form of a mailed link, if the address is one. Returns whether it is. */
function showLink() {
  const link = takeLink();
  if (!link) return false;
  isLink = true;
  const { title, node } = linkView(link, done);
  draw(title, node);
  return true;
}

watch((note) => {
  if (account()) return renderWho();
  closeDialogs();
  if (isLink) return renderWho();
  show();
  if (note) tell(note, true);
});

window.addEventListener("hashchange", () => {
  if (showLink()) return focusMain();
  if (isLink || !account()) {
    isLink = false;
    tell("");
    show(true);
  }
});

/** Another tab has answered a challenge, perhaps one that this tab waits for. */
tabs.onmessage = async ({ data: { id, purpose } }) => {
  const hasWaited = dropped(id);
  if (me && !isLink) {
    await refreshMe().catch(() => null);
    if (!account()) return;
    await reload("email");
    if (hasWaited) tell("You have confirmed the mail in another tab.");
  } else if (hasWaited) {
    await show();
    tell(purpose === "sign_in" ? "You have signed in in another tab." : "You have set the password in another tab.");
  }
};

// The mail may have been answered on another device.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || !me || isLink || !(waiting("verify_email", me.id) || waiting("change_email", me.id))) return;
  const before = me.email_verified && me.email;
  await refreshMe().catch(() => null);
  if ((me?.email_verified && me.email) === before) return;
  giveUp("verify_email");
  giveUp("change_email");
  await reload("email");
});

renderWho();
if (!showLink()) show();
