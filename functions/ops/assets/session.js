// Who the reader is signed in as, and calls as that account.
//
// The tokens are kept in the storage of the tab, so a reload stays signed in, and closing the tab signs out. A duplicated tab
// has a copy of them: whichever refreshes them tells the others.

import { $, el, span, uuid } from "./dom.js";

const STORE = "souk.session";
const DEVICE = "souk.device";
const tabs = new BroadcastChannel(STORE);

/** {access_token, refresh_token, refresh_key, name, role}; null without one. */
let session = stored();
let onchange = () => {};

export const account = () => session;

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE));
  } catch {
    return null;
  }
}

/** What says that somebody has signed in here before. */
function knownDevice() {
  try {
    const device = localStorage.getItem(DEVICE);
    return device && { device };
  } catch {
    return null;
  }
}

function setSession(next, note) {
  session = next;
  try {
    if (next) sessionStorage.setItem(STORE, JSON.stringify(next));
    else sessionStorage.removeItem(STORE);
  } catch {
    // Without storage the session ends with the page.
  }
  render(note);
  onchange();
}

tabs.onmessage = ({ data: { used, tokens } }) => {
  if (session?.refresh_token === used) setSession(tokens && { ...session, ...tokens });
};

/** Sends a request as the signed-in account; an expired access token is refreshed once. */
export async function call(method, url, { headers = {}, body, anonymous } = {}) {
  const token = !anonymous && session?.access_token;
  const answer = await fetch(url, { method, body, cache: "no-store", credentials: "omit",
    headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers });
  const signsIn = method === "POST" && url.startsWith("/v1/sessions");
  if (answer.status !== 401 || !token || signsIn || !(await refresh(token))) return answer;
  const renewed = { ...headers, Authorization: `Bearer ${session.access_token}` };
  return call(method, url, { headers: renewed, body, anonymous: true });
}

const post = (url, value, key = uuid()) => call("POST", url, { anonymous: true, body: JSON.stringify(value),
  headers: { "Content-Type": "application/json", "Idempotency-Key": key } });

let refreshing = null;
/**
 * Trades the refresh token for new ones. Calls that fail together share one trade, since the token works once. The key is as
 * old as the token: if the answer gets lost, as by a reload, the next trade gets the same one.
 */
function refresh(stale) {
  if (session?.access_token !== stale) return Boolean(session);
  refreshing ??= (async () => {
    const used = session.refresh_token;
    const answer = await post("/v1/sessions/refresh", { refresh_token: used }, session.refresh_key);
    if (session?.refresh_token !== used) return Boolean(session); // another tab was faster
    if (answer.ok) {
      const tokens = { ...await answer.json(), refresh_key: uuid() };
      setSession({ ...session, ...tokens });
      tabs.postMessage({ used, tokens });
    } else if (answer.status === 401) setSession(null, "Your session has ended. Sign in again.");
    return answer.ok;
  })().finally(() => { refreshing = null; });
  return refreshing;
}

/** Makes the session of these tokens that of the page. */
export async function adopt(tokens) {
  try {
    if (tokens.device) localStorage.setItem(DEVICE, tokens.device);
  } catch {
    // Without storage this is a new device each time.
  }
  setSession({ ...tokens, refresh_key: uuid(), name: "…" });
  await identify();
}

async function identify() {
  const answer = await call("GET", "/v1/me");
  if (!session || !answer.ok) return; // without its name it is a session all the same
  const me = await answer.json();
  setSession({ ...session, name: me.username ?? me.email ?? "you", role: me.roles.join(", ") });
}

/** Forgets the session, here and in copies of this tab. */
export function forget() {
  tabs.postMessage({ used: session?.refresh_token, tokens: null });
  setSession(null);
}

/** Draws the form at the top, and calls `changed` whenever another account or none is signed in. */
export function startSession(changed) {
  onchange = changed;
  render();
  if (session) identify().catch(() => {});
}

const problemText = (problem, answer) => problem?.detail ?? problem?.title ?? `${answer.status} ${answer.statusText}`;

function render(note) {
  const form = $("session");
  if (session) {
    form.replaceChildren(
      el("span", { class: "avatar", "aria-hidden": "true" }, session.name.slice(0, 1).toUpperCase()),
      span("who", session.name, session.role && el("small", {}, session.role)),
      el("button", { type: "submit" }, "Sign out"));
    form.onsubmit = async (event) => {
      event.preventDefault();
      await call("DELETE", "/v1/sessions/current").catch(() => null);
      forget();
    };
    return;
  }
  const input = (label, autocomplete, type) =>
    el("input", { type, placeholder: label, "aria-label": label, autocomplete, required: true });
  const login = input("Email or username", "username", "text");
  const password = input("Password", "current-password", "password");
  const button = el("button", { type: "submit", class: "primary" }, "Sign in");
  const told = el("span", { class: "note", role: "status" }, note ?? "");
  form.replaceChildren(told, login, password, button);
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const name = login.value.trim();
      const key = name.includes("@") ? "email" : "username";
      const credentials = { [key]: name, password: password.value, ...knownDevice() };
      const answer = await post("/v1/sessions", credentials);
      const body = await answer.json().catch(() => null);
      if (answer.ok) await adopt(body);
      else told.replaceChildren(problemText(body, answer));
    } catch (error) {
      told.replaceChildren(`No answer: ${error.message}`);
    }
    button.disabled = false;
  };
}
