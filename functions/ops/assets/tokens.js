// The session of this tab: its tokens, and calls as its account.
//
// The tokens are kept in the storage of the tab, so a reload stays signed in, and closing the tab signs out. A duplicated tab
// has a copy of them: whichever refreshes them tells the others.

import { uuid } from "./dom.js";

const STORE = "souk.session";
const DEVICE = "souk.device";
const tabs = new BroadcastChannel(STORE);
// 401s about what was sent with the token.
const ABOUT_CREDENTIALS = ["invalid_credentials", "second_factor_required"];

/** {access_token, refresh_token, refresh_key, name, role}; null without one. */
let session = stored();
let onchange = () => {};

export const account = () => session;

/** Calls `changed` with a note for the reader, or none, whenever the session changes. */
export function watch(changed) {
  onchange = changed;
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE));
  } catch {
    return null;
  }
}

/** What says that somebody has signed in here before. */
export function knownDevice() {
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
  onchange(note);
}

tabs.onmessage = ({ data: { used, tokens } }) => {
  if (session?.refresh_token === used) setSession(tokens && { ...session, ...tokens });
};

/** Sends a request as the signed-in account; an expired access token is refreshed once. */
export async function call(method, url, { headers = {}, body, anonymous } = {}) {
  const token = !anonymous && session?.access_token;
  const answer = await fetch(url, { method, body, cache: "no-store", credentials: "omit",
    headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers });
  const signsIn = method === "POST" && url.startsWith("/v1/sessions") && !url.startsWith("/v1/sessions/current/");
  if (answer.status !== 401 || !token || signsIn || !(await refusesToken(answer)) || !(await refresh(token))) return answer;
  const renewed = { ...headers, Authorization: `Bearer ${session.access_token}` };
  return call(method, url, { headers: renewed, body, anonymous: true });
}

async function refusesToken(answer) {
  const problem = await answer.clone().json().catch(() => null);
  return !ABOUT_CREDENTIALS.includes(problem?.code);
}

export const post = (url, value, key = uuid()) => call("POST", url, { anonymous: true, body: JSON.stringify(value),
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
export function begin(tokens) {
  try {
    if (tokens.device) localStorage.setItem(DEVICE, tokens.device);
  } catch {
    // Without storage this is a new device each time.
  }
  setSession({ ...tokens, refresh_key: uuid(), name: "…" });
}

/** Keeps whose session it is. */
export function named(me) {
  setSession({ ...session, name: me.username ?? me.email ?? "you", role: me.roles.join(", ") });
}

/** Makes the session of these tokens that of the page, and reads whose it is. */
export async function adopt(tokens) {
  begin(tokens);
  await identify();
}

export async function identify() {
  const answer = await call("GET", "/v1/me");
  if (!session || !answer.ok) return; // without its name it is a session all the same
  named(await answer.json());
}

/** Forgets the session, here and in copies of this tab. */
export function forget() {
  tabs.postMessage({ used: session?.refresh_token, tokens: null });
  setSession(null);
}
