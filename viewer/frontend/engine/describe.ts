/** What a viewport shows, said as attributes: for screen readers, and for whoever checks the page from outside. */
import { t } from "../i18n.ts";
import type { Slice, Voi } from "./display.ts";
import type { Quality } from "./slot.ts";
import type { Viewport } from "./viewport.ts";

export function describe(viewport: Viewport, slice: Slice, quality: Quality, voi: Voi): void {
  const { series, labels, count } = viewport;
  Object.assign(viewport.canvas.dataset, {
    sop: slice.instance.sop_instance_uid,
    frame: String(slice.frame_number),
    quality,
    slice: String(viewport.index + 1),
    windowCenter: voi.kind === "window" ? String(voi.center) : "",
    windowWidth: voi.kind === "window" ? String(voi.width) : "",
    inverted: String(viewport.inverted),
  });
  const exam = series?.description || series?.body_part || series?.modality || "";
  const label = t("engine.image_label", { name: labels.name, exam, slice: viewport.index + 1, count });
  viewport.root.setAttribute("aria-label", label);
}
