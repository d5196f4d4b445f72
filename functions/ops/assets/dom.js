// Elements, and text in Markdown.
//
// Text from the description, a guide or an answer enters the page only as text nodes and attributes (see `el`), never as
// markup.

export const $ = (id) => document.getElementById(id);

/** An element. `props` are attributes, or listeners where the name starts with "on"; absent children are skipped. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""));
  return node;
}

export const span = (kind, ...children) => el("span", { class: kind }, ...children);
export const requiredMark = () => span("required", "required");
export const smallButton = (text, onclick, kind = "") =>
  el("button", { type: "button", class: `small ${kind}`, onclick }, text);
export const badge = (method) => span(`method ${method}`, method.toUpperCase());
export const statusBadge = (code) => span(`status s${String(code)[0]}`, code);

/** A random UUID. `crypto.randomUUID` is missing without TLS, as on a server in a local network. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** A button that copies what `text` returns. */
export function copyButton(text) {
  const button = smallButton("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

/** Code that scrolls, with a button that copies it. */
export const codeBlock = (text, label, shown = text) =>
  el("div", { class: "code" }, el("pre", { tabindex: "0", role: "region", "aria-label": label }, el("code", {}, shown)),
    copyButton(() => text));

/** JSON in color, as text nodes in spans. */
export function paint(text) {
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

export const json = (value, label) => {
  const text = JSON.stringify(value, null, 2);
  return codeBlock(text, label, paint(text));
};

// ---- Markdown ----

const LANGUAGES = { sh: "curl", js: "JavaScript", python: "Python", kotlin: "Kotlin", swift: "Swift", json: "JSON", http: "HTTP" };
let language = "sh"; // the one that the reader chose last

/** `code`, **bold** and links. */
const inline = (text) => text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\((?:https?:|\/|#)[^)\s]*\))/).map((part) => {
  const link = part.match(/^\[([^\]]+)\]\((.+)\)$/);
  if (link) return el("a", { href: link[2], rel: "noreferrer" }, inline(link[1]));
  if (part.length > 2 && part.startsWith("`")) return el("code", {}, part.slice(1, -1));
  return part.length > 4 && part.startsWith("**") ? el("strong", {}, inline(part.slice(2, -2))) : part;
});

const cells = (line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => inline(cell.trim()));

/** The same sample in several languages, of which one is shown. */
function samples(blocks) {
  if (blocks.length === 1) {
    const [{ kind, text }] = blocks;
    return codeBlock(text, LANGUAGES[kind] ?? "Sample", kind === "json" ? paint(text) : text);
  }
  const show = (chosen) => {
    language = chosen;
    document.querySelectorAll(".samples").forEach((group) => group.dispatchEvent(new Event("language")));
  };
  const buttons = blocks.map(({ kind }) => smallButton(LANGUAGES[kind] ?? kind, () => show(kind)));
  const panels = blocks.map(({ kind, text }) => codeBlock(text, LANGUAGES[kind] ?? kind));
  const update = () => {
    const at = Math.max(0, blocks.findIndex(({ kind }) => kind === language));
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === at)));
    panels.forEach((panel, i) => { panel.hidden = i !== at; });
  };
  update();
  return el("div", { class: "samples", onlanguage: update },
    el("div", { class: "languages", role: "group", "aria-label": "Language" }, buttons), panels);
}

/** The Markdown of descriptions and guides: headings, paragraphs, lists, tables, fenced code; see `inline`. */
export function markdown(text) {
  const out = [];
  let code = []; // fenced blocks that follow each other
  const flush = () => {
    if (code.length) out.push(samples(code));
    code = [];
  };
  for (const part of String(text ?? "").split(/^(```[\w ]*\n[\s\S]*?^```$)/m)) {
    const fence = part.match(/^```(\w*)( check)?\n([\s\S]*?)\n?```$/);
    if (fence) {
      // Checks are for `infra/guides`, which runs the samples.
      if (!fence[2]) code.push({ kind: fence[1], text: fence[3] });
      continue;
    }
    const blocks = part.split(/\n\s*\n/).map((block) => block.trim()).filter(Boolean);
    if (blocks.length) flush();
    for (const block of blocks) {
      const lines = block.split("\n");
      const heading = block.match(/^(#{1,4})\s+(.+)$/);
      const list = block.match(/^([-*]|\d+\.)\s/);
      if (heading) {
        const id = heading[2].toLowerCase().replace(/\W+/g, "-").replace(/^-|-$/g, "");
        out.push(el(`h${heading[1].length}`, { id }, inline(heading[2])));
      } else if (list) {
        const items = block.split(/\n(?=(?:[-*]|\d+\.)\s)/).map((item) => item.replace(/^([-*]|\d+\.)\s+/, "").replaceAll("\n", " "));
        out.push(el(/\d/.test(list[1]) ? "ol" : "ul", {}, items.map((item) => el("li", {}, inline(item)))));
      } else if (block.startsWith("|")) {
        const [head, , ...rows] = lines.map(cells);
        out.push(table(head, rows));
      } else out.push(el("p", {}, inline(lines.join(" "))));
    }
  }
  flush();
  return out;
}

/** A table that scrolls on narrow screens. Rows are lists of cells, or elements. */
export const table = (head, rows) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
  el("table", {},
    el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, cell)))),
    el("tbody", {}, rows.map((row) => Array.isArray(row) ? el("tr", {}, row.map((cell) => el("td", {}, cell))) : row))));
