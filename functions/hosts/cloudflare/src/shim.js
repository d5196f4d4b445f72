// The Worker's entry point, in the place of worker-build's: that one makes a fresh instance as well, but leaves the other
// requests in flight without an answer, and its class cannot keep a request going whose client has left.
import { WorkerEntrypoint } from "cloudflare:workers";
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

function call(handler, ...args) {
    if (hasAborted) {
        console.log("Starting a fresh Wasm instance");
        souk.__wbg_reset_state();
        start();
    }
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
