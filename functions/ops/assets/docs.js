// Renders /openapi.json and lets the reader try every operation.
//
// Text from the description or from an answer enters the page only as text nodes and attributes (see `el`), never as
// markup. Tokens live in `session`, in memory: a reload signs out. A sign-in through an operation counts as one too.

const $ = (id) => document.getElementById(id);
const METHODS = ["get", "post", "put", "patch", "delete"];
const ACCESS = { public: "Anyone", member: "Members", moderator: "Moderators", admin: "Admins" };

let spec;
let session = null; // {access_token, refresh_token, name, role}
let current = null; // the view on screen
const operations = []; // {id, method, path, tag, access, parameters, …} in the order of the description
const views = new Map(); // operation id -> its view, kept so that what was typed survives navigation
const created = new Map(); // "/v1/products" -> ids made here, newest first
const listed = new Map(); // "/v1/products" -> ids seen in lists
const etags = new Map(); // URL -> the last ETag

/** A random UUID. `crypto.randomUUID` is missing without TLS, as on a server in a local network. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** An element. `props` are attributes, or listeners where the name starts with "on"; absent children are skipped. */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""));
  return node;
}

const span = (kind, ...children) => el("span", { class: kind }, ...children);
const requiredMark = () => span("required", "required");
const smallButton = (text, onclick, kind = "") =>
  el("button", { type: "button", class: `small ${kind}`, onclick }, text);

/** The Markdown that descriptions use: paragraphs, lists, `code`, **bold** and links to the web. */
function prose(text) {
  const inline = (line) => line.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\(https?:[^)\s]+\))/).map((part) => {
    const link = part.match(/^\[([^\]]+)\]\((.+)\)$/);
    if (link) return el("a", { href: link[2], rel: "noreferrer" }, link[1]);
    if (part.length > 2 && part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    return part.length > 4 && part.startsWith("**") ? el("strong", {}, part.slice(2, -2)) : part;
  });
  return String(text ?? "").split(/\n\s*\n/).filter((block) => block.trim()).map((block) => {
    const lines = block.trim().split("\n");
    if (lines.every((line) => /^\s*([-*]|\s\s)\s/.test(line)) && /^[-*]\s/.test(lines[0])) {
      const items = block.trim().split(/\n(?=\s*[-*]\s)/).map((item) => item.replace(/^\s*[-*]\s+/, ""));
      return el("ul", {}, items.map((item) => el("li", {}, inline(item))));
    }
    const heading = block.match(/^#{1,4}\s+(.+)$/);
    return heading ? el("h3", {}, inline(heading[1])) : el("p", {}, inline(lines.join(" ")));
  });
}

// ---- Schemas ----

const deref = (node) => {
  for (let hops = 0; node?.$ref && hops < 20; hops++) {
    const target = node.$ref.replace(/^#\//, "").split("/")
      .reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], spec);
    const { $ref, ...beside } = node;
    node = { title: $ref.split("/").pop(), ...target, ...beside };
  }
  return node ?? {};
};

/** One flat view of a schema: $ref and allOf merged, null taken out of `type`, `oneOf` and `enum` into `nullable`. */
function flat(schema, depth = 0) {
  if (typeof schema === "boolean") return {};
  let { allOf, oneOf, anyOf, ...s } = deref(schema);
  if (depth > 20) return s;
  for (const part of allOf ?? []) {
    const other = flat(part, depth + 1);
    s = { ...other, ...s, properties: { ...other.properties, ...s.properties },
      required: [...(other.required ?? []), ...(s.required ?? [])] };
  }
  const variants = oneOf ?? anyOf;
  if (variants) {
    const real = variants.filter((variant) => deref(variant).type !== "null");
    s.nullable = real.length < variants.length;
    if (real.length === 1) s = { ...flat(real[0], depth + 1), ...s };
    else s.variants = real;
  }
  if (Array.isArray(s.type)) {
    s.nullable ||= s.type.includes("null");
    s.type = s.type.filter((type) => type !== "null");
    if (s.type.length === 1) s.type = s.type[0];
  }
  if (s.enum?.includes(null)) s = { ...s, nullable: true, enum: s.enum.filter((value) => value !== null) };
  if (s.const !== undefined) s.enum = [s.const];
  s.type ??= s.properties || s.additionalProperties ? "object"
    : s.items ? "array" : s.enum ? typeof s.enum[0] : undefined;
  return s;
}

