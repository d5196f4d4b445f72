/**
 * Two tabs: processes with one session, which refresh it `SOUK_TEST_REFRESHES` times (100 by default) at random moments while
 * answers get lost. `SOUK_TEST_SEED` repeats their pauses and losses.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FileStorage } from "../src/node.js";
import { newAccount, somebody } from "./market.js";

const TABS = 2;

test("two tabs that refresh at random moments are never signed out", async (context) => {
  const refreshes = Number(process.env["SOUK_TEST_REFRESHES"] ?? 100) / TABS;
  const seed = Number(process.env["SOUK_TEST_SEED"] ?? Date.now() % 1_000_000);
  context.diagnostic(`SOUK_TEST_SEED=${seed}`);
  const folder = await mkdtemp(join(tmpdir(), "souk-tabs-"));
  try {
    const path = join(folder, "session");
    const souk = somebody({ storage: new FileStorage(path) });
    const account = newAccount();
    await souk.signUp(account);
    const program = fileURLToPath(new URL("tab.js", import.meta.url));
    const tabs = Array.from({ length: TABS }, (_, number) => fork(program, [path, `${refreshes}`, `${seed + number}`]));
    for (const [code] of await Promise.all(tabs.map((tab) => once(tab, "exit")))) assert.equal(code, 0);
    assert.equal((await souk.get("/v1/me")).username, account.username);
  } finally {
    await rm(folder, { recursive: true });
  }
});
