/** What only Node has: sessions that several processes share. */
import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { MemoryStorage, type Session, type SessionStorage } from "./session.js";

/** A lock that is older, in milliseconds, is one of a process that has died. */
const STALE = 30_000;

/** A session in a file, which all processes that use the same file share. Only its owner can read it. */
export class FileStorage implements SessionStorage {
  readonly #path: string;
  /** The tasks of this process queue here, so that only one of them looks at the file of the lock. */
  readonly #queue = new MemoryStorage();

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<Session | null> {
    const text = await readFile(this.#path, "utf8").catch(absent);
    return text === undefined ? null : (JSON.parse(text) as Session);
  }

  async write(session: Session | null): Promise<void> {
    if (session === null) return rm(this.#path, { force: true });
    return replace(this.#path, JSON.stringify(session));
  }

  async readDevice(): Promise<string | null> {
    return (await readFile(`${this.#path}.device`, "utf8").catch(absent)) ?? null;
  }

  writeDevice(device: string): Promise<void> {
    return replace(`${this.#path}.device`, device);
  }

  lock<T>(task: () => Promise<T>): Promise<T> {
    return this.#queue.lock(async () => {
      const lock = `${this.#path}.lock`;
      while (!(await create(lock))) {
        const age = Date.now() - ((await stat(lock).catch(absent))?.mtimeMs ?? Date.now());
        // If two processes remove it, both may go on: they then refresh with the same key and are given the same tokens.
        if (age > STALE) await rm(lock, { force: true });
        else await pause(5 + Math.random() * 20);
      }
      try {
        return await task();
      } finally {
        await rm(lock, { force: true });
      }
    });
  }
}

/** Writes a file that only its owner can read. Nobody reads half of it. */
async function replace(path: string, text: string): Promise<void> {
  const next = `${path}.${randomUUID()}`;
  await writeFile(next, text, { mode: 0o600, flush: true });
  await rename(next, path);
}

/** Creates a file; false if there is one. */
async function create(path: string): Promise<boolean> {
  try {
    await (await open(path, "wx", 0o600)).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
