// Unit tests: every *.test.ts beside its module is bundled for node and run by `node --test`.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { localePlugin } from "./locale_plugin.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));

async function testFiles(folder) {
  const found = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name === "node_modules") continue;
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await testFiles(file)));
    else if (entry.name.endsWith(".test.ts")) found.push(file);
  }
  return found;
}

const outDir = await mkdtemp(path.join(tmpdir(), "teleread-frontend-"));
try {
  await build({
    entryPoints: await testFiles(here),
    outdir: outDir,
    outbase: here,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    define: { DECODE_WORKER_FILE: '"worker.js"', DECODE_WASM_FILE: '"openjph.wasm"' },
    plugins: [localePlugin],
    logLevel: "warning",
  });
  const built = (await readdir(outDir, { recursive: true })).filter((name) => name.endsWith(".test.mjs"));
  const run = spawnSync(process.execPath, ["--test", "--test-timeout=30000", ...built.map((name) => path.join(outDir, name))], {
    stdio: "inherit",
    timeout: 120_000,
    killSignal: "SIGKILL",
  });
  process.exitCode = run.status ?? 1;
} finally {
  await rm(outDir, { recursive: true, force: true });
}
