/** The shop against a market: what a front-end does, from the sign-up to a sale. Runs on every host. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Options, SoukError, verifyWebhook, type WebhookPayload } from "../src/index.js";
import { admin, eventually, mailedCode, type Member, member, newAccount, somebody, unique } from "./market.js";
import { receiver, type Receiver } from "./receiver.js";
import { find, grid, page, type Product, reduce, submit } from "./shop.js";

type NewProduct = Options<"/v1/products", "post">["body"];

const visitor = somebody();
const word = unique("lantern").replace("-", "");
let seller: Member;
let buyer: Member;
let category: string;
let vendor: string;
const products: Product[] = [];

function lamp(number: number): NewProduct {
  return {
    title: `Lamp ${number} ${word}`,
    category,
    vendor,
    price: { amount: 1000 * (number + 1), currency: "EUR" },
    attributes: { material: number % 2 ? "brass" : "glass", height: 10 * number, dimmable: number > 2 },
    tags: ["light"],
  };
}

before(async () => {
  const staff = await admin();
  const body: Options<"/v1/categories", "post">["body"] = {
    name: unique("Lamps"),
    attributes: [
      { name: "material", type: "choice", choices: ["brass", "glass"], required: true, filterable: true },
      { name: "height", type: "number", filterable: true },
      { name: "dimmable", type: "boolean" },
    ],
  };
  const { id } = await staff.post("/v1/categories", { body });
  [category, seller, buyer] = [id, await member(), await member()];
  vendor = (await seller.souk.post("/v1/vendors", { body: { name: unique("Bright") } })).id;
  for (let number = 0; number < 5; number++) {
    const submitted = await submit(seller.souk, lamp(number));
    assert("product" in submitted, JSON.stringify(submitted));
    products.push(submitted.product);
  }
});

test("a form shows what is wrong beside each field", async () => {
  const submitted = await submit(seller.souk, {
    ...lamp(1),
    title: "",
    price: { amount: -1, currency: "EUR" },
    tags: Array.from({ length: 20 }, (_, number) => `${number}`),
  });
  assert("messages" in submitted);
  assert.deepEqual(Object.keys(submitted.messages).sort(), ["price.amount", "tags", "title"]);
  assert(Object.values(submitted.messages).every((message) => message.length > 3));

  const taken = { ...newAccount(), username: buyer.username };
  await assert.rejects(visitor.post("/v1/accounts", { body: taken }), (error) => {
    assert(error instanceof SoukError);
    assert.deepEqual([error.status, Object.keys(error.errors)], [409, ["username"]]);
    assert(error.requestId);
    return true;
  });
  await assert.rejects(visitor.signIn({ username: buyer.username, password: "wrong password" }), { status: 401 });
  await assert.rejects(visitor.get("/v1/me"), { status: 401 });
});

test("a grid shows a page of products with their vendors, and then the next one", async () => {
  const first = await grid(visitor, { category: [category], sort: "price", limit: 3 });
  assert.deepEqual(
    first.cards.map(({ title, price }) => [title, price]),
    [0, 1, 2].map((number) => [`Lamp ${number} ${word}`, `€${number + 1}0.00`]),
  );
  assert(first.cards.every((card) => card.vendor?.startsWith("Bright")) && first.next);
  const second = await grid(visitor, { category: [category], sort: "price", limit: 3, cursor: first.next });
  assert.deepEqual([second.cards.length, second.next], [2, null]);

  const all: string[] = [];
  for await (const product of visitor.list("/v1/products", { query: { vendor: [vendor], limit: 2, fields: ["id"] } })) {
    assert.deepEqual(Object.keys(product), ["id"]);
    all.push(product.id);
  }
  assert.deepEqual(all.sort(), products.map((product) => product.id).sort());
});

test("products are found by attributes, and by words with typos", async () => {
  const { cards } = await grid(visitor, { category: [category], attr: { material: "brass" } });
  assert.deepEqual(cards.map((card) => card.title).sort(), [1, 3].map((number) => `Lamp ${number} ${word}`));
  const misspelt = `${word.slice(0, 2)}${word.slice(3)}`;
  const found = await eventually("the index has all products", async () => {
    const titles = await find(visitor, misspelt, category);
    return titles.length === products.length && titles;
  });
  assert.deepEqual(found.sort(), products.map((product) => product.title).sort());
});

test("a page shows a product with its vendor and category, and its comments with their authors", async () => {
  const { id, slug } = products[0] as Product;
  const body = "Does it leak?";
  const comment = await buyer.souk.post("/v1/products/{id}/comments", { path: { id }, body: { body } });
  await seller.souk.post("/v1/products/{id}/comments", { path: { id }, body: { body: "No.", parent: comment.id } });
  const shown = await page(visitor, slug);
  assert(shown.product.category.attributes.some((attribute) => attribute.name === "material"));
  assert.equal(shown.product.vendor?.id, vendor);
  assert.equal(shown.product.attributes["material"], "glass");
  assert.deepEqual(
    shown.comments.map(({ author, depth, body }) => [author?.username, depth, body]),
    [
      [buyer.username, 0, body],
      [seller.username, 1, "No."],
    ],
  );
});

test("a buyer votes, and follows a vendor whose news then come", async () => {
  const { id } = products[1] as Product;
  await buyer.souk.put("/v1/products/{id}/upvote", { path: { id } });
  await buyer.souk.put("/v1/vendors/{id}/follow", { path: { id: vendor } });
  assert.equal((await buyer.souk.get("/v1/products/{id}/upvote", { path: { id } })).upvoted, true);
  assert.equal((await buyer.souk.get("/v1/vendors/{id}/follow", { path: { id: vendor } })).following, true);
  const hearts = (await grid(buyer.souk, { category: [category] })).cards.filter((card) => card.heart).map((card) => card.id);
  assert.deepEqual(hearts, [id]);
  await eventually("the vote counts", async () => {
    return (await visitor.get("/v1/products/{id}", { path: { id }, query: { fields: ["upvote_count"] } })).upvote_count === 1;
  });
  const submitted = await submit(seller.souk, { ...lamp(6), tags: ["late"], category });
  assert("product" in submitted);
  await eventually("the feed has the new product", async () => {
    for await (const item of buyer.souk.list("/v1/feed")) if (item.id === submitted.product.id) return true;
    return false;
  });
  await seller.souk.delete("/v1/products/{id}", { path: { id: submitted.product.id } });
});

test("two who edit a product at the same time lose nothing", async () => {
  const { id } = products[4] as Product;
  const number = 5;
  const edits = Array.from({ length: number }, (_, each) =>
    seller.souk.edit("/v1/products/{id}", { path: { id } }, (draft) => {
      draft.tags = [...draft.tags, `tag${each}`];
      draft.attributes["height"] = Number(draft.attributes["height"]) + 1;
    }),
  );
  await Promise.all(edits);
  const reduced = await reduce(seller.souk, id, 20);
  assert.deepEqual(reduced.price, { amount: 4000, currency: "EUR" });
  assert.deepEqual(reduced.compare_at_price, { amount: 5000, currency: "EUR" });
  assert.deepEqual([...reduced.tags].sort(), ["light", ...Array.from({ length: number }, (_, each) => `tag${each}`)]);
  assert.equal(reduced.attributes["height"], 40 + number);
  const before = await seller.souk.get("/v1/products/{id}", { path: { id } });
  const untouched = await seller.souk.edit("/v1/products/{id}", { path: { id } }, () => {});
  assert.equal(untouched.version, before.version);
  await assert.rejects(
    buyer.souk.edit("/v1/products/{id}", { path: { id } }, (draft) => void (draft.title = "Mine")),
    { status: 403 },
  );
});

test("the same POST with the same key is one product", async () => {
  const options = { header: { "Idempotency-Key": unique("key") }, body: lamp(7) };
  const [first, second] = [await seller.souk.post("/v1/products", options), await seller.souk.post("/v1/products", options)];
  assert.equal(first.id, second.id);
  await assert.rejects(seller.souk.post("/v1/products", { ...options, body: lamp(8) }), (error) => {
    return error instanceof SoukError && error.status === 422 && error.errors["Idempotency-Key"] !== undefined;
  });
});

test("a session is refreshed, shared and ended", async () => {
  const { souk, username, password } = await member();
  assert.equal(await souk.refresh(), true);
  assert.equal((await souk.get("/v1/me")).username, username);
  await souk.signOut();
  assert.equal(await souk.isSignedIn(), false);
  await assert.rejects(souk.get("/v1/me"), { status: 401 });
  await souk.signIn({ username, password });
  assert.equal((await souk.get("/v1/me")).username, username);
});

test("an address is verified, and then a mail signs in", async () => {
  const souk = somebody();
  const account = newAccount();
  const { email } = account;
  const { email_verification } = await souk.signUp(account);
  assert(email_verification);
  const verification = email_verification.id;
  await assert.rejects(visitor.signIn({ email, password: account.password }), { status: 401 });
  await souk.post("/v1/email-confirmations", { body: { challenge: verification, code: await mailedCode(email, verification) } });
  assert.equal((await souk.get("/v1/me")).email_verified, true);
  await souk.signOut();
  const { id: challenge } = await souk.post("/v1/sessions/mailed", { body: { email } });
  await souk.signInByMail({ challenge, code: await mailedCode(email, challenge) });
  assert.equal((await souk.get("/v1/me")).username, account.username);
});

test("a sale arrives at a webhook, signed", async (context) => {
  const own: Receiver | undefined = await receiver();
  if (!own) return context.skip("set SOUK_TEST_RECEIVER to what the host may call");
  after(() => own.close());
  const webhook = await seller.souk.post("/v1/webhooks", { body: { url: own.url, events: ["product.sold"] } });
  const path = { id: webhook.id };
  await eventually("the URL is verified", async () => (await seller.souk.get("/v1/webhooks/{id}", { path })).verified);
  const { id } = products[2] as Product;
  await seller.souk.post("/v1/products/{id}/sold", { path: { id } });
  const { headers, body } = await eventually("the delivery", async () => own.deliveries.at(0));
  const event: WebhookPayload = await verifyWebhook(webhook.secret, headers, body);
  assert(event.type === "product.sold");
  assert.equal(event.data.product, id);
  await assert.rejects(verifyWebhook(webhook.secret, headers, `${body} `), { name: "WebhookError" });
  const { secret } = await seller.souk.post("/v1/webhooks/{id}/rotate", { path });
  await assert.rejects(verifyWebhook(secret, headers, body), { name: "WebhookError" });
  await seller.souk.delete("/v1/webhooks/{id}", { path });
});
