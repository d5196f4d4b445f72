// What the runtime calls. `infra/worker-build` puts it in the place of worker-build's own, which does the same behind a
// proxy around each instance of a class, each of its handlers and each of their results.
import * as souk from "./index.js";

Error.stackTraceLimit = 100;
const state = souk.__worker_init_state();

// After a trap nothing that is left of the instance can be used.
function noteCrash(error) {
    if (!(error instanceof WebAssembly.RuntimeError)) return false;
    console.error("Critical", error);
    return (state.criticalError = true);
}

addEventListener("error", (event) => noteCrash(event.error));

// The runtime's own costs some microseconds, and what waits for a promise in wasm-bindgen's way goes on in it.
globalThis.queueMicrotask = (task) => {
    Promise.resolve().then(task).catch((error) => noteCrash(error) || console.error(error));
};

// Ends a call of souk_cloudflare's, and runs what waited for it.
globalThis.soukSettle = (call, value, isDone) => {
    try {
        souk.settle(call, value, isDone);
    } catch (error) {
        noteCrash(error) || console.error(error);
    }
};

const guarded = (handler) => (input, env, context) => {
    if (state.criticalError) {
        console.log("Reinitializing Wasm application");
        souk.__wbg_reset_state();
        state.criticalError = false;
    }
    try {
        return handler(input, env, context);
    } catch (error) {
        noteCrash(error);
        throw error;
    }
};

export default {
    fetch: guarded((request, env, context) => {
        // Not within a promise's executor, which would keep a crash from `guarded`.
        const { promise: response, resolve: done } = Promise.withResolvers();
        souk.fetch(request, env, context, done);
        // A request whose client has gone is still served to its end: its future would else be kept in memory for ever.
        context.waitUntil(response);
        return response;
    }),
    queue: guarded(souk.queue),
    scheduled: guarded(souk.scheduled),
};
