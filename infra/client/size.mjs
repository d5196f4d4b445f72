// Fails if what a browser loads of the client is larger than it may be.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 10_000;
const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
console.log(`${size} of ${LIMIT} bytes, minified and gzipped`);
if (size > LIMIT) process.exit(1);
