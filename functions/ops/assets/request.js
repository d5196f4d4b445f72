// The form that sends a request of an operation, and its answer.

import { copyButton, el, paint, requiredMark, smallButton, span, statusBadge, uuid } from "./dom.js";
import { bodySample, flat, typeName } from "./schema.js";
import { account, adopt, call, forget } from "./session.js";

const created = new Map(); // "/v1/products" -> ids made here, newest first
const listed = new Map(); // "/v1/products" -> ids seen in lists
const etags = new Map(); // "/v1/products/prd_1" -> the last ETag seen for it

/** Keeps ids and tags of an answer, so that later forms can offer them. */
function remember(operation, url, answer, body) {
  const path = url.split("?")[0];
  const collection = operation.path.split("/{")[0];
  const tag = answer.headers.get("etag");
  // The tag of a list is not that of anything below it.
  if (tag && answer.ok && !Array.isArray(body?.items)) {
    // An answer to `POST /v1/products/{id}/publish` has the tag of the product, which also has a slug.
    const names = [body?.id, body?.slug].filter((name) => typeof name === "string");
    for (const key of [path, ...names.map((name) => `${collection}/${name}`)]) etags.set(key, tag);
  }
  if (operation.path.includes("{") || !body || typeof body !== "object") return;
  const add = (map, ids) => {
    map.set(operation.path, [...new Set([...ids, ...(map.get(operation.path) ?? [])])].slice(0, 100));
  };
  if (answer.status === 201 && body.id) add(created, [body.id]);
  if (Array.isArray(body.items)) add(listed, body.items.map((item) => item?.id).filter(Boolean));
}

