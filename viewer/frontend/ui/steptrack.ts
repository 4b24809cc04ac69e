/** Five dots of one examination: 到达 齐备 阅片 报告 签收, and one line of words under them. */
import { t } from "../i18n.ts";
import { time } from "./format.ts";
import { h } from "./h.ts";
import { arrivingWords } from "./images.ts";
import { SIGNED, type WorklistItem } from "./item.ts";

export const STEPS = ["arrived", "complete", "reading", "report", "acknowledged"] as const;
export type TrackTone = "" | "amber" | "red" | "green";

export interface Track {
  /** How many dots are filled, 0–5. */
  done: number;
  /** The haloed dot, or -1 when everything is done. */
  current: number;
  tone: TrackTone;
  words: string;
}

/** Where an examination stands, from its item. */
export function trackOf(item: WorklistItem): Track {
  const words = statusWords(item);
  switch (item.status) {
    case "receiving":
      return { done: 1, current: 1, tone: "", words };
    case "waiting":
    case "reading":
    case "returned_for_edit":
      return { done: 2, current: 2, tone: "", words };
    case "to_verify":
      return { done: 3, current: 3, tone: "", words };
    case "acknowledged":
      return { done: 5, current: -1, tone: "green", words };
    case "returned_for_retake":
    case "cancelled":
      return { done: 1, current: 1, tone: "red", words };
    default:
      return { done: 4, current: 4, tone: "green", words };
  }
}

/** The holder's name while somebody reads, the moment once it is signed. */
export function statusWords(item: WorklistItem): string {
  if (item.status === "reading" && item.claimed_by) return t("ui.status.reading_by", { name: item.claimed_by });
  if (item.status === "to_verify" && item.claimed_by) return t("ui.status.verifying_by", { name: item.claimed_by });
  if (item.status === "waiting" && item.assigned_to) return t("ui.status.assigned_to", { name: item.assigned_to });
  if (item.status === "receiving") return arrivingWords(item);
  const word = t(`ui.status.${item.status}`);
  if (item.retake) return [word, t(`ui.retake.${item.retake.category}`), item.retake.reason].filter(Boolean).join(" · ");
  return SIGNED.includes(item.status) && item.ended_at ? `${word} ${time(item.ended_at)}` : word;
}

export function stepTrack(track: Track): HTMLElement {
  const at = STEPS[track.current < 0 ? STEPS.length - 1 : track.current] ?? "arrived";
  const label = t("ui.step.track", { step: t(`ui.step.${at}`), n: STEPS.indexOf(at) + 1 });
  const dots = STEPS.map((_, index) => h("i", { class: index < track.done ? "done" : index === track.current ? "current" : null }));
  return h("div", { class: `steptrack ${track.tone}`.trim() },
    h("div", { class: "dots", role: "img", "aria-label": label }, ...dots),
    h("div", { class: "words" }, track.words));
}
