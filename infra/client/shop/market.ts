/** The market that the shop is tried against: the one at `SOUK_URL`, with the settings that the end-to-end tests have. */
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Souk, SoukError, type SoukOptions } from "../src/index.js";

/** How long what happens in the background may take, in milliseconds. */
const DEADLINE = 120_000;

export function url(): string {
  const url = process.env["SOUK_URL"];
  if (!url) throw new Error("set SOUK_URL to the address of a host");
  return url;
}

/** A client with an address of its own, as the host under test sees it: limits count addresses. */
export function somebody(options: Partial<SoukOptions> = {}): Souk {
  const address = `10.${Array.from(randomBytes(3)).join(".")}`;
  const send = options.fetch ?? fetch;
  const from = (request: Request) => {
    // Which of them counts depends on the host.
    for (const name of ["x-forwarded-for", "cf-connecting-ip"]) request.headers.set(name, address);
    // Staff says why it changes what is somebody else's.
    request.headers.set("souk-reason", "a test");
    return send(request);
  };
  return new Souk({ url: url(), ...options, fetch: from });
}

export function unique(what: string): string {
  return `${what}-${randomBytes(6).toString("hex")}`;
}

export function newAccount() {
  const username = unique("ts");
  return { username, email: `${username}@souk.test`, password: "correct-horse-battery" };
}

/** Somebody who has signed up and in. */
export interface Member {
  souk: Souk;
  username: string;
  password: string;
  id: string;
}

export async function member(): Promise<Member> {
  const souk = somebody();
  const account = newAccount();
  const { id } = await souk.signUp(account);
  return { souk, ...account, id };
}

/** The first admin, who is signed up if need be. */
export async function admin(): Promise<Souk> {
  const souk = somebody();
  const email = process.env["SOUK_TEST_ADMIN_EMAIL"] ?? "admin@e2e.test";
  const password = process.env["SOUK_TEST_ADMIN_PASSWORD"] ?? "correct-horse-battery";
  try {
    await souk.signIn({ email, password });
  } catch (error) {
    if (!(error instanceof SoukError && error.status === 401)) throw error;
    const { email_verification } = await souk.post("/v1/accounts", { body: { username: unique("first"), email, password } });
    if (!email_verification) throw new Error("the host sends no mails");
    const { id } = email_verification;
    await souk.post("/v1/email-confirmations", { body: { challenge: id, code: await mailedCode(email, id) } });
    await souk.signIn({ email, password });
  }
  return souk;
}

/** The code that is mailed to an address for a challenge: a host in development keeps its mails. */
export function mailedCode(email: string, challenge: string): Promise<string> {
  return eventually(`a mail to ${email}`, async () => {
    const response = await fetch(`${url()}/dev/mail/messages?to=${encodeURIComponent(email)}`);
    const mails = (await response.json()) as { text: string }[];
    return mails.find(({ text }) => text.includes(challenge))?.text.match(/is (\d{3} \d{3})/)?.[1];
  });
}

/** Looks until there is something. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await pause(100);
  }
}
