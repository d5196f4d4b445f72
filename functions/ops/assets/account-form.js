// Requests, forms and dialogs of the account page.
//
// A refused request throws `Refused`, which a form shows beside the fields that it names. A request that the API lets nobody do
// who signed in long ago asks for the password, and is sent again.

import { $, codeBlock, el, smallButton, uuid } from "/docs/dom.js";
import { call } from "/docs/tokens.js";

// ---- Requests ----

/** A request that was refused, with its problem document. */
export class Refused extends Error {
  constructor(problem, answer) {
    const minutes = Math.ceil(answer.headers.get("retry-after") / 60);
    super(answer.status === 429 && minutes > 1 ? `There were too many attempts. Try again in ${minutes} minutes.`
      : sentence(problem?.detail ?? problem?.title ?? `The answer is ${answer.status}`));
    this.code = problem?.code;
    this.errors = problem?.errors ?? [];
  }
}

/** The reader closed the dialog. */
class Cancelled extends Error {}

function sentence(text) {
  const first = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

const wait = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** Sends a value as JSON; a lost answer is asked for once more. Returns the answer, or throws `Refused`. */
export async function request(method, url, value, { anonymous, isConfirmed } = {}) {
  const headers = {};
  if (value !== undefined) headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (method === "POST") headers["Idempotency-Key"] = uuid();
  const send = () => call(method, url, { headers, body: value && JSON.stringify(value), anonymous });
  const answer = await send().catch(async () => {
    await wait(1000);
    // With the same key a POST happens once.
    if (method === "GET" || method === "POST") return send();
    throw new Error();
  }).catch(() => {
    throw new Error("There is no answer. Check the connection, and try again.");
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => null);
  if (problem?.code === "sign_in_required" && !isConfirmed) {
    await confirmPassword();
    return request(method, url, value, { isConfirmed: true });
  }
  throw new Refused(problem, answer);
}

/** Sends a value, and returns what the answer holds. */
export async function send(method, url, value, options) {
  const answer = await request(method, url, value, options);
  return answer.status === 204 ? null : answer.json();
}

// ---- What the reader is told ----

let timer;
/** Tells something at the bottom of the screen, and to screen readers. Faults stay until they are dismissed. */
export function tell(text, isFault = false) {
  clearTimeout(timer);
  const close = () => {
    $("status").replaceChildren();
    $("toast").replaceChildren($("status"));
    $("toast").classList.remove("shown");
  };
  close();
  if (!text) return;
  $("status").append(text);
  $("toast").append(smallButton("Dismiss", close));
  $("toast").classList.add("shown");
  $("toast").classList.toggle("bad", isFault);
  if (!isFault) timer = setTimeout(close, 10_000);
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const time = (at) => el("time", { datetime: at }, DATE.format(new Date(at)));

/** Gives the browser a file to save. */
export function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A text with a button that copies it, and says so. */
export function copied(text, label, shown) {
  const node = codeBlock(text, label, shown);
  node.querySelector("button").setAttribute("aria-live", "polite");
  return node;
}

/** A text that is shown once, until the reader has kept it. */
export function once(title, about, text, label, done) {
  const heading = el("h3", { tabindex: "-1" }, title);
  const node = el("div", { class: "once" }, heading, el("p", {}, about), copied(text, label),
    el("p", { class: "row" }, el("button", { type: "button", class: "primary", onclick: done }, "I have kept it")));
  return { node, focus: () => heading.focus() };
}

/** A button that does something, and tells what went wrong. */
export function actionButton(text, act, { kind = "", label } = {}) {
  const button = el("button", { type: "button", class: kind, "aria-label": label, onclick: async () => {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    tell("");
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Cancelled)) tell(error.message, true);
    }
    button.removeAttribute("aria-disabled");
  } }, text);
  return button;
}

/** A button in whose place a form appears. `make` gets what closes it again. */
export function opener(text, make, kind) {
  const place = el("div", { class: "opener" });
  const button = el("button", { type: "button", class: kind, onclick: () => {
    const { node, focus } = make(() => { place.replaceChildren(button); button.focus(); });
    place.replaceChildren(node);
    focus();
  } }, text);
  place.append(button);
  return place;
}

// ---- Forms ----

let ids = 0;

/**
 * A field of a form: its label, its input, a hint, and what is wrong with it. `attributes` are those of the input; `tag` is
 * another element, `options` are those of a `select` as [value, text], `value` is what it holds at first.
 */
