// Schemas: one flat view of each, and samples of values.

import { el, markdown, requiredMark, span, uuid } from "./dom.js";

let spec;
/** Sets the description that references lead into. */
export const describe = (description) => { spec = description; };

export const deref = (node) => {
  for (let hops = 0; node?.$ref && hops < 20; hops++) {
    const target = node.$ref.replace(/^#\//, "").split("/")
      .reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], spec);
    const { $ref, ...beside } = node;
    node = { title: $ref.split("/").pop(), ...target, ...beside };
  }
  return node ?? {};
};

/** One flat view of a schema: $ref and allOf merged, null taken out of `type`, `oneOf` and `enum` into `nullable`. */
export function flat(schema, depth = 0) {
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

export function typeName(s) {
  const item = s.type === "array" && flat(s.items ?? {});
  const base = item ? `array of ${typeName(item)}`
    : s.variants ? s.variants.map((variant) => typeName(flat(variant))).join(" | ")
    : s.title && s.type === "object" ? s.title
    : [s.type ?? "any"].flat().join(" | ");
  return base + (s.format && !item ? ` · ${s.format}` : "") + (s.nullable ? " | null" : "");
}

/** What a value must satisfy beside its type, in short words. */
export function limits(s) {
  const range = (low, high, unit) => low == null && high == null ? null
    : low === high ? `${low}${unit}`
    : high == null ? `≥ ${low}${unit}` : low == null ? `≤ ${high}${unit}` : `${low} to ${high}${unit}`;
  return [
    range(s.minLength > 1 ? s.minLength : null, s.maxLength, " characters"), range(s.minItems, s.maxItems, " items"),
    range(s.minimum, s.maximum, ""), s.exclusiveMinimum != null && `> ${s.exclusiveMinimum}`,
    s.exclusiveMaximum != null && `< ${s.exclusiveMaximum}`, s.uniqueItems && "unique",
    s.pattern?.length < 60 && `matches ${s.pattern}`,
    s.default != null && `default ${JSON.stringify(s.default)}`, s.readOnly && "read-only", s.writeOnly && "write-only",
  ].filter(Boolean).map((text) => span("limit", text));
}

/** The values of an enumeration, with what they mean if the description says so. */
export function choices(s) {
  const about = s["x-enum-descriptions"];
  if (about?.length > 12) return el("p", { class: "text" }, el("a", { href: "/docs/guides/errors" }, `${about.length} codes`));
  return s.enum && el("div", { class: "choices" }, s.enum.map((value, i) => el("code", { title: about?.[i] }, String(value))));
}

/** Whether there is more to say of a schema than one line does. */
const hasParts = (s) => Boolean(s.properties || typeof s.additionalProperties === "object"
  || s.variants?.some((variant) => hasParts(flat(variant))));

/** The properties of a schema, what is required first. */
const propertiesOf = (s) => Object.entries(s.properties ?? {})
  .sort(([a], [b]) => Boolean(s.required?.includes(b)) - Boolean(s.required?.includes(a)));

export function schemaView(raw, trail = []) {
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
      p.description && el("div", { class: "text" }, markdown(p.description)), choices(inner),
      nested && el("details", {}, el("summary", {}, "Properties"), nested));
  }));
}

const SAMPLES = { "date-time": () => new Date().toISOString(), date: () => new Date().toISOString().slice(0, 10),
  email: () => "someone@example.com", uri: () => "https://example.com/",
  uuid, password: () => "" };

/**
 * A value to start from: what the schema offers as an example, else what it requires and nothing more; with `whole`, all that
 * an answer may have.
 */
export function sample(raw, whole = false, depth = 0) {
  const s = flat(raw);
  const offered = s.example ?? s.examples?.[0] ?? s.default ?? s.enum?.[0];
  if (offered !== undefined) return offered;
  if (depth > 6) return null;
  if (s.variants) return sample(s.variants[0], whole, depth + 1);
  if (s.type === "array") return s.minItems || whole && s.items ? [sample(s.items ?? {}, whole, depth + 1)] : [];
  if (s.type === "object") {
    const entries = propertiesOf(s).filter(([, value]) => whole ? !flat(value).writeOnly : !flat(value).readOnly);
    const wanted = entries.filter(([name, value]) => {
      const p = flat(value);
      return whole || s.required?.includes(name) || (p.example ?? p.examples?.[0] ?? p.default) != null;
    });
    const chosen = wanted.length ? wanted : entries.slice(0, 1);
    return Object.fromEntries(chosen.map(([name, value]) => [name, sample(value, whole, depth + 1)]));
  }
  if (s.type === "string") return SAMPLES[s.format]?.()
    ?? "text".padEnd(s.minLength ?? 0, " text").slice(0, s.maxLength ?? 100);
  return { integer: s.minimum ?? 1, number: s.minimum ?? 1, boolean: true }[[s.type].flat()[0]] ?? null;
}

/** The example of a body in the description, else a sample of its schema. */
export const bodySample = (media, whole = false) => media.example
  ?? Object.values(media.examples ?? {}).map(deref)[0]?.value ?? sample(media.schema ?? {}, whole);
export const mediaOf = (node) => Object.entries(node?.content ?? {})[0] ?? [];

