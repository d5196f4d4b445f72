/** Uses that must not compile: each line below `@ts-expect-error` is one, and compiles once the types are too wide. Nothing here runs. */
import { type Options, type Shown, Souk, SoukError, verifyWebhook } from "../src/index.js";

export async function wrong(souk: Souk): Promise<void> {
  const path = { id: "brass-oil-lamp" };
  const body: Options<"/v1/products", "post">["body"] = { title: "Lamp", category: "lamps" };
  const money = { amount: 4900, currency: "EUR" };

  // Paths and methods.
  // @ts-expect-error A typo in a path.
  await souk.get("/v1/product");
  // @ts-expect-error A path without its parameter.
  await souk.get("/v1/products/{id}");
  // @ts-expect-error The parameter has another name.
  await souk.get("/v1/products/{id}", { path: { product: "brass-oil-lamp" } });
  // @ts-expect-error An id is text.
  await souk.delete("/v1/products/{id}", { path: { id: 7 } });
  // @ts-expect-error Nobody puts a product.
  await souk.put("/v1/products/{id}", { path, body });
  // @ts-expect-error The list of products is not one product.
  await souk.edit("/v1/products", { path }, () => {});
  // @ts-expect-error One product is not a list.
  souk.list("/v1/products/{id}", { path });

  // Queries.
  // @ts-expect-error A typo in `include`.
  await souk.get("/v1/products", { query: { include: ["vender"] } });
  // @ts-expect-error Another path's `include`.
  await souk.get("/v1/products/{id}/comments", { path, query: { include: ["vendor"] } });
  // @ts-expect-error A typo in `fields`.
  souk.list("/v1/products", { query: { fields: ["titel"] } });
  // @ts-expect-error A typo in the name of a parameter.
  await souk.get("/v1/products", { query: { categroy: ["lamps"] } });
  // @ts-expect-error No such order.
  souk.pages("/v1/products", { query: { sort: "cheapest" } });
  // @ts-expect-error No such status.
  await souk.get("/v1/products", { query: { status: "deleted" } });
  // @ts-expect-error A number, not text.
  await souk.get("/v1/products", { query: { limit: "20" } });
  // @ts-expect-error Categories are several.
  await souk.get("/v1/products", { query: { category: "lamps" } });
  // @ts-expect-error A parameter beside the query.
  await souk.get("/v1/products", { category: ["lamps"] });

  // Bodies.
  // @ts-expect-error No body.
  await souk.post("/v1/products");
  // @ts-expect-error No category.
  await souk.post("/v1/products", { body: { title: "Lamp" } });
  // @ts-expect-error A typo in a field.
  await souk.post("/v1/products", { body: { ...body, titel: "Lamp" } });
  // @ts-expect-error A price is an amount with its currency.
  await souk.post("/v1/products", { body: { ...body, price: 49 } });
  // @ts-expect-error A price without its currency.
  await souk.post("/v1/products", { body: { ...body, price: { amount: 4900 } } });
  // @ts-expect-error An amount is a number.
  await souk.post("/v1/products", { body: { ...body, price: { ...money, amount: "49.00" } } });
  // @ts-expect-error No such condition.
  await souk.post("/v1/products", { body: { ...body, condition: "broken" } });
  // @ts-expect-error The values of attributes are no objects.
  await souk.post("/v1/products", { body: { ...body, attributes: { material: { name: "brass" } } } });
  // @ts-expect-error Attributes have names.
  await souk.post("/v1/products", { body: { ...body, attributes: ["brass"] } });
  // @ts-expect-error Tags are several.
  await souk.post("/v1/products", { body: { ...body, tags: "lamp" } });
  // @ts-expect-error The title of a product cannot be cleared.
  await souk.patch("/v1/products/{id}", { path, body: { title: null } });
  // @ts-expect-error The market sets the status.
  await souk.patch("/v1/products/{id}", { path, body: { status: "sold" } });
  // @ts-expect-error No such type of attribute.
  await souk.post("/v1/categories", { body: { name: "Lamps", attributes: [{ name: "size", type: "colour" }] } });
  // @ts-expect-error No password.
  await souk.signIn({ email: "ada@example.com" });
  // @ts-expect-error The scope of a webhook cannot be changed.
  await souk.patch("/v1/webhooks/{id}", { path, body: { scope: "market" } });

  // Responses.
  const product = await souk.get("/v1/products/{id}", { path });
  // @ts-expect-error A typo in a field.
  product.titel;
  // @ts-expect-error Without `include` it is an id.
  product.vendor?.name;
  // @ts-expect-error A product may have no vendor.
  (await souk.get("/v1/products/{id}", { path, query: { include: ["vendor"] } })).vendor.name;
  // @ts-expect-error Not one of its fields.
  (await souk.get("/v1/products/{id}", { path, query: { fields: ["id", "title"] } })).price;
  // @ts-expect-error No status is called so.
  product.status === "deleted";
  // @ts-expect-error A list has items.
  (await souk.get("/v1/products"))[0];
  // @ts-expect-error A deletion responds with nothing.
  (await souk.delete("/v1/products/{id}", { path })).id;
  // @ts-expect-error The market sets the id.
  await souk.edit("/v1/products/{id}", { path }, (draft) => (draft.id = "prd_1"));
  // @ts-expect-error The title cannot be cleared.
  await souk.edit("/v1/products/{id}", { path }, (draft) => (draft.title = null));

  // The rest.
  // @ts-expect-error A client needs an address.
  new Souk({});
  // @ts-expect-error Errors are by field.
  new SoukError(new Response(), {}).errors[0].detail;
  // @ts-expect-error No error has this code.
  new SoukError(new Response(), {}).code === "not_fuond";
  // @ts-expect-error No rule of a field has this code.
  new SoukError(new Response(), {}).errors["title"]?.[0]?.code === "too_longer";
  // @ts-expect-error A field may have no error.
  new SoukError(new Response(), {}).errors["title"][0].detail;
  // @ts-expect-error A parsed body has other bytes than the one that was signed.
  const event = await verifyWebhook("whsec_…", new Headers(), { type: "product.created" });
  // @ts-expect-error No event is called so.
  event.type === "product.bought";
}

/** What the types must say, beside what they must not. */
export async function right(souk: Souk): Promise<void> {
  const page = await souk.get("/v1/products", { query: { include: ["vendor"], fields: ["id", "vendor", "category"] } });
  for (const product of page.items) {
    const name: string | undefined = product.vendor?.name;
    const category: string = product.category;
    void [name, category];
  }
  const include: ("vendor" | "author")[] = [];
  const either: string | object | null = (await souk.get("/v1/products/{id}", { path: { id: "x" }, query: { include } })).vendor;
  const product: Shown<"/v1/products/{id}", ["author"], []> = await souk.get("/v1/products/{id}", {
    path: { id: "x" },
    query: { include: ["author"] },
  });
  void [either, product.author.username];
}