function typeName(s) {
  const item = s.type === "array" && flat(s.items ?? {});
  const base = item ? `array of ${typeName(item)}`
    : s.variants ? s.variants.map((variant) => typeName(flat(variant))).join(" | ")
    : s.title && s.type === "object" ? s.title
    : [s.type ?? "any"].flat().join(" | ");
  return base + (s.format && !item ? ` · ${s.format}` : "") + (s.nullable ? " | null" : "");
}

/** What a value must satisfy beside its type, in short words. */
function limits(s) {
  const range = (low, high, unit) => low == null && high == null ? null
    : low === high ? `${low}${unit}`
    : high == null ? `≥ ${low}${unit}` : low == null ? `≤ ${high}${unit}` : `${low} to ${high}${unit}`;
  return [
    range(s.minLength, s.maxLength, " characters"), range(s.minItems, s.maxItems, " items"),
    range(s.minimum, s.maximum, ""), s.exclusiveMinimum != null && `> ${s.exclusiveMinimum}`,
    s.exclusiveMaximum != null && `< ${s.exclusiveMaximum}`, s.uniqueItems && "unique",
    s.pattern?.length < 60 && `matches ${s.pattern}`,
    s.default != null && `default ${JSON.stringify(s.default)}`, s.readOnly && "read-only", s.writeOnly && "write-only",
  ].filter(Boolean).map((text) => span("limit", text));
}

const choices = (s) => s.enum && el("div", { class: "choices" }, s.enum.map((value) => el("code", {}, String(value))));

/** Whether there is more to say of a schema than one line does. */
const hasParts = (s) => Boolean(s.properties || typeof s.additionalProperties === "object"
  || s.variants?.some((variant) => hasParts(flat(variant))));

/** The properties of a schema, what is required first. */
const propertiesOf = (s) => Object.entries(s.properties ?? {})
  .sort(([a], [b]) => Boolean(s.required?.includes(b)) - Boolean(s.required?.includes(a)));

function schemaView(raw, trail = []) {
  const s = flat(raw);
  const again = s.title && s.type === "object" && trail.includes(s.title);
  if (again) return el("p", { class: "muted" }, `${s.title}, as above`);
  const path = s.title ? [...trail, s.title] : trail;
  if (s.type === "array" && s.items) return schemaView(s.items, path);
  if (s.variants) {
    if (!hasParts(s)) return null;
    return el("div", { class: "variants" }, s.variants.map((variant, i) => el("details", { open: i === 0 },
      el("summary", {}, "One of: ", span("type", typeName(flat(variant)))), schemaView(variant, path))));
  }
  const properties = propertiesOf(s);
  if (typeof s.additionalProperties === "object") properties.push(["any other name", s.additionalProperties]);
  if (!properties.length) return s.enum ? choices(s) : null;
  return el("ul", { class: "schema" }, properties.map(([name, value]) => {
    const p = flat(value);
    const inner = p.type === "array" ? flat(p.items ?? {}) : p;
    const nested = hasParts(inner) && schemaView(p, path);
    return el("li", {},
      el("div", { class: "prop" }, el("code", { class: "name" }, name), span("type", typeName(p)),
        s.required?.includes(name) && requiredMark(), limits(p)),
      p.description && el("div", { class: "text" }, prose(p.description)), choices(inner),
      nested && el("details", { open: path.length < 2 }, el("summary", {}, "Properties"), nested));
  }));
}

const SAMPLES = { "date-time": () => new Date().toISOString(), date: () => new Date().toISOString().slice(0, 10),
  email: () => "someone@example.com", uri: () => "https://example.com/",
  uuid, password: () => "" };

/** A value to start from: what the schema offers as an example, else what it requires and nothing more. */
function sample(raw, depth = 0) {
  const s = flat(raw);
  const offered = s.example ?? s.examples?.[0] ?? s.default ?? s.enum?.[0];
  if (offered !== undefined) return offered;
  if (depth > 6) return null;
  if (s.variants) return sample(s.variants[0], depth + 1);
  if (s.type === "array") return s.minItems ? [sample(s.items ?? {}, depth + 1)] : [];
  if (s.type === "object") {
    const entries = propertiesOf(s).filter(([, value]) => !flat(value).readOnly);
    const wanted = entries.filter(([name, value]) => {
      const p = flat(value);
      return s.required?.includes(name) || (p.example ?? p.examples?.[0] ?? p.default) != null;
    });
    const chosen = wanted.length ? wanted : entries.slice(0, 1);
    return Object.fromEntries(chosen.map(([name, value]) => [name, sample(value, depth + 1)]));
  }
  if (s.type === "string") return SAMPLES[s.format]?.()
    ?? "text".padEnd(s.minLength ?? 0, " text").slice(0, s.maxLength ?? 100);
  return { integer: s.minimum ?? 1, number: s.minimum ?? 1, boolean: true }[[s.type].flat()[0]] ?? null;
}

