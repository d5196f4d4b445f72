// The entry point that worker-serve.mjs puts before the Worker's if SOUK_TEST_SILENT names bindings: calls of these never answer.
import Souk from "./index.js";

const never = () => new Promise(() => {});
const statement = { bind: () => statement, all: never, first: never, raw: never, run: never };

function silenced(binding) {
    const silent = new Proxy(binding, {
        get(target, name) {
            if (name === "prepare") return () => statement;
            if (name === "withSession") return () => silent;
            if (name === "constructor" || typeof target[name] !== "function") return target[name];
            return never;
        },
    });
    return silent;
}

export default class extends Souk {
    constructor(context, env) {
        const names = env.SOUK_TEST_SILENT.split(",");
        super(context, { ...env, ...Object.fromEntries(names.map((name) => [name, silenced(env[name])])) });
    }
}
