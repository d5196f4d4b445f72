// The form at the top that signs in, and who the reader is signed in as.

import { $, el, span } from "./dom.js";
import { account, adopt, call, forget, identify, knownDevice, post, watch } from "./tokens.js";

export { account, adopt, call, forget };

/** Draws the form at the top, and calls `changed` whenever another account or none is signed in. */
export function startSession(changed) {
  watch((note) => {
    render(note);
    changed();
  });
  render();
  if (account()) identify().catch(() => {});
}

const problemText = (problem, answer) => problem?.detail ?? problem?.title ?? `${answer.status} ${answer.statusText}`;

function render(note) {
  const form = $("session");
  const session = account();
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