const bodySample = (media) => media.example
  ?? Object.values(media.examples ?? {}).map(deref)[0]?.value ?? sample(media.schema ?? {});
const mediaOf = (node) => Object.entries(node?.content ?? {})[0] ?? [];

// ---- Calls ----

/** Sends a request as the signed-in account; an expired access token is refreshed once. */
async function call(method, url, { headers = {}, body, anonymous } = {}) {
  const token = !anonymous && session?.access_token;
  const answer = await fetch(url, { method, body, cache: "no-store", credentials: "omit",
    headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers });
  const signsIn = method === "POST" && url.startsWith("/v1/sessions");
  if (answer.status !== 401 || !token || signsIn || !(await refresh(token))) return answer;
  const renewed = { ...headers, Authorization: `Bearer ${session.access_token}` };
  return call(method, url, { headers: renewed, body, anonymous: true });
}

const post = (url, value) => call("POST", url, { anonymous: true, body: JSON.stringify(value),
  headers: { "Content-Type": "application/json", "Idempotency-Key": uuid() } });

let refreshing = null;
/** Trades the refresh token for new ones. Calls that fail together share one trade, since the token works once. */
function refresh(stale) {
  if (session?.access_token !== stale) return Boolean(session);
  refreshing ??= (async () => {
    const answer = await post("/v1/sessions/refresh", { refresh_token: session.refresh_token });
    if (answer.ok) Object.assign(session, await answer.json());
    else if (answer.status < 500) setSession(null, "Your session has ended. Sign in again.");
    return answer.ok;
  })().finally(() => { refreshing = null; });
  return refreshing;
}

async function adopt(tokens) {
  session = { ...tokens, name: "…" };
  const answer = await call("GET", "/v1/me");
  if (!answer.ok) return setSession(null, "Signed in, but /v1/me did not answer.");
  const me = await answer.json();
  setSession({ ...session, name: me.username ?? me.email ?? "you", role: me.role });
}

function setSession(next, note) {
  session = next;
  renderSession(note);
  current?.update?.();
}

const problemText = (problem, answer) => problem?.detail ?? problem?.title ?? `${answer.status} ${answer.statusText}`;

function renderSession(note) {
  const form = $("session");
  if (session) {
    form.replaceChildren(
      el("span", { class: "avatar", "aria-hidden": "true" }, session.name.slice(0, 1).toUpperCase()),
      span("who", session.name, session.role && el("small", {}, session.role)),
      el("button", { type: "submit" }, "Sign out"));
    form.onsubmit = async (event) => {
      event.preventDefault();
      await call("DELETE", "/v1/sessions/current").catch(() => null);
      setSession(null);
    };
    return;
  }
  const input = (label, autocomplete, type) =>
    el("input", { type, placeholder: label, "aria-label": label, autocomplete, required: true });
  const login = input("Email or username", "username", "text");
  const password = input("Password", "current-password", "password");
  const button = el("button", { type: "submit", class: "primary" }, "Sign in");
  form.replaceChildren(el("span", { class: "note", role: "status" }, note ?? ""), login, password, button);
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const name = login.value.trim();
      const key = name.includes("@") ? "email" : "username";
      const answer = await post("/v1/sessions", { [key]: name, password: password.value });
      const body = await answer.json().catch(() => null);
      if (answer.ok) await adopt(body);
      else renderNote(problemText(body, answer));
    } catch (error) {
      renderNote(`No answer: ${error.message}`);
    }
    button.disabled = false;
  };
  const renderNote = (text) => form.querySelector(".note")?.replaceChildren(text);
}

/** Keeps ids and tags of an answer, so that later forms can offer them. */
function remember(operation, url, answer, body) {
  const tag = answer.headers.get("etag");
  if (tag && answer.ok) etags.set(url.split("?")[0], tag);
  if (operation.path.includes("{") || !body || typeof body !== "object") return;
  const add = (map, ids) => {
    map.set(operation.path, [...new Set([...ids, ...(map.get(operation.path) ?? [])])].slice(0, 100));
  };
  if (answer.status === 201 && body.id) add(created, [body.id]);
  if (Array.isArray(body.items)) add(listed, body.items.map((item) => item?.id).filter(Boolean));
}

