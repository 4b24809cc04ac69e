/** The quality mark: shape, colour and words; and the same per slice in the ribbon. */
import { t } from "../i18n.ts";
import { formatNumber, NO_BREAK_SPACE } from "../units.ts";
import type { Instance } from "./display.ts";
import { element, icon } from "./dom.ts";
import type { Quality, Slot } from "./slot.ts";

const DISC = "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z";

const ICONS: Record<Quality, () => SVGSVGElement> = {
  loading: () => icon(["M8 2a6 6 0 0 1 5 2.7", "M14 8a6 6 0 0 1-2.6 5", "M8.5 14A6 6 0 0 1 3 11.4", "M2 8a6 6 0 0 1 2.6-5"]),
  partial: () => icon(["M8 2a6 6 0 1 1 0 12a6 6 0 1 1 0-12z"], ["M8 2a6 6 0 0 0 0 12z"]),
  lossless: () => {
    const mark = icon(["M5 8.2l2.1 2.1L11 6.2"], [DISC]);
    // The disc is filled, so the tick stands on it in the colour of the ground.
    mark.insertBefore(mark.lastChild as Node, mark.firstChild);
    (mark.lastChild as SVGPathElement).setAttribute("stroke", "#000");
    return mark;
  },
  failed: () => icon(["M8 2.5L14.5 13.5H1.5Z", "M8 6.5v3.5", "M8 12v.1"]),
};

export function qualityOf(instance: Instance, slot: Slot | null): Quality {
  if (instance.state === "failed") return "failed";
  return slot?.quality ?? "loading";
}

/** `部分 · 1/4 分辨率 · 62 %` */
export function qualityWords(quality: Quality, instance: Instance, slot: Slot | null): string {
  if (quality !== "partial" || !slot?.raster) return t(`engine.quality.${instance.state === "pending" ? "pending" : quality}`);
  const parts = [t("engine.quality.partial")];
  const fraction = Math.round(instance.columns / slot.raster.width);
  if (fraction > 1) parts.push(t("engine.quality.resolution", { fraction: `1/${fraction}` }));
  parts.push(`${formatNumber((100 * slot.have) / slot.frame.bytes)}${NO_BREAK_SPACE}%`);
  return parts.join(" · ");
}

export function fillQuality(mark: HTMLElement, quality: Quality, words: string): void {
  mark.className = `quality ${quality}`;
  mark.replaceChildren(ICONS[quality](), element("span", "", words));
}
