/** The status bar: memory held, how much is lossless, and the keys that help now. */
import { t } from "../i18n.ts";
import { byId, fill, h } from "../ui/h.ts";
import type { Reading } from "./read.ts";

const MIB = 1024 * 1024;
const EVERY_MS = 1000;

export function showStatus(reading: Reading): void {
  refresh(reading);
  setInterval(() => refresh(reading), EVERY_MS);
}

function refresh(reading: Reading): void {
  const { images } = reading;
  if (images) {
    const { bytes, cap, lossless, frames } = images.engine.store.usage();
    say("cache-state", t("page.reader.cache", { used: Math.round(bytes / MIB), cap: Math.round(cap / MIB) }));
    say("load-state", frames ? t("page.reader.lossless_of", { n: lossless, of: frames }) : "");
  }
  const presets = images?.active?.presets.slice(0, 5) ?? [];
  const keys: [string, string][] = images
    ? [...presets.map((preset): [string, string] => [String(preset.digit), preset.label]), ["Tab", t("page.reader.key.tab")]]
    : [["L", t("ui.ecg.layout")], ["+ −", t("ui.ecg.gain")], [", .", t("ui.ecg.speed")], ["H", t("ui.read.priors")], ["Tab", t("page.reader.key.tab_ecg")]];
  const place = byId("keys");
  const text = JSON.stringify(keys);
  if (place.dataset["shown"] === text) return;
  place.dataset["shown"] = text;
  fill(place, ...keys.map(([cap, label]) => h("span", { class: "key" }, ...cap.split(" ").map((one) => h("kbd", {}, one)), label)));
}

function say(id: string, words: string): void {
  const place = byId(id);
  if (place.textContent !== words) fill(place, words);
}