/** The tag of what a request to this URL changes: that of the URL, or of the thing that an action is below. */
function tagOf(url) {
  for (let path = url.split("?")[0]; path.split("/").length > 2; path = path.slice(0, path.lastIndexOf("/"))) {
    if (etags.has(path)) return etags.get(path);
  }
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const isObject = (parameter) => flat(parameter.schema ?? {}).type === "object";

/** The input for a parameter. Of an object it takes `name=value&name=value`, of a list its values or a choice of them. */
function field(parameter, value) {
  const s = flat(parameter.schema ?? {});
  const items = s.type === "array" ? flat(s.items ?? {}) : undefined;
  const options = s.type === "boolean" ? [true, false] : s.enum ?? items?.enum;
  const example = parameter.example ?? s.example ?? s.examples?.[0];
  // What may be left out is: an example of it is only shown.
  const given = parameter.required && parameter.in !== "path" ? example ?? s.default : undefined;
  const option = (value) => el("option", { selected: value === given }, String(value));
  const { name } = parameter;
  if (options && items) return el("select", { name, multiple: true, size: Math.min(options.length, 4) }, options.map(option));
  if (options) return el("select", { name }, el("option", { value: "" }, "—"), options.map(option));
  const hint = isObject(parameter) ? "name=value" : s.default ?? example ?? typeName({ ...s, nullable: false });
  return el("input", { name, value: value ?? given ?? "", autocomplete: "off", spellcheck: "false", placeholder: String(hint) });
}

const valueOf = (input) => input.multiple ? Array.from(input.selectedOptions, (option) => option.value).join(",") : input.value.trim();

/** The members of the query for a value that `field` takes. */
function queryOf(parameter, value) {
  if (!isObject(parameter)) return [[parameter.name, value]];
  return value.split("&").map((member) => {
    const [name, ...rest] = member.split("=");
    return [`${parameter.name}[${name.trim()}]`, rest.join("=")];
  });
}

/** Puts a value into an input unless the reader wrote something else there. */
function offer(input, value) {
  const free = value && (!input.value || input.value === input.dataset.offered);
  if (free) input.value = input.dataset.offered = value;
  return free;
}

/** The form, and what shows it as it is for the present account. */
export function tryIt(operation, type, media) {
  const { method, path, parameters } = operation;
  const collection = path.split("/{")[0];
  const fields = parameters.map((parameter) => {
    const key = parameter.in === "header" && parameter.name.toLowerCase() === "idempotency-key";
    return { parameter, key, input: field(parameter, key ? uuid() : undefined) };
  });
  if (method === "post" && !fields.some((f) => f.key)) {
    const parameter = { name: "Idempotency-Key", in: "header" };
    fields.push({ parameter, key: true, input: field(parameter, uuid()) });
  }
  const firstPath = fields.find((f) => f.parameter.in === "path");
  const ids = el("datalist", { id: `ids-${operation.id}` });
  firstPath?.input.setAttribute("list", ids.id);
  const body = media && el("textarea", { spellcheck: "false", "aria-label": "Body", rows: 4 });
  const isJson = /json/.test(type);
  if (isJson) body.value = JSON.stringify(bodySample(media), null, 2);
  const send = el("button", { type: "submit", class: "primary" }, "Send");
  const hint = el("p", { class: "hint", role: "status" });
  const asMe = el("input", { type: "checkbox", checked: true });
  const asMeRow = el("label", { class: "check" }, asMe, el("span"));
  const curl = el("code", {});
  const copy = copyButton(() => curlOf(request(), account()?.access_token));
  const result = el("section", { class: "result", "aria-live": "polite", "aria-label": "Answer" });

  /** The request as the form has it now, and what still keeps it from being sent. */
  function request() {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    let missing = "";
    for (const { parameter: p, input } of fields) {
      const value = valueOf(input);
      if (p.in === "path") url = url.replace(`{${p.name}}`, value ? encodeURIComponent(value) : `{${p.name}}`);
      else if (value && p.in === "query") queryOf(p, value).forEach((member) => query.append(...member));
      else if (value && p.in === "header") headers[p.name] = value;
      if (!value && (p.required || p.in === "path")) {
        missing ||= `Fill in ${p.name} to send` + (listed.has(collection) || p.in !== "path" ? "." : `; GET ${collection} may list some.`);
      }
    }
    const text = body?.value.trim();
    if (text) headers["Content-Type"] = type;
    try {
      if (text && isJson) JSON.parse(text);
    } catch (error) {
      missing ||= `The body is not JSON: ${error.message}`;
    }
    if (body && !text && operation.body.required) missing ||= "Fill in the body to send.";
    if (query.size) url += `?${query}`;
    return { url, headers, body: text || undefined, missing, anonymous: !account() || !asMe.checked };
  }

  function curlOf({ url, headers, body: text, anonymous }, token) {
    const all = anonymous ? headers : { ...headers, Authorization: `Bearer ${token}` };
    return [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${quote(location.origin + url)}`,
      ...Object.entries(all).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
      ...(text ? [`-d ${quote(text)}`] : [])].join(" \\\n  ");
  }

  function update() {
    if (firstPath) {
      const made = created.get(collection) ?? [];
      ids.replaceChildren(...[...made, ...(listed.get(collection) ?? [])].map((id) => el("option", { value: id })));
      offer(firstPath.input, made[0]);
    }
    let now = request();
    const match = fields.find((f) => f.parameter.name.toLowerCase() === "if-match");
    if (match && offer(match.input, tagOf(now.url))) now = request();
    const guarded = operation.access && operation.access !== "public" && now.anonymous;
    hint.textContent = now.missing || (guarded ? `For ${operation.access}s: sign in above first.` : "");
    hint.classList.toggle("stop", Boolean(now.missing));
    send.disabled = Boolean(now.missing) || send.classList.contains("busy");
    const me = account();
    asMeRow.hidden = !me;
    asMeRow.lastChild.textContent = me ? `Send as ${me.name}` : "";
    curl.textContent = curlOf(now, me ? `${me.access_token.slice(0, 8)}…` : "");
    if (body) body.rows = Math.min(18, Math.max(4, body.value.split("\n").length + 1));
  }

  async function submit(event) {
    event?.preventDefault();
    const now = request();
    if (now.missing || send.classList.contains("busy")) return;
    send.classList.add("busy");
    update();
    const started = performance.now();
    try {
      const answer = await call(method.toUpperCase(), now.url, now);
      const text = await answer.text();
      const ms = performance.now() - started;
      const value = parse(text);
      remember(operation, now.url, answer, value);
      result.replaceChildren(...answerView(answer, text, value, ms));
      const cursor = value?.next_cursor && fields.find((f) => f.parameter.name === "cursor");
      if (cursor) {
        result.append(smallButton("Next page", () => { cursor.input.value = value.next_cursor; submit(); }));
      }
      // An answered key is spent: sent again it would bring the same answer back.
      const key = fields.find((f) => f.key && f.input.value === now.headers[f.parameter.name]);
      if (key && answer.status < 500) key.input.value = uuid();
      const tokens = value?.session ?? value; // of a sign-up with `sign_in`, or of a sign-in
      if (answer.ok && typeof tokens?.access_token === "string") await adopt(tokens);
      if (answer.ok && method === "delete" && path === "/v1/sessions/current") forget();
    } catch (error) {
      result.replaceChildren(el("p", { class: "hint stop" }, `No answer: ${error.message}`));
    }
    send.classList.remove("busy");
    update();
    result.scrollIntoView({ block: "nearest" });
  }

  const onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  const node = el("form", { class: "try", "aria-label": "Try it", onsubmit: submit, oninput: update, onkeydown },
  el("h2", {}, "Try it"),
  fields.map(({ parameter: p, input, key }) => el("label", { class: "field" },
    el("span", {}, el("code", {}, p.name), el("small", {}, p.in), p.required && requiredMark(),
      key && smallButton("New", () => { input.value = uuid(); update(); })), input)),
  ids, body && el("label", { class: "field" }, el("span", {}, "Body"), body),
  asMeRow, hint, el("div", { class: "send" }, send, el("small", { class: "muted" }, "Ctrl + Enter")),
  result, el("div", { class: "curl" }, el("pre", { tabindex: "0", role: "region", "aria-label": "The same with curl" }, curl), copy));
  update();
  return { node, update };
}

const parse = (text) => { try { return JSON.parse(text); } catch { return undefined; } };

function answerView(answer, text, value, ms) {
  const bytes = new Blob([text]).size;
  const size = bytes < 2048 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KB`;
  const headers = [...answer.headers].map(([name, v]) => [el("dt", {}, name), el("dd", {}, v)]);
  const shown = value === undefined ? text : JSON.stringify(value, null, 2);
  return [
    el("p", { class: "outcome" }, statusBadge(answer.status), answer.statusText,
      span("muted", `${ms.toFixed(ms < 10 ? 1 : 0)} ms · ${size}`)),
    el("details", {}, el("summary", {}, "Headers"), el("dl", {}, headers)),
    shown ? el("pre", { tabindex: "0", role: "region", "aria-label": "Body of the answer" }, value === undefined ? shown : paint(shown))
      : el("p", { class: "muted" }, "No body"),
  ];
}

