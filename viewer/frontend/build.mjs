// Bundles the pages, the decode worker and the styles into viewer/static/dist/ with content-hashed names.
// node build.mjs [--out DIR] [--main FILE]: another main file (a test page) into another folder.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { localePlugin } from "./locale_plugin.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({ options: { out: { type: "string" }, main: { type: "string" } } });
const outDir = path.resolve(options.out ?? path.join(here, "../static/dist"));
const mainFile = path.resolve(options.main ?? path.join(here, "main.ts"));

const common = {
  bundle: true,
  write: false,
  minify: true,
  format: "esm",
  target: "chrome109",
  charset: "utf8",
  legalComments: "none",
  absWorkingDir: here,
  nodePaths: [path.join(here, "node_modules")],
  logLevel: "warning",
};

async function exists(file) {
  return stat(file).then(() => true, () => false);
}

/** Writes bytes under a name with their hash in it, and gives the name back. */
async function emit(stem, extension, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const name = `${stem}-${hash}${extension}`;
  await writeFile(path.join(outDir, name), bytes);
  return name;
}

async function bundle(entry, extra) {
  const result = await build({ ...common, entryPoints: [entry], ...extra });
  return result.outputFiles[0].contents;
}

/** The pages' style sheet when there is one, and the engine's own after it. */
async function styles() {
  const files = [path.join(here, "css/main.css"), path.join(here, "engine/viewport.css")];
  const present = [];
  for (const file of files) if (await exists(file)) present.push(file);
  const contents = present.map((file) => `@import ${JSON.stringify(file)};`).join("\n");
  const result = await build({ ...common, stdin: { contents, loader: "css", resolveDir: here } });
  return result.outputFiles[0].contents;
}

async function main() {
  await mkdir(outDir, { recursive: true });
  const require = createRequire(import.meta.url);
  const wasm = await emit("openjph", ".wasm", await readFile(require.resolve("@cornerstonejs/codec-openjph/wasm")));
  // The codec asks for node's fs and path only when it runs under node.
  const worker = await emit("worker", ".js", await bundle(path.join(here, "engine/decode/worker.ts"), {
    external: ["fs", "path"],
  }));
  const define = { DECODE_WORKER_FILE: JSON.stringify(worker), DECODE_WASM_FILE: JSON.stringify(wasm) };
  const mainJs = await emit("main", ".js", await bundle(mainFile, { define, plugins: [localePlugin] }));
  const css = await emit("main", ".css", await styles());
  const manifest = { main: mainJs, worker, wasm, css };
  // The manifest comes last and in one step: whoever reads it finds every file it names.
  await writeFile(path.join(outDir, "manifest.json.new"), `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(path.join(outDir, "manifest.json.new"), path.join(outDir, "manifest.json"));
  const kept = new Set([...Object.values(manifest), "manifest.json"]);
  for (const name of await readdir(outDir)) {
    if (!kept.has(name) && /^(main|worker|openjph)-[0-9a-f]{10}\.(js|css|wasm)$/.test(name)) {
      await rm(path.join(outDir, name));
    }
  }
}

await main();
