/** How complete an examination is, in words: what its device lists, what has come, what is missing. */
import { t } from "../i18n.ts";
import { askReason } from "./dialog.ts";
import { exam } from "./format.ts";
import type { WorklistItem } from "./item.ts";
import { server } from "../server.ts";

/** Something that the device lists has not come, and it is quiet. */
export function isMissing(item: WorklistItem): boolean {
  return item.input_readiness !== "READY" && item.waits_for === "missing" && Boolean(item.n_missing);
}

export function arrivingWords(item: WorklistItem): string {
  const missing = item.n_missing ?? 0;
  const listed = item.n_listed ?? 0;
  if (isMissing(item)) return t(`ui.images.missing.${item.listed_by ?? "mpps"}`, { listed, n: listed - missing, missing });
  if (item.waits_for === "step") return t("ui.images.performing", { n: item.n_instances });
  return t("ui.images.arriving", { n: item.n_instances });
}

/** The same where there is little room. */
export function arrivingShort(item: WorklistItem): string {
  return isMissing(item) ? t("ui.images.missing_short", { missing: item.n_missing ?? 0 }) : t("ui.images.arriving", { n: item.n_instances });
}

/** A person goes on without what is missing, or without waiting for the device to say that it is done. */
export function mayReleaseImages(item: WorklistItem): boolean {
  return item.input_readiness !== "READY" && (item.waits_for === "missing" || item.waits_for === "step");
}

export function askReleaseImages(item: WorklistItem): Promise<boolean> {
  return askReason({
    title: t("ui.images.release"),
    consequence: t("ui.images.release_consequence", { name: item.patient.name, exam: exam(item), words: arrivingWords(item) }),
    words: t("ui.images.release"),
    run: async (reason) => void (await server.post(`/api/studies/${encodeURIComponent(item.study_instance_uid)}/release`, { reason })),
  });
}
