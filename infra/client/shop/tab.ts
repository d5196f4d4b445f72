/** A process that refreshes the session in a file: `tab.js FILE REFRESHES SEED`. Fails if it is signed out. */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { FileStorage } from "../src/node.js";
import { somebody } from "./market.js";

/** How many answers to refreshes are lost. */
const LOST = 0.05;
/** The longest pause before a refresh, in milliseconds. */
const PAUSE = 40;

const [path = "", refreshes = "", seed = ""] = process.argv.slice(2);
const random = generator(Number(seed));
let done = 0;

const storage = new FileStorage(path);
const souk = somebody({
  storage,
  onSignedOut: () => assert.fail(`signed out after ${done} refreshes`),
  fetch: async (request) => {
    const isRefresh = request.url.endsWith("/v1/sessions/refresh");
    const response = await fetch(request);
    if (isRefresh && random() < LOST) throw new TypeError("the answer is lost");
    if (isRefresh && response.ok) done += 1;
    return response;
  },
});

// Refreshes of the other process come between, and do not count.
while (done < Number(refreshes)) {
  await pause(random() * PAUSE);
  const before = await storage.read();
  assert(await souk.refresh());
  assert.notEqual((await storage.read())?.refresh_token, before?.refresh_token);
  if (random() < 0.1) await souk.get("/v1/me");
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
