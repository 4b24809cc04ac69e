/** The time that is left, over a bar of its share; one timer moves every countdown of the page. */
import { t } from "../i18n.ts";
import { serverNow } from "./clock.ts";
import { duration } from "./format.ts";
import { h } from "./h.ts";

export type Tone = "" | "warn" | "over" | "done";

export interface Left {
  text: string;
  /** A word after the time (超时); empty otherwise. */
  note: string;
  tone: Tone;
  isLong: boolean;
  /** Share of the time that is left, 0–1; 1 when over, so that the red bar is full. */
  share: number;
}

const WARN_MS = 5 * 60_000;
const WARN_SHARE = 0.25;
const HOUR_MS = 3_600_000;

/** All arguments are milliseconds since 1970; `endedAt` is null while the work runs. */
export function left(dueAt: number, startedAt: number, now: number, endedAt: number | null = null): Left {
  if (endedAt !== null) {
    return { text: duration(endedAt - startedAt), note: "", tone: "done", isLong: false, share: 0 };
  }
  const remaining = dueAt - now;
  if (remaining <= 0) {
    return { text: `+${duration(-remaining)}`, note: t("ui.countdown.over"), tone: "over", isLong: false, share: 1 };
  }
  const share = Math.min(1, remaining / Math.max(1, dueAt - startedAt));
  const isWarned = remaining <= WARN_MS || share <= WARN_SHARE;
  return { text: duration(remaining), note: "", tone: isWarned ? "warn" : "", isLong: remaining >= HOUR_MS, share };
}

export interface CountdownOf {
  due_at: string;
  received_at: string;
  ended_at: string | null;
}

/** `size`: "" in a row, "big" in the patient banner, "bare" without its bar. */
export function countdown(of: CountdownOf, size: "" | "big" | "bare" = ""): HTMLElement {
  const bar = h("i");
  const made = h("span", {
    class: "countdown", role: "timer", "data-size": size,
    "data-due": of.due_at, "data-from": of.received_at, "data-ended": of.ended_at,
  }, h("span", { class: "time" }), h("span", { class: "bar", "aria-hidden": "true" }, bar));
  refresh(made);
  startTimer();
  return made;
}

function refresh(element: HTMLElement): void {
  const { due = "", from = "", ended, size = "" } = element.dataset;
  const shown = left(Date.parse(due), Date.parse(from), serverNow(), ended ? Date.parse(ended) : null);
  const classes = ["countdown", size, shown.tone, shown.isLong ? "long" : ""].filter(Boolean).join(" ");
  if (element.className !== classes) element.className = classes;
  const time = element.querySelector<HTMLElement>(".time");
  const words = shown.note ? `${shown.text} ${shown.note}` : shown.text;
  if (time && time.dataset["words"] !== words) {
    time.dataset["words"] = words;
    time.replaceChildren(shown.text);
    if (shown.note) time.append(h("small", {}, shown.note));
  }
  element.querySelector<HTMLElement>(".bar > i")?.style.setProperty("--share", shown.share.toFixed(3));
}

let timer: ReturnType<typeof setInterval> | null = null;

function startTimer(): void {
  timer ??= setInterval(() => {
    for (const element of document.querySelectorAll<HTMLElement>(".countdown[data-due]")) refresh(element);
  }, 1000);
}
