// What the runtime calls. `infra/worker-build` puts it in the place of worker-build's own, which does the same behind a
// proxy around each instance of a class, each of its handlers and each of their results.
import * as souk from "./index.js";

const state = souk.__worker_init_state();

function noteCrash(error) {
    console.error(error);
    // A trap: nothing that is left of this instance can be used.
    if (error instanceof WebAssembly.RuntimeError) state.criticalError = true;
}

addEventListener("error", (event) => noteCrash(event.error));

// The runtime's own costs some microseconds, and a task of ours ends in it twice per request.
globalThis.queueMicrotask = (task) => {
    Promise.resolve().then(task).catch(noteCrash);
};

const guarded = (handler) => (input, env, context) => {
    if (state.criticalError) {
        console.log("Reinitializing Wasm application");
        souk.__wbg_reset_state();
        state.criticalError = false;
        state.instanceId++;
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
        const response = souk.fetch(request, env, context);
        // A request whose client has gone is still served to its end: its future would else be kept in memory for ever.
        context.waitUntil(response);
        return response;
    }),
    queue: guarded(souk.queue),
    scheduled: guarded(souk.scheduled),
};
