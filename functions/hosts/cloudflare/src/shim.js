// The Worker's entry point, in the place of worker-build's: that one makes a fresh instance as well, but leaves the other
// requests in flight without an answer, and its class cannot keep a request going whose client has left.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import module from "./index_bg.wasm";
import * as souk from "souk";

// V8's ten frames do not reach from a panic to the function that caused it.
Error.stackTraceLimit = 100;

// Stable Rust cannot unwind on Wasm: a panic traps, and what it leaves in memory must not be used. `onAbort` runs in that
// moment. The next event gets a fresh instance, and the calls in flight fail, because nothing will resume them.
let hasAborted = false;
const inFlight = new Set();

function onAbort() {
    hasAborted = true;
    for (const reject of inFlight) reject(new Error("the Wasm instance was aborted"));
    inFlight.clear();
}

function start() {
    hasAborted = false;
    souk.on_abort(onAbort);
}

souk.initSync({ module });
start();

function startAfresh() {
    if (!hasAborted) return;
    console.log("Starting a fresh Wasm instance");
    souk.__wbg_reset_state();
    start();
}

function call(handler, ...args) {
    startAfresh();
    const { promise, resolve, reject } = Promise.withResolvers();
    inFlight.add(reject);
    handler(...args).then(resolve, reject).finally(() => inFlight.delete(reject));
    return promise;
}

// A class, because service bindings offer the methods of a WorkerEntrypoint only.
export default class extends WorkerEntrypoint {
    fetch(request) {
        const response = call(souk.fetch, request, this.env, this.ctx);
        // Finish the request although its client has left: its future would stay in the instance's memory for ever.
        this.ctx.waitUntil(response);
        return response;
    }

    queue(batch) {
        return call(souk.queue, batch, this.env, this.ctx);
    }

    scheduled(event) {
        return call(souk.scheduled, event, this.env, this.ctx);
    }
}

// The cell of one limit (`souk_core::rate_limit`), of which there is one for each key in the world. It is in memory and in its
// storage, so that nobody gets a fresh quota by waiting until it is evicted; the answer leaves when it is written.
export class LimitCell extends DurableObject {
    constructor(state, env) {
        super(state, env);
        this.cell = undefined;
        state.blockConcurrencyWhile(async () => {
            this.cell = await state.storage.get("cell");
        });
    }

    take(units, seconds, wanted, now) {
        startAfresh();
        const [taken, cell] = souk.take_from_cell(this.cell, units, seconds, wanted, now);
        if (cell !== this.cell) this.keep(cell);
        return taken;
    }

    giveBack(units, endsAt) {
        const cell = JSON.parse(this.cell ?? "{}");
        if (cell.ends_at !== endsAt) return;
        this.keep(JSON.stringify({ ...cell, used: Math.max(cell.used - units, 0) }));
    }

    keep(cell) {
        const { ends_at } = JSON.parse(cell);
        if (ends_at !== JSON.parse(this.cell ?? "{}").ends_at) this.ctx.storage.setAlarm(ends_at);
        this.cell = cell;
        this.ctx.storage.put("cell", cell);
    }

    async clear() {
        this.cell = undefined;
        await this.ctx.storage.deleteAlarm();
        await this.ctx.storage.deleteAll();
    }

    // At the end of the window: an object without storage costs nothing.
    async alarm() {
        if (JSON.parse(this.cell ?? '{"ends_at":0}').ends_at <= Date.now()) await this.clear();
    }
}
