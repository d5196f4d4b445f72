// The mails that a host in development keeps in the place of sending them.

import { $, el } from "/docs/dom.js";

/** A mail as text; what begins with http becomes a link. */
const shown = (mail) => el("article", {},
  el("h2", {}, mail.subject),
  el("p", {}, `to ${mail.to}, ${new Date(mail.sent_at).toLocaleString()}`),
  mail.text.split("\n\n").map((part) => el("p", {}, part.startsWith("http") ? el("a", { href: part.trim() }, part) : part)));

async function load() {
  const answer = await fetch("/dev/mail/messages", { cache: "no-store" });
  const mails = answer.ok ? await answer.json() : null;
  $("mails").replaceChildren(...(mails?.length ? mails.map(shown)
    : [el("p", {}, mails ? "No mails yet." : "This host sends its mails: none are kept.")]));
}

await load();
