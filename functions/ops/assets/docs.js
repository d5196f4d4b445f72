// The page: renders /openapi.json, lets the reader try every operation, and shows the guides.

import { $, badge, el, markdown, span, table } from "./dom.js";
import { eventView, operationView } from "./operation.js";
import { deref, describe, flat } from "./schema.js";
import { startSession } from "./session.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const GUIDE = location.pathname.match(/^\/docs\/guides\/([\w-]+)$/)?.[1];

let spec;
let current = null; // the view on screen
const operations = []; // {id, method, path, tag, access, parameters, …} in the order of the description
const views = new Map(); // hash -> its view, kept so that what was typed survives navigation

function home() {
  const step = (text, method, path, link) => {
    const to = operations.find((o) => o.method === method && o.path.replace(/\{[^}]+\}/g, "{}") === path);
    return el("li", {}, text, to && el("a", { href: `/docs#/${to.id}` }, badge(method), el("code", {}, link ?? to.path)));
  };
  return { node: el("article", { class: "home" },
    el("p", { class: "eyebrow" },
      `Version ${spec.info.version} · ${operations.length} operations · OpenAPI ${spec.openapi}`),
    el("h1", {}, spec.info.title), el("div", { class: "lead" }, markdown(spec.info.description)),
    el("h2", {}, "From nothing to a product on sale"),
    el("ol", { class: "steps" },
      step("Look around: everything that is on sale.", "get", "/v1/products"),
      step("Sign in above. The local server prints an account as it starts; or make one.", "post", "/v1/accounts"),
      step("Create a product. It starts as a draft that only you see.", "post", "/v1/products"),
      step("Publish it. Its id is already filled in.", "post", "/v1/products/{}/publish"),
      step("Find it among the newest.", "get", "/v1/products")),
    el("h2", {}, "Guides"),
    el("ul", {}, Array.from(document.querySelectorAll("#guides a"), (link) => el("li", {}, link.cloneNode(true)))),
    el("p", { class: "muted" }, "This page is made from ", el("a", { href: "/openapi.json" }, "openapi.json"))) };
}

/** The guide of this address, with the codes of the description in the one about errors. */
async function guide() {
  const answer = await fetch(`/docs/guides/${GUIDE}.md`);
  if (!answer.ok) throw new Error(`/docs/guides/${GUIDE}.md answered ${answer.status}`);
  return { node: el("article", { class: "guide doc" }, markdown(await answer.text()), GUIDE === "errors" && codes()) };
}

/** The tables of codes. Each row is the anchor that the `type` of a problem leads to. */
function codes() {
  const problem = flat(spec.components?.schemas?.Problem ?? {});
  const fault = flat(flat(problem.properties?.errors ?? {}).items ?? {});
  return [["Codes of problems", problem, ""], ["Codes of fields", fault, "field-"]].map(([title, schema, prefix]) => {
    const code = flat(schema.properties?.code ?? {});
    const about = code["x-enum-descriptions"] ?? [];
    return code.enum && [el("h2", {}, title), table(["Code", "What it means"], code.enum.map((value, i) =>
      el("tr", { id: prefix + value }, el("td", {}, el("code", {}, value)), el("td", {}, markdown(about[i])))))];
  });
}

function viewOf(hash) {
  const operation = operations.find((o) => o.id === hash);
  if (operation) return { title: operation.summary, ...operationView(operation) };
  const event = spec.webhooks?.[hash.replace(/^events\//, "")];
  if (event) return { title: event.post.summary, ...eventView(hash.replace(/^events\//, ""), event.post) };
  return home();
}

/** Shows what the address names. */
async function show() {
  const hash = location.hash.replace(/^#\/?/, "");
  const key = GUIDE ?? hash;
  if (!views.has(key)) views.set(key, GUIDE ? await guide() : viewOf(hash));
  const isNew = current !== views.get(key);
  current = views.get(key);
  current.update?.();
  const title = current.title ?? current.node.querySelector("h1").textContent;
  document.title = title === spec.info.title ? title : `${title} · ${spec.info.title}`;
  if (isNew) $("main").replaceChildren(current.node);
  for (const link of document.querySelectorAll("#side a")) {
    const isCurrent = GUIDE ? link.pathname === location.pathname : link.pathname === "/docs" && link.hash === location.hash;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("#side [aria-current]")?.scrollIntoView({ block: "nearest" });
  if (isNew) window.scrollTo(0, 0);
  if (GUIDE && hash) document.getElementById(hash)?.scrollIntoView();
  toggleMenu(false);
}

const toggleMenu = (open) => {
  $("menu").setAttribute("aria-expanded", String(open));
  $("side").classList.toggle("open", open);
};

function renderList() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const link of document.querySelectorAll("#side li a")) {
    link.parentElement.hidden = !words.every((word) => (link.dataset.text ?? link.textContent.toLowerCase()).includes(word));
  }
  for (const group of document.querySelectorAll("#side section")) {
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
  const link = (o) => el("a", { href: `/docs#/${o.id}`, title: o.path,
    "data-text": `${o.method} ${o.path} ${o.summary} ${o.tag}`.toLowerCase() },
  badge(o.method), span(o.deprecated ? "gone" : "", o.summary));
  const group = (tag) => {
    const members = operations.filter((o) => o.tag === tag);
    return members.length > 0 && el("section", {}, el("h2", { title: described.get(tag) }, tag),
      el("ul", {}, members.map((o) => el("li", {}, link(o)))));
  };
  const tags = new Set([...described.keys(), ...operations.map((o) => o.tag)]);
  const events = Object.keys(spec.webhooks ?? {}).map((name) =>
    el("li", {}, el("a", { href: `/docs#/events/${name}` }, span("method event", "EVENT"), name)));
  $("list").replaceChildren(...[...tags].map(group).filter(Boolean),
    events.length ? el("section", {}, el("h2", {}, "Events"), el("ul", {}, events)) : "");
}

async function start() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
    spec = await answer.json();
    describe(spec);
    if (!spec.info || !spec.paths) throw new Error("/openapi.json holds none");
    collect();
    await show();
  } catch (error) {
    $("main").replaceChildren(el("p", { class: "hint stop" }, `No description of the API: ${error.message}`));
    return;
  } finally {
    $("main").removeAttribute("data-loading");
  }
  $("title").textContent = spec.info.title;
  $("version").textContent = spec.info.version;
  window.addEventListener("hashchange", async () => { await show(); $("main").focus({ preventScroll: true }); });
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
    const links = [...document.querySelectorAll("#side li:not([hidden]) a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && event.target.closest("#side")) {
      event.preventDefault();
      links[links.indexOf(event.target) + step]?.focus();
    }
  });
}

startSession(() => current?.update?.());
start();
