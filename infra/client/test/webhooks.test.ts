import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { verifyWebhook } from "../src/index.js";

/** The test vector of the reference libraries of Standard Webhooks. */
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const body = '{"test": 2432232314}';
const headers = {
  "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "webhook-timestamp": "1614265330",
  "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};
const now = 1614265330_000;

test("a delivery is accepted in every form that a server gives it", async () => {
  const bytes = new TextEncoder().encode(body);
  const two = `v1,AAAA v1a,AAAA ${headers["webhook-signature"]}`;
  for (const [as, what] of [
    [headers, body],
    [new Headers(headers), bytes],
    [{ ...headers, "webhook-signature": two }, Buffer.from(bytes)],
  ] as const) {
    assert.deepEqual(await verifyWebhook(secret, as, what, { now }), { test: 2432232314 });
  }
});

test("anything else is refused", async () => {
  const other = `whsec_${Buffer.from("another secret").toString("base64")}`;
  const old = createHmac("sha512", Buffer.from(secret.slice(6), "base64")).update("x").digest("base64");
  const table: [string, Record<string, string | string[] | undefined>, string, number][] = [
    [other, headers, body, now],
    ["whsec_?", headers, body, now],
    [secret, headers, `${body} `, now],
    [secret, headers, body, now + 301_000],
    [secret, headers, body, now - 301_000],
    [secret, { ...headers, "webhook-id": "msg_2" }, body, now],
    [secret, { ...headers, "webhook-id": undefined }, body, now],
    [secret, { ...headers, "webhook-timestamp": "1614265331" }, body, now],
    [secret, { ...headers, "webhook-timestamp": "soon" }, body, now],
    [secret, { ...headers, "webhook-signature": "" }, body, now],
    [secret, { ...headers, "webhook-signature": ["v1,AAAA"] }, body, now],
    [secret, { ...headers, "webhook-signature": `v1,${old}` }, body, now],
    [secret, { ...headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,") }, body, now],
  ];
  for (const [key, sent, text, at] of table) {
    await assert.rejects(verifyWebhook(key, sent, text, { now: at }), { name: "WebhookError" });
  }
});
