import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BrowserStorage, MemoryStorage, type SessionStorage, Souk, type SoukOptions } from "../src/index.js";
import { FileStorage } from "../src/node.js";

/** A market with one account. As in Souk a refresh token works once, and again with the same key. */
class Market {
  /** How long its access tokens live, in seconds. */
  lifetime = 600;
  /** Which of the next answers to refreshes are lost. */
  losses: boolean[] = [];
  /** What answers the next refreshes in its place, such as a proxy. */
  others: ((request: Request) => Response)[] = [];
  /** How many tokens it has given out; the last ones are valid. */
  issued = 0;
  refreshes = 0;
  /** The devices that credentials were sent with. */
  devices: unknown[] = [];
  readonly #results = new Map<string, object>();

  #tokens(): object {
    this.issued += 1;
    return { access_token: `a${this.issued}`, refresh_token: `r${this.issued}`, token_type: "Bearer", expires_in: this.lifetime };
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/sessions") {
      this.devices.push(((await request.json()) as { device?: string }).device);
      return Response.json({ ...this.#tokens(), device: `d${this.devices.length}` }, { status: 201 });
    }
    if (pathname === "/v1/sessions/refresh") {
      this.refreshes += 1;
      const other = this.others.shift();
      if (other) return other(request);
      const key = request.headers.get("idempotency-key") ?? "";
      const { refresh_token } = (await request.json()) as { refresh_token: string };
      const known = this.#results.get(key);
      if (!known && refresh_token !== `r${this.issued}`) return Response.json({}, { status: 401 });
      const tokens = known ?? this.#tokens();
      this.#results.set(key, tokens);
      if (this.losses.shift()) throw new TypeError("fetch failed");
      return Response.json(tokens, { status: 201 });
    }
    const token = request.headers.get("authorization");
    if (token === null) return Response.json({ code: "token_missing" }, { status: 401 });
    if (token !== `Bearer a${this.issued}`) return Response.json({ code: "token_expired" }, { status: 401 });
    if (request.method === "DELETE") {
      this.issued += 1;
      return new Response(null, { status: 204 });
    }
    return Response.json({ username: "ada" });
  };

  /** Several tabs: clients with one storage, the first of which signs in. */
  async tabs(storage: SessionStorage, number: number, options: Partial<SoukOptions> = {}): Promise<[Souk, ...Souk[]]> {
    const tab = () => new Souk({ url: "http://market.test", storage, fetch: this.fetch, ...options });
    const [first, ...others] = [tab(), ...Array.from({ length: number - 1 }, tab)];
    await first.signIn({ email: "ada@example.com", password: "correct-horse" });
    return [first, ...others];
  }
}

const me = (souk: Souk) => souk.get("/v1/me");

test("one refresh serves all calls of all tabs", async () => {
  const market = new Market();
  market.lifetime = 10; // So short that it is always about to expire.
  const tabs = await market.tabs(new MemoryStorage(), 5);
  market.lifetime = 600;
  const calls = tabs.flatMap((tab) => Array.from({ length: 10 }, () => me(tab)));
  for (const account of await Promise.all(calls)) assert.equal(account.username, "ada");
  assert.equal(market.refreshes, 1);
});

test("a token that the market no longer takes is replaced, and the call repeated", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  const [tab] = await market.tabs(storage, 1);
  const session = storage.read();
  assert(session);
  storage.write({ ...session, access_token: "of a market with other keys" });
  assert.equal((await me(tab)).username, "ada");
  assert.equal(market.refreshes, 1);
});

test("a refresh that lost its answer is repeated, even by a process that comes later", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  const [tab, later] = await market.tabs(storage, 2);
  market.losses = [true, true, true, true];
  await assert.rejects(tab.refresh(), TypeError);
  assert.deepEqual([market.refreshes, market.issued], [4, 2]);
  assert.equal(storage.read()?.access_token, "a1");
  assert(later);
  assert.equal(await later.refresh(), true);
  assert.deepEqual([storage.read()?.access_token, market.issued], ["a2", 2]);
});

test("a session that has ended is told once, and what needs none goes on", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  let told = 0;
  const tabs = await market.tabs(storage, 3, { onSignedOut: () => (told += 1) });
  market.issued += 7;
  const results = await Promise.allSettled(tabs.map(me));
  assert(results.every((result) => result.status === "rejected" && result.reason.status === 401));
  assert.deepEqual([told, storage.read(), market.refreshes], [1, null, 1]);
  await assert.rejects(me(tabs[0]), { code: "token_missing" });
  assert.equal(await tabs[0].refresh(), false);
});

test("only the market's 401 ends a session", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  const onSignedOut = () => assert.fail("the session goes on");
  const [tab] = await market.tabs(storage, 1, { retries: 0, onSignedOut });
  for (const status of [400, 403, 404, 408, 409, 422, 429, 500, 503]) {
    market.others = [() => new Response("<h1>Not now</h1>", { status })];
    await assert.rejects(tab.refresh(), { name: "SoukError", status });
    assert.equal(storage.read()?.access_token, "a1");
  }
  assert.equal(await tab.refresh(), true);
});

