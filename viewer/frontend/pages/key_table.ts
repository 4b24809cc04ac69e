/** `?`: every key of the page, by place. */
import { t } from "../i18n.ts";
import { openDialog } from "../ui/dialog.ts";
import { h } from "../ui/h.ts";

type Rows = readonly (readonly [caps: string, key: string])[];

const LIST: Rows = [
  ["↑ ↓ / J K", "ui.keys.select"], ["Enter", "ui.worklist.claim"], ["N", "ui.worklist.next"], ["P", "ui.keys.preview"],
  ["1 – 5", "ui.keys.lane"], ["/", "ui.keys.search"], ["F", "ui.worklist.filters"], ["Z", "ui.worklist.reassign"], ["Esc", "ui.dialog.back"],
];
const IMAGE: Rows = [
  ["W", "ui.tool.window"], ["1 – 9", "page.reader.key.presets"], ["Z", "ui.tool.zoom"], ["P", "ui.tool.pan"], ["Y", "ui.tool.stack"],
  ["↑ ↓", "page.reader.key.slice"], ["L", "ui.tool.length"], ["Ins / Ctrl+I", "page.reader.key.insert"], ["Del", "page.reader.key.remove"],
  ["I", "ui.tool.invert"], ["O", "ui.tool.rotate"], ["F", "ui.tool.flip"], ["0", "ui.tool.reset"], ["Space", "page.reader.key.original"],
  ["Shift+O", "page.reader.key.overlays"], ["G", "ui.tool.layout"], ["V", "ui.tool.fullscreen"],
];
const ECG: Rows = [
  ["L", "ui.ecg.layout"], ["+ −", "ui.ecg.gain"], [", .", "ui.ecg.speed"], ["0", "ui.ecg.true_size"], ["H", "ui.read.priors"], ["V", "ui.tool.fullscreen"],
];
const REPORT: Rows = [
  ["Tab", "page.reader.key.tab"], ["F2", "page.reader.key.normal"], [";", "page.reader.key.phrase"], ["F4", "ui.report.take_prior"],
  ["Ctrl+S", "page.reader.key.save"], ["F10", "ui.report.preliminary"], ["F7", "ui.report.return"], ["Ctrl+Enter", "ui.report.sign"],
  ["N", "ui.worklist.next"], ["Esc", "page.reader.key.list"],
];

export function showKeys(where: "list" | "image" | "ecg"): void {
  const groups: [string, Rows][] = where === "list" ? [["ui.nav.worklist", LIST]] : [[where === "ecg" ? "ui.worklist.kind.ecg" : "page.reader.key.image", where === "ecg" ? ECG : IMAGE], ["ui.report.panel", REPORT]];
  openDialog({
    title: t("ui.keys.all"),
    size: where === "list" ? "narrow" : "wide",
    body: [h("div", { class: "key-table" }, ...groups.map(([title, rows]) => h("section", {}, h("h3", {}, t(title)), h("dl", {}, ...rows.flatMap(([caps, key]) => [h("dt", {}, ...kbds(caps)), h("dd", {}, t(key))])))))],
    back: t("ui.dialog.close"),
  });
}

function kbds(caps: string): HTMLElement[] {
  return caps.split(/ (?!–)(?<!– )|\+(?=\w)/).filter((cap) => cap && cap !== "/").map((cap) => h("kbd", {}, cap));
}
