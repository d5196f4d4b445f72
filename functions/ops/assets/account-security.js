// The parts of the account page about who gets in: password, second factor, passkeys, sessions, access tokens.

import { el, span } from "/docs/dom.js";
import { account } from "/docs/tokens.js";
import {
  actionButton, ask, askFirst, codeField, copied, field, form, newPasswordField, once, opener, ownerOfPassword, passwordField, save,
  section, send, tell, time,
} from "./account-form.js";

const row = (...content) => el("div", { class: "row" }, content);
const mark = (text, kind = "") => span(`access ${kind}`, text);
const muted = (...content) => el("p", { class: "muted" }, content);

// ---- Password ----

/** `changed` is called after a change, which has ended the other sessions. */
export const password = (changed) => section("password", "Password", () =>
  opener("Change the password", (close) => form({
    label: "Change the password", submit: "Change the password", cancel: close,
    fields: [ownerOfPassword(account().name), passwordField("current_password", "Current password", "current-password"),
      newPasswordField("New password")],
    async act(values) {
      await send("PUT", "/v1/me/password", values);
      close();
      tell("Your password is changed. All other sessions have ended.");
      changed();
    },
  })));

// ---- Second factor ----

const RECOVERY = "If you lose the device of your authenticator app, each of these codes lets you in once in its place. " +
  "They are not shown again.";

export function secondFactor() {
  const part = section("second-factor", "Second factor", async () => {
    const { enabled, recovery_codes_left: left } = await send("GET", "/v1/me/second-factor");
    if (!enabled) return off();
    return [
      el("p", {}, mark("on", "public"), " Signing in asks for a code of your authenticator app, too."),
      el("p", { class: left < 3 ? "hint stop" : "muted" },
        left === 1 ? "1 recovery code is left." : `${left} recovery codes are left.`),
      row(actionButton("New recovery codes", renew), actionButton("Turn off", turnOff, { label: "Turn off the second factor" }))];
  });

  const off = () => [
    el("p", {}, mark("off"), " With a second factor a stolen password is not enough to sign in."),
    actionButton("Set up", setUp, { label: "Set up a second factor" })];

  async function setUp() {
    const { secret, uri } = await send("POST", "/v1/me/second-factor");
    const spaced = secret.replaceAll(/(.{4})(?=.)/g, "$1 ");
    const made = form({
      label: "Set up a second factor", submit: "Turn on", cancel: part.back,
      fields: [codeField("The six digits that the app shows now.")],
      async act(values) {
        const { recovery_codes: codes } = await send("POST", "/v1/me/second-factor/confirm", values);
        showCodes(codes, "The second factor is on.");
      },
    });
    part.show(
      el("ol", { class: "plain" },
        el("li", {}, "Add this account to an authenticator app: ", el("a", { href: uri }, "open the app on this device"),
          ", or enter the key by hand.", copied(secret, "Key of the second factor", spaced)),
        el("li", {}, "Enter the code that the app shows.", made.node)));
    made.focus();
  }

  function showCodes(codes, told) {
    const text = codes.join("\n");
    const shown = once("Keep your recovery codes", RECOVERY, text, "Recovery codes", part.back);
    shown.node.querySelector(".row").append(el("button", { type: "button",
      onclick: () => save(new Blob([`${text}\n`], { type: "text/plain" }), "souk-recovery-codes.txt") }, "Save as a file"));
    part.show(shown.node);
    tell(told);
    shown.focus();
  }

  async function renew() {
    await ask({
      title: "New recovery codes", about: "The codes that you have do not work any more then.", submit: "Make new codes", fields: [],
      async act() {
        const { recovery_codes: codes } = await send("POST", "/v1/me/second-factor/recovery-codes");
        showCodes(codes, "You have new recovery codes.");
      },
    });
    part.node.querySelector("h3")?.focus();
  }

  async function turnOff() {
    await askFirst("Turn off the second factor", "Your password alone lets you in then.", "Turn off",
      () => send("DELETE", "/v1/me/second-factor"));
    tell("The second factor is off.");
    await part.back();
  }

  return part;
}

// ---- Passkeys ----

/** The part about passkeys: none yet. */
export function passkeys() {
  return null;
}

// ---- Sessions ----