test("a refresh whose body stalls holds the lock no longer than its timeout", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  const [tab, other] = await market.tabs(storage, 2, { timeout: 100 });
  market.others = [({ signal }) => stalled(signal)];
  const alive = setInterval(() => {}, 1000);
  const results = await Promise.allSettled([tab, other ?? tab].map((each) => each.refresh()));
  clearInterval(alive);
  assert.deepEqual(results.map((result) => result.status), ["rejected", "fulfilled"]);
  assert.deepEqual([storage.read()?.access_token, market.refreshes], ["a2", 2]);
});

/** A response whose body begins and does not end, until its request is given up. */
function stalled(signal: AbortSignal): Response {
  const body = new ReadableStream({
    start(stream) {
      stream.enqueue(new TextEncoder().encode("{"));
      signal.addEventListener("abort", () => stream.error(signal.reason));
    },
  });
  return new Response(body, { status: 201 });
}

test("a sign-out ends the session here even if the market cannot be reached", async () => {
  const market = new Market();
  const storage = new MemoryStorage();
  const [tab] = await market.tabs(storage, 1);
  await tab.signOut();
  assert.deepEqual([storage.read(), market.issued, await tab.isSignedIn()], [null, 2, false]);
  await tab.signOut();
  const unreachable = async (): Promise<Response> => Promise.reject(new TypeError("fetch failed"));
  const lonely = new Souk({ url: "http://market.test", storage, fetch: unreachable, retries: 0 });
  storage.write({ access_token: "a", refresh_token: "r", expires_at: Date.now() + 600_000 });
  await assert.rejects(lonely.signOut(), TypeError);
  assert.equal(storage.read(), null);
});

test("tabs share a session in localStorage, with Web Locks and without", async (context) => {
  const kept = new Map<string, string>();
  const localStorage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
    removeItem: (name: string) => void kept.delete(name),
  };
  const queue = new MemoryStorage();
  const locks = { request: (_: string, task: () => Promise<unknown>) => queue.lock(task) };
  const globals = { localStorage, navigator: { locks: undefined as typeof locks | undefined } };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  context.after(() => Object.keys(globals).forEach((name) => Reflect.deleteProperty(globalThis, name)));
  for (const has of [undefined, locks]) {
    globals.navigator.locks = has;
    const market = new Market();
    const [tab, ...others] = await market.tabs(new BrowserStorage(), 3);
    await Promise.all([tab, ...others].map((each) => each.refresh()));
    const tabs = [tab, ...others].map(me);
    assert.equal((await Promise.all(tabs)).length, 3);
    assert.equal(JSON.parse(kept.get("souk-session") ?? "{}").access_token, `a${market.issued}`);
    await tab.signOut();
    // By what stays the market knows the device, for the next session.
    assert.deepEqual([[...kept.keys()], await others[0]?.isSignedIn()], [["souk-session-device"], false]);
  }
});

test("a file keeps a session for its owner only, and a lock that outlived its process ends", async () => {
  const folder = await mkdtemp(join(tmpdir(), "souk-client-"));
  try {
    const path = join(folder, "session");
    const storages = [new FileStorage(path), new FileStorage(path)] as const;
    assert.equal(await storages[0].read(), null);
    await storages[0].write({ access_token: "a", refresh_token: "r", expires_at: 1 });
    assert.deepEqual([(await stat(path)).mode & 0o777, (await storages[1].read())?.access_token], [0o600, "a"]);

    await writeFile(`${path}.lock`, "");
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(`${path}.lock`, longAgo, longAgo);
    let running = 0;
    const task = async () => {
      assert.equal((running += 1), 1);
      await readFile(path);
      running -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, (_, number) => storages[number % 2 ? 1 : 0].lock(task)));
    await assert.rejects(storages[0].lock(() => Promise.reject(new Error("failed"))), { message: "failed" });
    await storages[1].lock(() => storages[1].write(null));
    assert.equal(await storages[0].read(), null);
    await assert.rejects(stat(`${path}.lock`), { code: "ENOENT" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a device is known by its token after its session has ended", async () => {
  const directory = await mkdtemp(join(tmpdir(), "souk-"));
  try {
    for (const storage of [new MemoryStorage(), new FileStorage(join(directory, "session"))]) {
      const market = new Market();
      const [souk] = await market.tabs(storage, 1);
      await souk.signOut();
      assert.equal(await souk.isSignedIn(), false);
      await market.tabs(storage, 1);
      await souk.signIn({ email: "ada@example.com", password: "correct-horse", device: "another" });
      assert.deepEqual(market.devices, [undefined, "d1", "another"]);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
