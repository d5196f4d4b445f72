import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./api.js";
import { mergePatch } from "./patch.js";
import { SoukError } from "./problem.js";
import { pause, type RetryOptions, type Send, withRetries } from "./retry.js";
import { defaultStorage, type SessionStorage, Sessions } from "./session.js";
import type { Arguments, Choice, Data, Draft, EditPath, GetOptions, Item, ListPath, Method, Options, Path, PlainPath, Shown } from "./types.js";

type Schemas = components["schemas"];

export interface SoukOptions extends RetryOptions {
  /** The address of the market, such as `https://souk.example`. */
  url: string;
  /** Where the session is kept; `localStorage` in browsers and the memory elsewhere by default. */
  storage?: SessionStorage;
  /** Called when the session has ended without a sign-out, such as after 30 days without use. */
  onSignedOut?: () => void;
  /** Stands in for `fetch`. */
  fetch?: Send;
}

/** A new account, which is signed in. */
export type SignedUp = Omit<Schemas["NewMe"], "session">;

/** How often an edit is tried when others change the same thing. */
const EDITS = 10;

/** A client of a market. */
export class Souk {
  /** The client of openapi-fetch below this one: for headers of responses, or to handle errors without exceptions. */
  readonly api: Client<paths>;
  readonly #sessions: Sessions;
  readonly #send: Send;
  readonly #url: string;

  constructor({ url, storage = defaultStorage(), onSignedOut = () => {}, fetch, ...retry }: SoukOptions) {
    this.#url = url.replace(/\/+$/, "");
    this.#send = withRetries(fetch ?? ((request) => globalThis.fetch(request)), retry);
    this.#sessions = new Sessions(this.#url, this.#send, storage, onSignedOut);
    this.api = createClient<paths>({
      baseUrl: this.#url,
      querySerializer,
      bodySerializer: (body) => (isBinary(body) ? body : JSON.stringify(body)),
      fetch: (request) => this.#authorized(request),
    });
  }