const BROWSERS = [["Edge", /\bEdg/], ["Opera", /\bOPR\//], ["Samsung Internet", /SamsungBrowser/], ["Firefox", /Firefox|FxiOS/],
  ["Chrome", /Chrome|CriOS/], ["Safari", /Safari/]];
const SYSTEMS = [["iPhone", /iPhone/], ["iPad", /iPad/], ["Android", /Android/], ["Windows", /Windows/], ["macOS", /Mac OS X/],
  ["ChromeOS", /CrOS/], ["Linux", /Linux/]];

/** What a client says that it is, in words. */
function program(agent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((all) => all.find(([, pattern]) => pattern.test(agent ?? ""))?.[0]);
  if (browser && system) return `${browser} on ${system}`;
  return agent?.slice(0, 80) || "Unknown program";
}

export function sessions() {
  const part = section("sessions", "Sessions", async () => {
    const list = el("ul", { class: "items" });
    const others = row();
    const more = row();
    await fill(list, others, more);
    return [el("p", {}, "Where you are signed in."), list, more, others];
  });

  async function fill(list, others, more, cursor) {
    const page = (cursor) => send("GET", `/v1/me/sessions${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
    let { items, next_cursor: next } = await page(cursor);
    // A page of sessions that have ended is empty.
    while (!items.length && next) ({ items, next_cursor: next } = await page(next));
    list.append(...items.map(item));
    more.replaceChildren(next ? actionButton("Show more", async () => {
      const last = list.lastElementChild;
      await fill(list, others, more, next);
      (last.nextElementSibling?.querySelector("button") ?? part).focus();
    }) : "");
    if (list.childElementCount > 1 || next) others.replaceChildren(actionButton("End all other sessions", endOthers));
  }

  const item = ({ id, user_agent: agent, current, created_at: since, refreshed_at: used, expires_at: until }) => el("li", {},
    el("div", {}, el("strong", {}, program(agent)), " ", current && mark("this session", "public"),
      muted("Signed in ", time(since), ", last used ", time(used), ", ends ", time(until), ".")),
    !current && actionButton("End", () => end(id), { label: `End the session of ${program(agent)}` }));

  async function end(id) {
    await send("DELETE", `/v1/me/sessions/${id}`);
    tell("The session has ended.");
    await part.back();
  }

  async function endOthers() {
    await askFirst("End all other sessions", "You stay signed in here only.", "End them", () => send("DELETE", "/v1/me/sessions"));
    tell("All other sessions have ended.");
    await part.back();
  }

  return part;
}

// ---- Access tokens ----

const DAY = 86_400_000;
const ACCESS = { read: "read only", write: "read and write" };
const LIVES = [["30", "in 30 days"], ["90", "in 90 days"], ["365", "in a year"], ["never", "never"]];

export function tokens() {
  const part = section("tokens", "Access tokens", async () => {
    const { items } = await send("GET", "/v1/me/tokens");
    return [
      el("p", {}, "Programs use the API as you with an access token, without your password. ",
        "It works until you revoke it, also after your sessions have ended."),
      items.length ? el("ul", { class: "items" }, items.map(item)) : muted("You have none."),
      opener("Make a token", (close) => form({
        label: "Make an access token", submit: "Make the token", cancel: close,
        fields: [
          field("name", "Name", { autocomplete: "off", hint: "What it is for, such as “backup script”." }),
          field("access", "It may", { tag: "select", value: "read", options: Object.entries(ACCESS) }),
          field("expires", "It expires", { tag: "select", value: "90", options: LIVES }),
          field("networks", "Networks", { tag: "textarea", rows: "2", optional: true, autocomplete: "off", spellcheck: "false",
            hint: "Where it works, one a line, such as 203.0.113.0/24. If you leave this empty, it works everywhere." })],
        act: make,
      }))];
  });

  async function make({ expires, networks, ...values }) {
    const wanted = networks.split(/[\s,]+/).filter(Boolean);
    const until = expires !== "never" && new Date(Date.now() + Number(expires) * DAY).toISOString();
    const { token, name } = await send("POST", "/v1/me/tokens",
      { ...values, ...(until && { expires_at: until }), ...(wanted.length && { networks: wanted }) });
    const shown = once(`Keep the token “${name}”`, "It is not shown again. Whoever has it can do what it may.", token, "Access token",
      part.back);
    part.show(shown.node);
    tell("The token is made.");
    shown.focus();
  }

  const item = (token) => el("li", {},
    el("div", {}, el("strong", {}, token.name), " ", mark(ACCESS[token.access], token.access === "write" ? "staff" : "public"),
      token.networks?.length > 0 && muted("From ", token.networks.join(", "), "."),
      token.permissions?.length > 0 && muted("With ", token.permissions.join(", "), "."),
      muted("Made ", time(token.created_at), ", ", token.expires_at ? ["expires ", time(token.expires_at)] : "does not expire", ", ",
        token.last_used_at ? ["last used ", time(token.last_used_at)] : "never used", ".")),
    actionButton("Revoke", () => revoke(token), { label: `Revoke the token ${token.name}` }));

  async function revoke({ id, name }) {
    await askFirst(`Revoke “${name}”`, "What uses it stops working at once.", "Revoke", () => send("DELETE", `/v1/me/tokens/${id}`));
    tell("The token is revoked.");
    await part.back();
  }

  return part;
}