// ---- One operation ----

const COLUMNS = ["Name", "In", "Type", "What it is"];
const badge = (method) => span(`method ${method}`, method.toUpperCase());
const accessBadge = (access) => access
  && el("span", { class: `access ${access}`, title: "Who may call it" }, ACCESS[access] ?? access);
const statusClass = (code) => `status s${String(code)[0]}`;
const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function operationView(operation) {
  const [type, media] = mediaOf(operation.body);
  const path = operation.path.split(/(\{[^}]+\})/).map((part) => part.startsWith("{") ? el("em", {}, part) : part);
  const responses = Object.entries(operation.responses).map(([code, raw]) => {
    const response = deref(raw);
    const [kind, content] = mediaOf(response);
    const fields = content?.schema && schemaView(content.schema);
    const head = [span(statusClass(code), code), span("text", prose(response.description)),
      content?.schema && span("type", typeName(flat(content.schema)))];
    return fields ? el("details", { class: "response", open: /^2/.test(code) },
      el("summary", {}, head), el("p", { class: "muted" }, el("code", {}, kind)), fields)
      : el("div", { class: "response" }, head);
  });
  const attempt = tryIt(operation, type, media);
  const node = el("article", { class: "operation" },
    el("div", { class: "doc" },
      el("p", { class: "eyebrow" }, operation.tag, operation.deprecated && span("required", "deprecated")),
      el("h1", {}, operation.summary),
      el("p", { class: "endpoint" }, badge(operation.method), el("code", {}, path), accessBadge(operation.access),
        smallButton("Try it", () => attempt.node.scrollIntoView({ behavior: "smooth" }), "jump")),
      prose(operation.description),
      operation.parameters.length > 0 && [el("h2", {}, "Parameters"), el("div", { class: "scroll" }, el("table", {},
        el("thead", {}, el("tr", {}, COLUMNS.map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, operation.parameters.map((p) => {
          const s = { ...flat(p.schema ?? {}), nullable: false };
          const allowed = choices(s.type === "array" ? flat(s.items) : s);
          return el("tr", {},
            el("td", {}, el("code", { class: "name" }, p.name), p.required && requiredMark()),
            el("td", {}, p.in), el("td", { class: "type" }, typeName(s)),
            el("td", {}, prose(p.description ?? s.description), allowed, limits(s)));
        }))))],
      media && [el("h2", {}, "Body ", el("code", {}, type), operation.body.required && requiredMark()),
        prose(operation.body.description), media.schema && schemaView(media.schema)],
      el("h2", {}, "Answers"), responses),
    attempt.node);
  return { node, update: attempt.update };
}

// `attr.NAME` stands for every parameter that begins so; its field takes `color=red`.
const isFamily = (parameter) => parameter.name.endsWith(".NAME");
const familyMember = (parameter, text) => {
  const [name, ...value] = text.split("=");
  return [parameter.name.replace(/NAME$/, name), value.join("=")];
};

function field(parameter, value) {
  const s = flat(parameter.schema ?? {});
  const options = s.type === "boolean" ? [true, false] : s.enum;
  const example = parameter.example ?? s.example;
  // What may be left out is: an example of it is only shown.
  const given = parameter.required && parameter.in !== "path" ? example ?? s.default : undefined;
  const option = (value) => el("option", { selected: value === given }, String(value));
  return options ? el("select", {}, el("option", { value: "" }, "—"), options.map(option))
    : el("input", { value: value ?? given ?? "", autocomplete: "off", spellcheck: "false",
      placeholder: isFamily(parameter) ? "name=value" : String(s.default ?? example ?? typeName({ ...s, nullable: false })) });
}

/** Puts a value into an input unless the reader wrote something else there. */
function offer(input, value) {
  const free = value && (!input.value || input.value === input.dataset.offered);
  if (free) input.value = input.dataset.offered = value;
  return free;
}

