import { SoukError } from "./problem.js";
import type { Send } from "./retry.js";
import type { components } from "./api.js";

type Tokens = components["schemas"]["SessionTokens"];

/** A session, as it is stored. */
export interface Session {
  access_token: string;
  refresh_token: string;
  /** When the access token expires by this device's clock, in milliseconds since 1970. */
  expires_at: number;
}

/** Where a session is kept: all clients with the same storage are signed in and out together. */
export interface SessionStorage {
  read(): Session | null | Promise<Session | null>;
  write(session: Session | null): void | Promise<void>;
  /** The token by which the market knows this device, which outlives the session; a storage may lack it. */
  readDevice?(): string | null | Promise<string | null>;
  writeDevice?(device: string): void | Promise<void>;
  /** Runs one task at a time, of all clients with this storage. */
  lock<T>(task: () => Promise<T>): Promise<T>;
}

/** A session in memory, which ends with the process. */
export class MemoryStorage implements SessionStorage {
  #session: Session | null = null;
  #device: string | null = null;
  #last: Promise<unknown> = Promise.resolve();

  read(): Session | null {
    return this.#session;
  }

  write(session: Session | null): void {
    this.#session = session;
  }

  readDevice(): string | null {
    return this.#device;
  }

  writeDevice(device: string): void {
    this.#device = device;
  }

  lock<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** A session in `localStorage`, shared by all tabs. */
export class BrowserStorage implements SessionStorage {
  readonly #name: string;
  /** For browsers without Web Locks. Tabs may then refresh at the same time, and are given the same tokens. */
  readonly #locks = new MemoryStorage();

  constructor(name = "souk-session") {
    this.#name = name;
  }

  read(): Session | null {
    return JSON.parse(localStorage.getItem(this.#name) ?? "null") as Session | null;
  }

  write(session: Session | null): void {
    if (session) localStorage.setItem(this.#name, JSON.stringify(session));
    else localStorage.removeItem(this.#name);
  }

  readDevice(): string | null {
    return localStorage.getItem(`${this.#name}-device`);
  }

  writeDevice(device: string): void {
    localStorage.setItem(`${this.#name}-device`, device);
  }

  async lock<T>(task: () => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks as LockManager | undefined;
    return locks ? await locks.request(this.#name, task) : this.#locks.lock(task);
  }
}

/** `localStorage` in a browser that has it and allows it, else the memory. */
export function defaultStorage(): SessionStorage {
  try {
    const storage = typeof document === "undefined" ? new MemoryStorage() : new BrowserStorage();
    storage.read();
    return storage;
  } catch {
    return new MemoryStorage();
  }
}

/** An access token is replaced so long before it expires, in milliseconds. */
const EARLY = 30_000;
/** How long a refresh may take with all its retries, in milliseconds: less than a lock is held. */
const REFRESH_TIMEOUT = 20_000;

/** Keeps a session and its tokens. */
export class Sessions {
  /** The refresh that is under way in this client. */
  #refresh: Promise<string | undefined> | undefined;

  constructor(
    private readonly url: string,
    private readonly send: Send,
    private readonly storage: SessionStorage,
    private readonly onSignedOut: () => void,
  ) {}

  async start(tokens: Tokens): Promise<void> {
    await this.storage.lock(async () => this.storage.write(stored(tokens)));
    if (tokens.device !== undefined) await this.storage.writeDevice?.(tokens.device);
  }

  /** What says that the account has signed in on this device before, if it has: nobody who tries its password elsewhere keeps it out. */
  async device(): Promise<{ device?: string }> {
    const device = await this.storage.readDevice?.();
    return device ? { device } : {};
  }

  /** Ends the session: here in any case, and in the market if it can be reached. */
  async end(): Promise<void> {
    try {
      const token = await this.token();
      if (token === undefined) return;
      const headers = { authorization: `Bearer ${token}` };
      const response = await this.send(new Request(`${this.url}/v1/sessions/current`, { method: "DELETE", headers }));
      if (!response.ok && response.status !== 401) throw await SoukError.of(response);
    } finally {
      await this.storage.lock(async () => this.storage.write(null));
    }
  }

  /** The access token, refreshed if it is about to expire; `undefined` if nobody is signed in. */
  async token(): Promise<string | undefined> {
    const session = await this.storage.read();
    if (!session) return undefined;
    return session.expires_at - EARLY > Date.now() ? session.access_token : this.refresh(session.access_token);
  }

  /**
   * Replaces this access token, unless another client has replaced it; `undefined` if the session has ended. One refresh serves
   * all who wait.
   */
  refresh(replaced: string): Promise<string | undefined> {
    this.#refresh ??= this.storage
      .lock(() => this.#exchange(replaced))
      .finally(() => {
        this.#refresh = undefined;
      });
    return this.#refresh;
  }

  async #exchange(replaced: string): Promise<string | undefined> {
    const session = await this.storage.read();
    if (session?.access_token !== replaced) return session?.access_token;
    // A refresh whose response was lost is repeated with the same key, and gets the tokens that it would have got.
    const body = JSON.stringify({ refresh_token: session.refresh_token });
    const headers = { "content-type": "application/json", "idempotency-key": await digest(body) };
    const signal = AbortSignal.timeout(REFRESH_TIMEOUT);
    const request = new Request(`${this.url}/v1/sessions/refresh`, { method: "POST", headers, body, signal });
    const response = await this.send(request);
    // Where there is no lock, another client may have been faster, or have signed out.
    const current = await this.storage.read();
    if (current?.refresh_token !== session.refresh_token) return current?.access_token;
    if (response.ok) {
      const next = stored((await response.json()) as Tokens);
      await this.storage.write(next);
      return next.access_token;
    }
    // Anything else says nothing about the session: too many requests, a proxy, a market that is being replaced.
    if (response.status !== 401) throw await SoukError.of(response);
    await this.storage.write(null);
    this.onSignedOut();
    return undefined;
  }
}

function stored({ access_token, refresh_token, expires_in }: Tokens): Session {
  return { access_token, refresh_token, expires_at: Date.now() + expires_in * 1000 };
}

/** SHA-256 in hexadecimal digits. */
async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
