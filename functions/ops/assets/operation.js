// One operation, or one event: what it takes and what it answers.

import { badge, el, json, markdown, requiredMark, smallButton, span, statusBadge, table } from "./dom.js";
import { tryIt } from "./request.js";
import { bodySample, choices, deref, flat, limits, mediaOf, schemaView, typeName } from "./schema.js";

const ACCESS = { public: "Anyone", member: "Members" };
const COLUMNS = ["Name", "In", "Type", "What it is"];
const accessBadge = (access) => access
  && el("span", { class: `access ${access in ACCESS ? access : "staff"}`, title: "Who may call it" }, ACCESS[access] ?? access);

/** The article about an operation, with a form that sends it; `update` shows the form as it is for the present account. */
export function operationView(operation) {
  const [type, media] = mediaOf(operation.body);
  const path = operation.path.split(/(\{[^}]+\})/).map((part) => part.startsWith("{") ? el("em", {}, part) : part);
  const attempt = tryIt(operation, type, media);
  const node = el("article", { class: "operation" },
    el("div", { class: "doc" },
      el("p", { class: "eyebrow" }, operation.tag, operation.deprecated && span("required", "deprecated")),
      el("h1", {}, operation.summary),
      el("p", { class: "endpoint" }, badge(operation.method), el("code", {}, path), accessBadge(operation.access),
        smallButton("Try it", () => attempt.node.scrollIntoView({ behavior: "smooth" }), "jump")),
      markdown(operation.description),
      operation.parameters.length > 0 && [el("h2", {}, "Parameters"), table(COLUMNS, operation.parameters.map(parameterRow))],
      media && [el("h2", {}, "Body ", el("code", {}, type), operation.body.required && requiredMark()),
        markdown(operation.body.description), media.schema && schemaView(media.schema)],
      el("h2", {}, "Answers"), Object.entries(operation.responses).map(responseView)),
    attempt.node);
  return { node, update: attempt.update };
}

function parameterRow(parameter) {
  const s = { ...flat(parameter.schema ?? {}), nullable: false };
  return el("tr", {},
    el("td", {}, el("code", { class: "name" }, parameter.name), parameter.required && requiredMark()),
    el("td", {}, parameter.in), el("td", { class: "type" }, typeName(s)),
    el("td", {}, markdown(parameter.description ?? s.description), choices(s.type === "array" ? flat(s.items) : s), limits(s)));
}

function responseView([code, raw]) {
  const response = deref(raw);
  const [kind, content] = mediaOf(response);
  const isProblem = kind === "application/problem+json";
  const head = [statusBadge(code), span("text", markdown(response.description)),
    content?.schema && span("type", typeName(flat(content.schema)))];
  if (isProblem) return el("div", { class: "response" }, head, el("a", { href: "/docs/guides/errors" }, "Error codes"));
  const fields = content?.schema && schemaView(content.schema);
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) =>
    [el("dt", {}, name), el("dd", {}, markdown(deref(header).description))]);
  if (!content && !headers.length) return el("div", { class: "response" }, head);
  return el("details", { class: "response", open: /^2/.test(code) },
    el("summary", {}, head),
    content && [el("p", { class: "muted" }, el("code", {}, kind)), sampleView(content), fields],
    headers.length > 0 && el("details", {}, el("summary", {}, "Headers"), el("dl", {}, headers)));
}

const sampleView = (media) => el("details", { class: "sample", open: true }, el("summary", {}, "Sample"),
  json(bodySample(media, true), "Sample"));

/** The article about an event that webhooks deliver. */
export function eventView(name, event) {
  const [kind, media] = mediaOf(deref(event.requestBody));
  const parameters = (event.parameters ?? []).map(deref);
  return { node: el("article", { class: "doc home" },
    el("p", { class: "eyebrow" }, "Event"),
    el("h1", {}, event.summary ?? name),
    el("p", { class: "endpoint" }, span("method event", "EVENT"), el("code", {}, name)),
    markdown(event.description),
    el("p", {}, el("a", { href: "/docs/guides/webhooks" }, "How deliveries are verified")),
    parameters.length > 0 && [el("h2", {}, "Headers"), table(COLUMNS, parameters.map(parameterRow))],
    media && [el("h2", {}, "Body ", el("code", {}, kind)), media.schema && schemaView(media.schema),
      el("h2", {}, "Sample"), json(bodySample(media, true), "Sample")]) };
}

