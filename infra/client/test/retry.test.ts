import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Souk, SoukError } from "../src/index.js";

/** A market that gives these answers, one after the other, and notes what it was asked. */
function market(...answers: (Response | Error)[]) {
  const asked: Request[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    asked.push(request);
    const answer = answers.shift();
    if (answer instanceof Response) return answer;
    throw answer ?? new Error("asked too often");
  };
  return { asked, souk: new Souk({ url: "http://market.test/", fetch }) };
}

const busy = (seconds: string) => new Response("", { status: 503, headers: { "retry-after": seconds } });
const refused = (status: number) => new Response("", { status });
const lost = () => new TypeError("fetch failed");

test("a POST is repeated with the same key and body until it is answered", async () => {
  const answers = [lost(), busy("0"), refused(429), Response.json({ id: "cat_1" }, { status: 201 })];
  const { asked, souk } = market(...answers);
  assert.deepEqual(await souk.post("/v1/categories", { body: { name: "Lamps" } }), { id: "cat_1" });
  const sent = asked.map(async (request) => [request.headers.get("idempotency-key"), await request.text()]);
  const [first, ...others] = await Promise.all(sent);
  assert.match(first?.[0] ?? "", /^[0-9a-f]{32}$/);
  assert.equal(first?.[1], '{"name":"Lamps"}');
  assert.deepEqual(others, [first, first, first]);
});

test("what was not done is repeated, what may have been done twice is not", async () => {
  const conditional = { path: { id: "me" }, header: { "If-Match": '"v1"' }, body: { title: "Lamp" } };
  // The answers, and how many of them the call gets.
  const table: [(souk: Souk) => Promise<unknown>, (Response | Error)[], number][] = [
    [(souk) => souk.get("/v1/lanes"), [lost(), lost(), lost(), lost(), lost()], 4],
    [(souk) => souk.get("/v1/lanes"), [408, 502, 504, 408].map(refused), 4],
    [(souk) => souk.get("/v1/lanes"), [busy("3600"), busy("0")], 1],
    [(souk) => souk.get("/v1/lanes"), [refused(500)], 1],
    [(souk) => souk.patch("/v1/products/{id}", conditional), [lost(), lost()], 1],
    [(souk) => souk.patch("/v1/products/{id}", conditional), [busy("0"), lost()], 1],
    [(souk) => souk.patch("/v1/products/{id}", conditional), [refused(429), lost()], 2],
  ];
  await Promise.all(
    table.map(async ([call, answers, count]) => {
      const { asked, souk } = market(...answers);
      await assert.rejects(call(souk));
      assert.equal(asked.length, count);
    }),
  );
});

test("a call that is given up is not repeated", async () => {
  const { asked, souk } = market(busy("10"), Response.json({ items: [] }));
  const signal = AbortSignal.timeout(20);
  await assert.rejects(souk.get("/v1/lanes", { signal }), { name: "TimeoutError" });
  assert.equal(asked.length, 1);
});

test("a body that stalls is given up, whatever is collected meanwhile", async () => {
  const server = createServer((_, response) => response.writeHead(200, { "content-type": "application/json" }).write("{"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const calls = [
    new Souk({ url, timeout: 400 }).get("/v1/lanes"),
    new Souk({ url }).get("/v1/lanes", { signal: AbortSignal.timeout(400) }),
  ].map((call) => assert.rejects(call, { name: "TimeoutError" }));
  for (let turn = 0; turn < 15; turn++) {
    await sleep(20);
    collect();
  }
  await Promise.all(calls).finally(() => server.close().closeAllConnections());
});

test("a problem says what is wrong, by field", async () => {
  const problem = {
    status: 422,
    code: "validation_failed",
    detail: "two fields are invalid",
    request_id: "req_1",
    errors: [
      { field: "price.amount", detail: "is required" },
      { field: "title", detail: "is too long" },
      { field: "title", detail: "is not plain text" },
    ],
  };
  const { souk } = market(Response.json(problem, { status: 422 }), new Response("<h1>Bad gateway</h1>", { status: 400 }));
  const call = () => souk.get("/v1/lanes");
  await assert.rejects(call, (error) => {
    assert(error instanceof SoukError);
    assert.deepEqual([error.status, error.code, error.requestId], [422, "validation_failed", "req_1"]);
    assert.equal(error.errors["price.amount"]?.[0]?.detail, "is required");
    assert.equal(error.errors["title"]?.length, 2);
    assert.equal(error.errors["constructor"], undefined);
    return true;
  });
  await assert.rejects(call, { status: 400, code: "unknown", message: "400", requestId: null });
});

test("queries are written as the market reads them", async () => {
  const { asked, souk } = market(Response.json({ items: [], next_cursor: null }));
  const query = { tag: "a b&c", limit: 3, cursor: undefined, include: ["vendor", "author"], fields: [], attr: { size: 1 } };
  await souk.get("/v1/products", { query: query as object });
  assert.equal(asked[0]?.url, "http://market.test/v1/products?tag=a+b%26c&limit=3&include=vendor%2Cauthor&attr.size=1");
});

test("a part of a file is sent as it is", async () => {
  const { asked, souk } = market(new Response(null, { status: 204 }));
  const body = new TextEncoder().encode("title,price\nLamp,49");
  await souk.put("/v1/imports/{id}/parts/{part}", { path: { id: "imp_1", part: "0" }, body });
  assert.equal(asked[0]?.headers.get("content-type"), "application/octet-stream");
  assert.deepEqual(new Uint8Array((await asked[0]?.arrayBuffer()) ?? []), body);
});

test("a list ends with the page that has no next one", async () => {
  const pages = [
    { items: [1, 2], next_cursor: "one" },
    { items: [], next_cursor: "two" },
    { items: [3], next_cursor: null },
  ];
  const { asked, souk } = market(...pages.map((page) => Response.json(page)));
  const seen: unknown[] = [];
  for await (const item of souk.list("/v1/products", { query: { limit: 2 } })) seen.push(item);
  assert.deepEqual(seen, [1, 2, 3]);
  const queries = asked.map((request) => new URL(request.url).search);
  assert.deepEqual(queries, ["?limit=2", "?limit=2&cursor=one", "?limit=2&cursor=two"]);
});