export function field(name, label, { tag = "input", hint, options, value, optional, hidden, ...attributes } = {}) {
  const id = `field-${ids += 1}`;
  const password = attributes.type === "password";
  const input = el(tag, { id, name, "aria-describedby": `${hint ? `${id}-hint ` : ""}${id}-fault`,
    "aria-required": optional ? null : "true", ...(tag === "input" && { type: "text" }), ...attributes },
  options?.map(([value, text]) => el("option", { value }, text)));
  if (value != null) input.value = value;
  const show = password && smallButton("Show", () => reveal(input.type === "password"));
  const reveal = (shown) => {
    input.type = shown ? "text" : "password";
    show.textContent = shown ? "Hide" : "Show";
    show.setAttribute("aria-label", `${shown ? "Hide" : "Show"} the ${label.toLowerCase()}`);
  };
  if (show) reveal(false);
  const fault = el("p", { class: "fault", id: `${id}-fault` });
  const node = el("div", { class: "field", hidden },
    el("label", { for: id }, label, optional && el("small", {}, " optional")),
    show ? el("div", { class: "password" }, input, show) : input,
    hint && el("p", { class: "hint", id: `${id}-hint` }, hint), fault);
  return { name, label, node, input, optional, hide: () => show && reveal(false),
    fail(text) {
      fault.textContent = text;
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    } };
}

/** For what is no text of a language. */
export const PLAIN = { autocapitalize: "none", spellcheck: "false" };
export const emailField = (label, rest) => field("email", label, { type: "email", autocomplete: "email", ...PLAIN, ...rest });
export const codeField = (hint, attributes) => field("code", "Code", { inputmode: "numeric", autocomplete: "one-time-code",
  hint: hint ?? "The six digits of the mail.", ...attributes });
export const passwordField = (name, label, autocomplete, hint) => field(name, label, { type: "password", autocomplete, hint });
export const newPasswordField = (label) => passwordField("password", label, "new-password",
  "8 to 128 characters. Several words are easy to remember, and hard to guess.");

/** What a password manager keeps a password for. */
export const ownerOfPassword = (username) =>
  el("input", { type: "text", autocomplete: "username", value: username, readonly: true, hidden: true });

/** The field of the second factor, which is shown when an answer asks for it, and a button that makes it take a recovery code. */
function factorField() {
  const made = field("second_factor", "", { hidden: true });
  const swap = linkButton("", () => {
    set(made.label === APP);
    made.input.focus();
  });
  function set(isRecovery) {
    made.label = isRecovery ? "Recovery code" : APP;
    made.node.querySelector("label").textContent = made.label;
    swap.textContent = isRecovery ? "Use the authenticator app instead" : "Use a recovery code instead";
    made.input.setAttribute("inputmode", isRecovery ? "text" : "numeric");
    made.input.setAttribute("autocomplete", isRecovery ? "off" : "one-time-code");
    made.input.value = "";
    made.fail("");
  }
  set(false);
  return { made, swap };
}

const APP = "Code of your authenticator app";

/** A button that looks like a link. */
export const linkButton = (text, onclick) => el("button", { type: "button", class: "link", onclick }, text);
export const links = (...items) => el("ul", { class: "links" }, items.map((item) => el("li", {}, item)));

/** What was typed: a password as it is, a code without its spaces. */
function typed({ name, input }) {
  if (name.includes("password")) return input.value;
  return CODES.includes(name) ? input.value.replaceAll(/\s/g, "") : input.value.trim();
}

const CODES = ["code", "second_factor"];
const RULE = /^(is|must|has|may|can|cannot|does|was|contains)\b/;

/**
 * A form. `act` gets its values, and a function that shows a note above the button; what it throws is shown too. `takesFactor` is
 * whether the answer may ask for the second factor, `labels` names fields that errors are about and the form has not.
 */
