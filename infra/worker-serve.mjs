// node infra/worker-serve.mjs PORT STATE: serves build/worker on 127.0.0.1 as `wrangler.toml` configures it, on the workerd
// of `wrangler dev` but without its proxy, which adds two hops, and its watcher, which builds again.
// The SOUK_* variables below override those of `wrangler.toml` and `.dev.vars`. The queues are in memory, so waiting
// messages are lost when the server stops. The cron runs at the start and every SOUK_TICK_SECONDS (60). With SOUK_FUNCTIONS the
// Worker in build/worker-part serves these functions, and is the gate of the one in build/worker, which answers nobody else: its
// own address is the next port. With ORIGIN_URL it is the gate of what answers there instead.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

const [port, state] = process.argv.slice(2);
const tools = process.env.SOUK_TOOLS ?? join(homedir(), ".cache/souk");
const require = createRequire(join(tools, "npm/node_modules/wrangler/package.json"));
const { Miniflare } = require("miniflare");
const { unstable_getMiniflareWorkerOptions } = require("wrangler");

const { workerOptions } = unstable_getMiniflareWorkerOptions("wrangler.toml");
// Databases of markets that live apart, which infra/worker-dev has migrated.
for (const name of (process.env.SOUK_DATABASES ?? "").split(",").filter(Boolean)) {
    workerOptions.d1Databases[`DB_${name.toUpperCase().replaceAll("-", "_")}`] = { id: `souk-${name}` };
}
// Mails that the binding gets are written to files, which the log names.
if (process.env.SOUK_MAIL_URL === "binding") workerOptions.email = { send_email: [{ name: "MAIL" }] };
const settings = [
    "SOUK_BACKLOG", "SOUK_CACHE", "SOUK_CORS_ORIGINS", "SOUK_D1_REPLICAS", "SOUK_DATABASES", "SOUK_DNS_URL", "SOUK_FIRST_ADMIN", "SOUK_GATE_ONLY", "SOUK_LIMITS", "SOUK_LOG", "SOUK_MAIL_FROM", "SOUK_MAIL_KEY", "SOUK_MAIL_URL", "SOUK_OUTBOUND_ALLOW", "SOUK_PUBLIC_URL", "SOUK_SIGNING_KEY", "SOUK_TENANT_DOMAIN",
    "SOUK_TEST_SILENT",
].filter((name) => name in process.env);
// Outbound calls may connect to public addresses and to those in SOUK_OUTBOUND_ALLOW.
const networks = (process.env.SOUK_OUTBOUND_ALLOW ?? "").split(",").filter(Boolean).map((entry) => {
    const host = entry.trim().replace(/:\d+$/, "");
    if (/^[\d.]+$/.test(host)) return `${host}/32`;
    return host.startsWith("[") ? `${host.slice(1, -1)}/128` : "private";
});
const bindings = {
    ...workerOptions.bindings,
    SOUK_PUBLIC_URL: `http://127.0.0.1:${port}`,
    ...Object.fromEntries(settings.map((name) => [name, process.env[name]])),
};
const outboundService = { network: { allow: ["public", ...networks], tlsOptions: { trustBrowserCas: true } } };
const silent = (directory) => ({
    type: "ESModule",
    path: join(resolve(directory), "silent.js"),
    contents: readFileSync(new URL("silent.mjs", import.meta.url), "utf8"),
});
const worker = (name, directory, options, more) => ({
    ...workerOptions,
    ...options,
    name,
    bindings: { ...bindings, ...more },
    outboundService,
    modulesRoot: resolve(directory),
    modules: [
        ...(process.env.SOUK_TEST_SILENT ? [silent(directory)] : []),
        { type: "ESModule", path: join(resolve(directory), "index.js") },
        { type: "CompiledWasm", path: join(resolve(directory), "index_bg.wasm") },
    ],
});
const origin = process.env.ORIGIN_URL;
const inner = { unsafeDirectSockets: [{ host: "127.0.0.1", port: Number(port) + 1 }] };
const behind = worker("souk", "build/worker", inner, { SOUK_GATE_ONLY: "on" });
// The first one gets the requests.
const workers = !process.env.SOUK_FUNCTIONS ? [worker("souk", "build/worker")]
    : origin ? [worker("souk", "build/worker-part", {}, { ORIGIN_URL: origin })]
    : [worker("part", "build/worker-part", { queueConsumers: {}, serviceBindings: { ORIGIN: "souk" } }), behind];
const server = new Miniflare({
    workers,
    host: "127.0.0.1",
    port: Number(port),
    d1Persist: join(resolve(state), "v3/d1"),
    cf: false,
});
await server.ready;
console.log(`ready: http://127.0.0.1:${port}`);

const souk = await server.getWorker("souk");
const tick = () => souk.scheduled({ cron: "* * * * *" }).catch((error) => console.error("the cron failed:", error));
const ticks = setInterval(tick, 1000 * Number(process.env.SOUK_TICK_SECONDS ?? 60));
for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, () => {
        clearInterval(ticks);
        server.dispose().then(() => process.exit(0));
    });
}
await tick();
