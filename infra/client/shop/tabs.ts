/**
 * Two processes with one session refresh it `SOUK_TEST_REFRESHES` times (100 by default) at random moments, while answers get
 * lost, and are never signed out. `SOUK_TEST_SEED` repeats a run.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Souk } from "../src/index.js";
import { FileStorage } from "../src/node.js";
import { newAccount, url } from "./market.js";

const TABS = 2;
/** How many answers to refreshes are lost. */
const LOST = 0.05;
/** The longest pause before a refresh, in milliseconds. */
const PAUSE = 40;

const [session, count = "", seed = ""] = process.argv.slice(2);
if (session) await tab(session, Number(count), Number(seed));
else await parent();

async function parent(): Promise<void> {
  const all = Number(process.env["SOUK_TEST_REFRESHES"] ?? 100);
  const first = Number(process.env["SOUK_TEST_SEED"] ?? Date.now() % 1_000_000);
  const folder = await mkdtemp(join(tmpdir(), "souk-tabs-"));
  try {
    const path = join(folder, "session");
    const souk = new Souk({ url: url(), storage: new FileStorage(path) });
    const account = newAccount();
    await souk.post("/v1/accounts", { body: account });
    await souk.signIn({ email: account.email, password: account.password });
    const tabs = Array.from({ length: TABS }, (_, number) => {
      const own = Math.ceil(all / TABS);
      return fork(fileURLToPath(import.meta.url), [path, `${own}`, `${first + number}`]);
    });
    const codes = await Promise.all(tabs.map(async (each) => (await once(each, "exit"))[0] as number | null));
    assert(codes.every((code) => code === 0), `a tab failed: SOUK_TEST_SEED=${first} repeats it`);
    await souk.get("/v1/me");
    console.log(`${TABS} tabs refreshed ${all} times and are still signed in (SOUK_TEST_SEED=${first})`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Refreshes so often itself; refreshes of the other process come between. */
async function tab(path: string, refreshes: number, seed: number): Promise<void> {
  const random = generator(seed);
  let done = 0;
  const fetch = async (request: Request): Promise<Response> => {
    const isRefresh = request.url.endsWith("/v1/sessions/refresh");
    const response = await globalThis.fetch(request);
    if (isRefresh && random() < LOST) throw new TypeError("the answer is lost");
    if (isRefresh && response.ok) done += 1;
    return response;
  };
  const onSignedOut = () => assert.fail(`signed out after ${done} refreshes of this tab`);
  const souk = new Souk({ url: url(), storage: new FileStorage(path), fetch, onSignedOut });
  while (done < refreshes) {
    await pause(random() * PAUSE);
    assert(await souk.refresh());
    if (random() < 0.1) await souk.get("/v1/me");
  }
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
