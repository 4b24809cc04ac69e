// The module `virtual:locale`: all of worklist/locale/*.json as one object {key: {zh, en}}.
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const localeDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../worklist/locale");

async function sentences() {
  const all = {};
  const names = (await readdir(localeDir)).filter((name) => name.endsWith(".json")).sort();
  for (const name of names) {
    for (const [key, entry] of Object.entries(JSON.parse(await readFile(path.join(localeDir, name), "utf8")))) {
      if (key in all) throw new Error(`${name}: ${key} stands twice`);
      all[key] = entry;
    }
  }
  return all;
}

export const localePlugin = {
  name: "locale",
  setup(build) {
    build.onResolve({ filter: /^virtual:locale$/ }, () => ({ path: "locale", namespace: "virtual" }));
    build.onLoad({ filter: /.*/, namespace: "virtual" }, async () => ({
      contents: JSON.stringify(await sentences()),
      loader: "json",
    }));
  },
};
