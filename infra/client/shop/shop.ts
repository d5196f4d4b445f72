/** A small shop: what a front-end would write with the client, without its pages. */
import { type Data, type FieldError, type Options, type Shown, type Souk, SoukError } from "../src/index.js";

type Referring = ["vendor", "category"];
export type Product = Data<"/v1/products/{id}", "get">;
/** A product with what it refers to. */
export type FullProduct = Shown<"/v1/products/{id}", Referring, []>;
export type Comment = Shown<"/v1/comments/{id}", ["author"], []>;
type Filters = Omit<NonNullable<Options<"/v1/products", "get">["query"]>, "include" | "fields">;
type NewProduct = Options<"/v1/products", "post">["body"];

/** A product as a grid shows it. */
export interface Card {
  id: string;
  title: string;
  price: string;
  vendor: string | null;
  votes: number;
  /** Whether the visitor has voted for it. */
  heart: boolean;
}

/** What a form shows beside its fields, or a product. */
export type Submitted = { product: Product } | { messages: Record<string, string> };

/** One page of products, and how to get the next one. */
export async function grid(souk: Souk, filters: Filters): Promise<{ cards: Card[]; next: string | null }> {
  const page = await souk.get("/v1/products", { query: { ...filters, include: ["vendor", "viewer"] } });
  return { cards: page.items.map(card), next: page.next_cursor };
}

export async function find(souk: Souk, q: string, category: string): Promise<string[]> {
  const found = await souk.get("/v1/search", { query: { q, category: [category], facets: ["tag"] } });
  return found.items.map((hit) => hit.title);
}

/** A product's page: the product, by id or slug, with its vendor and category, and its comments, oldest first. */
export async function page(souk: Souk, id: string): Promise<{ product: FullProduct; comments: Comment[] }> {
  const path = { id };
  const product = await souk.get("/v1/products/{id}", { path, query: { include: ["vendor", "category"] } });
  const comments: Comment[] = [];
  const options = { path, query: { include: ["author"] } } as const;
  for await (const comment of souk.list("/v1/products/{id}/comments", options)) comments.push(comment);
  return { product, comments };
}

/** Sends the form of a seller; what is wrong is shown beside the fields. */
export async function submit(souk: Souk, body: NewProduct): Promise<Submitted> {
  try {
    const { id } = await souk.post("/v1/products", { body });
    return { product: await souk.post("/v1/products/{id}/publish", { path: { id } }) };
  } catch (error) {
    if (!(error instanceof SoukError) || Object.keys(error.errors).length === 0) throw error;
    return { messages: messages(error.errors) };
  }
}

/** Reduces the price of a product by so many per cent, whoever edits it at the same time. */
export async function reduce(souk: Souk, id: string, percent: number): Promise<Product> {
  return souk.edit("/v1/products/{id}", { path: { id } }, (draft) => {
    draft.compare_at_price ??= { ...draft.price };
    draft.price.amount = Math.round((draft.price.amount * (100 - percent)) / 100);
  });
}

function card(product: Shown<"/v1/products/{id}", ["vendor", "viewer"], []>): Card {
  const { id, title, price, vendor, upvote_count: votes, viewer } = product;
  const format = new Intl.NumberFormat("en", { style: "currency", currency: price.currency });
  const { maximumFractionDigits: digits = 2 } = format.resolvedOptions();
  const amount = format.format(price.amount / 10 ** digits);
  return { id, title, price: amount, vendor: vendor?.name ?? null, votes, heart: viewer?.upvoted ?? false };
}

function messages(errors: SoukError["errors"]): Record<string, string> {
  const first = (found: FieldError[] | undefined) => found?.[0]?.detail ?? "";
  return Object.fromEntries(Object.entries(errors).map(([field, found]) => [field, first(found)]));
}
