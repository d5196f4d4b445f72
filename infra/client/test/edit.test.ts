import assert from "node:assert/strict";
import { test } from "node:test";
import { Souk } from "../src/index.js";
import { mergePatch } from "../src/patch.js";

/** A product in a market; its fate says for each PATCH whether it is done, its answer lost, or another one done first or next. */
function market(fates: ("done" | "done, lost" | "done, raced, lost" | "lost" | "raced")[]) {
  const product: Record<string, unknown> = { id: "prd_1", title: "Lamp", version: 1 };
  const patches: unknown[] = [];
  const change = (patch: object) => Object.assign(product, patch, { version: Number(product["version"]) + 1 });
  const fetch = async (request: Request): Promise<Response> => {
    const etag = `"v${product["version"]}"`;
    if (request.method === "GET") return Response.json(product, { headers: { etag } });
    const fate = fates.shift();
    if (fate === "raced") change({ title: `${product["title"]}s` });
    if (fate === "lost") throw new TypeError("fetch failed");
    if (request.headers.get("if-match") !== `"v${product["version"]}"`) return Response.json({}, { status: 412 });
    const patch = (await request.json()) as object;
    patches.push(patch);
    change(patch);
    if (fate === "done, raced, lost") change({ title: "Chair" });
    if (fate?.endsWith("lost")) throw new TypeError("fetch failed");
    return Response.json(product);
  };
  const souk = new Souk({ url: "http://market.test", fetch });
  const shout = () =>
    souk.edit("/v1/products/{id}", { path: { id: "prd_1" } }, (draft) => {
      draft.title += "!";
    });
  return { souk, shout, product, patches };
}

test("an edit is made once, whatever happens on the way", async () => {
  const table = [
    [["done"], "Lamp!"],
    [["raced", "raced", "done"], "Lampss!"],
    [["done, lost"], "Lamp!"],
    [["lost", "done"], "Lamp!"],
    [["raced", "lost", "done"], "Lamps!"],
  ] as const;
  for (const [fates, title] of table) {
    const { shout, product, patches } = market([...fates]);
    assert.equal((await shout()).title, title, fates.join());
    assert.deepEqual([product["title"], patches], [title, [{ title }]], fates.join());
  }
});

test("an edit that may have been made is not made again", async () => {
  for (const [fates, made] of [
    [["done, raced, lost", "done"], 1],
    [["lost", "raced", "done"], 0],
  ] as const) {
    const { shout, patches } = market([...fates]);
    await assert.rejects(shout(), { message: "fetch failed" });
    assert.equal(patches.length, made);
  }
});

test("an edit that changes nothing is no request", async () => {
  const { souk, patches } = market([]);
  const same = await souk.edit("/v1/products/{id}", { path: { id: "prd_1" } }, (draft) => {
    draft.title = `${draft.title}`;
  });
  assert.deepEqual([same.title, patches], ["Lamp", []]);
});

test("a merge patch holds what differs", () => {
  const table: [unknown, unknown, unknown][] = [
    [{ a: 1, b: { c: 1, d: 2 } }, { a: 1, b: { c: 1, d: 3 } }, { b: { d: 3 } }],
    [{ a: 1, b: 2 }, { a: 1 }, { b: null }],
    [{ a: 1 }, { a: null, b: undefined }, { a: null }],
    [{ a: null }, {}, undefined],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, undefined],
    [{ a: [1, 2] }, { a: [2, 1] }, { a: [2, 1] }],
    [{ a: [] }, { a: {} }, { a: {} }],
    [{}, { a: { b: 1 } }, { a: { b: 1 } }],
    [{ a: "x" }, { a: { b: 1 } }, { a: { b: 1 } }],
  ];
  for (const [before, after, patch] of table) assert.deepEqual(mergePatch(before, after), patch, JSON.stringify([before, after]));
});