export function form({ label, intro, fields, submit, kind = "primary", cancel, takesFactor, labels = {}, after, act }) {
  const { made: factor, swap } = takesFactor ? factorField() : {};
  const all = factor ? [...fields, factor] : fields;
  const first = el("div", { class: "step" }, intro, fields.map((each) => each.node ?? each));
  const second = factor && el("div", { class: "step", hidden: true },
    el("p", {}, "This account asks for a second factor."), factor.node);
  const ways = factor && links(swap, linkButton("Start again", () => ask(false)));
  const note = el("p", { class: "told", role: "alert" });
  const button = el("button", { type: "submit", class: kind }, submit);
  const cancelButton = cancel && el("button", { type: "button", onclick: cancel }, "Cancel");
  const node = el("form", { novalidate: true, "aria-label": label, onsubmit }, first, second, note,
    el("p", { class: "row" }, button, cancelButton, after), ways);
  if (ways) ways.hidden = true;
  const inputs = all.filter((each) => each.input);
  let isBusy = false;

  /** Asks for the second factor, or for the other fields again. */
  function ask(forFactor) {
    first.hidden = forFactor;
    second.hidden = factor.node.hidden = ways.hidden = !forFactor;
    factor.input.value = "";
    focus();
  }

  function say(text, isFault = false) {
    note.textContent = text;
    note.classList.toggle("bad", isFault);
  }

  function fail(error) {
    if (error instanceof Cancelled) return;
    if (factor && error.code === "second_factor_required") {
      if (second.hidden) return ask(true);
      factor.fail(error.message);
      return factor.input.focus();
    }
    const rest = [];
    for (const { field: path, detail } of error.errors ?? []) {
      const name = path.split(/[.[]/)[0];
      const about = inputs.find((each) => each.name === name);
      const text = sentence(RULE.test(detail) ? `${about?.label ?? labels[name] ?? path} ${detail}` : detail);
      if (about) about.fail(text);
      else rest.push(text);
    }
    if (!error.errors?.length) rest.push(error.message);
    say(rest.join(" "), true);
    const wrong = inputs.find((each) => each.input.hasAttribute("aria-invalid"));
    if (wrong && wrong !== factor) first.hidden = false;
    wrong?.input.focus();
  }

  async function onsubmit(event) {
    event.preventDefault();
    if (isBusy) return;
    const values = {};
    say("");
    for (const each of inputs) {
      const value = typed(each);
      each.fail(!value && !each.optional && !each.node.hidden ? `${each.label} is needed.` : "");
      if (value || each.optional) values[each.name] = value;
    }
    const missing = inputs.find((each) => each.input.hasAttribute("aria-invalid"));
    if (missing) return missing.input.focus();
    isBusy = true;
    button.setAttribute("aria-disabled", "true");
    node.setAttribute("aria-busy", "true");
    inputs.forEach((each) => each.hide());
    tell("");
    try {
      await act(values, say);
    } catch (error) {
      fail(error);
    }
    isBusy = false;
    button.removeAttribute("aria-disabled");
    node.removeAttribute("aria-busy");
  }

  const safest = kind === "danger" ? cancelButton : button;
  const focus = () => (inputs.find((each) => !each.node.closest("[hidden]"))?.input ?? safest).focus();
  return { node, focus, say };
}

/** Asks in a dialog, and returns what `act` does. Throws `Cancelled` if the reader closes it. */
export function ask({ title, about, ...rest }) {
  return new Promise((done, failed) => {
    let result;
    let hasActed = false;
    const dialog = el("dialog", { "aria-labelledby": `dialog-${ids += 1}` });
    const made = form({ ...rest, cancel: () => dialog.close(), act: async (values) => {
      result = await rest.act(values);
      hasActed = true;
      dialog.close();
    } });
    dialog.append(el("h2", { id: dialog.getAttribute("aria-labelledby") }, title), el("p", {}, about), made.node);
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (hasActed) done(result);
      else failed(new Cancelled());
    });
    document.body.append(dialog);
    dialog.showModal();
    made.focus();
  });
}

/** Asks whether to do what cannot be undone. */
export const askFirst = (title, about, submit, act) => ask({ title, about, fields: [], submit, kind: "danger", act });

/** Closes all dialogs, as nobody is signed in any more. */
export const closeDialogs = () => document.querySelectorAll("dialog").forEach((dialog) => dialog.close());

let asking = null;
/** Asks for the password, since some things are only done for who has shown lately who they are. */
function confirmPassword() {
  asking ??= ask({
    title: "Is it you?", about: "You signed in a while ago. Enter your password to go on.",
    fields: [passwordField("password", "Password", "current-password")], takesFactor: true, submit: "Go on",
    act: (values) => send("POST", "/v1/sessions/current/confirm", values, { isConfirmed: true }),
  }).finally(() => { asking = null; });
  return asking;
}

// ---- Parts of the page ----

/** A part of the page with what `fill` returns, which `reload` asks for again. */
export function section(id, title, fill) {
  const heading = el("h2", { id: `${id}-title`, tabindex: "-1" }, title);
  const body = el("div", {});
  const node = el("section", { id, class: "card", "aria-labelledby": `${id}-title` }, heading, body);
  const self = { id, title, node, focus: () => heading.focus(),
    /** Shows these in the place of what it has. */
    show: (...content) => body.replaceChildren(...content.flat(Infinity).filter(Boolean)),
    async reload() {
      body.setAttribute("data-loading", "");
      try {
        self.show(await fill(self));
      } catch (error) {
        self.show(el("p", { class: "fault" }, error.message), actionButton("Try again", self.reload));
      }
      body.removeAttribute("data-loading");
    },
    /** Reloads, and focuses on the heading, since what had the focus is gone. */
    async back() {
      await self.reload();
      self.focus();
    } };
  return self;
}