  /** Reads something. The types of `include` and `fields` decide that of the result. */
  get<P extends PlainPath, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options?: GetOptions<P, I, F>,
  ): Promise<Shown<P, I, F>>;
  get<P extends Path<"get">, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options: GetOptions<P, I, F>,
  ): Promise<Shown<P, I, F>>;
  async get(path: string, options?: object): Promise<unknown> {
    return (await this.#request("get", path, options)).data;
  }

  /** Sends an `Idempotency-Key` of its own, unless `header` has one, so that a retry does not do it twice. */
  post<P extends Path<"post">>(path: P, ...[options]: Arguments<P, "post">): Promise<Data<P, "post">> {
    return this.#call("post", path, options);
  }

  put<P extends Path<"put">>(path: P, ...[options]: Arguments<P, "put">): Promise<Data<P, "put">> {
    return this.#call("put", path, options);
  }

  patch<P extends Path<"patch">>(path: P, ...[options]: Arguments<P, "patch">): Promise<Data<P, "patch">> {
    return this.#call("patch", path, options);
  }

  delete<P extends Path<"delete">>(path: P, ...[options]: Arguments<P, "delete">): Promise<Data<P, "delete">> {
    return this.#call("delete", path, options);
  }

  /** All items of a list, page by page: `for await (const product of souk.list("/v1/products")) …`. */
  list<P extends ListPath & PlainPath, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options?: GetOptions<P, I, F>,
  ): Items<Item<Shown<P, I, F>>>;
  list<P extends ListPath, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options: GetOptions<P, I, F>,
  ): Items<Item<Shown<P, I, F>>>;
  async *list(path: string, options?: object): Items<unknown> {
    for await (const page of this.#pages(path, options)) yield* page.items;
  }

  /** The pages of a list. A page may be empty although there is a next one. */
  pages<P extends ListPath & PlainPath, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options?: GetOptions<P, I, F>,
  ): Items<Shown<P, I, F>>;
  pages<P extends ListPath, const I extends Choices<P, "include"> = [], const F extends Choices<P, "fields"> = []>(
    path: P,
    options: GetOptions<P, I, F>,
  ): Items<Shown<P, I, F>>;
  pages(path: string, options?: object): Items<unknown> {
    return this.#pages(path, options);
  }

  /**
   * Reads a thing, has it changed, and writes the fields that differ. If somebody else has changed it meanwhile, it begins again,
   * so `change` may run several times. Returns the thing as it is then; without a difference nothing is written.
   */
  async edit<P extends EditPath>(
    path: P,
    options: EditOptions<P>,
    change: (draft: Draft<P>) => void,
  ): Promise<Shown<P, [], []>> {
    /** The last attempt of which nobody knows whether it was done. */
    let lost: { error: unknown; version: number; fields: object; wanted: object } | undefined;
    for (let attempt = 1; ; attempt++) {
      const { data, response } = await this.#request<Versioned>("get", path, options);
      if (lost && lost.version !== data.version) {
        // Only what is there can tell whose change that was. In doubt it is not made twice.
        if (mergePatch(pick(data, lost.fields), pick(lost.wanted, lost.fields)) !== undefined) throw lost.error;
        return data as Shown<P, [], []>;
      }
      const wanted = structuredClone(data);
      change(wanted as unknown as Draft<P>);
      const body = mergePatch(data, wanted) as object | undefined;
      if (body === undefined) return data as Shown<P, [], []>;
      const headers = { "if-match": response.headers.get("etag"), "content-type": "application/merge-patch+json" };
      try {
        return (await this.#request<Shown<P, [], []>>("patch", path, { ...options, body, headers })).data;
      } catch (error) {
        const isConflict = error instanceof SoukError && error.status === 412;
        const isLost = !(error instanceof SoukError) || error.status >= 500;
        if (attempt >= EDITS || !(isConflict || isLost) || options.signal?.aborted) throw error;
        await pause(Math.random() * 100 * attempt, options.signal);
        // A conflict may be with the attempt before.
        if (isLost) lost = { error, version: data.version, fields: body, wanted };
      }
    }
  }

  /** Creates an account, and signs it in. `email_verification` is the challenge whose code is mailed to its address. */
  async signUp(account: Omit<Schemas["NewAccount"], "sign_in">): Promise<SignedUp> {
    const body = { ...account, sign_in: true };
    const { session, ...me } = await this.#anonymous<Schemas["NewMe"]>("/v1/accounts", body);
    if (session) await this.#sessions.start(session);
    return me;
  }

  /** Signs in: all calls of clients with this storage are then those of the account. */
  signIn(credentials: Schemas["Credentials"]): Promise<void> {
    return this.#start("/v1/sessions", credentials);
  }

  /** Signs in with the code of a mail, which a POST to `/v1/sessions/mailed` asks for. */
  signInByMail(proof: Schemas["MailedSignIn"]): Promise<void> {
    return this.#start("/v1/sessions/mailed/confirm", proof);
  }

  /** Signs out, here in any case. An error means that the market does not know it yet. */
  signOut(): Promise<void> {
    return this.#sessions.end();
  }

  /** Whether somebody is signed in. */
  async isSignedIn(): Promise<boolean> {
    return (await this.#sessions.token()) !== undefined;
  }

  /** Replaces the tokens before they expire, such as after a change of the account's role; false if nobody is signed in. */
  async refresh(): Promise<boolean> {
    const token = await this.#sessions.token();
    return token !== undefined && (await this.#sessions.refresh(token)) !== undefined;
  }

  async #start(path: string, credentials: object): Promise<void> {
    const body = { ...(await this.#sessions.device()), ...credentials };
    await this.#sessions.start(await this.#anonymous<Schemas["SessionTokens"]>(path, body));
  }

  async *#pages(path: string, options: { query?: object } = {}): Items<Page> {
    let cursor: string | null | undefined;
    do {
      const query = { ...options.query, ...(cursor ? { cursor } : {}) };
      const { data } = await this.#request<Page>("get", path, { ...options, query });
      yield data;
      cursor = data.next_cursor;
    } while (cursor);
  }

  async #call<P extends keyof paths, M extends Method>(
    method: M,
    path: P,
    options: Options<P, M> | undefined,
  ): Promise<Data<P, M>> {
    return (await this.#request<Data<P, M>>(method, path, options)).data;
  }

  async #request<T>(method: Method, path: string, options: object = {}): Promise<{ data: T; response: Response }> {
    const { path: pathParameters, query, header, ...rest } = options as Record<string, object | undefined>;
    const kind = isBinary(rest["body"]) ? { headers: { "content-type": "application/octet-stream" } } : {};
    const init = { params: { path: pathParameters, query, header }, ...kind, ...rest };
    // The types of openapi-fetch cannot follow a path that is not known yet; ours are checked where a call is written.
    const request = this.api.request as unknown as (
      method: Method,
      path: string,
      init: object,
    ) => Promise<{ data: T; error?: unknown; response: Response }>;
    const { data, error, response } = await request(method, path, init);
    if (!response.ok) throw new SoukError(response, error);
    return { data, response };
  }

  /** A POST without the token of the session. */
  async #anonymous<T>(path: string, body: unknown): Promise<T> {
    const headers = { "content-type": "application/json", "idempotency-key": newKey() };
    const request = new Request(this.#url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const response = await this.#send(request);
    if (!response.ok) throw await SoukError.of(response);
    return (await response.json()) as T;
  }

  /** Sends a request with the token of the session, and once more with a new one if that has expired. */
  async #authorized(request: Request): Promise<Response> {
    if (request.method === "POST" && !request.headers.has("idempotency-key")) {
      request.headers.set("idempotency-key", newKey());
    }
    const token = await this.#sessions.token();
    if (token === undefined) return this.#send(request);
    request.headers.set("authorization", `Bearer ${token}`);
    const response = await this.#send(request);
    const next = response.status === 401 ? await this.#sessions.refresh(token) : undefined;
    if (next === undefined) return response;
    request.headers.set("authorization", `Bearer ${next}`);
    return this.#send(request);
  }
}

type Choices<P extends Path<"get">, Name extends "include" | "fields"> = readonly Choice<P, Name>[];
type Items<T> = AsyncGenerator<T, void, undefined>;
type Page = { items: unknown[]; next_cursor?: string | null };
type Versioned = { version: number };
type EditOptions<P extends EditPath> = Omit<Options<P, "get">, "query" | "header">;

function isBinary(body: unknown): body is Blob | Uint8Array {
  return body instanceof Blob || body instanceof Uint8Array;
}

function pick(from: object, like: object): object {
  return Object.fromEntries(Object.entries(from).filter(([name]) => name in like));
}

/** A new `Idempotency-Key`. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Several values are separated by commas; an object such as `attr` becomes `attr.material=brass`. */
function querySerializer(query: Record<string, unknown>): string {
  const pairs = new URLSearchParams();
  const add = (name: string, value: unknown): void => {
    if (value === undefined || value === null) return;
    if (typeof value === "object" && !Array.isArray(value)) {
      for (const [key, each] of Object.entries(value)) add(`${name}.${key}`, each);
    } else if (!Array.isArray(value) || value.length > 0) {
      pairs.append(name, String(value));
    }
  };
  for (const [name, value] of Object.entries(query)) add(name, value);
  return pairs.toString();
}