function tryIt(operation, type, media) {
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
  const body = media && el("textarea", { spellcheck: "false", "aria-label": "JSON body", rows: 4 });
  if (body) body.value = JSON.stringify(bodySample(media), null, 2);
  const send = el("button", { type: "submit", class: "primary" }, "Send");
  const hint = el("p", { class: "hint", role: "status" });
  const asMe = el("input", { type: "checkbox", checked: true });
  const asMeRow = el("label", { class: "check" }, asMe, el("span"));
  const curl = el("code", {});
  const copy = smallButton("Copy", () => copyCurl());
  const result = el("section", { class: "result", "aria-live": "polite", "aria-label": "Answer" });

  /** The request as the form has it now, and what still keeps it from being sent. */
  function request() {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    let missing = "";
    for (const { parameter: p, input } of fields) {
      const value = input.value.trim();
      if (p.in === "path") url = url.replace(`{${p.name}}`, value ? encodeURIComponent(value) : `{${p.name}}`);
      else if (value && p.in === "query" && isFamily(p)) query.append(...familyMember(p, value));
      else if (value && p.in === "query") query.append(p.name, value);
      else if (value && p.in === "header") headers[p.name] = value;
      if (!value && (p.required || p.in === "path")) {
        const source = operations.find((o) => o.method === "get" && o.path === collection);
        missing ||= `Fill in ${p.name} to send` + (p.in === "path" && source ? `; ${collection} lists some.` : ".");
      }
    }
    const text = body?.value.trim();
    if (text) headers["Content-Type"] = type;
    try {
      if (text && /json/.test(type)) JSON.parse(text);
    } catch (error) {
      missing ||= `The body is not JSON: ${error.message}`;
    }
    if (body && !text && operation.body.required) missing ||= "Fill in the body to send.";
    if (query.size) url += `?${query}`;
    return { url, headers, body: text || undefined, missing, anonymous: !session || !asMe.checked };
  }

  function curlOf({ url, headers, body: text, anonymous }, token) {
    const all = anonymous ? headers : { ...headers, Authorization: `Bearer ${token}` };
    return [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${quote(location.origin + url)}`,
      ...Object.entries(all).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
      ...(text ? [`-d ${quote(text)}`] : [])].join(" \\\n  ");
  }

  async function copyCurl() {
    const text = curlOf(request(), session?.access_token);
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  }

  function update() {
    if (firstPath) {
      const made = created.get(collection) ?? [];
      ids.replaceChildren(...[...made, ...(listed.get(collection) ?? [])].map((id) => el("option", { value: id })));
      offer(firstPath.input, made[0]);
    }
    let now = request();
    const match = fields.find((f) => f.parameter.required && f.parameter.name.toLowerCase() === "if-match");
    const tag = etags.get(now.url.split("?")[0]);
    if (match && offer(match.input, tag)) now = request();
    const guarded = operation.access && operation.access !== "public" && now.anonymous;
    const who = ACCESS[operation.access]?.toLowerCase() ?? operation.access;
    hint.textContent = now.missing || (guarded ? `For ${who}: sign in above first.` : "");
    hint.classList.toggle("stop", Boolean(now.missing));
    send.disabled = Boolean(now.missing) || send.classList.contains("busy");
    asMeRow.hidden = !session;
    asMeRow.lastChild.textContent = session ? `Send as ${session.name}` : "";
    curl.textContent = curlOf(now, session ? `${session.access_token.slice(0, 8)}…` : "");
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
      if (answer.ok && typeof value?.access_token === "string") await adopt(value);
      if (answer.ok && method === "delete" && path === "/v1/sessions/current") setSession(null);
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
  result, el("div", { class: "curl" }, el("pre", { tabindex: "0", "aria-label": "The same with curl" }, curl), copy));
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
    el("p", { class: "outcome" }, span(statusClass(answer.status), answer.status), answer.statusText,
      span("muted", `${ms.toFixed(ms < 10 ? 1 : 0)} ms · ${size}`)),
    el("details", {}, el("summary", {}, "Headers"), el("dl", {}, headers)),
    shown ? el("pre", { tabindex: "0", "aria-label": "Body of the answer" }, value === undefined ? shown : paint(shown))
      : el("p", { class: "muted" }, "No body"),
  ];
}

/** JSON in color, as text nodes in spans. */
function paint(text) {
  if (text.length > 100_000) return text;
  const out = [];
  let from = 0;
  for (const found of text.matchAll(/("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g)) {
    out.push(text.slice(from, found.index),
      el("span", { class: found[2] ? "key" : found[1] ? "string" : "number" }, found[1] ?? found[0]), found[2]);
    from = found.index + found[0].length;
  }
  return [...out, text.slice(from)];
}

// ---- The page ----

function home() {
  const step = (text, method, path, link) => {
    const to = operations.find((o) => o.method === method && o.path.replace(/\{[^}]+\}/g, "{}") === path);
    return el("li", {}, text, to && el("a", { href: `#/${to.id}` }, badge(method), el("code", {}, link ?? to.path)));
  };
  return { node: el("article", { class: "home" },
    el("p", { class: "eyebrow" },
      `Version ${spec.info.version} · ${operations.length} operations · OpenAPI ${spec.openapi}`),
    el("h1", {}, spec.info.title), el("div", { class: "lead" }, prose(spec.info.description)),
    el("h2", {}, "From nothing to a product on sale"),
    el("ol", { class: "steps" },
      step("Look around: everything that is on sale.", "get", "/v1/products"),
      step("Sign in above. The local server prints an account as it starts; or make one.", "post", "/v1/accounts"),
      step("Create a product. It starts as a draft that only you see.", "post", "/v1/products"),
      step("Publish it. Its id is already filled in.", "post", "/v1/products/{}/publish"),
      step("Find it among the newest.", "get", "/v1/products")),
    el("p", { class: "muted" }, "This page is made from ", el("a", { href: "/openapi.json" }, "openapi.json"))) };
}

function show() {
  const id = location.hash.replace(/^#\/?/, "");
  const operation = operations.find((o) => o.id === id);
  if (!views.has(id)) views.set(id, operation ? operationView(operation) : home());
  current = views.get(id);
  current.update?.();
  document.title = operation ? `${operation.summary} · ${spec.info.title}` : spec.info.title;
  $("main").replaceChildren(current.node);
  for (const link of document.querySelectorAll("#list a")) {
    if (link.hash === `#/${id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("#list [aria-current]")?.scrollIntoView({ block: "nearest" });
  window.scrollTo(0, 0);
  toggleMenu(false);
}

const toggleMenu = (open) => {
  $("menu").setAttribute("aria-expanded", String(open));
  $("side").classList.toggle("open", open);
};

function renderList() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const link of document.querySelectorAll("#list a")) {
    link.parentElement.hidden = !words.every((word) => link.dataset.text.includes(word));
  }
  for (const group of document.querySelectorAll("#list section")) {
    group.hidden = !group.querySelector("li:not([hidden])");
  }
}

function collect() {
  for (const [path, item] of Object.entries(spec.paths ?? {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const o = item[method];
      const parameters = new Map([...(item.parameters ?? []), ...(o.parameters ?? [])].map(deref)
        .filter((p) => p.in !== "cookie").map((p) => [`${p.in} ${p.name}`, p]));
      operations.push({
        id: o.operationId ?? `${method}${path.replace(/\W+/g, "-")}`, method, path, tag: o.tags?.[0] ?? "other",
        summary: o.summary || `${method.toUpperCase()} ${path}`, description: o.description, deprecated: o.deprecated,
        access: o["x-access"], parameters: [...parameters.values()], body: o.requestBody && deref(o.requestBody),
        responses: o.responses ?? {},
      });
    }
  }
  const described = new Map((spec.tags ?? []).map((tag) => [tag.name, tag.description]));
  const link = (o) => el("a", { href: `#/${o.id}`, title: o.path,
    "data-text": `${o.method} ${o.path} ${o.summary} ${o.tag}`.toLowerCase() },
  badge(o.method), span(o.deprecated ? "gone" : "", o.summary));
  const group = (tag) => {
    const members = operations.filter((o) => o.tag === tag);
    return members.length > 0 && el("section", {}, el("h2", { title: described.get(tag) }, tag),
      el("ul", {}, members.map((o) => el("li", {}, link(o)))));
  };
  const tags = new Set([...described.keys(), ...operations.map((o) => o.tag)]);
  $("list").replaceChildren(...[...tags].map(group).filter(Boolean));
}

async function start() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
    spec = await answer.json();
    if (!spec.info || !spec.paths) throw new Error("/openapi.json holds none");
    collect();
  } catch (error) {
    $("main").replaceChildren(el("p", { class: "hint stop" }, `No description of the API: ${error.message}`));
    return;
  }
  $("title").textContent = spec.info.title;
  $("version").textContent = spec.info.version;
  window.addEventListener("hashchange", () => { show(); $("main").focus(); });
  $("filter").addEventListener("input", renderList);
  $("menu").addEventListener("click", () => toggleMenu(!$("side").classList.contains("open")));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing) { event.preventDefault(); toggleMenu(true); $("filter").focus(); }
    if (event.key === "Escape") {
      toggleMenu(false);
      if (event.target === $("filter")) $("filter").value = "";
      renderList();
    }
    const links = [...document.querySelectorAll("#list li:not([hidden]) a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && event.target.closest("#side")) {
      event.preventDefault();
      links[links.indexOf(event.target) + step]?.focus();
    }
  });
  show();
}

renderSession();
start();
